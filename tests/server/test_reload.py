"""SIGHUP makes the embedded NATS server read its configuration again; the streaming part needs a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from loopback import run

from harness.loopback.server import Group, Server
from stanft.stan.client import Client
from stanft.stan.errors import RefusedError


@pytest.fixture
def server(make_group: Callable[..., Group]) -> Server:
    """One active server that allows one channel."""
    group = make_group({"config": {"streaming": {"store_limits": {"max_channels": 1}}}}, size=1)
    return group.start()


def change(server: Server, old: str, new: str) -> None:
    """Change the configuration file and make the server read it."""
    text = server.config.read_text()
    assert old in text
    server.config.write_text(text.replace(old, new))
    server.reload()


def open_channels(server: Server, count: int) -> None:
    """Publish to so many channels."""

    async def work() -> None:
        async with await Client.connect(server.url, client_id="client") as client:
            for number in range(count):
                await client.publish(f"channel-{number}", b"hello")

    run(work())


def test_a_setting_of_the_nats_part_changes_at_once(server: Server) -> None:
    change(server, "streaming {", "max_connections: 50\nstreaming {")
    server.wait_log("Reloaded: max_connections = 50")
    content = server.json("/varz")
    assert content is not None
    assert content["max_connections"] == 50


def test_a_setting_of_the_streaming_part_changes_with_a_restart_only(server: Server) -> None:
    change(server, "max_channels: 1\n", "max_channels: 2\n")
    server.wait_log("Reloaded server configuration")
    with pytest.raises(RefusedError, match="too many channels"):
        open_channels(server, 2)

    server.stop()
    server.start()
    server.wait_log("Streaming Server is ready", count=2)
    open_channels(server, 2)


def test_a_configuration_that_cannot_be_read_changes_nothing_and_does_not_end_the_server(server: Server) -> None:
    change(server, "streaming {", "max_connections: many\nstreaming {")
    server.wait_log("[ERR] STREAM: Reload: ")
    assert server.is_active
    open_channels(server, 1)


def test_a_port_cannot_change_without_a_restart(server: Server) -> None:
    port = server.ports.client
    change(server, f"port: {port}", f"port: {port + 1}")
    server.wait_log("config reload not supported for Port")
    open_channels(server, 1)
