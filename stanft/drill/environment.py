"""Where a drill ran: the machine, Kubernetes, the servers, and what was installed."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from kubernetes import client

from stanft.faults.scene import Scene
from stanft.words import server_container


def describe(scene: Scene) -> dict[str, Any]:
    """The environment as JSON-serialisable data; what cannot be found out is left out."""
    group = scene.group
    stateful_set = group.stateful_set()
    pod = next(iter(scene.pods().values()))
    container = next(one for one in pod.spec.containers if one.name == server_container(pod))
    version: Any = client.VersionApi(group.core.api_client).get_code()
    try:
        nodes = [node.metadata.name for node in group.core.list_node().items]
    except client.ApiException:  # who may not list nodes may still drill
        nodes = []
    liveness = container.liveness_probe
    serverz = group.monitor(pod.metadata.name, "streaming/serverz") or {}
    found: dict[str, Any] = {
        "kubernetes": version.git_version,
        "nodes": len(nodes),
        "local kind cluster": scene.cluster is not None,
        "StatefulSet": f"{group.namespace}/{group.name}",
        "chart": (stateful_set.metadata.labels or {}).get("helm.sh/chart", "none"),
        "image": container.image,
        "server": serverz.get("version", ""),
        "replicas": stateful_set.spec.replicas,
        "pod management": stateful_set.spec.pod_management_policy,
        "update strategy": stateful_set.spec.update_strategy.type,
        "liveness": "none"
        if liveness is None
        else f"{liveness.http_get.path if liveness.http_get else 'other'} every {liveness.period_seconds} s, "
        f"{liveness.failure_threshold} failures, time-out {liveness.timeout_seconds} s",
        "messages in the store": serverz.get("total_msgs", ""),
        "measured from": machine(),
    }
    return {key: value for key, value in found.items() if value != ""}


def machine() -> str:
    """The machine that the clients ran on, in one line."""
    memory = ""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        kibibytes = int(meminfo.read_text().split("MemTotal:")[1].split()[0])
        memory = f", {kibibytes / 2**20:.0f} GiB"
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores{memory}, Python {platform.python_version()}"
    )
