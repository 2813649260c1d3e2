"""Kubernetes objects as plain data: read them as the API server would, and look things up in them by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

import yaml

Object = dict[str, Any]

# Where each kind keeps its pod template; a Pod is its own.
_POD_TEMPLATES: Final = {
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "Job": ("spec", "template"),
    "Pod": (),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
}


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18} | {
    f"{prefix}i": 1024**power for power, prefix in enumerate("KMGTPE", 1)
}


class KubernetesLoader(yaml.CSafeLoader):
    """YAML as Kubernetes and Helm read it (YAML 1.1 through sigs.k8s.io/yaml).

    Where PyYAML alone differs: no dates and no base-60 numbers, y and n are booleans, 1e3 is a number,
    0o17 is 15, a plain "=" is text.
    Source: go.yaml.in/yaml/v2 resolve.go, which sigs.k8s.io/yaml uses.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


_INTEGER = re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_BOOLEAN = re.compile(r"^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")

for _tag, _pattern, _first in (
    ("bool", _BOOLEAN, "yYnNtTfFoO"),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("merge", re.compile(r"^<<$"), "<"),
    ("null", _NULL, ["~", "n", "N", ""]),
):
    KubernetesLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))


def _integer(loader: KubernetesLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    digits = text.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 8 if digits.startswith("0") and len(digits) > 1 else 10)
    return int(digits, base) * (-1 if text.startswith("-") else 1)


def _boolean(loader: KubernetesLoader, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node)).lower() in ("y", "yes", "true", "on")


