"""What is merged into an object may not take away what the chart's other objects and the tests count on."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import RenderError, at, environment, layered, render

RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
BASE = {"stan-ft": {}, "efs-provisioner": environment("nfs", "efs-provisioner")}
# The chart, where the merge goes, what it says there, and what the refusal names.
HARMFUL: list[tuple[str, str, Any, str]] = [
    ("stan-ft", "rollout.mergeRole.rules", [RULE], '"statefulsets"'),
    ("stan-ft", "rollout.mergeRole.rules", [], '"statefulsets"'),
    ("stan-ft", "rollout.mergeRoleBinding.subjects", [{"kind": "ServiceAccount", "name": "other"}], "stan-rollout"),
    ("stan-ft", "rollout.mergeRoleBinding.roleRef", {"name": "other"}, "count on it"),
    ("stan-ft", "rollout.merge.metadata.annotations", {"helm.sh/hook": "post-install"}, "counts on it"),
    ("stan-ft", "rollout.merge.metadata.annotations", None, "counts on it"),
    ("stan-ft", "rollout.merge.spec.template.spec.serviceAccountName", "other", "count on it"),
    ("stan-ft", "rollout.merge.spec.template.spec.volumes", [{"name": "other", "emptyDir": {}}], "scripts is missing"),
    ("stan-ft", "rollout.merge.spec.template.spec.containers", [{"name": "other", "image": "a"}], "is missing"),
    ("stan-ft", "rollout.mergeScripts.data", None, "counts on it"),
    ("stan-ft", "fencing.mergeScripts.data", {"gate.py": None}, "gate.py: the chart counts on it"),
    ("stan-ft", "tests.merge.metadata.annotations", {"helm.sh/hook": None}, "counts on it"),
    ("stan-ft", "tests.merge.spec.containers", [{"name": "other", "image": "a"}], "state is missing"),
    ("stan-ft", "service.merge.spec.ports", [{"name": "other", "port": 1}], "client is missing"),
    ("efs-provisioner", "rbac.mergeClusterRole.rules", [RULE], '"persistentvolumes"'),
    ("efs-provisioner", "rbac.mergeRoleBinding.subjects", [], "efs-provisioner is missing"),
]
HARMLESS: list[tuple[str, Any]] = [
    ("rollout.merge.metadata.annotations", {"helm.sh/hook-delete-policy": "before-hook-creation"}),
    ("rollout.merge.spec", {"ttlSecondsAfterFinished": 60}),
    ("tests.mergeScripts.data", {"more.py": "print()"}),
    ("rollout.mergeRole.metadata.labels", {"team": "a"}),
    ("service.merge.spec", {"externalTrafficPolicy": None, "internalTrafficPolicy": "Local"}),
]


@pytest.mark.parametrize(("chart", "path", "value", "words"), HARMFUL, ids=lambda part: str(part)[:50])
def test_a_merge_that_would_break_the_release_is_refused(chart: str, path: str, value: Any, words: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(chart, layered(BASE[chart], at(path, value)))
    line = next(line for line in caught.value.message.splitlines() if line.startswith(f"  - {path}"))
    assert words in line


@pytest.mark.parametrize(("path", "value"), HARMLESS, ids=lambda part: str(part)[:50])
def test_a_merge_that_adds_or_tunes_is_taken(path: str, value: Any) -> None:
    assert render("stan-ft", at(path, value))
