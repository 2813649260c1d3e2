"""What the controller may do: what its code calls, and nothing else."""

# The calls were read in sig-storage-lib-external-provisioner v6, controller/controller.go and volume_store.go.

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import environment, layered, render
from stanft.kube import objects

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
WAIT = {"storageClass": {"volumeBindingMode": "WaitForFirstConsumer"}}


def granted(role: objects.Object) -> dict[tuple[str, str, tuple[str, ...]], set[str]]:
    """Verbs by (group, resource, resource names)."""
    return {
        (group, resource, tuple(rule.get("resourceNames", []))): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("values", [LEGACY, NFS], ids=["efs-provisioner", "nfs-subdir"])
def test_cluster_wide_it_watches_claims_and_classes_makes_volumes_and_writes_events(values: dict[str, Any]) -> None:
    assert granted(objects.find(render("efs-provisioner", values), "ClusterRole")) == {
        ("", "persistentvolumes", ()): {"get", "list", "watch", "create", "delete"},
        ("", "persistentvolumeclaims", ()): {"list", "watch"},
        ("storage.k8s.io", "storageclasses", ()): {"get", "list", "watch"},
        ("", "events", ()): {"create", "patch"},
    }


def test_only_late_binding_adds_the_node_that_the_scheduler_chose() -> None:
    early = granted(objects.find(render("efs-provisioner", LEGACY), "ClusterRole"))
    late = granted(objects.find(render("efs-provisioner", layered(LEGACY, WAIT)), "ClusterRole"))
    assert late == {**early, ("", "nodes", ()): {"get"}}


@pytest.mark.parametrize("name", ["synadia.com/aws-efs", "efs"])
def test_the_leader_lock_is_one_object_by_name(name: str) -> None:
    lock = (name.replace("/", "-"),)
    role = objects.find(render("efs-provisioner", layered(LEGACY, {"provisionerName": name})), "Role")
    assert granted(role) == {
        ("", "endpoints", lock): {"get", "update"},
        ("", "endpoints", ()): {"create"},
        ("coordination.k8s.io", "leases", lock): {"get", "update"},
        ("coordination.k8s.io", "leases", ()): {"create"},
    }


def test_without_leases_only_the_lock_that_the_images_use_is_left() -> None:
    role = objects.find(render("efs-provisioner", layered(LEGACY, {"rbac": {"leases": False}})), "Role")
    assert {resource for _, resource, _ in granted(role)} == {"endpoints"}


@pytest.mark.parametrize("values", [LEGACY, layered(LEGACY, WAIT), NFS])
def test_no_rule_is_open_ended(values: dict[str, Any]) -> None:
    for item in render("efs-provisioner", values):
        for rule in item.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"secrets", "pods", "configmaps"} & set(rule["resources"])


def test_bindings_tie_the_roles_to_the_account_of_the_pod() -> None:
    made = render("efs-provisioner", layered(LEGACY, {"serviceAccount": {"name": "store"}}))
    account = objects.pod_spec(objects.find(made, "Deployment"))["serviceAccountName"]
    assert account == objects.name(objects.find(made, "ServiceAccount")) == "store"
    for binding, role in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")):
        found = objects.find(made, binding)
        assert found["roleRef"]["name"] == objects.name(objects.find(made, role))
        assert [subject["name"] for subject in found["subjects"]] == ["store"]


def test_the_token_reaches_the_controller_alone() -> None:
    made = render("efs-provisioner", LEGACY)
    assert objects.find(made, "ServiceAccount")["automountServiceAccountToken"] is False
    assert objects.pod_spec(objects.find(made, "Deployment"))["automountServiceAccountToken"] is True


def test_roles_and_account_can_be_made_elsewhere() -> None:
    made = render("efs-provisioner", layered(LEGACY, {"rbac": {"create": False}, "serviceAccount": {"create": False}}))
    kinds = {kind for kind, _ in objects.inventory(made)}
    assert not kinds & {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    assert objects.pod_spec(objects.find(made, "Deployment"))["serviceAccountName"] == "default"


@pytest.mark.parametrize("engine", ["eks-csi", "kind"])
def test_without_a_controller_there_is_nobody_to_give_rights_to(engine: str) -> None:
    kinds = {kind for kind, _ in objects.inventory(render("efs-provisioner", environment(engine, "efs-provisioner")))}
    assert kinds == {"StorageClass", "PersistentVolumeClaim"}
