"""Kubernetes' own schemas, offline: is an object one that a given Kubernetes serves, with fields and values it accepts?

The schemas are those of the package kubernetes-validate. They carry types and fields only; the enumerations and
patterns that the API server checks in code are added here (k8s.io/api types.go, k8s.io/apimachinery validation).
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Final

import jsonschema
import referencing
from referencing.jsonschema import DRAFT202012

from stanft.ground.errors import UserError
from stanft.kube.objects import Object, label

OLDEST: Final = "1.28"  # the oldest Kubernetes that the charts are for
USUAL: Final = "1.37"  # what is judged for when nobody says: the one that the local cluster has
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL = rf"^{_LABEL}$"
_DNS_NAME = rf"^(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*$"
_LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$"
_LABEL_KEY = rf"^((?=[^/]{{1,253}}/){_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
_QUANTITY = r"^[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
_PORT = {"minimum": 1, "maximum": 65535}
_ABSOLUTE = {"pattern": "^/"}
_LABELS = {
    "propertyNames": {"pattern": _LABEL_KEY},
    "additionalProperties": {"type": "string", "pattern": _LABEL_VALUE},
}


def _one_of(*values: str) -> dict[str, Any]:
    return {"enum": [*values, None]}


_MODES = {"items": {"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]}, "minItems": 1}
_PROTOCOL = _one_of("TCP", "UDP", "SCTP")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CORE = "io.k8s.api.core.v1."

# Definition -> field -> what the API server demands of it beyond its type.
_VALUES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    f"{_META}ObjectMeta": {
        "labels": _LABELS,
        "annotations": {"propertyNames": {"pattern": _LABEL_KEY}, "additionalProperties": {"type": "string"}},
        "namespace": {"pattern": _DNS_LABEL},
    },
    f"{_META}LabelSelector": {"matchLabels": _LABELS},
    f"{_META}LabelSelectorRequirement": {"operator": _one_of("In", "NotIn", "Exists", "DoesNotExist")},
    f"{_CORE}Container": {
        "imagePullPolicy": _one_of("Always", "IfNotPresent", "Never"),
        "name": {"pattern": _DNS_LABEL},
        "terminationMessagePolicy": _one_of("File", "FallbackToLogsOnError"),
        "image": {"pattern": r"^\S+$"},
        "workingDir": _ABSOLUTE,
    },
    f"{_CORE}ContainerPort": {
        "containerPort": _PORT,
        "protocol": _PROTOCOL,
        "name": {"pattern": r"^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$"},
    },
    f"{_CORE}ServicePort": {"port": _PORT, "protocol": _PROTOCOL, "name": {"pattern": _DNS_LABEL}},
    f"{_CORE}ServiceSpec": {
        "type": _one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        "sessionAffinity": _one_of("None", "ClientIP"),
        "ipFamilyPolicy": _one_of("SingleStack", "PreferDualStack", "RequireDualStack"),
        "ipFamilies": {"items": {"enum": ["IPv4", "IPv6"]}, "maxItems": 2},
        "externalTrafficPolicy": _one_of("Cluster", "Local"),
        "internalTrafficPolicy": _one_of("Cluster", "Local"),
        "trafficDistribution": _one_of("PreferClose", "PreferSameZone", "PreferSameNode"),
        "selector": _LABELS,
    },
    f"{_CORE}EnvVar": {"name": {"pattern": r"^[ -<>-~]+$"}},
    f"{_CORE}Volume": {"name": {"pattern": _DNS_LABEL}},
    f"{_CORE}VolumeMount": {"mountPath": {"pattern": "^[^:]+$"}},
    f"{_CORE}HTTPGetAction": {"scheme": _one_of("HTTP", "HTTPS")},
    f"{_CORE}Probe": {
        "periodSeconds": {"minimum": 1},
        "timeoutSeconds": {"minimum": 1},
        "failureThreshold": {"minimum": 1},
        "initialDelaySeconds": {"minimum": 0},
        "terminationGracePeriodSeconds": {"minimum": 1},
    },
    f"{_CORE}PodSpec": {
        "restartPolicy": _one_of("Always", "OnFailure", "Never"),
        "dnsPolicy": _one_of("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "preemptionPolicy": _one_of("Never", "PreemptLowerPriority"),
        "serviceAccountName": {"pattern": _DNS_NAME},
        "terminationGracePeriodSeconds": {"minimum": 0},
        "nodeSelector": _LABELS,
        "containers": {"minItems": 1},
    },
    f"{_CORE}PodSecurityContext": {
        "fsGroupChangePolicy": _one_of("OnRootMismatch", "Always"),
        "runAsUser": {"minimum": 0},
        "fsGroup": {"minimum": 0},
    },
    f"{_CORE}SeccompProfile": {"type": _one_of("RuntimeDefault", "Localhost", "Unconfined")},
    f"{_CORE}SecurityContext": {"procMount": _one_of("Default", "Unmasked"), "runAsUser": {"minimum": 0}},
    f"{_CORE}Toleration": {
        "operator": _one_of("Exists", "Equal"),
        "effect": _one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
    },
    f"{_CORE}TopologySpreadConstraint": {
        "whenUnsatisfiable": _one_of("DoNotSchedule", "ScheduleAnyway"),
        "maxSkew": {"minimum": 1},
        "nodeAffinityPolicy": _one_of("Honor", "Ignore"),
        "nodeTaintsPolicy": _one_of("Honor", "Ignore"),
    },
    f"{_CORE}PersistentVolumeClaimSpec": {"accessModes": _MODES, "volumeMode": _one_of("Filesystem", "Block")},
    f"{_CORE}PersistentVolumeSpec": {
        "accessModes": _MODES,
        "persistentVolumeReclaimPolicy": _one_of("Retain", "Delete", "Recycle"),
        "volumeMode": _one_of("Filesystem", "Block"),
    },
    f"{_CORE}PersistentVolumeClaimVolumeSource": {"claimName": {"pattern": _DNS_NAME}},
    f"{_CORE}NFSVolumeSource": {"path": _ABSOLUTE, "server": {"pattern": r"^\S+$"}},
    "io.k8s.api.apps.v1.StatefulSetSpec": {
        "podManagementPolicy": _one_of("OrderedReady", "Parallel"),
        "replicas": {"minimum": 0},
        "revisionHistoryLimit": {"minimum": 0},
    },
    "io.k8s.api.apps.v1.StatefulSetUpdateStrategy": {"type": _one_of("RollingUpdate", "OnDelete")},
    "io.k8s.api.apps.v1.DeploymentStrategy": {"type": _one_of("RollingUpdate", "Recreate")},
    "io.k8s.api.networking.v1.NetworkPolicySpec": {"policyTypes": {"items": {"enum": ["Ingress", "Egress"]}}},
    "io.k8s.api.networking.v1.NetworkPolicyPort": {"protocol": _PROTOCOL},
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": {
        "unhealthyPodEvictionPolicy": _one_of("IfHealthyBudget", "AlwaysAllow")
    },
    "io.k8s.api.storage.v1.StorageClass": {
        "reclaimPolicy": _one_of("Retain", "Delete"),
        "volumeBindingMode": _one_of("Immediate", "WaitForFirstConsumer"),
        "parameters": {"additionalProperties": {"type": "string"}},
    },
    "io.k8s.api.rbac.v1.Subject": {"kind": _one_of("ServiceAccount", "User", "Group")},
    "io.k8s.api.batch.v1.JobSpec": {"backoffLimit": {"minimum": 0}, "ttlSecondsAfterFinished": {"minimum": 0}},
}
# Names may hold more characters here (path segments), elsewhere they are DNS names; these are DNS labels.
_FREE_NAMES = re.compile(r"^(Cluster)?Role(Binding)?$")
_LABEL_NAMES = frozenset({"Service", "Namespace"})


@cache
def versions() -> list[str]:
    """The Kubernetes versions whose schemas are here, from OLDEST on, such as ["1.28", "1.29"]."""
    names = (path.name for path in _root().iterdir())
    found = {match.group(1) for name in names if (match := re.match(r"v(\d+\.\d+)\.\d+-local-strict$", name))}
    return sorted((each for each in found if _order(each) >= _order(OLDEST)), key=_order)


def supported(version: str | None) -> str:
    """major.minor of a version such as v1.37.2 (None means USUAL), if its schemas are here.

    Raises UserError that lists the known versions.
    """
    match = re.match(r"v?(\d+\.\d+)", version or USUAL)
    if match is None or match.group(1) not in versions():
        raise UserError(f"Kubernetes {version} is not known here: use one of {', '.join(versions())}.")
    return match.group(1)


def problems(item: Object, version: str | None = None) -> list[str]:
    """What that Kubernetes would refuse in an object, one sentence each; [] for an object that it takes.

    Custom resources (API groups other than Kubernetes' own) are judged by apiVersion, kind and name only.
    """
    try:
        text = json.dumps(item, sort_keys=True)
    except (TypeError, ValueError):
        return ["a key of it is no text"]
    return list(_problems(text, supported(version)))


def knows(item: Object, version: str | None = None) -> bool:
    """Whether the fields of such an object are known here (not those of custom resources)."""
    group, _, api = str(item.get("apiVersion", "")).rpartition("/")
    return (group, api, str(item.get("kind"))) in _kinds(supported(version))


def shaped(item: Object, version: str | None = None) -> Object:
    """The object without what is of a type that Kubernetes does not take there, so that its fields can be looked up.

    Fields and values that are wrong in another way stay. What problems() has nothing to say of comes back as it is.
    """
    if not problems(item, version):
        return item
    try:
        made = json.loads(json.dumps(item))
    except (TypeError, ValueError):
        return {}
    for path in (("metadata",), ("metadata", "labels"), ("metadata", "annotations"), ("spec",)):
        holder: Any = made if len(path) == 1 else made.get(path[0], {})
        if not isinstance(holder.get(path[-1], {}), dict):
            del holder[path[-1]]
    group, _, api = str(made.get("apiVersion", "")).rpartition("/")
    definition = _kinds(supported(version)).get((group, api, str(made.get("kind"))))
    while definition is not None and (places := _misplaced(made, _validator(supported(version), definition))):
        for place in places:
            _remove(made, place)
    return made  # type: ignore[no-any-return]


def _misplaced(item: Object, validator: jsonschema.Draft202012Validator) -> list[list[str | int]]:
    """Where values of a wrong type are, or list members and blocks that lack what they need; last ones first."""
    wrong = {
        tuple(error.absolute_path)
        for error in validator.iter_errors(item)
        if error.validator in ("type", "oneOf") or (error.validator == "required" and len(error.absolute_path) > 1)
    }
    return sorted(
        (list(path) for path in wrong if path), key=lambda path: [str(part).zfill(6) for part in path], reverse=True
    )


def _remove(item: Any, place: list[str | int]) -> None:
    for part in place[:-1]:
        item = item[part]
    del item[place[-1]]


@lru_cache(maxsize=20_000)
def _problems(text: str, version: str) -> tuple[str, ...]:
    item = json.loads(text)
    found = list(_name_problems(item))
    group, _, api = str(item.get("apiVersion", "")).rpartition("/")
    definition = _kinds(version).get((group, api, str(item.get("kind"))))
    if definition is None:
        if "." not in group or group.endswith(".k8s.io"):
            found.append(f"Kubernetes {version} serves no {item.get('kind')} of {item.get('apiVersion')}")
        return tuple(found)
    for error in _validator(version, definition).iter_errors(item):
        path = ".".join(str(part) for part in error.absolute_path)
        found.append(f"{path or label(item)}: {_message(error)}")
    return tuple(found)


def _name_problems(item: Object) -> Iterator[str]:
    metadata = item.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    kind = str(item.get("kind"))
    if not isinstance(name, str) or not name:
        yield "metadata.name: is missing"
    elif kind in _LABEL_NAMES and not re.match(_DNS_LABEL, name):
        yield f"metadata.name: {name!r} is no DNS label (63 characters, lower case, digits, hyphens)"
    elif not _FREE_NAMES.match(kind) and not re.match(_DNS_NAME, name):
        yield f"metadata.name: {name!r} is no DNS name (253 characters, lower case, digits, hyphens, dots)"


def _message(error: jsonschema.ValidationError) -> str:
    text = error.message
    return text if len(text) <= 300 else f"{text[:300]}..."


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _root() -> Any:
    return importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"


@cache
def _definitions(version: str) -> dict[str, Any]:
    """The definitions of a version, with the values that the API server demands added."""
    definitions: dict[str, Any] = json.loads(
        (_root() / f"v{version}.0-local-strict" / "_definitions.json").read_text()
    )["$defs"]
    for name, fields in _VALUES.items():
        properties = definitions.get(name, {}).get("properties", {})
        for field, demand in fields.items():
            if field in properties:
                known = properties[field]
                properties[field] = {"allOf": [known, demand]}
    # Up to 1.30 the schema wrongly demands onPodConditions; the API server does not (kubernetes/kubernetes#120204).
    definitions.get("io.k8s.api.batch.v1.PodFailurePolicyRule", {})["required"] = ["action"]
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {
        "oneOf": [{"type": "string", "pattern": _QUANTITY}, {"type": "number"}]
    }
    definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"type": ["string", "integer", "null"]}
    return definitions


@cache
def _kinds(version: str) -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> name of the definition."""
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, definition in _definitions(version).items()
        for each in definition.get("x-kubernetes-group-version-kind") or []
        if len(definition["x-kubernetes-group-version-kind"]) == 1
    }


@cache
def _registry(version: str) -> Any:
    resource = referencing.Resource.from_contents({"$defs": _definitions(version)}, default_specification=DRAFT202012)
    return referencing.Registry().with_resource(f"kubernetes:{version}", resource)


@cache
def _validator(version: str, definition: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        {"$ref": f"kubernetes:{version}#/$defs/{definition}"}, registry=_registry(version)
    )
