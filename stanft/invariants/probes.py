"""Invariants on probes and life cycle: a hung active is replaced, a recovering or standing-by server is left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stanft.invariants.model import Manifests, Severity, invariant
from stanft.invariants.servers import Server, repository, tag
from stanft.kube import objects
from stanft.kube.objects import Object, dig

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
HUNG_BOUND = 30  # seconds from the hang to the end of the process that a takeover may wait for
HEALTHZ_SINCE = (0, 24)  # nats-streaming-server: the first release whose monitoring port has /healthz
_OTHERWISE = "on / for servers older than 0.24 and with an external NATS"
_FLUSH = 10  # seconds of grace that a server needs at least to flush and close its store


def servers(manifests: Manifests) -> list[Server]:
    """Every server."""
    return manifests.servers


@invariant("probes-off-streaming", servers, "Probe /healthz on the monitoring port, or / where there is none.")
def probes_off_streaming(_: Manifests, server: Server) -> Iterator[str]:
    """No startup or liveness probe asks /streaming/*: these block while the store recovers, and the pod is killed."""
    for kind in ("startupProbe", "livenessProbe"):
        target = _target(server.container.get(kind))
        if "/streaming/" in target:
            yield f"{kind} asks {target}"


@invariant(
    "standbys-ready", servers, "Probe /healthz or /streaming/serverz for readiness: both answer on a standby too."
)
def standbys_ready(_: Manifests, server: Server) -> Iterator[str]:
    """Being a standby is no reason to be unready, and isFTActive cannot tell: a standby answers 204, a success."""
    target = _target(server.container.get("readinessProbe"))
    if "isFTActive" in target:
        yield f"readinessProbe asks {target}"


@invariant(
    "probes-answered",
    servers,
    "Probe / for startup and liveness: it answers on every server. Older servers are best replaced by 0.25.6.",
)
def probes_answered(_: Manifests, server: Server) -> Iterator[str]:
    """No probe asks /healthz where the server does not give it: before 0.24 (404) and with an external NATS (503).

    Nor does one ask over the network what listens on the loopback address alone, or over HTTP what speaks TLS.
    """
    for kind in PROBES:
        if dig(server.container.get(kind), "httpGet.port") is not None and server.known:
            yield from _unanswered(server, kind, server.container[kind]["httpGet"])
        if not re.search(r"/healthz\b", _target(server.container.get(kind))):
            continue
        running = server.version
        if running is not None and running < HEALTHZ_SINCE:
            yield f"{kind} asks /healthz, which {server.image} answers with 404"
        elif not server.embedded:
            yield f"{kind} asks /healthz, which answers 503 for ever when NATS is elsewhere (nats_server_url, -ns)"


def _unanswered(server: Server, kind: str, asked: Object) -> Iterator[str]:
    told = server.nats
    host = str(told.get("http_host") or told.get("host") or "")
    if host in ("localhost", "127.0.0.1", "::1") and asked.get("host") not in ("localhost", "127.0.0.1", "::1"):
        yield f"{kind} asks the pod's address, but the monitoring port listens on {host} alone"
    if told.get("https_port") and not told.get("http_port") and str(asked.get("scheme", "HTTP")).upper() != "HTTPS":
        yield f"{kind} speaks HTTP, but the monitoring port speaks HTTPS (scheme: HTTPS)"


@invariant("liveness", servers, f"Add a livenessProbe on /healthz ({_OTHERWISE}).")
def liveness(_: Manifests, server: Server) -> Iterator[str]:
    """There is a liveness probe: a hung active keeps the lock of the store until its process ends."""
    if not server.container.get("livenessProbe"):
        yield "no livenessProbe"


@invariant(
    "hung-active-replaced",
    servers,
    "Lower periodSeconds and failureThreshold, and give the livenessProbe its own terminationGracePeriodSeconds.",
    Severity.WARNING,
)
def hung_active_replaced(_: Manifests, server: Server) -> Iterator[str]:
    """A hung active is gone within 30 s: it ignores SIGTERM, so the grace period is waited for in full."""
    probe = server.container.get("livenessProbe")
    if probe and (total := hung_seconds(server)) > HUNG_BOUND:
        yield f"{total} s until a hung active is killed, {HUNG_BOUND} s are allowed"
    if "tcpSocket" in (probe or {}):
        yield "livenessProbe only opens a connection, which the node's kernel accepts for a hung server too"


@invariant(
    "start-protected",
    servers,
    f"Add a startupProbe on /healthz with room for a slow start ({_OTHERWISE}).",
    Severity.WARNING,
)
def start_protected(_: Manifests, server: Server) -> Iterator[str]:
    """Liveness counts only after the server is up: a startup probe or an initial delay covers its start."""
    probe = server.container.get("livenessProbe") or {}
    startup = server.container.get("startupProbe")
    if startup:
        room = startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3)
        if room < 30:
            yield f"the startupProbe gives up after {room} s"
    elif probe and probe.get("initialDelaySeconds", 0) < 10:
        yield "no startupProbe, and the livenessProbe starts at once"


@invariant("readiness", servers, f"Add a readinessProbe on /healthz ({_OTHERWISE}).", Severity.WARNING)
def readiness(_: Manifests, server: Server) -> Iterator[str]:
    """There is a readiness probe: an update goes on only when the new server answers."""
    if not server.container.get("readinessProbe"):
        yield "no readinessProbe"


@invariant("time-to-flush", servers, f"Set terminationGracePeriodSeconds to {_FLUSH} or more.", Severity.WARNING)
def time_to_flush(_: Manifests, server: Server) -> Iterator[str]:
    """An orderly stop has the time to flush and close the store, and so to free the lock."""
    grace = objects.pod_spec(server.workload).get("terminationGracePeriodSeconds", 30)
    if grace < _FLUSH:
        yield f"the pod is killed after {grace} s"


@invariant("parallel-start", servers, "Set podManagementPolicy: Parallel.", Severity.WARNING)
def parallel_start(_: Manifests, server: Server) -> Iterator[str]:
    """The replicas of a StatefulSet start at once: in order, one stuck pod keeps the standbys away."""
    if server.workload.get("kind") == "StatefulSet" and dig(server.workload, "spec.podManagementPolicy") != "Parallel":
        yield "podManagementPolicy is OrderedReady"


@invariant("probe-ports", lambda manifests: manifests.containers, "Probe a port that the container declares.")
def probe_ports(_: Manifests, container: Any) -> Iterator[str]:
    """Every probe asks a port that its container declares."""
    declared = objects.ports(container.spec)
    for kind in PROBES:
        probe: Object = container.spec.get(kind) or {}
        for way in ("httpGet", "tcpSocket", "grpc"):
            port = dig(probe, f"{way}.port")
            if port is not None and port not in declared and port not in declared.values():
                yield f"{kind} asks port {port}, declared are {declared or 'none'}"


@invariant(
    "probes-can-run",
    servers,
    "Use httpGet, or the image's -alpine variant.",
    Severity.WARNING,
)
def probes_can_run(_: Manifests, server: Server) -> Iterator[str]:
    """Nothing asks for a shell or a tool in an official image without -alpine, which holds the server and no more."""
    image = str(server.container.get("image", ""))
    name = tag(image) or ""
    if repository(image).removeprefix("docker.io/").removeprefix("library/") != "nats-streaming":
        return
    if not name[:1].isdigit() or re.search("alpine|nanoserver|windowsservercore", name):
        return
    for kind in PROBES:
        if words := dig(server.container, f"{kind}.exec.command", []):
            yield f"{kind} runs {words[0]}, which {image} does not have"
    hooks = {hook: dig(server.container, f"lifecycle.{hook}.exec.command", []) for hook in ("preStop", "postStart")}
    yield from (f"{hook} runs {words[0]}, which {image} does not have" for hook, words in hooks.items() if words)
    if server.command.by_shell:
        yield f"the command runs a shell, which {image} does not have"


def hung_seconds(server: Server) -> int:
    """Seconds from a hang to SIGKILL at worst: the failed probes, the last one's time-out, and the grace period."""
    probe = server.container.get("livenessProbe") or {}
    grace = probe.get(
        "terminationGracePeriodSeconds", objects.pod_spec(server.workload).get("terminationGracePeriodSeconds", 30)
    )
    return int(
        probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) + probe.get("timeoutSeconds", 1) + grace
    )


def _target(probe: Object | None) -> str:
    """What a probe asks, as text: its path, or its whole command."""
    if not probe:
        return ""
    return str(dig(probe, "httpGet.path", "")) + " ".join(str(word) for word in dig(probe, "exec.command", []))
