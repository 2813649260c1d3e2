"""What the chart says about its pods, as the lab's machines need it: configuration, user, environment, mount options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.objects import Object
from harness.render import render

SERVER = "10.99.0.1"  # the NFS server's address in the lab's network (network.PREFIX)
RELEASE, NAMESPACE = "stan", "default"

# Who acknowledged which message is only in the server's trace; the exporter has no part in any of this.
VALUES: dict[str, Any] = {
    "metrics": {"enabled": False},
    "streaming": {"trace": True},
    "persistence": {"existingClaim": "", "staticVolume": {"enabled": True, "driver": "nfs", "nfs": {"server": SERVER}}},
}


@dataclass(frozen=True)
class Pod:
    """One rendered StatefulSet's pod template; uid is its user, mount the volume's path, options its mount options."""

    name: str
    replicas: int
    configuration: str
    arguments: tuple[str, ...]
    uid: int
    gid: int
    mount: str
    options: tuple[str, ...]
    environment: dict[str, str]
    domain: str

    def hostname(self, number: int) -> str:
        """The name of a pod: stan-0."""
        return f"{self.name}-{number}"

    def environment_of(self, number: int) -> dict[str, str]:
        """The environment of one pod's server, with Kubernetes' $(NAME) references resolved."""
        values: dict[str, str] = {}
        for name, text in self.environment.items():
            text = {"metadata.name": self.hostname(number), "metadata.namespace": NAMESPACE}.get(text, text)
            for known, value in values.items():
                text = text.replace(f"$({known})", value)
            values[name] = text
        return values


def rendered(values: Mapping[str, Any] | None = None) -> Pod:
    """The pod that charts/stan-ft makes of the lab's values and these on top (top-level keys replace).

    Raises RenderError when helm refuses the values.
    """
    objects = render("stan-ft", {**VALUES, **(values or {})}, release=RELEASE, namespace=NAMESPACE)
    stateful = _kind(objects, "StatefulSet")
    volume = _kind(objects, "PersistentVolume")
    configuration = _kind(objects, "ConfigMap")["data"]["stan.conf"]
    spec = stateful["spec"]["template"]["spec"]
    server = next(each for each in spec["containers"] if each["name"] == "stan")
    environment = {
        each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"] for each in server["env"]
    }
    name = stateful["metadata"]["name"]
    return Pod(
        name=name,
        replicas=stateful["spec"]["replicas"],
        configuration=configuration,
        arguments=tuple(server["args"]),
        uid=spec["securityContext"]["runAsUser"],
        gid=spec["securityContext"]["runAsGroup"],
        mount=next(each["mountPath"] for each in server["volumeMounts"] if each["name"] == "efs"),
        options=tuple(volume["spec"]["mountOptions"]),
        environment=environment,
        domain=f"{stateful['spec']['serviceName']}.{NAMESPACE}.svc.cluster.local",
    )


def _kind(objects: list[Object], kind: str) -> Object:
    return next(each for each in objects if each["kind"] == kind)
