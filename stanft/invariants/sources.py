"""Where the objects of a check come from: manifest files, chart directories, or a live namespace."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.charts import render
from harness.ground import toolchain
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.kube import objects
from stanft.kube.objects import Object, dig

_SUFFIXES = (".yaml", ".yml", ".json")
_NAMESPACED = (
    "configmaps,daemonsets.apps,deployments.apps,networkpolicies.networking.k8s.io,persistentvolumeclaims,pods,"
    "poddisruptionbudgets.policy,rolebindings.rbac.authorization.k8s.io,roles.rbac.authorization.k8s.io,"
    "serviceaccounts,services,statefulsets.apps"
)
_CLUSTER_WIDE = "persistentvolumes,storageclasses.storage.k8s.io"
_MONITORING = "podmonitors.monitoring.coreos.com,servicemonitors.monitoring.coreos.com"


def from_paths(paths: Iterable[str], chart_options: Mapping[str, Any] | None = None) -> list[Object]:
    """The objects of files, directories (searched for YAML and JSON), charts (rendered), and "-" (standard input).

    chart_options goes to render(). Raises UserError for what is missing, empty, or no manifest.
    """
    found: list[Object] = []
    for path in paths:
        found.extend(_from_path(path, chart_options or {}))
    if not found:
        raise UserError(
            f"no Kubernetes objects in {', '.join(paths)}: name files or directories of manifests, or a chart."
        )
    return found


def _from_path(path: str, chart_options: Mapping[str, Any]) -> list[Object]:
    if path == "-":
        return _parse(sys.stdin.read(), "standard input")
    here = Path(path)
    if (here / "Chart.yaml").is_file():
        return render.render(here.resolve(), **chart_options)
    if here.is_dir():
        files = sorted(each for each in here.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
        inside = {each.parent for each in here.rglob("Chart.yaml")}
        charts = [item for chart in sorted(inside) for item in render.render(chart.resolve(), **chart_options)]
        loose = [each for each in files if not any(chart in each.parents for chart in inside)]
        return [*charts, *(item for each in loose for item in _parse(each.read_text(), str(each)))]
    if here.is_file():
        return _parse(here.read_text(), path)
    raise UserError(f"{path} does not exist: name a file or directory of manifests, a chart, or - for standard input.")


def _parse(text: str, origin: str) -> list[Object]:
    try:
        return objects.parse(text)
    except (yaml.YAMLError, ValueError) as problem:
        raise UserError(f"{origin} cannot be read as Kubernetes objects: {problem}") from problem


def from_namespace(namespace: str, *, context: str | None = None, kubeconfig: Path | None = None) -> list[Object]:
    """The objects of a live namespace, with the volumes, classes and cluster roles that belong to them.

    Raises UserError when the cluster does not answer or the namespace does not exist.
    """

    def get(*words: str, must: bool = True) -> list[Object]:
        command: list[str | Path] = [toolchain.ensure("kubectl"), "get", "-o", "json", "--request-timeout=30s", *words]
        command += ["--context", context] if context else []
        command += ["--kubeconfig", kubeconfig] if kubeconfig else []
        done = shell.run(command, check=False)
        if done.returncode != 0:
            if not must and "doesn't have a resource type" in done.stderr:
                return []
            last = (done.stderr.strip().splitlines() or ["kubectl said nothing"])[-1]
            raise UserError(f"namespace {namespace} could not be read: {last}")
        found: Object = json.loads(done.stdout)
        return list(found["items"]) if found["kind"] == "List" else [found]

    get("namespace", namespace)
    here = get(_NAMESPACED, "--namespace", namespace)
    own = [item for item in here if not dig(item, "metadata.ownerReferences")]
    monitors = get(_MONITORING, "--namespace", namespace, must=False)
    bound = _bound(own, get("clusterrolebindings.rbac.authorization.k8s.io"), namespace)
    roles = {dig(each, "roleRef.name") for each in bound}
    allowed = [each for each in get("clusterroles.rbac.authorization.k8s.io") if objects.name(each) in roles]
    return [*own, *monitors, *bound, *allowed, *_storage(own, get(_CLUSTER_WIDE), namespace)]


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
