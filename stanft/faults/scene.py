"""Where a fault is played: a live group, and the nodes of the local cluster if it runs there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kubernetes import client

from stanft.ground import bounds, wait
from stanft.ground.errors import UserError
from stanft.group.live import Group
from stanft.words import server_container


class Nodes(Protocol):
    """The nodes of a cluster of one's own, in which programs can be run: what faults beside the API need."""

    @property
    def name(self) -> str:
        """The cluster's name."""

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig that leads to it."""

    @property
    def context(self) -> str:
        """The context of that kubeconfig."""

    def node_exec(self, node: str, *command: str, check: bool = True) -> str:
        """What a command prints inside a node; raises shell.CommandError if it fails and check is True."""


@dataclass(frozen=True)
class Scene:
    """The group under test and the ways to it; cluster is None where the nodes are not ours."""

    group: Group
    cluster: Nodes | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    debug_image: str = "busybox:1.35.0"

    @property
    def nodes(self) -> Nodes:
        """The local cluster; raises UserError where the nodes are not ours."""
        if self.cluster is None:
            raise UserError("this needs the nodes of the local cluster.")
        return self.cluster

    def pods(self) -> dict[str, Any]:
        """The pods of the group by name."""
        return {pod.metadata.name: pod for pod in self.group.pods()}

    def active(self) -> Any:
        """The active's pod; raises UserError if there is not exactly one."""
        actives = [server.pod for server in self.group.servers() if server.is_active]
        if len(actives) != 1:
            raise UserError(
                f"a fault for the active needs exactly one, and {len(actives) or 'none'} say that they are: "
                f"look at kubectl -n {self.group.namespace} logs of the pods."
            )
        return self.pods()[actives[0]]

    def standbys(self) -> list[Any]:
        """The pods that are not the active's."""
        active = self.active().metadata.name
        return [pod for name, pod in self.pods().items() if name != active]

    def signal(self, pod: Any, number: int, container: str = "") -> float:
        """Send a signal to a pod's server from its node; gives the monotonic time of it. Raises UserError."""
        return self.signal_pid(pod.spec.node_name, self.pid(pod, container), number)

    def pid(self, pod: Any, container: str = "") -> int:
        """The server's process id as its node sees it; raises UserError if it does not run."""
        found = container_pid(self.nodes, pod, container or server_container(pod))
        return found if container else _supervised(self.nodes, pod.spec.node_name, found)

    def signal_pid(self, node: str, pid: int, number: int) -> float:
        """Send a signal to a process of a node; gives the monotonic time of it, taken beside the kill itself."""
        before = time.monotonic()
        text = self.nodes.node_exec(node, "sh", "-c", f"date +%s%N; kill -{number} {pid}")
        after = time.monotonic()
        # The node's wall clock is this machine's; where it is a virtual machine's, stay between before and after.
        at = int(text.split()[0]) / 1e9 - time.time() + time.monotonic()
        return min(max(at, before), after)

    def delete(self, pod: Any, grace: int | None = None) -> float:
        """Delete this very pod (never its successor of the same name); gives the monotonic time of the call."""
        options: dict[str, Any] = {"preconditions": {"uid": pod.metadata.uid}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        at = time.monotonic()
        self.group.core.delete_namespaced_pod(
            pod.metadata.name, self.group.namespace, body=options, _request_timeout=bounds.API_CALL
        )
        return at

    def wait_gone(self, pod: Any, timeout: float = bounds.POD_GONE) -> None:
        """Wait until this very pod is gone or replaced; raises UserError after timeout seconds."""
        wait.until(
            lambda: self._gone(pod),
            timeout,
            f"the pod {pod.metadata.name} was still there {timeout:.0f} s after its deletion.",
        )

    def _gone(self, pod: Any) -> bool:
        try:
            found = self.group.core.read_namespaced_pod(pod.metadata.name, self.group.namespace)
        except client.ApiException as error:
            if error.status == 404:
                return True
            raise
        return bool(found.metadata.uid != pod.metadata.uid)

    def allowed(self, verb: str, resource: str, group: str = "", subresource: str = "") -> bool:
        """Whether this user may do so in the group's namespace."""
        review = {
            "spec": {
                "resourceAttributes": {
                    "namespace": self.group.namespace,
                    "verb": verb,
                    "group": group,
                    "resource": resource,
                    "subresource": subresource,
                }
            }
        }
        api: Any = client.AuthorizationV1Api(self.group.core.api_client)
        return bool(api.create_self_subject_access_review(review).status.allowed)


def _supervised(nodes: Nodes, node: str, pid: int) -> int:
    """The one child of a container's first process, where that is the chart's supervisor; else the process itself."""
    children = nodes.node_exec(node, "cat", f"/proc/{pid}/task/{pid}/children", check=False).split()
    return int(children[0]) if len(children) == 1 else pid


def container_pid(nodes: Nodes, pod: Any, container: str) -> int:
    """The process id of a pod's container as its node sees it; raises UserError if it does not run.

    The server's image has no shell, so nothing can be run inside it; a node sees the processes of its pods.
    """
    statuses = pod.status.container_statuses or []
    identity = next((status.container_id for status in statuses if status.name == container), None)
    if identity:
        task = identity.removeprefix("containerd://")
        for line in nodes.node_exec(pod.spec.node_name, "ctr", "-n", "k8s.io", "tasks", "ls").splitlines():
            words = line.split()
            if words[0] == task and words[2] == "RUNNING":
                return int(words[1])
    raise UserError(f"the container {container} of pod {pod.metadata.name} does not run.")
