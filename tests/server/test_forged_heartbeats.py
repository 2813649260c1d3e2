"""What a client can do to the group by heartbeats that it forges: nothing, where a login can tell clients apart.

A heartbeat names a server and since when it is active; the older active stays (nats-streaming-server server/ft.go).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any

import nats
import pytest
from effects import make
from loopback import run

from harness.loopback.server import Group
from stanft.ground import wait

SUBJECT = "_STAN.ft.test-cluster.test-cluster"
GO_EPOCH = 62_135_596_800  # seconds from the year 1, where Go begins to count, to 1970
PASSWORD = {"auth": {"mode": "password", "existingSecret": "s"}}
TOKEN = {"auth": {"mode": "token", "existingSecret": "s"}}
SECRETS = {"s": {"username": "app", "password": "right", "token": "right"}}
LOGINS = [({}, {}), (PASSWORD, {"user": "app", "password": "right"})]


def heartbeat(since: float) -> bytes:
    """A heartbeat of a server that is active since then (seconds since 1970), as a protobuf CtrlMsg."""
    moment = b"\x01" + struct.pack(">qih", int(since) + GO_EPOCH, 0, -1)
    return b"\x08\x03\x12\x06forged\x1a" + bytes([len(moment)]) + moment


async def forge(url: str, since: float, login: dict[str, Any], seconds: float = 1.0) -> list[str]:
    """Send such heartbeats through a server; gives what the server said to it."""
    said: list[str] = []

    async def note(error: Exception) -> None:
        said.append(str(error))

    connection = await nats.connect(url, error_cb=note, **login)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await connection.publish(SUBJECT, heartbeat(since))
        await connection.flush()
        await asyncio.sleep(0.1)
    await connection.close()
    return said


@pytest.fixture
def start(tmp_path: Any, request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Group]:
    """Starts two servers of these values, and ends them after the test."""

    def begin(values: dict[str, Any]) -> Group:
        group = make(tmp_path, values, secrets=SECRETS, size=2)
        request.addfinalizer(group.stop)
        group.start()
        return group

    return begin


@pytest.mark.parametrize(("values", "login"), LOGINS, ids=["none", "password"])
def test_a_client_ends_no_active_by_a_heartbeat_that_is_older(
    start: Callable[[dict[str, Any]], Group], values: dict[str, Any], login: dict[str, Any]
) -> None:
    group = start(values)
    active = group.wait_active()
    said = run(forge(group.standbys()[0].url, 1.0, login))
    assert any("permissions violation" in each for each in said)
    assert active.alive
    assert active.is_active


@pytest.mark.parametrize(("values", "login"), LOGINS, ids=["none", "password"])
def test_a_client_holds_off_no_takeover_by_heartbeats_that_go_on(
    start: Callable[[dict[str, Any]], Group], values: dict[str, Any], login: dict[str, Any]
) -> None:
    group = start(values)
    active, standby = group.wait_active(), group.standbys()[0]

    async def work() -> None:
        forging = asyncio.create_task(forge(standby.url, time.time() + 3600, login, 6))
        await asyncio.sleep(0.3)
        active.kill()
        await asyncio.to_thread(group.wait_active, 6, other_than=active)
        await forging

    run(work())


@pytest.mark.parametrize(("values", "login"), LOGINS, ids=["none", "password"])
def test_a_client_hears_no_heartbeat(
    start: Callable[[dict[str, Any]], Group], values: dict[str, Any], login: dict[str, Any]
) -> None:
    group = start(values)

    async def work(login: dict[str, Any]) -> bool:
        connection = await nats.connect(group[0].url, error_cb=quiet, **login)
        subscription = await connection.subscribe("_STAN.ft.>")
        try:
            return bool(await subscription.next_msg(timeout=3))
        except (TimeoutError, nats.errors.Error):
            return False
        finally:
            await connection.close()

    async def quiet(_: Exception) -> None:
        return None

    own = {"user": group[0].login, "password": group[0].login}
    assert not run(work(login))
    assert run(work(own))


def test_a_token_leaves_the_active_open_to_a_forged_heartbeat_as_the_notes_say(
    start: Callable[[dict[str, Any]], Group],
) -> None:
    group = start(TOKEN)
    active = group.wait_active()
    run(forge(group.standbys()[0].url, 1.0, {"token": "right"}, 0.3))
    assert wait.happens(lambda: not active.alive, 5)
    assert "forged" in active.log
