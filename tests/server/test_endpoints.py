"""What the monitoring endpoints say of active, standby and recovering servers: the ground for probes and alerts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import run

from harness.loopback.server import ACTIVE, STANDBY, Group, Server, ServerError
from stanft.stan.client import Client


@pytest.fixture(scope="module")
def active(shared_group: Group) -> Server:
    """The active of the shared group."""
    return shared_group.wait_active()


@pytest.fixture(scope="module")
def standby(shared_group: Group) -> Server:
    """A standby of the shared group."""
    return shared_group.standbys()[0]


def status(server: Server, path: str) -> tuple[int, bytes] | None:
    """Status and body of an endpoint."""
    return server.get(path, timeout=5)


def test_is_ft_active_tells_200_for_the_active_and_204_for_a_standby(active: Server, standby: Server) -> None:
    # Both count as success for a kubelet's httpGet probe: it cannot tell them apart.
    assert status(active, "/streaming/isFTActive") == (200, b"")
    assert status(standby, "/streaming/isFTActive") == (204, b"")


def test_is_ft_active_is_found_in_its_exact_case_only(active: Server) -> None:
    found = status(active, "/streaming/isftactive")
    assert found is not None
    assert found[0] == 404


def test_healthz_is_fine_on_active_and_standby_alike(shared_group: Group) -> None:
    assert all(server.healthy for server in shared_group.servers)


def test_a_standby_shows_its_state_and_nothing_of_the_store(active: Server, standby: Server) -> None:
    async def work() -> None:
        async with await Client.connect(active.url, client_id="endpoints") as client:
            await client.publish("endpoints", b"hello")

    run(work())
    here, there = active.json("/streaming/serverz"), standby.json("/streaming/serverz")
    assert here is not None
    assert there is not None
    assert (here["state"], there["state"]) == (ACTIVE, STANDBY)
    assert (here["cluster_id"], there["cluster_id"]) == ("test-cluster", "")
    assert here["total_msgs"] >= 1
    assert there["total_msgs"] == there["channels"] == there["clients"] == 0


def test_a_channel_is_known_to_the_active_alone(active: Server, standby: Server) -> None:
    async def work() -> None:
        async with await Client.connect(active.url, client_id="channels") as client:
            await client.publish("known", b"hello")

    run(work())
    path = "/streaming/channelsz?channel=known"
    assert active.json(path) is not None
    found = status(standby, path)
    assert found is not None
    assert found[0] == 404


def test_a_server_that_does_not_run_answers_nothing(make_group: Callable[..., Group]) -> None:
    server = make_group(size=1)[0]
    assert server.get("/healthz") is None
    assert server.json("/streaming/serverz") is None
    assert (server.healthy, server.state, server.is_active, server.routes) == (False, None, False, 0)
    with pytest.raises(ServerError, match="stan-0 does not run"):
        server.kill()


@pytest.fixture
def recovering(group: Group) -> Server:
    """An active that reads its store for ever: server.dat is a pipe into which nobody writes."""
    for server in group.servers:
        server.stop()
    info = group.store / "server.dat"
    info.rename(info.with_suffix(".kept"))
    os.mkfifo(info)
    before = group[0].log.count("Recovering the state")
    group[0].start()
    group[0].wait_log("Recovering the state", count=before + 1)
    return group[0]


def test_a_recovering_server_is_healthy_while_its_streaming_endpoints_hang(recovering: Server) -> None:
    for path in ("/streaming/serverz", "/streaming/channelsz", "/streaming/isFTActive"):
        started = time.monotonic()
        assert recovering.get(path, timeout=0.3) is None
        assert time.monotonic() - started >= 0.3
    # So a probe on /streaming/* would kill an active in the middle of a long recovery, again and again.
    assert recovering.healthy
    assert status(recovering, "/streaming") is not None


def test_a_recovering_server_heeds_no_sigterm_and_its_standbys_wait(recovering: Server, group: Group) -> None:
    group[1].start()
    recovering.signal(signal.SIGTERM)
    with pytest.raises(ServerError, match="stan-0 did not end within 3 s"):
        # Longer than two missed heartbeats: they are sent during recovery, too.
        recovering.wait_exit(timeout=3)
    assert group[1].state == STANDBY

    # The pipe stays the file that the hung server has open; the next one finds the store as it was.
    info: Path = group.store / "server.dat"
    info.unlink()
    info.with_suffix(".kept").rename(info)
    recovering.kill()
    assert group.wait_active() is group[1]
