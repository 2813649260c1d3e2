"""What the chart says of its pods, as the lab's machines need it: configuration, user, environment, mount options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.charts.render import render, stan_conf
from stanft.kube.objects import Object

SERVER = "10.99.0.1"  # the NFS server's address in the lab's network (network.PREFIX)
RELEASE, NAMESPACE = "stan", "default"

# What AWS advises for EFS, which is what a volume of charts/efs-provisioner is mounted with.
AWS_OPTIONS = ("nfsvers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport")
SUPERVISOR, NONE = "supervisor", "none"
REMEDIES = (SUPERVISOR, NONE)  # the chart's defaults; none of them: no supervisor, the server's own read-ahead


def values(nodes: int, remedies: str, options: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The chart's values for the lab, with one of REMEDIES and these mount options, or AWS_OPTIONS."""
    volume = {"server": SERVER, "mountOptions": list(options or AWS_OPTIONS)}
    # Who acknowledged which message is only in the server's trace; 2 MiB is its own read-ahead.
    without = {"file_options": {"read_buffer_size": "2mb"}} if remedies == NONE else {}
    return {
        "replicas": nodes,
        "config": {"streaming": {"stan_trace": True, **without}},
        "promExporter": {"enabled": False},
        "fencing": {"mode": "off"} if remedies == NONE else {},
        "persistence": {
            "existingClaim": "",
            "staticVolume": {"enabled": True, "driver": "nfs", "nfs": volume},
        },
    }


@dataclass(frozen=True)
class Pod:
    """One rendered StatefulSet's pod template, of its first init container no more than what it leaves behind.

    command starts the server's container, files are the ConfigMaps' that it mounts (path -> text), uid is its user,
    mount the volume's path, options its mount options.
    """

    name: str
    replicas: int
    configuration: str
    command: tuple[str, ...]
    uid: int
    gid: int
    mount: str
    options: tuple[str, ...]
    environment: dict[str, str]
    domain: str
    files: Mapping[str, str]

    def hostname(self, number: int) -> str:
        """The name of a pod: stan-0."""
        return f"{self.name}-{number}"

    def resolved(self, number: int) -> dict[str, str]:
        """The environment of a pod's server, with fields and Kubernetes' $(NAME) references resolved."""
        fields = {
            "metadata.name": self.hostname(number),
            "metadata.namespace": NAMESPACE,
            "metadata.uid": f"uid-{number}",
        }
        found: dict[str, str] = {}
        for name, text in self.environment.items():
            found[name] = _replaced(fields.get(text, text), found)
        return found

    def started(self, number: int) -> list[str]:
        """The words that start a pod's server."""
        return [_replaced(word, self.resolved(number)) for word in self.command]


def _replaced(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"$({name})", value)
    return text


def rendered(values: Mapping[str, Any]) -> Pod:
    """The pod that charts/stan-ft makes of these values (see values()); raises RenderError when helm refuses them."""
    objects = render("stan-ft", dict(values), release=RELEASE, namespace=NAMESPACE)
    stateful = _kind(objects, "StatefulSet")
    volume = _kind(objects, "PersistentVolume")
    spec = stateful["spec"]["template"]["spec"]
    server = next(each for each in spec["containers"] if each["name"] == "stan")
    mounts = {each["name"]: each["mountPath"] for each in server["volumeMounts"]}
    # The init container copies all that it mounts to where the program is.
    first = [each for one in spec.get("initContainers", []) for each in one["volumeMounts"]]
    copied = next((each["mountPath"] for each in first if each["name"] == "program"), "")
    texts = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    name = stateful["metadata"]["name"]
    return Pod(
        name=name,
        replicas=stateful["spec"]["replicas"],
        configuration=stan_conf(objects),
        command=(*server.get("command", ["nats-streaming-server"]), *server["args"]),
        uid=spec["securityContext"]["runAsUser"],
        gid=spec["securityContext"]["runAsGroup"],
        mount=mounts["data"],
        options=tuple(volume["spec"]["mountOptions"]),
        environment=_environment(server),
        domain=f"{stateful['spec']['serviceName']}.{NAMESPACE}.svc.cluster.local",
        files={
            f"{mounts.get(each['name'], copied)}/{file}": text
            for each in spec["volumes"]
            if "configMap" in each
            for file, text in texts[each["configMap"]["name"]].items()
        },
    )


def _environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]}


def _kind(objects: list[Object], kind: str) -> Object:
    return next(each for each in objects if each["kind"] == kind)
