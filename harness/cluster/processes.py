"""The server processes behind pods of the local cluster: found by their container, signalled from their node.

The server's image has no shell, so nothing can be run inside it; a kind node sees the processes of its pods.
"""

from __future__ import annotations

import signal
from typing import Any

from harness.cluster.kind import Cluster
from stanft.ground.errors import UserError


def server_pid(cluster: Cluster, pod: Any, container: str = "stan") -> int:
    """The process id of a pod's container as its node sees it; raises UserError if it does not run."""
    statuses = pod.status.container_statuses or []
    identity = next((status.container_id for status in statuses if status.name == container), None)
    if identity:
        task = identity.removeprefix("containerd://")
        for line in cluster.node_exec(pod.spec.node_name, "ctr", "-n", "k8s.io", "tasks", "ls").splitlines():
            words = line.split()
            if words[0] == task and words[2] == "RUNNING":
                return int(words[1])
    raise UserError(f"the container {container} of pod {pod.metadata.name} does not run.")


def signal_server(cluster: Cluster, pod: Any, number: signal.Signals) -> int:
    """Send a signal to a pod's server process and return the process id; raises UserError if it does not run."""
    pid = server_pid(cluster, pod)
    cluster.node_exec(pod.spec.node_name, "kill", f"-{number.value}", str(pid))
    return pid
