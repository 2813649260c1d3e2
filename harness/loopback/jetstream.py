"""Real nats-server processes with JetStream on loopback, one or a cluster: what a group moves to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from harness.ground import toolchain
from harness.loopback.server import HOST, POLL, Ports, Server, ServerError, free_ports

LINES = ("2.11", "2.12", "2.15")  # those of cluster/go/nats-server-*

CONFIG = """\
server_name: {name}
host: {host}
port: {ports.client}
http: "{host}:{ports.monitor}"
jetstream {{ store_dir: "{directory}/{name}" }}
{extra}
"""
CLUSTERED = """\
cluster {{
  name: target
  host: {host}
  port: {port}
  routes: [{routes}]
}}
"""


class JetStream:
    """A context manager around so many servers of one version, whose state is kept over their restarts.

    extra is added to each configuration.
    """

    def __init__(self, directory: Path, line: str = LINES[-1], *, size: int = 1, extra: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        binary = toolchain.ensure(f"nats-server-{line}")
        numbers = free_ports(3 * size)
        ports = [Ports(*numbers[3 * n : 3 * n + 3]) for n in range(size)]
        routes = ", ".join(f'"nats://{HOST}:{one.cluster}"' for one in ports)
        self.servers = []
        for number, own in enumerate(ports):
            more = CLUSTERED.format(host=HOST, port=own.cluster, routes=routes) if size > 1 else ""
            name = f"nats-{number}"
            config = directory / f"{name}.conf"
            config.write_text(CONFIG.format(name=name, host=HOST, ports=own, directory=directory, extra=more + extra))
            self.servers.append(
                Server(
                    name=name,
                    ports=own,
                    config=config,
                    log_file=directory / f"{name}.log",
                    cluster_id="",
                    binary=binary,
                    config_flag="-c",
                )
            )

    @property
    def urls(self) -> list[str]:
        """Where clients connect: all servers."""
        return [server.url for server in self.servers]

    def start(self) -> Self:
        """Start all servers and wait until JetStream is ready on each."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_healthy(30)
        if len(self.servers) > 1:
            self.leader("")
        return self

    def leader(self, stream: str, timeout: float = 30.0) -> Server:
        """The server that leads a stream, or the whole of JetStream for ""; waits until there is one."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for server in self.servers:
                found = server.json("/jsz?streams=1") if server.alive else None
                if found is None:
                    continue
                name = (found.get("meta_cluster") or {}).get("leader")
                if stream:
                    details = [one for acc in found.get("account_details") or [] for one in acc["stream_detail"]]
                    name = next(
                        ((one.get("cluster") or {}).get("leader") for one in details if one["name"] == stream), None
                    )
                leading = next((one for one in self.servers if one.name == name and one.alive), None)
                if leading is not None:
                    return leading
            time.sleep(POLL)
        raise ServerError(f"{stream or 'JetStream'} has no leader after {timeout:g} s")

    def stop(self) -> None:
        """End every server, at once."""
        for server in self.servers:
            server.reap()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
