"""The streaming client when servers die, hang or come back: what it says of its messages, and how it goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable

import nats
import pytest
from loopback import run
from nats.aio.transport import TcpTransport

from harness.loopback.server import Group, Server
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError, ConnectionLostError, NoActiveError, StanError, UnknownError
from stanft.stan.options import NATS_PY_DEFAULTS, STAN_GO_DEFAULTS, ConnectOptions, Start
from stanft.stan.outcome import Outcome, PublishResult


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something, without blocking the client."""
    while not condition():
        await asyncio.sleep(0.01)


async def heartbeat(group: Group) -> None:
    """Wait for the active's next sign of life: a standby waits 1.125 s at least from here on."""
    server = group[0]
    connection = await nats.connect(server.url, user=server.login, password=server.login)
    subscription = await connection.subscribe("_STAN.ft.>")
    await subscription.next_msg(timeout=10)
    await connection.close()


def standby_of(group: Group) -> Server:
    """A server that stands by."""
    return group.standbys()[0]


def test_a_message_for_a_dead_active_is_surely_not_stored_and_the_next_one_is(group: Group) -> None:
    async def work() -> None:
        client = await Client.connect(standby_of(group).url, client_id="client")
        active = group.wait_active()
        await heartbeat(group)
        active.kill()
        # The standby notices at once that the route is gone, and says "no responders"; it takes over a second later.
        await asyncio.sleep(0.05)
        with pytest.raises(NoActiveError, match="nobody took the message"):
            await client.publish("channel", b"hello")
        await asyncio.to_thread(group.wait_active)
        assert await client.publish("channel", b"hello")
        assert client.disconnects == 0
        await client.close()

    run(work())


def test_a_patient_client_waits_for_a_lost_message_as_long_as_it_would_for_a_slow_one(group: Group) -> None:
    async def work() -> None:
        patient = dataclasses.replace(STAN_GO_DEFAULTS, ack_timeout=0.4)
        active, standby = group.wait_active(), standby_of(group)
        clients = [
            await Client.connect(server.url, client_id=server.name, options=patient) for server in (active, standby)
        ]
        active.pause()
        results: list[PublishResult] = []
        started = time.monotonic()
        for client in clients:
            await client.publish_async("channel", b"lost", results.append)
        active.kill()
        await until(lambda: len(results) == 2)
        assert time.monotonic() - started >= patient.ack_timeout
        assert {(result.outcome, result.error) for result in results} == {
            (Outcome.UNKNOWN, "no acknowledgement in time")
        }
        for client in clients:
            await client.abandon()

    run(work())


def test_when_the_own_server_dies_messages_on_their_way_are_unknown_and_new_ones_are_not_sent(group: Group) -> None:
    async def work() -> None:
        active = group.wait_active()
        client = await Client.connect(active.url, client_id="client")
        active.pause()
        results: list[PublishResult] = []
        await client.publish_async("channel", b"on its way", results.append)
        active.kill()
        await until(lambda: not client.connected)
        await until(lambda: bool(results))
        assert [result.outcome for result in results] == [Outcome.UNKNOWN]
        assert "connection lost" in results[0].error
        with pytest.raises(NoActiveError, match="not connected to any server"):
            await client.publish("channel", b"too late")
        assert not await client.send("any", b"too late")
        assert not await client.answers(0.1)
        await client.abandon()

    run(work())


def test_nothing_is_sent_again_behind_the_callers_back_after_a_reconnect(group: Group) -> None:
    async def work() -> None:
        active = group.wait_active()
        client = await Client.connect([active.url, standby_of(group).url], client_id="client")
        while client.server != active.url.removeprefix("nats://"):
            await client.move_on()
            await until(lambda: client.connected)
        await client.publish("channel", b"first")
        active.pause()
        with pytest.raises(UnknownError, match="no acknowledgement in time"):
            await client.publish("channel", b"swallowed by the hung server", timeout=0.1)
        active.kill()
        await asyncio.to_thread(group.wait_active)
        await until(lambda: client.connected)
        await client.publish("channel", b"last")
        subscription = await client.subscribe("channel", start=Start.first())
        seen = [(await subscription.next(10)).data for _ in range(2)]
        assert seen == [b"first", b"last"]
        with pytest.raises(TimeoutError):
            await subscription.next(0.3)
        await client.close()

    run(work())


