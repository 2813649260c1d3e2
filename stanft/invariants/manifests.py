"""Invariants on the objects as such: served by Kubernetes, whole, and steady across releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from stanft.invariants.model import Manifests, Severity, Unseen, invariant
from stanft.kube import kubeschema, objects
from stanft.kube.objects import Object, dig

_CHANGING = ("chart", "helm.sh/chart", "app.kubernetes.io/version", "version", "release-revision")


def everything(manifests: Manifests) -> list[Object]:
    """Every object."""
    return manifests.items


@invariant(
    "served",
    lambda manifests: manifests.given,
    "Use an API version that this Kubernetes serves, and fields that its schema has.",
)
def served(manifests: Manifests, item: Object) -> Iterator[str]:
    """Kubernetes serves the object's API version and accepts its fields."""
    if not manifests.live:  # what a server gave has passed its own validation
        yield from kubeschema.problems(item, manifests.kube_version)


@invariant("no-null-fields", everything, "Remove the field, or give it a value.", Severity.WARNING)
def no_null_fields(_: Manifests, item: Object) -> Iterator[str]:
    """No field is there without a value."""
    yield from (f"{path} has no value" for path in _nulls(item))


@invariant("no-object-twice", lambda manifests: [manifests], "Rename one of them.")
def no_object_twice(_: Manifests, manifests: Manifests) -> Iterator[str]:
    """No two objects of one kind have the same name."""
    counted = Counter((*_group(item), objects.name(item), manifests.namespace_of(item)) for item in manifests.items)
    yield from (f"{key[1]}/{key[2]} is there {number} times" for key, number in counted.items() if number > 1)


@invariant(
    "workload-owns-pods",
    lambda manifests: manifests.of("StatefulSet", "Deployment", "DaemonSet"),
    "Let spec.selector match the labels of the pod template.",
)
def workload_owns_pods(_: Manifests, workload: Object) -> Iterator[str]:
    """A workload selects the pods that it makes."""
    labels = dig(objects.pod_template(workload) or {}, "metadata.labels", {})
    if not objects.selects(dig(workload, "spec.selector"), labels):
        yield f"the selector {dig(workload, 'spec.selector')} does not match the pod labels {labels}"


@invariant(
    "steady-selectors",
    everything,
    "Select by labels that never change, such as app or app.kubernetes.io/name and instance.",
)
def steady_selectors(_: Manifests, item: Object) -> Iterator[str]:
    """No selector depends on a version: the next release would select other pods."""
    for path, selector in _selectors(item):
        for key in _CHANGING:
            if key in selector:
                yield f"{path} selects by {key}"


@invariant(
    "steady-pod-labels",
    lambda manifests: manifests.workloads,
    "Keep chart and version labels off the pod template.",
    Severity.WARNING,
)
def steady_pod_labels(_: Manifests, workload: Object) -> Iterator[str]:
    """The pods carry no chart version: a release that changes nothing else does not restart the active."""
    if workload.get("kind") in ("Pod", "Job"):
        return
    labels = dig(objects.pod_template(workload) or {}, "metadata.labels", {})
    for key in ("chart", "helm.sh/chart"):
        if key in labels:
            yield f"the pods carry the label {key}"


_IN_EVERY_NAMESPACE = "kube-root-ca.crt"  # Kubernetes puts it there (RootCAConfigMap, since 1.20)


@invariant("references-exist", lambda manifests: manifests.workloads, "Create it, or correct its name.")
def references_exist(manifests: Manifests, workload: Object) -> Iterator[str | Unseen]:
    """Every ConfigMap that a pod needs is among the objects, with the keys that are asked of it."""
    for name, key, optional in _config_references(workload):
        config = manifests.get("ConfigMap", name)
        if config is None:
            if not optional and name != _IN_EVERY_NAMESPACE:
                yield Unseen(f"ConfigMap/{name} is not among these objects")
        elif key is not None and key not in {**(config.get("data") or {}), **(config.get("binaryData") or {})}:
            yield f"ConfigMap/{name} has no key {key}"


@invariant("mounts-resolve", lambda manifests: manifests.containers, "Mount a volume that the pod has.")
def mounts_resolve(_: Manifests, container: Any) -> Iterator[str]:
    """Every mount of a container names a volume of its pod."""
    templates = {objects.name(each) for each in dig(container.workload, "spec.volumeClaimTemplates", [])}
    known = objects.volumes(container.workload).keys() | templates
    for name in objects.mounts(container.spec):
        if name not in known:
            yield f"mounts {name}, the pod has {sorted(known)}"


def _group(item: Object) -> tuple[str, str]:
    return str(item.get("apiVersion", "")).rpartition("/")[0], str(item.get("kind"))


def _nulls(item: Any, path: str = "") -> Iterator[str]:
    if isinstance(item, dict):
        for key, value in item.items():
            here = f"{path}.{key}" if path else str(key)
            if value is None:
                yield here
            elif key not in ("data", "creationTimestamp"):
                yield from _nulls(value, here)
    elif isinstance(item, list):
        for at, value in enumerate(item):
            yield from _nulls(value, f"{path}.{at}")


def _selectors(item: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(item, dict):
        for key, value in item.items():
            here = f"{path}.{key}" if path else str(key)
            if key in ("selector", "labelSelector", "podSelector") and isinstance(value, dict):
                yield here, value.get("matchLabels", value) or {}
            elif key not in ("data", "openAPIV3Schema"):
                yield from _selectors(value, here)
    elif isinstance(item, list):
        for at, value in enumerate(item):
            yield from _selectors(value, f"{path}.{at}")


def _config_references(workload: Object) -> Iterator[tuple[str, str | None, bool]]:
    for volume in objects.volumes(workload).values():
        for source in [volume, *dig(volume, "projected.sources", [])]:
            found = source.get("configMap")
            if found:
                for item in found.get("items") or [{}]:
                    yield str(found.get("name")), item.get("key"), bool(found.get("optional"))
    for container in objects.containers(workload):
        for each in container.get("env") or []:
            found = dig(each, "valueFrom.configMapKeyRef")
            if found:
                yield str(found.get("name")), found.get("key"), bool(found.get("optional"))
        for each in container.get("envFrom") or []:
            if each.get("configMapRef"):
                yield str(each["configMapRef"].get("name")), None, bool(each["configMapRef"].get("optional"))
