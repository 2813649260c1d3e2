"""What must not change between releases does not: selectors, pod labels, immutable fields, and the recipe's names."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.charts import render
from stanft.kube import objects
from stanft.kube.objects import Object, dig

RECIPE = Path(__file__).parent.parent / "fixtures" / "recipe" / "runnable"
CASES = [(chart, name) for chart in render.RELEASES for name in render.ci_values(chart)]
ADOPT = {"adoptRecipe": True}
IDS = [f"{chart}-{case}" for chart, case in CASES]
# What an API server refuses to change (kubernetes pkg/apis/apps/validation).
IMMUTABLE = {
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"),
    "Deployment": ("spec.selector",),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
}


@cache
def next_release(chart: str, directory: Path) -> Path:
    """A copy of the chart with the next version, and another appVersion; the same one for the same directory."""
    copied = directory / chart
    shutil.copytree(render.chart_directory(chart), copied)
    text = (copied / "Chart.yaml").read_text()
    text = re.sub(r"^version: .*$", "version: 99.0.0", text, flags=re.MULTILINE)
    (copied / "Chart.yaml").write_text(re.sub(r"^appVersion: .*$", 'appVersion: "9.9.9"', text, flags=re.MULTILINE))
    return copied


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the copies of the charts are."""
    return tmp_path_factory.mktemp("next-release")


def recipe(kind: str, name: str) -> Object:
    """An object of the reference recipe."""
    items = [item for file in sorted(RECIPE.glob("*.yaml")) for item in objects.parse(file.read_text())]
    return objects.find(items, kind, name)


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_a_new_chart_version_changes_no_selector_and_no_pod_label(chart: str, case: str, copies: Path) -> None:
    values = render.ci_values(chart)[case]
    before = {objects.label(item): item for item in render.render(chart, values)}
    for item in render.render(next_release(chart, copies), values, is_upgrade=True):
        old = before[objects.label(item)]
        for path in ("spec.selector", "spec.podSelector", "spec.template.metadata.labels", "spec.serviceName"):
            assert dig(item, path) == dig(old, path), f"{objects.label(item)} {path}"


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_a_new_chart_version_keeps_every_name(chart: str, case: str, copies: Path) -> None:
    values = render.ci_values(chart)[case]
    assert objects.inventory(render.render(chart, values)) == objects.inventory(
        render.render(next_release(chart, copies), values, is_upgrade=True)
    )


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 5},
        {"promExporter": {"enabled": False}},
        {"commonLabels": {"team": "a"}},
        {"podTemplate": {"labels": {"team": "a"}}},
        {"image": {"tag": "0.25.5"}},
        {"persistence": {"existingClaim": "", "claim": {"name": "efs"}}},
        {"podTemplate": {"antiAffinity": {"preset": "soft"}}},
        {"networkPolicy": {"enabled": True}},
        {"rollout": {"strategy": "RollingUpdate"}},
        {"store": {"durability": "throughput"}},
    ],
)
def test_no_setting_changes_what_an_api_server_refuses_to_change(values: dict[str, Any]) -> None:
    before, after = (
        objects.find(render.render("stan-ft"), "StatefulSet"),
        objects.find(render.render("stan-ft", values), "StatefulSet"),
    )
    for path in IMMUTABLE["StatefulSet"]:
        assert dig(after, path) == dig(before, path), path


def test_the_recipes_statefulset_can_be_taken_over_by_name_selector_and_service() -> None:
    ours, theirs = objects.find(render.render("stan-ft", ADOPT), "StatefulSet"), recipe("StatefulSet", "stan")
    assert objects.name(ours) == objects.name(theirs)
    for path in ("spec.selector", "spec.serviceName"):
        assert dig(ours, path) == dig(theirs, path)


def test_the_recipes_pods_are_selected_by_the_new_services_and_budget() -> None:
    labels = dig(recipe("StatefulSet", "stan"), "spec.template.metadata.labels")
    items = render.render("stan-ft", ADOPT)
    for item in (*objects.find_all(items, "Service"), objects.find(items, "PodDisruptionBudget")):
        assert objects.selects(dig(item, "spec.selector"), labels), objects.label(item)


@pytest.mark.parametrize(("kind", "name"), [("Service", "stan"), ("StatefulSet", "stan")])
def test_the_recipes_objects_keep_their_names(kind: str, name: str) -> None:
    assert objects.find(render.render("stan-ft"), kind, name)
    assert recipe(kind, name)


@pytest.mark.parametrize("path", ["spec.clusterIP", "spec.selector"])
def test_the_recipes_service_keeps_what_clients_rely_on(path: str) -> None:
    ours = objects.find(render.render("stan-ft", ADOPT), "Service", "stan")
    assert dig(ours, path) == dig(recipe("Service", "stan"), path)


def test_the_recipes_ports_are_all_on_the_service() -> None:
    ours = objects.ports(objects.find(render.render("stan-ft"), "Service", "stan"))
    assert ours == {**objects.ports(recipe("Service", "stan")), "fencing": 8223}


@pytest.mark.parametrize("environment", render.environments())
def test_the_claim_that_one_chart_makes_is_the_one_that_the_other_mounts(environment: str) -> None:
    claims = objects.find_all(
        render.render("efs-provisioner", render.environment(environment, "efs-provisioner")), "PersistentVolumeClaim"
    )
    server = objects.find(render.render("stan-ft", render.environment(environment, "stan-ft")), "StatefulSet")
    mounted = objects.volumes(server)["data"]["persistentVolumeClaim"]["claimName"]
    assert mounted in {objects.name(each) for each in claims}