def _float(loader: KubernetesLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


KubernetesLoader.add_constructor("tag:yaml.org,2002:int", _integer)
KubernetesLoader.add_constructor("tag:yaml.org,2002:bool", _boolean)
KubernetesLoader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(text: str) -> list[Object]:
    """The objects of a YAML stream, without empty documents; the items of a List are taken out of it.

    Raises yaml.YAMLError for bad YAML, ValueError for a document that is no object with apiVersion and kind.
    """
    found: list[Object] = []
    for document in yaml.load_all(text, Loader=KubernetesLoader):
        if document is None:
            continue
        if not isinstance(document, dict) or not {"apiVersion", "kind"} <= document.keys():
            raise ValueError(f"no Kubernetes object (it needs apiVersion and kind): {str(document)[:200]}")
        found.extend(document.get("items") or [] if str(document["kind"]).endswith("List") else [document])
    return found


def values(text: str) -> dict[str, Any]:
    """A values file as a mapping, read as Helm reads it; raises TypeError if it is anything but a mapping."""
    loaded = yaml.load(text, Loader=KubernetesLoader)  # noqa: S506 (a safe loader)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise TypeError(f"a values file is a mapping, not {type(loaded).__name__}")
    return loaded


def name(item: Mapping[str, Any]) -> str:
    """The object's name ("" where it has none)."""
    return str(dig(item, "metadata.name", ""))


def label(item: Mapping[str, Any]) -> str:
    """The object in words, as kubectl writes it: StatefulSet/stan."""
    return f"{item.get('kind', '?')}/{name(item) or '?'}"


def dig(item: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path, list positions as numbers ("spec.ports.0.port"); default if any part is missing."""
    for part in path.split("."):
        if isinstance(item, Mapping) and part in item:
            item = item[part]
        elif isinstance(item, list) and part.isdigit() and int(part) < len(item):
            item = item[int(part)]
        else:
            return default
    return default if item is None else item


def quantity(text: Any) -> float:
    """A Kubernetes quantity such as 1Mi or 500M as a number; raises ValueError for anything else."""
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([KMGTPE]i|[kMGTPE]|m)?", str(text))
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    factor = 0.001 if match.group(2) == "m" else _UNITS[match.group(2) or ""]
    return float(match.group(1)) * factor


def find_all(items: Iterable[Object], kind: str | None = None, name_: str | None = None, **labels: str) -> list[Object]:
    """The objects of a kind, with a name, that carry the given labels (each condition is optional)."""
    return [
        item
        for item in items
        if (kind is None or item.get("kind") == kind)
        and (name_ is None or name(item) == name_)
        and labels.items() <= dig(item, "metadata.labels", {}).items()
    ]


def find(items: Iterable[Object], kind: str, name_: str | None = None) -> Object:
    """The one object of that kind (and name); raises LookupError that lists what there is if it is not exactly one."""
    everything = list(items)
    found = find_all(everything, kind, name_)
    if len(found) != 1:
        wanted = f"{kind}/{name_}" if name_ else f"one {kind}"
        there = ", ".join(sorted(label(item) for item in everything)) or "nothing"
        raise LookupError(f"wanted {wanted}, found {len(found)}; there is: {there}")
    return found[0]


def inventory(items: Iterable[Object]) -> set[tuple[str, str]]:
    """The (kind, name) pairs of the objects."""
    return {(str(item.get("kind")), name(item)) for item in items}


def pod_template(item: Object) -> Object | None:
    """The pod template of a workload (the object itself for a Pod), None for an object without pods.

    A custom resource that has one where Deployments have it (DeploymentConfig, Rollout) is a workload too.
    """
    steps = _POD_TEMPLATES.get(str(item.get("kind")))
    if steps is None:
        custom = "." in str(item.get("apiVersion", "")).partition("/")[0]
        template = dig(item, "spec.template")
        return template if custom and isinstance(dig(template, "spec.containers"), list) else None
    found = dig(item, ".".join(steps)) if steps else item
    return found if isinstance(found, dict) else None


def pod_spec(item: Object) -> Object:
    """The pod's spec of a workload; {} for an object without pods."""
    spec = dig(pod_template(item) or {}, "spec", {})
    return spec if isinstance(spec, dict) else {}


def workloads(items: Iterable[Object]) -> list[Object]:
    """The objects that run pods."""
    return [item for item in items if pod_template(item) is not None]


def containers(item: Object, *, init: bool = True) -> list[Object]:
    """The containers of a workload, init containers first (left out when init is False)."""
    spec = pod_spec(item)
    return [*(spec.get("initContainers") or [] if init else []), *(spec.get("containers") or [])]


def lasting(item: Object) -> list[Object]:
    """The containers that run as long as their pod: also init containers that Kubernetes restarts (native sidecars)."""
    sidecars = [each for each in pod_spec(item).get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    return [*sidecars, *containers(item, init=False)]


def container(item: Object, name_: str) -> Object:
    """The container of that name; raises LookupError that lists the others."""
    for each in containers(item):
        if each.get("name") == name_:
            return each
    raise LookupError(f"{label(item)} has no container {name_}, only {[each.get('name') for each in containers(item)]}")


def env(item: Object) -> dict[str, Any]:
    """A container's environment: name -> text, or the valueFrom mapping."""
    return {each["name"]: each.get("value", each.get("valueFrom", "")) for each in item.get("env") or []}


def ports(item: Object) -> dict[str, int]:
    """Port names and numbers of a container or of a Service; one without a name is named by its number."""
    declared = item.get("ports") or dig(item, "spec.ports", [])
    numbers = [(each, int(each.get("containerPort", each.get("port", 0)))) for each in declared]
    return {str(each.get("name") or number): number for each, number in numbers}


def volumes(item: Object) -> dict[str, Object]:
    """A workload's volumes by name."""
    return {each["name"]: each for each in pod_spec(item).get("volumes") or []}


def mounts(item: Object) -> dict[str, Object]:
    """A container's volume mounts by volume name (the last one where a volume is mounted twice)."""
    return {each["name"]: each for each in item.get("volumeMounts") or []}


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions, or a plain mapping) selects these labels.

    An empty or missing selector selects nothing here: Services and workloads without one own no pods.
    """
    if not selector:
        return False
    if not {"matchLabels", "matchExpressions"} & selector.keys():
        return selector.items() <= labels.items()
    if not all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(each, labels) for each in selector.get("matchExpressions") or [])


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, allowed = expression.get("key", ""), expression.get("operator"), expression.get("values") or []
    return {
        "In": key in labels and labels.get(key) in allowed,
        "NotIn": labels.get(key) not in allowed,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }.get(str(operator), False)


def leaves(item: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf of nested mappings with its path; lists and empty mappings count as leaves."""
    if isinstance(item, Mapping) and item:
        for key, value in item.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield path, item


def downward_text(workload: Object, source: Object, file: str) -> str | None:
    """The text of a file that a downwardAPI source takes from an annotation of the workload's own pods, if it does.

    The kubelet writes an empty file where there is no such annotation.
    """
    for item in dig(source, "downwardAPI.items", []):
        field = str(dig(item, "fieldRef.fieldPath", ""))
        if item.get("path") == file and field.startswith("metadata.annotations['"):
            annotations = ((pod_template(workload) or {}).get("metadata") or {}).get("annotations") or {}
            return str(annotations.get(field.removeprefix("metadata.annotations['").removesuffix("']")) or "")
    return None
