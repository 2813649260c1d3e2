"""A live fault-tolerant group on any cluster, seen through the Kubernetes API: who is active, who stands by, the mesh.

The monitoring port is read through the API server's pod proxy, so nothing but access to the API is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kubernetes import client

from stanft.ground import bounds, wait
from stanft.ground.errors import UserError
from stanft.kube import api
from stanft.words import ACTIVE, MONITOR_PORT, NAME, STANDBY, server_container

ENDPOINT_TIMEOUT = 2.0  # seconds; an active that recovers its store does not answer on /streaming until it is done


@dataclass(frozen=True)
class ServerState:
    """One server as it was when asked; state is "" and routes 0 when its monitoring port did not answer."""

    pod: str
    node: str
    ip: str
    ready: bool
    restarts: int
    state: str
    routes: int
    meshed: bool = True  # False when it says that it is in no cluster of NATS servers: with an external NATS, no routes

    @property
    def is_active(self) -> bool:
        """Whether this server says that it is the active."""
        return self.state == ACTIVE


class Group:
    """The servers of one StatefulSet; monitor_port is the HTTP monitoring port of each."""

    monitor_port = MONITOR_PORT

    def __init__(self, access: client.ApiClient, *, name: str = NAME, namespace: str = "default") -> None:
        self.name = name
        self.namespace = namespace
        # The generated classes call every field optional; their own words for a missing one are clear enough.
        self.core: Any = client.CoreV1Api(access)
        self.apps: Any = client.AppsV1Api(access)

    @classmethod
    def connect(
        cls,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        name: str = NAME,
        namespace: str = "default",
    ) -> Self:
        """Open the group through a kubeconfig (default: the user's own); raises UserError if there is none."""
        return cls(api.connect(kubeconfig, context), name=name, namespace=namespace)

    def replicas(self) -> int:
        """How many servers the StatefulSet asks for; raises UserError if there is no such StatefulSet."""
        return int(self.stateful_set().spec.replicas)

    def stateful_set(self) -> Any:
        """The StatefulSet as the API gives it; raises UserError if there is none of this name."""
        try:
            return self.apps.read_namespaced_stateful_set(self.name, self.namespace)
        except client.ApiException as error:
            if error.status == 404:
                raise UserError(
                    f"there is no StatefulSet {self.name!r} in namespace {self.namespace!r}: "
                    "check the release name (--name) and the namespace (--namespace)."
                ) from error
            raise

    def pods(self) -> list[Any]:
        """The pods of the StatefulSet that exist, in the order of their ordinals."""
        selector = ",".join(f"{key}={value}" for key, value in self.stateful_set().spec.selector.match_labels.items())
        found = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        own = [pod for pod in found if pod.metadata.name.rpartition("-")[0] == self.name]
        return sorted(own, key=lambda pod: int(pod.metadata.name.rpartition("-")[2]))

    def monitor(self, pod: str, path: str, timeout: float = ENDPOINT_TIMEOUT) -> dict[str, Any] | None:
        """The JSON of a monitoring endpoint such as "streaming/serverz"; None if it does not answer in time."""
        try:
            answer = self.core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{self.monitor_port}", self.namespace, path, _request_timeout=timeout, _preload_content=False
            )
            document = json.loads(answer.data)
        except Exception:  # unreachable, not up yet, or in recovery: all are "no answer"
            return None
        return document if isinstance(document, dict) else None

    def servers(self) -> list[ServerState]:
        """The state of every server, asked at the same time."""
        pods = self.pods()
        with ThreadPoolExecutor(max_workers=max(1, len(pods))) as pool:
            return list(pool.map(self._state, pods))

    def _state(self, pod: Any) -> ServerState:
        statuses = pod.status.container_statuses or []
        conditions = pod.status.conditions or []
        container = server_container(pod)
        server = next((status for status in statuses if status.name == container), None)
        name = pod.metadata.name
        serverz = self.monitor(name, "streaming/serverz") or {}
        routes = {route["remote_id"] for route in (self.monitor(name, "routez") or {}).get("routes") or []}
        varz = {} if routes else self.monitor(name, "varz") or {}
        return ServerState(
            pod=name,
            node=pod.spec.node_name or "",
            ip=pod.status.pod_ip or "",
            ready=any(condition.type == "Ready" and condition.status == "True" for condition in conditions),
            restarts=server.restart_count if server else 0,
            state=serverz.get("state", ""),
            routes=len(routes),
            meshed=bool(varz.get("cluster", True)),
        )

    def active(self) -> ServerState | None:
        """The active server, None if no server says that it is; raises AssertionError if more than one does."""
        actives = [server for server in self.servers() if server.is_active]
        assert len(actives) <= 1, f"more than one active: {actives}"
        return actives[0] if actives else None

    def problem(self) -> str:
        """Why the group is not whole ("" if it is): one active, all others standing by, all Ready, full mesh.

        A mesh is asked of servers that embed NATS only; those of an external NATS have no routes.
        """
        wanted = self.replicas()
        if not wanted:
            return f"it is scaled to 0 (kubectl -n {self.namespace} scale statefulset {self.name} --replicas=3)"
        servers = self.servers()
        if len(servers) != wanted:
            return f"{len(servers)} of {wanted} pods exist"
        for server in servers:
            if not server.ready:
                return f"{server.pod} is not Ready"
            if server.meshed and server.routes < wanted - 1:  # partitions have routes to servers of other groups too
                return f"{server.pod} has routes to {server.routes} of {wanted - 1} other servers"
        actives = [server.pod for server in servers if server.is_active]
        standbys = [server.pod for server in servers if server.state == STANDBY]
        if len(actives) != 1 or len(standbys) != wanted - 1:
            return f"active: {', '.join(actives) or 'none'}; standing by: {', '.join(standbys) or 'none'}"
        return ""

    def wait_whole(
        self, timeout: float = bounds.WHOLE, tell: Callable[[str], object] = lambda _: None
    ) -> list[ServerState]:
        """Wait until problem() finds none; timeout in seconds, tell gets each problem when it is met first.

        Raises UserError that says what is still missing.
        """
        problem = ""

        def whole() -> bool:
            nonlocal problem
            before, problem = problem, self._problem_or_error()
            if problem and problem != before:
                tell(problem)
            return not problem

        wait.until(
            whole,
            timeout,
            lambda: (
                f"the group {self.namespace}/{self.name} was not whole within {timeout:.0f} s: {problem}.\n"
                f"Look at: kubectl -n {self.namespace} get pods,pvc,events"
            ),
            every=0.3,
        )
        return self.servers()

    def _problem_or_error(self) -> str:
        try:
            return self.problem()
        except UserError:
            raise
        except Exception as error:  # the API server may be restarting; the caller's time limit decides
            return f"the API server does not answer ({error})"
