"""Starts loopback servers under the supervisor of charts/stan-ft, as the chart's container does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.ground.paths import CHARTS
from harness.loopback.server import HOST, Group, free_ports

SUPERVISOR = CHARTS / "stan-ft" / "files" / "supervisor" / "supervisor.py"


def command(store: Path, *options: str) -> list[str]:
    """The words that start a program under the supervisor over this store; the program's own words follow."""
    return [sys.executable, "-B", str(SUPERVISOR), "--directory", str(store), *options, "--"]


def supervise(group: Group, options: Sequence[str] = ()) -> None:
    """Let the servers of a group that has not been started run supervised, each with a port for its /metrics."""
    for server, port in zip(group.servers, free_ports(len(group.servers)), strict=True):
        server.prefix = command(
            group.store,
            *("--name", server.name, "--listen", f"{HOST}:{port}"),
            *("--monitor", f"http://{HOST}:{server.ports.monitor}", *options),
        )
