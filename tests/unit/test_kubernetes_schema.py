"""Kubernetes' schemas offline: fields, types, and the values that the API server demands."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.ground import toolchain
from stanft.ground.errors import UserError
from stanft.kube import kubeschema

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "stan", "labels": {"app": "stan"}},
    "spec": {"clusterIP": "None", "selector": {"app": "stan"}, "ports": [{"name": "client", "port": 4222}]},
}
CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "efs"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}},
}


def changed(item: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of an object with one field changed."""
    result = copy.deepcopy(item)
    *parents, last = path.split(".")
    target = result
    for part in parents:
        target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
    target[last] = value
    return result


def test_what_is_judged_for_by_default_is_what_the_local_cluster_has() -> None:
    assert toolchain.KUBERNETES_VERSION.startswith(f"v{kubeschema.USUAL}.")


def test_versions_run_from_the_oldest_supported_to_the_newest_known() -> None:
    assert kubeschema.versions()[0] == kubeschema.OLDEST
    assert {"1.28", "1.34", "1.37"} <= set(kubeschema.versions())


@pytest.mark.parametrize("version", kubeschema.versions())
def test_a_good_object_is_accepted_by_every_version(version: str) -> None:
    assert kubeschema.problems(SERVICE, version) == []
    assert kubeschema.problems(CLAIM, version) == []


@pytest.mark.parametrize(
    ("item", "path", "value", "told"),
    [
        (SERVICE, "spec.typo", 1, "'typo' was unexpected"),
        (SERVICE, "spec.ports.0.port", "4222", "spec.ports.0.port"),
        (SERVICE, "spec.ports.0.port", 70000, "spec.ports.0.port"),
        (SERVICE, "spec.ports.0.protocol", "HTTP", "spec.ports.0.protocol: 'HTTP' is not one of"),
        (SERVICE, "spec.type", "Headless", "spec.type"),
        (SERVICE, "metadata.labels.app", "a b", "metadata.labels.app"),
        (SERVICE, "metadata.labels.app", 1, "metadata.labels.app"),
        (SERVICE, "metadata.name", "Stan_0", "no DNS label"),
        (SERVICE, "metadata.name", None, "metadata.name: is missing"),
        (CLAIM, "metadata.name", "x" * 254, "no DNS name"),
        (CLAIM, "spec.accessModes", ["ReadWriteSometimes"], "'ReadWriteSometimes' is not one of"),
        (CLAIM, "spec.accessModes", [], "spec.accessModes"),
        (CLAIM, "spec.resources.requests.storage", "1Mb", "spec.resources.requests.storage"),
        (CLAIM, "apiVersion", "v2", "serves no PersistentVolumeClaim of v2"),
    ],
)
def test_a_bad_field_is_told_with_its_path(item: dict[str, Any], path: str, value: Any, told: str) -> None:
    found = kubeschema.problems(changed(item, path, value))
    assert any(told in each for each in found), found


def test_an_api_version_that_was_removed_is_told() -> None:
    item = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "stan"}}
    assert kubeschema.problems(item, "1.28") == ["Kubernetes 1.28 serves no PodDisruptionBudget of policy/v1beta1"]


def test_custom_resources_of_other_groups_pass() -> None:
    item = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "stan"},
        "spec": {},
    }
    assert kubeschema.problems(item) == []


@pytest.mark.parametrize("version", ["1.24", "1.99", "nonsense"])
def test_an_unknown_version_is_refused_with_the_known_ones(version: str) -> None:
    with pytest.raises(UserError, match=r"not known here: use one of 1\.28, "):
        kubeschema.problems(SERVICE, version)
