"""The controller's pod before the API server's own Pod Security admission."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from efs_space import Space, open_space

from harness.charts.render import environment, layered, render
from harness.cluster.kind import Cluster
from stanft.ground.shell import CommandError
from stanft.kube import objects

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
INLINE = {"controller": {"ownVolume": "inline"}}


@pytest.fixture(scope="module", params=["restricted", "baseline"])
def level(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def space(cluster: Cluster, level: str) -> Iterator[Space]:
    opened = open_space(cluster, {"pod-security.kubernetes.io/enforce": level})
    yield opened
    opened.close()


def admit(space: Space, values: dict[str, Any]) -> str:
    """Have the API server judge the pod that the chart's Deployment would make; "" when it lets it in."""
    template = objects.pod_template(objects.find(render("efs-provisioner", values), "Deployment"))
    assert template is not None
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "judged"}, "spec": spec}
    try:
        space.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    except CommandError as refused:
        return refused.output
    return ""


def test_the_nfs_provisioner_is_let_in(space: Space, level: str) -> None:
    assert admit(space, NFS) == ""


def test_the_old_provisioner_is_let_in_by_baseline_and_by_restricted_only_its_user_is_held_against_it(
    space: Space, level: str
) -> None:
    refusal = admit(space, LEGACY)
    if level == "baseline":
        assert refusal == ""
    else:
        assert "runAsNonRoot" in refusal
        assert not [
            word for word in ("allowPrivilegeEscalation", "capabilities", "seccompProfile", "volume") if word in refusal
        ]


def test_an_inline_nfs_volume_is_refused_by_restricted_alone(space: Space, level: str) -> None:
    refusal = admit(space, layered(NFS, INLINE))
    assert ("restricted volume types" in refusal) == (level == "restricted")


def test_root_is_refused_by_restricted_alone(space: Space, level: str) -> None:
    refusal = admit(space, layered(NFS, {"nfsSubdir": {"runAsUser": 0}}))
    assert ("runAsNonRoot" in refusal) == (level == "restricted")