def test_an_answer_that_comes_late_is_told_as_late(group: Group) -> None:
    async def work() -> None:
        client = await Client.connect(standby_of(group).url, client_id="client")
        active = group.wait_active()
        active.pause()
        results: list[PublishResult] = []
        await client.publish_async("channel", b"slow", results.append, timeout=0.1)
        await until(lambda: bool(results))
        active.resume()
        await until(lambda: len(results) == 2)
        assert [(result.outcome, result.late) for result in results] == [
            (Outcome.UNKNOWN, False),
            (Outcome.STORED, True),
        ]
        await client.close()

    run(work())


def test_a_hung_server_does_not_answer_and_the_client_can_move_on_to_another(group: Group) -> None:
    async def work() -> None:
        standby, active = standby_of(group), group.wait_active()
        client = await Client.connect(standby.url, client_id="client", options=ConnectOptions(discover=True))
        assert await client.answers(5)
        standby.pause()
        # More than the sockets hold: closing such a connection politely would never end.
        for _ in range(40):
            assert await client.send("nobody", bytes(500_000))
        assert not await client.answers(0.2)
        while client.server == standby.url.removeprefix("nats://") or not client.connected:
            await client.move_on()
            await asyncio.sleep(0.2)
        assert client.disconnects >= 1
        assert await client.publish("channel", b"hello")
        assert active.is_active
        await client.close()

    run(work())


def test_a_client_that_knows_one_server_finds_the_others_if_it_may_discover_them(group: Group) -> None:
    async def work() -> None:
        standby = standby_of(group)
        client = await Client.connect(standby.url, client_id="client", options=NATS_PY_DEFAULTS)
        standby.kill()
        await until(lambda: client.connected and client.server != standby.url.removeprefix("nats://"))
        assert await client.publish("channel", b"hello")
        await client.close()

    run(work())


def test_a_client_that_may_not_discover_waits_for_its_own_server(group: Group) -> None:
    async def work() -> None:
        standby = standby_of(group)
        client = await Client.connect(standby.url, client_id="client")
        standby.kill()
        await until(lambda: not client.connected)
        await asyncio.sleep(0.3)
        assert not client.connected
        standby.start()
        await until(lambda: client.connected)
        assert client.server == standby.url.removeprefix("nats://")
        await client.close()

    run(work())


def test_a_client_that_is_told_of_no_server_goes_on_trying_those_that_it_knew(group: Group) -> None:
    """As when all pods are gone at once, before the first of them comes back."""

    async def work() -> None:
        standby = standby_of(group)
        client = await Client.connect(standby.url, client_id="client")
        client.learn([])
        standby.kill()
        await until(lambda: not client.connected)
        standby.start()
        await until(lambda: client.connected)
        assert await client.publish("channel", b"hello")
        await client.close()

    run(work())


def test_connecting_and_subscribing_during_a_takeover_succeed_when_it_is_over(group: Group) -> None:
    async def work() -> None:
        early = await Client.connect(standby_of(group).url, client_id="early")
        await early.publish("channel", b"hello")
        group.wait_active().kill()
        late, subscription = await asyncio.gather(
            Client.connect(standby_of(group).url, client_id="late"), early.subscribe("channel", start=Start.first())
        )
        assert (await subscription.next(10)).data == b"hello"
        assert await late.publish("channel", b"hello")
        await early.close()
        await late.close()

    run(work())


