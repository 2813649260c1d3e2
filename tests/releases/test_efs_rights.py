"""What the chart allows its controller, proven on the real API server: enough for a real controller, and not more.

The controller runs with a token of the chart's own ServiceAccount; a proxy to the API server notes each request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from efs_controller import Right, controller, provisioner_name
from efs_space import Space, open_space

from harness.charts.render import layered
from harness.cluster.kind import Cluster


def granted(space: Space, *roles: tuple[str, str]) -> set[Right]:
    """The rights in live roles, given as kind and name."""
    return {
        (verb, f"{resource}.{group}".rstrip("."), name)
        for kind, role in roles
        for rule in space.get(kind, role)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    opened = open_space(cluster)
    yield opened
    opened.close()


def values(space: Space, **more: Any) -> dict[str, Any]:
    """Engine nfs-subdir, whose own pod finds no node: its rights are what is under test."""
    nowhere = {"nodeSelector": {"example.com/no-such-node": "true"}}
    base = {
        "fullnameOverride": space.name,
        "engine": "nfs-subdir",
        "nfs": {"server": "192.0.2.1"},
        "provisionerName": provisioner_name(space),
        "storageClass": {"name": space.name, "reclaimPolicy": "Delete"},
        "podTemplate": nowhere,
    }
    return layered(base, more)


def claim(space: Space, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": space.name,
            "resources": {"requests": {"storage": "1Mi"}},
            **spec,
        },
    }


def events(space: Space, reason: str) -> int:
    """How often an event of that reason was counted in the namespace."""
    found = json.loads(space.kubectl("get", "events", "-o", "json", f"--field-selector=reason={reason}"))["items"]
    return sum(event.get("count") or 1 for event in found)


def test_a_real_controller_uses_every_right_that_the_chart_grants_and_is_refused_none(
    space: Space, tmp_path: Path
) -> None:
    space.install(values(space))
    with controller(space, tmp_path, space.name) as recorder:
        space.wait_bound()
        # an event that repeats is patched, not made again
        space.apply(claim(space, "refused", selector={"matchLabels": {"a": "b"}}))
        space.wait_until(lambda: events(space, "ProvisioningFailed") >= 2)
        # a volume of reclaim policy Delete goes with its claim
        space.apply(claim(space, "short-lived"))
        volume = space.wait_bound("short-lived")["spec"]["volumeName"]
        space.kubectl("delete", "pvc", "short-lived")
        space.wait_until(lambda: not space.exists("pv", volume))
    lock = provisioner_name(space).replace("/", "-")
    roles = granted(space, ("clusterrole", f"{space.name}-runner"), ("role", f"leader-locking-{space.name}"))
    leases = {right for right in roles if right[1] == "leases.coordination.k8s.io"}
    tied = {(verb, what, name if name == lock else "") for verb, what, name in recorder.used}
    assert recorder.refused == set()
    assert tied == roles - leases  # leases wait for an image that is built on a later library


def test_the_right_to_lock_a_lease_is_there_for_an_image_built_on_a_later_library(space: Space) -> None:
    space.install(values(space))
    lock = provisioner_name(space).replace("/", "-")
    for verb, name in (("create", ""), ("get", lock), ("update", lock)):
        assert allowed(space, verb, "leases.coordination.k8s.io", name)
    assert not allowed(space, "update", "leases.coordination.k8s.io", "another")


def test_late_binding_needs_the_node_and_gets_it(cluster: Cluster, space: Space, tmp_path: Path) -> None:
    space.install(values(space, storageClass={"volumeBindingMode": "WaitForFirstConsumer"}))
    with controller(space, tmp_path, space.name) as recorder:
        space.pod("consumer", wait=False)
        space.wait_bound()
    nodes = {name for verb, what, name in recorder.used if (verb, what) == ("get", "nodes")}
    assert len(nodes) == 1
    assert nodes <= set(cluster.workers())
    assert recorder.refused == set()


def test_without_the_right_to_make_volumes_the_claim_stays_pending(space: Space, tmp_path: Path) -> None:
    space.install(values(space))
    role = space.get("clusterrole", f"{space.name}-runner")
    role["rules"][0]["verbs"].remove("create")
    space.apply(role)
    with controller(space, tmp_path, space.name) as recorder:
        space.wait_until(lambda: ("create", "persistentvolumes", "") in recorder.refused)
    assert space.get("pvc", "efs")["status"]["phase"] == "Pending"


def allowed(space: Space, verb: str, resource: str, name: str = "", namespace: str | None = None) -> bool:
    """What `kubectl auth can-i` says about the chart's account; namespace None is the release's own."""
    what = f"{resource}/{name}" if name else resource
    account = f"system:serviceaccount:{space.name}:{space.name}"
    where = ("--all-namespaces",) if namespace == "*" else ("-n", namespace or space.name)
    said = space.cluster.kubectl("auth", "can-i", verb, what, f"--as={account}", *where, check=False)
    return said.splitlines()[-1:] == ["yes"]


def test_what_the_controller_has_no_business_with_is_refused(space: Space) -> None:
    space.install(values(space))
    lock = provisioner_name(space).replace("/", "-")
    needed_rights = [
        ("create", "persistentvolumes", "", None),
        ("delete", "persistentvolumes", "", None),
        ("list", "persistentvolumeclaims", "", "*"),
        ("watch", "storageclasses.storage.k8s.io", "", None),
        ("create", "events", "", "*"),
        ("create", "endpoints", "", None),
        ("update", "endpoints", lock, None),
    ]
    refused_rights = [
        ("update", "persistentvolumes", "", None),
        ("patch", "persistentvolumes", "", None),
        ("deletecollection", "persistentvolumes", "", None),
        ("create", "persistentvolumeclaims", "", None),
        ("update", "persistentvolumeclaims", "", None),
        ("delete", "persistentvolumeclaims", "", None),
        ("create", "storageclasses.storage.k8s.io", "", None),
        ("delete", "storageclasses.storage.k8s.io", "", None),
        ("get", "secrets", "", None),
        ("list", "secrets", "", "*"),
        ("get", "configmaps", "", None),
        ("list", "pods", "", None),
        ("create", "pods", "", None),
        ("create", "pods/exec", "", None),
        ("get", "nodes", "", None),
        ("list", "events", "", None),
        ("update", "endpoints", "kubernetes", "default"),
        ("update", "endpoints", "another", None),
        ("create", "endpoints", "", "kube-system"),
        ("delete", "endpoints", lock, None),
        ("list", "endpoints", "", None),
        ("create", "serviceaccounts/token", "", None),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io", "", None),
        ("*", "*", "", None),
    ]
    said = {right: allowed(space, *right) for right in (*needed_rights, *refused_rights)}
    assert said == {**dict.fromkeys(needed_rights, True), **dict.fromkeys(refused_rights, False)}
