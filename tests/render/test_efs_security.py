"""The controller's pod: restricted where the engine can, as near as it gets where it must be root."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import environment, layered, render
from stanft.kube import objects

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
# Kubernetes, Pod Security Standards, "restricted": volume types
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def pod(values: dict[str, Any]) -> dict[str, Any]:
    return objects.pod_spec(objects.find(render("efs-provisioner", values), "Deployment"))


@pytest.mark.parametrize("values", [LEGACY, NFS], ids=["efs-provisioner", "nfs-subdir"])
def test_the_container_has_no_capability_no_escalation_and_a_read_only_root(values: dict[str, Any]) -> None:
    (container,) = pod(values)["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("values", [LEGACY, NFS], ids=["efs-provisioner", "nfs-subdir"])
def test_the_pod_runs_under_the_runtimes_seccomp_profile(values: dict[str, Any]) -> None:
    assert pod(values)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("values", [LEGACY, NFS], ids=["efs-provisioner", "nfs-subdir"])
def test_the_pod_uses_only_volumes_that_restricted_allows(values: dict[str, Any]) -> None:
    kinds = {key for volume in pod(values)["volumes"] for key in volume if key != "name"}
    assert kinds <= RESTRICTED_VOLUMES


@pytest.mark.parametrize("values", [LEGACY, NFS], ids=["efs-provisioner", "nfs-subdir"])
def test_the_pod_shares_nothing_with_its_node(values: dict[str, Any]) -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(values).keys()
    assert not [port for each in pod(values)["containers"] for port in each.get("ports", [])]


def test_the_nfs_provisioner_is_not_root() -> None:
    context = pod(NFS)["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, 65534, 65534)


def test_the_old_provisioner_is_root_and_says_so() -> None:
    context = pod(LEGACY)["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (False, 0)


def test_running_the_nfs_provisioner_as_root_is_a_choice() -> None:
    context = pod(layered(NFS, {"nfsSubdir": {"runAsUser": 0, "runAsGroup": 0}}))["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (False, 0, 0)


def test_the_controller_says_what_it_needs_and_may_take() -> None:
    (container,) = pod(LEGACY)["containers"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
