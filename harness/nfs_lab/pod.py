"""What the chart says of its pods, as the lab's machines need it: configuration, user, environment, mount options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.charts.render import render, stan_conf
from harness.loopback.supervised import SUPERVISOR
from stanft.conf import edit
from stanft.kube.objects import Object

SERVER = "10.99.0.1"  # the NFS server's address in the lab's network (network.PREFIX)
RELEASE, NAMESPACE = "stan", "default"
SCRIPTS = "/etc/stan-supervisor"  # where the machines have the supervisor's files

# What AWS advises for EFS, and what the charts had before the lab showed what it does not cover.
PLAIN_OPTIONS = ("nfsvers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport")


# What each set of remedies has on: the defaults (mount options, no read-ahead), the guard, the fence.
# The supervisor needs no mount option of its own, so it is played on those of AWS.
REMEDIES = {
    "none": (False, False, False),
    "defaults": (True, False, False),
    "fence": (True, False, True),
    "guard": (True, True, False),
    "all": (True, True, True),
    "supervisor": (True, False, False),
}
SUPERVISED = "supervisor"


def values(nodes: int, remedies: str, options: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The chart's values for the lab: with one of REMEDIES, or "none" of them to show what they are for.

    options are mount options instead of the chart's own (or of PLAIN_OPTIONS without its defaults).
    """
    defaults, guard, fence = REMEDIES[remedies]
    server: dict[str, Any] = {"server": SERVER}
    if options or not defaults or remedies == SUPERVISED:
        server["mountOptions"] = list(options or PLAIN_OPTIONS)
    volume = {"enabled": True, "driver": "nfs", "nfs": server}
    # Who acknowledged which message is only in the server's trace; 2 MiB is its own read-ahead.
    streaming = {"stan_trace": True, **({} if defaults else {"file_options": {"read_buffer_size": "2mb"}})}
    return {
        "replicas": nodes,
        "config": {"streaming": streaming},
        "promExporter": {"enabled": False},
        "fencing": {"guard": {"enabled": guard}, "fence": {"enabled": fence}},
        "persistence": {"existingClaim": "", "staticVolume": volume},
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
    fence: str = ""  # the fence's script, empty without it
    fence_environment: dict[str, str] = field(default_factory=dict)
    guard: str = ""  # the guard's script, empty without it
    guard_environment: dict[str, str] = field(default_factory=dict)
    supervisor: tuple[str, ...] = ()  # the words that start the server under the supervisor, none without it

    @property
    def command(self) -> tuple[str, ...]:
        """The container's command with its arguments."""
        return (*self.supervisor, "nats-streaming-server", *self.arguments)

    def hostname(self, number: int) -> str:
        """The name of a pod: stan-0."""
        return f"{self.name}-{number}"

    def resolved(self, environment: Mapping[str, str], number: int) -> dict[str, str]:
        """The environment of one of a pod's containers, with fields and Kubernetes' $(NAME) references resolved."""
        fields = {
            "metadata.name": self.hostname(number),
            "metadata.namespace": NAMESPACE,
            "metadata.uid": f"uid-{number}",
        }
        found: dict[str, str] = {}
        for name, text in environment.items():
            value = fields.get(text, text)
            for known, before in found.items():
                value = value.replace(f"$({known})", before)
            found[name] = value
        return found


def rendered(values: Mapping[str, Any], remedies: str = "") -> Pod:
    """The pod that charts/stan-ft makes of these values (see values()); raises RenderError when helm refuses them."""
    objects = render("stan-ft", dict(values), release=RELEASE, namespace=NAMESPACE)
    stateful = _kind(objects, "StatefulSet")
    volume = _kind(objects, "PersistentVolume")
    texts = {name: text for each in objects if each["kind"] == "ConfigMap" for name, text in each["data"].items()}
    spec = stateful["spec"]["template"]["spec"]
    server = next(each for each in spec["containers"] if each["name"] == "stan")
    fence, guard = (
        next((each for each in spec["containers"] if each["name"] == name), None) for name in ("fence", "guard")
    )
    name = stateful["metadata"]["name"]
    return Pod(
        name=name,
        replicas=stateful["spec"]["replicas"],
        configuration=stan_conf(objects),
        arguments=tuple(server["args"]),
        uid=spec["securityContext"]["runAsUser"],
        gid=spec["securityContext"]["runAsGroup"],
        mount=next(each["mountPath"] for each in server["volumeMounts"] if each["name"] == "data"),
        options=tuple(volume["spec"]["mountOptions"]),
        environment=_environment(server),
        domain=f"{stateful['spec']['serviceName']}.{NAMESPACE}.svc.cluster.local",
        fence=texts.get("fence.sh", ""),
        fence_environment=_environment(fence) if fence else {},
        guard=texts.get("guard.pl", ""),
        guard_environment=_environment(guard) if guard else {},
        supervisor=_supervisor(stan_conf(objects)) if remedies == SUPERVISED else (),
    )


def _supervisor(configuration: str) -> tuple[str, ...]:
    store = edit.unquoted(edit.find(configuration, "streaming", "dir") or "")
    script = f"{SCRIPTS}/{SUPERVISOR.name}"
    return ("python3.11", script, "--directory", store, "--monitor", "http://127.0.0.1:8222", "--")


def _environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]}


def _kind(objects: list[Object], kind: str) -> Object:
    return next(each for each in objects if each["kind"] == kind)
