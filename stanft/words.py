"""The words of a fault-tolerant group, each once: states, ports, the server's container, the addresses of servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

# nats-streaming-server server/server.go, State.String
ACTIVE: Final = "FT_ACTIVE"
STANDBY: Final = "FT_STANDBY"

# What the servers listen on unless their configuration says otherwise (nats-server's own defaults).
CLIENT_PORT: Final = 4222
ROUTE_PORT: Final = 6222
MONITOR_PORT: Final = 8222

NAME: Final = "stan"  # the StatefulSet's, and the server's container's, as the recipe and charts/stan-ft call them
CLUSTER_ID: Final = "test-cluster"  # nats-streaming-server server/server.go, DefaultClusterID
EXPORTER: Final = "metrics"  # the container of the metrics sidecar
_IMAGE = "nats-streaming"


def server_container(pod: Any) -> str:
    """The name of the container that runs the server in a pod or pod template as the Kubernetes client gives it.

    It is the one with the client port, else the one named as in the charts, else the one whose image is the server's,
    else the first.
    """
    signs: tuple[Callable[[Any], bool], ...] = (
        lambda one: any(port.container_port == CLIENT_PORT for port in one.ports or []),
        lambda one: bool(one.name == NAME),
        lambda one: _IMAGE in (one.image or ""),
        lambda _: True,
    )
    return next(str(one.name) for sign in signs for one in pod.spec.containers if sign(one))


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets, anything else as it is."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def url(host: str, port: int = CLIENT_PORT) -> str:
    """The NATS address of a server: nats://10.0.0.1:4222, nats://[fd00::5]:4222."""
    return f"nats://{bracketed(host)}:{port}"