def test_a_durable_position_outlives_a_takeover(group: Group) -> None:
    async def work() -> None:
        client = await Client.connect(group.urls, client_id="client")
        for number in range(1, 9):
            await client.publish("channel", b"%d" % number)
        subscription = await client.subscribe(
            "channel", durable="position", start=Start.first(), max_in_flight=1, manual_acks=True, ack_wait=1
        )
        for _ in range(4):
            await (await subscription.next(10)).ack()
        await subscription.close()
        group.wait_active().stop()
        await asyncio.to_thread(group.wait_active)
        again = await client.subscribe("channel", durable="position")
        assert [(await again.next(10)).data for _ in range(4)] == [b"5", b"6", b"7", b"8"]
        await client.close()

    run(work())


def test_the_last_value_is_the_same_after_a_takeover(group: Group) -> None:
    async def work() -> None:
        client = await Client.connect(group.urls, client_id="client")
        for number in range(20):
            await client.publish("channel", b"%d" % number)
        group.wait_active().kill()
        subscription = await client.subscribe("channel", start=Start.last())
        message = await subscription.next(10)
        assert (message.data, message.sequence) == (b"19", 20)
        await client.close()

    run(work())


def test_without_any_active_everything_says_so_and_closing_still_ends_the_connection(group: Group) -> None:
    async def work() -> None:
        standby = standby_of(group)
        options = ConnectOptions(ping_interval=1, ping_max_out=1, request_timeout=0.3)
        client = await Client.connect(standby.url, client_id="client", options=options)
        subscription = await client.subscribe("channel")
        active = group.wait_active()
        for server in group.servers:
            if server not in (standby, active):
                server.kill()
        # Its lock stays with it, so that the standby cannot take over.
        active.pause()
        with pytest.raises(UnknownError, match=r"no answer on _STAN\.sub\.test-cluster within 0\.3 s"):
            await client.subscribe("another", wait=0)
        with pytest.raises(ConnectError, match="no answer"):
            await Client.connect(standby.url, client_id="other", options=options, wait=0.5)
        results: list[PublishResult] = []
        await client.publish_async("channel", b"hello", results.append)
        with pytest.raises(ConnectionLostError):
            await subscription.next(10)
        assert client.lost == "no answer to 1 pings"
        await client.close()
        assert [result.outcome for result in results] == [Outcome.UNKNOWN]
        assert not client.connected

    run(work())


def test_closing_without_an_active_says_that_nobody_heard_it(group: Group) -> None:
    async def work() -> None:
        client = await Client.connect(standby_of(group).url, client_id="client")
        for server in group.servers:
            server.kill()
        await until(lambda: not client.connected)
        with pytest.raises(StanError):
            await client.close()
        assert client.lost == "closed"

    run(work())


def test_a_client_that_is_closed_while_it_connects_again_stops_trying(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    async def refused_when_cancelled(*_: object, **__: object) -> None:
        begun.append(1)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            if len(begun) == 1:
                raise ConnectionRefusedError from None
            raise

    async def work() -> None:
        client = await Client.connect(standby_of(group).url, client_id="client")
        monkeypatch.setattr(TcpTransport, "connect", refused_when_cancelled)
        for server in group.servers:
            server.kill()
        await until(lambda: bool(begun))
        await client.abandon()
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    run(work(), 20)


def test_a_wait_that_nats_py_cancelled_itself_does_not_cancel_who_closes(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    async def work() -> None:
        client = await Client.connect(standby_of(group).url, client_id="client")
        monkeypatch.setattr(TcpTransport, "wait_closed", cancelled)
        await client.abandon()
        assert client.lost == "closed"

    run(work())


def test_the_clients_own_share_of_an_outage_is_small(group: Group) -> None:
    async def work() -> None:
        active = group.wait_active()
        others = [server.url for server in group.servers if server is not active]
        client = await Client.connect([active.url, *others], client_id="client")
        active.kill()
        await asyncio.to_thread(group.wait_active)
        ready = time.monotonic()
        while True:
            try:
                await client.publish("channel", b"hello", timeout=0.2)
                break
            except StanError:
                await asyncio.sleep(0.005)
        # nats-py alone would wait 2 s between two tries to reconnect.
        assert time.monotonic() - ready < NATS_PY_DEFAULTS.reconnect_wait / 2
        await client.close()

    run(work())
