"""What the chart says of its pods, as the lab's machines need it: configuration, user, environment, mount options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.objects import Object
from harness.render import render

SERVER = "10.99.0.1"  # the NFS server's address in the lab's network (network.PREFIX)
RELEASE, NAMESPACE = "stan", "default"

# What AWS advises for EFS, and what the charts had before the lab showed what it does not cover.
PLAIN_OPTIONS = ("nfsvers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport")


def values(nodes: int, *, remedy: bool, options: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The chart's values for the lab: with its remedies as they ship, or without them to show what they are for.

    options are mount options instead of the chart's own (or of PLAIN_OPTIONS without the remedy).
    """
    volume: dict[str, Any] = {"enabled": True, "driver": "nfs", "nfs": {"server": SERVER}}
    if options or not remedy:
        volume["mountOptions"] = list(options or PLAIN_OPTIONS)
    return {
        "replicas": nodes,
        "metrics": {"enabled": False},
        # Who acknowledged which message is only in the server's trace.
        "streaming": {"trace": True},
        "persistence": {"existingClaim": "", "staticVolume": volume},
        # 2 MiB is the server's own read-ahead.
        "store": {} if remedy else {"fileOptions": {"readBufferSize": "2mb"}},
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
        fields = {"metadata.name": self.hostname(number), "metadata.namespace": NAMESPACE}
        found: dict[str, str] = {}
        for name, text in self.environment.items():
            value = fields.get(text, text)
            for known, before in found.items():
                value = value.replace(f"$({known})", before)
            found[name] = value
        return found


def rendered(values: Mapping[str, Any]) -> Pod:
    """The pod that charts/stan-ft makes of these values (see values()); raises RenderError when helm refuses them."""
    objects = render("stan-ft", dict(values), release=RELEASE, namespace=NAMESPACE)
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
