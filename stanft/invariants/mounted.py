"""Files and variables of a container, as far as ConfigMaps and Secrets among the objects give them."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stanft.conf.parse import Variable
from stanft.invariants.command import expanded
from stanft.kube import objects
from stanft.kube.objects import Object, dig

Get = Callable[[str, str], Object | None]
_KINDS = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName")}
_ALWAYS = ("HOSTNAME", "HOME", "PATH", "PWD")
_SHARED_FIELDS = ("metadata.namespace", "metadata.labels", "metadata.annotations", "spec.serviceAccountName")
_POD_LABELS = ("statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index")


@dataclass(frozen=True)
class File:
    """A file of a container: its text, or why it cannot be seen; kind says what object holds it.

    absent: everything that could hold it is among the objects, so the container has no such file.
    """

    text: str | None
    why: str = ""
    kind: str = ""
    absent: bool = False


class Environment(dict[str, str | None]):
    """Variables of a container, None for a value that cannot be seen; open: there may be others.

    per_pod holds the names of those that differ from pod to pod.
    """

    open = False

    def __init__(self) -> None:
        super().__init__()
        self.per_pod = {"HOSTNAME", "BASH_REMATCH"}

    def differs(self, text: object) -> bool:
        """Whether a text (or Variable) refers to what differs from pod to pod, its host name or ordinal for example."""
        names = [text.name] if isinstance(text, Variable) else re.findall(r"\$[({]?(\w+)", str(text or ""))
        return any(name in self.per_pod or "hostname" in name.lower() for name in names)

    def __contains__(self, name: object) -> bool:
        text = str(name)
        given = text in _ALWAYS or text.startswith("KUBERNETES_") or "_SERVICE_" in text or "_PORT" in text
        return self.open or given or super().__contains__(name)

    def __missing__(self, name: str) -> None:
        return None


def environment(container: Object, get: Get) -> Environment:
    """The variables that a container's pod template gives it."""
    made = Environment()
    for source in container.get("envFrom") or []:
        made.open |= not _from(made, source, get)
    for each in container.get("env") or []:
        if "value" in each or not each.get("valueFrom"):
            made[each["name"]] = expanded(str(each.get("value") or ""), made)
            if made.differs(made[each["name"]]):
                made.per_pod.add(each["name"])
            if str(made[each["name"]]).startswith("$("):
                made[each["name"]] = None  # it is what it refers to, which cannot be seen
            continue
        field = str(dig(each, "valueFrom.fieldRef.fieldPath", ""))
        if field and (not field.startswith(_SHARED_FIELDS) or any(label in field for label in _POD_LABELS)):
            made.per_pod.add(each["name"])
        reference = dig(each, "valueFrom.configMapKeyRef", {})
        data = entries(get("ConfigMap", str(reference.get("name"))) or {})
        made[each["name"]] = data.get(str(reference.get("key")))
    return made


def _from(made: Environment, source: Object, get: Get) -> bool:
    """Take the variables of one envFrom; say whether all of them were seen."""
    for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        if source.get(key):
            held = get(kind, str(source[key].get("name")))
            for name, value in entries(held or {}).items():
                made[f"{source.get('prefix', '')}{name}"] = value if kind == "ConfigMap" else None
            return held is not None
    return False


def entries(item: Object) -> dict[str, str]:
    """The texts of a ConfigMap or a Secret by their keys, Base64 undone (bytes that are no UTF-8 are replaced)."""
    found: dict[str, str] = {}
    encoded = ["data"] if item.get("kind") == "Secret" else ["binaryData"]
    for field in encoded:
        for key, value in (item.get(field) or {}).items():
            try:
                found[key] = base64.b64decode("".join(str(value).split()), validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                found[key] = str(value)
    plain = "stringData" if item.get("kind") == "Secret" else "data"
    return {**found, **{key: str(value) for key, value in (item.get(plain) or {}).items() if value is not None}}


def file(workload: Object, container: Object, path: str, get: Get) -> File:
    """A file of a container by its path (a relative one is taken from the working directory)."""
    path = posixpath.normpath(posixpath.join(str(container.get("workingDir") or "/"), path))
    mount = deepest_mount(container, path)
    if mount is None:
        return File(None, f"{path} is on no volume: it would have to be in the image")
    volume = objects.volumes(workload).get(mount["name"], {})
    base = str(mount["mountPath"]).rstrip("/")
    inner = "/".join(part for part in (str(mount.get("subPath") or ""), path[len(base) + 1 :]) if part)
    for source in [volume, *dig(volume, "projected.sources", [])]:
        if (carried := objects.downward_text(workload, source, inner)) is not None:
            return File(carried, kind="Pod")
    missing: list[str] = []
    for kind, name, names, optional in _sources(volume):
        held = get(kind, name)
        if held is None:
            if not optional or not missing:
                missing.append(f"the {kind} {name} behind {path} is not among these objects")
            continue
        key = names.get(inner) if names else inner
        data = entries(held)
        if key in data:
            return File(data[key], kind=kind)
    if missing:
        return File(None, missing[0])
    if not any(True for _ in _sources(volume)):
        return File(None, f"{path} is on the volume {mount['name']}, whose content is not among these objects")
    return File(None, f"no ConfigMap or Secret behind {base} has the file {inner or path}", absent=True)


def texts(workload: Object, container: Object, get: Get) -> Iterator[tuple[str, str]]:
    """Path and text of each file that ConfigMaps and Secrets among the objects bring into a container."""
    volumes = objects.volumes(workload)
    for mount in container.get("volumeMounts") or []:
        for kind, name, names, _ in _sources(volumes.get(mount["name"], {})):
            data = entries(get(kind, name) or {})
            for inner in names or data:
                base, sub = str(mount["mountPath"]).rstrip("/"), str(mount.get("subPath") or "")
                path = base if sub == inner else f"{base}/{inner}"
                if (text := file(workload, container, path, get).text) is not None:
                    yield path, text


def deepest_mount(container: Object, path: str) -> Object | None:
    """The volume mount that holds a path: the longest mount path above it."""
    above = [
        mount
        for mount in container.get("volumeMounts") or []
        if f"{path}/".startswith(str(mount.get("mountPath", "")).rstrip("/") + "/")
    ]
    return max(above, key=lambda mount: len(str(mount["mountPath"])), default=None)


def _sources(volume: Object) -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """Kind, name, items (path -> key) and whether it is optional, of each ConfigMap or Secret behind a volume."""
    for source in [volume, *dig(volume, "projected.sources", [])]:
        for field, (kind, own_name) in _KINDS.items():
            found = source.get(field)
            if found:
                name = found.get(own_name) or found.get("name")
                names = {str(each.get("path")): each.get("key") for each in found.get("items") or []}
                yield kind, str(name), names, bool(found.get("optional"))
