"""Ways from this machine to the servers: pod addresses where there is a route, forwarded ports, or given URLs."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stanft.ground import bounds, programs, wait
from stanft.ground.errors import UserError
from stanft.group.live import Group
from stanft.words import CLIENT_PORT, MONITOR_PORT, url

ROUTE_CHECK = 1.0  # seconds to find out whether a pod's address can be reached


@dataclass(frozen=True)
class Place:
    """Where a server is now."""

    pod: str
    ip: str


def places(pods: Iterable[Any]) -> list[Place]:
    """Where the servers of these pods are; one without an address is nowhere yet."""
    return [Place(pod.metadata.name, pod.status.pod_ip) for pod in pods if pod.status.pod_ip]


class Reach(Protocol):
    """How the clients and the watch get to the servers."""

    description: str
    period: float  # seconds between two looks at one server's state

    def urls(self, _places: Sequence[Place]) -> list[str]:
        """The NATS addresses for clients."""

    def monitor(self, place: Place, path: str, timeout: float) -> dict[str, Any] | None:
        """A monitoring endpoint's JSON; None if it does not answer within timeout seconds."""

    def close(self) -> None:
        """Give back what was opened."""


class Direct:
    """Pod addresses: nothing in between."""

    description = "pod addresses, directly"
    period = 0.05

    def __init__(self, monitor_port: int = MONITOR_PORT) -> None:
        self.monitor_port = monitor_port

    def urls(self, _places: Sequence[Place]) -> list[str]:
        """One address per server."""
        return [url(place.ip, CLIENT_PORT) for place in _places]

    def monitor(self, place: Place, path: str, timeout: float) -> dict[str, Any] | None:
        """Ask the server itself."""
        connection = http.client.HTTPConnection(place.ip, self.monitor_port, timeout=timeout)
        try:
            connection.request("GET", f"/{path}")
            document = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return document if isinstance(document, dict) else None

    def close(self) -> None:
        """Nothing was opened."""


class Given:
    """URLs that the user knows to lead to the servers; their states come through the API server."""

    period = 0.25

    def __init__(self, group: Group, urls: Sequence[str]) -> None:
        self.group = group
        self._urls = list(urls)
        self.description = f"{', '.join(urls)}; states through the API server"

    def urls(self, _places: Sequence[Place]) -> list[str]:
        """Always the same."""
        return self._urls

    def monitor(self, place: Place, path: str, timeout: float) -> dict[str, Any] | None:
        """Ask through the API server's pod proxy."""
        return self.group.monitor(place.pod, path, timeout)

    def close(self) -> None:
        """Nothing was opened."""


class Forwarded(Given):
    """One kubectl port-forward per server, on ports of 127.0.0.1 that stay the same; started again when it ends.

    A forward ends with its server, so the way back to a server that restarted costs about half a second more; the
    client is on another server by then.
    """

    def __init__(self, group: Group, pods: Sequence[str], kubeconfig: Path | None, context: str | None) -> None:
        self.ports = {pod: _free_port() for pod in pods}
        super().__init__(group, [f"nats://127.0.0.1:{port}" for port in self.ports.values()])
        self.description = "kubectl port-forward to each pod; states through the API server"
        self._command = [str(programs.find("kubectl")), f"--namespace={group.namespace}"]
        self._command += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        self._command += [f"--context={context}"] if context else []
        self._ending = threading.Event()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = [threading.Thread(target=self._keep, args=(pod,), daemon=True) for pod in pods]
        for thread in self._threads:
            thread.start()
        try:
            wait.until(
                lambda: all(_accepts("127.0.0.1", port) for port in self.ports.values()),
                bounds.FORWARD_UP,
                f"kubectl port-forward to {', '.join(pods)} in namespace {group.namespace} did not come up within "
                f"{bounds.FORWARD_UP:.0f} s: check that you may create pods/portforward there, or give --nats URL.",
                every=0.1,
            )
        except BaseException:
            self.close()
            raise

    def _keep(self, pod: str) -> None:
        command = [*self._command, "port-forward", f"pod/{pod}", f"{self.ports[pod]}:{CLIENT_PORT}"]
        while not self._ending.is_set():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._running[pod] = process
            process.wait()
            self._ending.wait(0.2)

    def close(self) -> None:
        """End the forwards."""
        self._ending.set()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for thread in self._threads:
            thread.join(timeout=5)


def choose(
    group: Group, urls: Sequence[str], kubeconfig: Path | None, context: str | None, *, way: str = "auto"
) -> Reach:
    """The way to a group's servers: the given URLs, else pod addresses if they answer, else forwarded ports.

    way is auto, direct or forward. Raises UserError if the way that was asked for does not work.
    """
    if urls:
        return Given(group, urls)
    pods = group.pods()
    reachable = way != "forward" and all(_accepts(pod.status.pod_ip, CLIENT_PORT) for pod in pods)
    if reachable:
        return Direct(group.monitor_port)
    if way == "direct":
        raise UserError("the pods' addresses cannot be reached from here: leave out --reach, or give --nats URL.")
    if any(not server.meshed for server in group.servers()):
        raise UserError(
            "the servers are in no cluster of NATS servers, so "
            "clients connect to a NATS elsewhere: give it with --nats URL."
        )
    return Forwarded(group, [pod.metadata.name for pod in pods], kubeconfig, context)


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=ROUTE_CHECK):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
