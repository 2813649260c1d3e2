"""Where the objects of a check come from: manifest files, chart directories, or a live namespace."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stanft.ground.errors import UserError
from stanft.invariants import directory, mounted
from stanft.invariants.model import Manifests
from stanft.kube import api, charts, objects
from stanft.kube.objects import Object, dig

# What is read of a live namespace: where the API has it, and its kind.
_NAMESPACED = {
    "/api/v1/namespaces/{}/configmaps": "ConfigMap",
    "/api/v1/namespaces/{}/persistentvolumeclaims": "PersistentVolumeClaim",
    "/api/v1/namespaces/{}/pods": "Pod",
    "/api/v1/namespaces/{}/serviceaccounts": "ServiceAccount",
    "/api/v1/namespaces/{}/services": "Service",
    "/apis/apps/v1/namespaces/{}/daemonsets": "DaemonSet",
    "/apis/apps/v1/namespaces/{}/deployments": "Deployment",
    "/apis/apps/v1/namespaces/{}/statefulsets": "StatefulSet",
    "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies": "NetworkPolicy",
    "/apis/policy/v1/namespaces/{}/poddisruptionbudgets": "PodDisruptionBudget",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings": "RoleBinding",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles": "Role",
    # These only where the Prometheus operator is installed.
    "/apis/monitoring.coreos.com/v1/namespaces/{}/podmonitors": "PodMonitor",
    "/apis/monitoring.coreos.com/v1/namespaces/{}/servicemonitors": "ServiceMonitor",
}
_CLUSTER_WIDE = {
    "/api/v1/persistentvolumes": "PersistentVolume",
    "/apis/storage.k8s.io/v1/storageclasses": "StorageClass",
}
_BINDINGS = {"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings": "ClusterRoleBinding"}
_ROLES = {"/apis/rbac.authorization.k8s.io/v1/clusterroles": "ClusterRole"}


def from_paths(
    paths: Iterable[str], chart_options: Mapping[str, Any] | None = None, skipped: list[str] | None = None
) -> list[Object]:
    """The objects of files, directories (searched for YAML and JSON), charts (rendered), and "-" (standard input).

    chart_options goes to charts.render(); skipped gets a sentence for each thing in directories that was left out.
    Raises UserError for what is missing, empty, broken, or (named by itself) no manifest.
    """
    found: list[Object] = []
    for path in paths:
        found.extend(_from_path(path, chart_options or {}, skipped if skipped is not None else []))
    if not found:
        raise UserError(
            f"no Kubernetes objects in {', '.join(paths)}: name files or directories of manifests, or a chart."
            + "".join(f"\nleft out: {each}" for each in skipped or [])
        )
    return found


def _from_path(path: str, chart_options: Mapping[str, Any], skipped: list[str]) -> list[Object]:
    if path == "-":
        return _parse(_standard_input(), "standard input")
    here = Path(path)
    if (here / "Chart.yaml").is_file():
        return charts.render(here.resolve(), **chart_options)
    if here.is_dir():
        found = directory.read(here, lambda chart: charts.render(chart.resolve(), **chart_options))
        skipped += found.skipped
        return found.items
    if here.exists():
        return _parse(directory.text_of(here), path)
    raise UserError(f"{path} does not exist: name a file or directory of manifests, a chart, or - for standard input.")


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UserError("standard input is no UTF-8 text.") from error


def _parse(text: str, origin: str) -> list[Object]:
    found: list[Object] = []
    for document in directory.documents(text, origin):
        items = directory.objects_of(document)
        if items is None:
            raise UserError(
                f"{origin} cannot be read as Kubernetes objects: "
                f"no Kubernetes object (it needs apiVersion and kind): {str(document)[:200]}"
            )
        found += items
    return found


def from_namespace(namespace: str, *, context: str | None = None, kubeconfig: Path | None = None) -> list[Object]:
    """The objects of a live namespace, with the volumes, classes and cluster roles that belong to them.

    Raises UserError when the cluster does not answer, the namespace does not exist, or this user may not read it.
    """
    access = api.connect(kubeconfig, context)

    def listed(paths: Mapping[str, str]) -> list[Object]:
        return [item for path, kind in paths.items() for item in _listed(access, path.format(namespace), kind)]

    if api.read(access, f"/api/v1/namespaces/{namespace}") is None:
        raise UserError(f"there is no namespace {namespace}: name another one with --namespace.")
    own = [item for item in listed(_NAMESPACED) if not _is_made(item)]
    bound = _bound(own, listed(_BINDINGS), namespace)
    roles = {dig(each, "roleRef.name") for each in bound}
    allowed = [each for each in listed(_ROLES) if objects.name(each) in roles]
    return [*own, *bound, *allowed, *_storage(own, listed(_CLUSTER_WIDE), namespace), *_configuration(access, own)]


def _configuration(access: Any, own: Sequence[Object]) -> list[Object]:
    """The Secrets that hold a server's configuration file; none where this user may not read them."""
    found = []
    for server in Manifests(own, live=True).servers:
        for source in server.told.sources:
            mount = mounted.deepest_mount(server.container, source.path)
            volume = objects.volumes(server.workload).get(mount["name"], {}) if mount and not source.document else {}
            name, namespace = dig(volume, "secret.secretName"), dig(server.workload, "metadata.namespace")
            try:
                held = api.read(access, f"/api/v1/namespaces/{namespace}/secrets/{name}") if name else None
            except UserError:
                continue
            if held:
                found.append({"apiVersion": "v1", "kind": "Secret", **held})
    return found


def _is_made(item: Object) -> bool:
    """Whether a workload of Kubernetes' own made an object; what the custom resource of an operator made is judged."""
    owners = dig(item, "metadata.ownerReferences", [])
    return any("." not in group or group.endswith(".k8s.io") for group in map(_group, owners))


def _group(owner: Object) -> str:
    return str(owner.get("apiVersion", "")).partition("/")[0]


def _listed(access: Any, path: str, kind: str) -> list[Object]:
    """The objects of a listing as somebody wrote them: with kind and version, without what the cluster says of them."""
    found = api.read(access, path) or {"items": []}
    for item in found["items"]:
        item.pop("status", None)
    return [{"apiVersion": found.get("apiVersion"), "kind": kind, **item} for item in found["items"]]


def _bound(own: Sequence[Object], bindings: Sequence[Object], namespace: str) -> list[Object]:
    accounts = {objects.name(each) for each in objects.find_all(own, "ServiceAccount")}
    return [
        each
        for each in bindings
        if any(who.get("namespace") == namespace and who.get("name") in accounts for who in each.get("subjects") or [])
    ]


def _storage(own: Sequence[Object], everything: Sequence[Object], namespace: str) -> list[Object]:
    classes = {dig(each, "spec.storageClassName") for each in objects.find_all(own, "PersistentVolumeClaim")}
    return [
        each
        for each in everything
        if (each["kind"] == "StorageClass" and objects.name(each) in classes)
        or dig(each, "spec.claimRef.namespace") == namespace
    ]
