"""Servers on loopback dressed as a StatefulSet's pods, so that a drill can be played where there is no Kubernetes."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from harness.loopback.server import Group as Servers
from harness.loopback.server import Server
from stanft.drill.reach import Place
from stanft.faults import Scene
from stanft.group.live import Group

CONTAINER = "broker"  # not what the charts call it
_STAMP = re.compile(r"\[\d+\] (\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d\.\d+) ")


class PodGroup(Group):
    """The group as a drill sees it; offset is that of the nodes' clocks from UTC, in hours."""

    def __init__(self, servers: Servers, offset: int = 0) -> None:
        self.name, self.namespace = "stan", "loopback"
        self.servers_here = {server.name: server for server in servers.servers}
        self.restarts = dict.fromkeys(self.servers_here, 0)
        self.offset = offset
        self.core: Any = SimpleNamespace(read_namespaced_pod_log=self._log)

    def replicas(self) -> int:
        """As many as there are."""
        return len(self.servers_here)

    def pods(self) -> list[Any]:
        """The servers that run."""
        return [self._pod(server) for server in self.servers_here.values() if server.alive]

    def monitor(self, pod: str, path: str, timeout: float = 2.0) -> dict[str, Any] | None:
        """Ask the server itself."""
        return self.servers_here[pod].json(f"/{path}", timeout)

    def _pod(self, server: Server) -> Any:
        container = SimpleNamespace(name=CONTAINER, image="registry/nats-streaming:0.25.6", ports=None)
        side = SimpleNamespace(name="side", image="other", ports=None)
        state = SimpleNamespace(name=CONTAINER, restart_count=self.restarts[server.name])
        return SimpleNamespace(
            metadata=SimpleNamespace(name=server.name),
            spec=SimpleNamespace(node_name="here", containers=[side, container]),
            status=SimpleNamespace(
                pod_ip="127.0.0.1",
                container_statuses=[SimpleNamespace(name="side", restart_count=9), state],
                conditions=[SimpleNamespace(type="Ready", status="True")] if server.healthy else [],
            ),
        )

    def _log(self, pod: str, _namespace: str, *, container: str, previous: bool, **_: Any) -> str:
        """The log with the kubelet's stamps."""
        assert container == CONTAINER
        if previous:
            raise LookupError("previous terminated container not found")
        lines = []
        for line in self.servers_here[pod].log.splitlines():
            if match := _STAMP.match(line):
                told = datetime.datetime.fromisoformat(f"{match[1]}-{match[2]}-{match[3]}T{match[4]}")
                zone = datetime.timezone(datetime.timedelta(hours=self.offset))
                stamp = told.astimezone(zone).isoformat()
                lines.append(f"{stamp.removesuffix('+00:00') + 'Z' if not self.offset else stamp} {line}")
        return "\n".join(lines)


class PodScene(Scene):
    """Where faults of the servers are played; a killed server is started again, as the kubelet does."""

    def delete(self, pod: Any, grace: int | None = None) -> float:  # noqa: ARG002
        """A new pod of this name."""
        return self.end(pod, restarts=0)

    def wait_gone(self, pod: Any, timeout: float = 0.0) -> None:
        """It is."""

    def crash(self, pod: Any) -> float:
        """The container starts again."""
        return self.end(pod, restarts=self._pods.restarts[pod.metadata.name] + 1)

    @property
    def _pods(self) -> PodGroup:
        assert isinstance(self.group, PodGroup)
        return self.group

    def end(self, pod: Any, *, restarts: int) -> float:
        """End its server and start it again; gives the time of the end."""
        server = self._pods.servers_here[pod.metadata.name]
        at = time.monotonic()
        server.kill()
        self._pods.restarts[pod.metadata.name] = restarts
        server.start()
        return at


class LoopbackReach:
    """Straight to the servers."""

    description = "loopback"
    period = 0.05

    def __init__(self, group: PodGroup) -> None:
        self.group = group

    def urls(self, _places: Sequence[Place]) -> list[str]:
        """Where clients connect."""
        return [server.url for server in self.group.servers_here.values()]

    def monitor(self, place: Place, path: str, timeout: float) -> dict[str, Any] | None:
        """Ask the server itself."""
        return self.group.monitor(place.pod, path, timeout)

    def close(self) -> None:
        """Nothing was opened."""
