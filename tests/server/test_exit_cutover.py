"""Durables planted in JetStream to the message, producers moved through the gate, and both taken back again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import run
from moving import held, moved, numbered, planned
from nats.aio.msg import Msg

from harness.dev.exit_play import both, publish
from harness.loopback.jetstream import LINES, JetStream
from harness.loopback.server import Group
from stanft.exit import gate, positions, reverse
from stanft.exit.copy import Copier
from stanft.exit.plan import Plan, StreamPlan
from stanft.exit.positions import Position
from stanft.exit.source import LiveSource, StoreSource
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.stan.client import Client
from stanft.stan.options import Start

Work = Callable[[LiveSource, Target, Plan], Awaitable[None]]


@pytest.fixture(params=LINES)
def js(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JetStream]:
    """One server of each version."""
    with JetStream(tmp_path / "js", request.param) as server:
        yield server


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[JetStream]:
    """One server of the newest version."""
    with JetStream(tmp_path / "js") as server:
        yield server


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Group]:
    """A group of one server."""
    with Group(tmp_path / "one", size=1) as group:
        group.start()
        yield group


async def read_some(
    group: Group, count: int, left: set[int], *, queue: str = "", clients: tuple[str, ...] = ("app",)
) -> None:
    """Let a durable take so many messages and acknowledge all but those left, then close it."""
    members = [await Client.connect(group.urls, client_id=name) for name in clients]
    subscriptions = [
        await member.subscribe(
            "orders", durable="bills", queue=queue, start=Start.first(), manual_acks=True, max_in_flight=count
        )
        for member in members
    ]
    seen: set[int] = set()

    async def take(number: int) -> None:
        while True:
            message = await subscriptions[number].next(30)
            seen.add(message.sequence)
            if message.sequence not in left:
                await message.ack()

    tasks = [asyncio.create_task(take(number)) for number in range(len(members))]
    while len(seen) < count:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    for subscription, member in zip(subscriptions, members, strict=True):
        await subscription.close()
        await member.close()


async def delivered(target: Target, stream: str, name: str, count: int) -> list[int]:
    """What an application gets that pulls from the moved consumer, acknowledging all."""
    found: list[int] = []
    subscription = await target.connection.jetstream().pull_subscribe_bind(durable=name, stream=stream)
    while len(found) < count:
        for message in await subscription.fetch(min(100, count - len(found)), timeout=10):
            found.append(message.metadata.sequence.stream)
            await message.ack_sync()
    await subscription.unsubscribe()
    return found


def prepared(group: Group, js: JetStream, work: Work) -> None:
    """Copy what the group has, then do the work."""

    async def connected() -> None:
        async with both(group, js) as (source, target):
            await moved(source, target)
            await work(source, target, await planned(source))

    run(connected())


# --- durables -----------------------------------------------------------------------------------------------------


def test_a_moved_durable_gets_exactly_what_it_had_not_acknowledged_and_then_what_is_new(
    one: Group, js: JetStream
) -> None:
    left = set(range(3, 1000, 2)) | {1000}
    run(publish(one, "orders", numbered(1, 1000)))
    run(read_some(one, 1000, left))
    run(publish(one, "orders", numbered(1001, 1020)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        (consumer,) = stream.consumers
        position = await positions.read(source, "orders", consumer)
        assert position == Position(1000, frozenset(left))
        assert await positions.read(source, "orders", consumer) == position  # reading it changes nothing
        await positions.plant(target, stream, consumer, position)
        got = await delivered(target, "orders", consumer.name, len(left) + 20)
        assert sorted(got) == [*sorted(left), *range(1001, 1021)]

    prepared(one, js, work)


@pytest.mark.parametrize("count", [0, 7])
def test_a_durable_without_open_messages_goes_on_after_its_last(count: int, one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 20)))
    run(read_some(one, 20, set()) if count else read_nothing(one))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        (consumer,) = stream.consumers
        await positions.plant(target, stream, consumer, await positions.read(source, "orders", consumer))
        await publish(one, "orders", numbered(21, 25))
        await Copier(plan, source, target).run()
        assert await delivered(target, "orders", consumer.name, 5) == [21, 22, 23, 24, 25]

    prepared(one, newest, work)


async def read_nothing(group: Group) -> None:
    """A durable that begins with new messages and saw none."""
    async with await Client.connect(group.urls, client_id="app") as client:
        await (await client.subscribe("orders", durable="bills")).close()


def test_a_queue_group_of_three_members_becomes_one_consumer_with_all_their_open_messages(
    one: Group, newest: JetStream
) -> None:
    left = {2, 5, 50, 77, 78, 300}
    run(publish(one, "orders", numbered(1, 300)))
    run(read_some(one, 300, left, queue="crew", clients=("a", "b", "c")))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        (consumer,) = stream.consumers
        position = await positions.read(source, "orders", consumer)
        assert left <= position.pending
        await positions.plant(target, stream, consumer, position)
        assert set(await delivered(target, "orders", consumer.name, len(position.pending))) == position.pending

    prepared(one, newest, work)


def test_the_store_of_a_stopped_group_tells_the_same_position(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 50)))
    run(read_some(one, 50, {4, 9}))

    async def live(source: LiveSource, target: Target, plan: Plan) -> None:
        found.append(await positions.read(source, "orders", plan.of("orders").consumers[0]))

    found: list[Position] = []
    prepared(one, newest, live)
    one[0].stop()

    async def offline() -> None:
        source = StoreSource(one.store)
        consumer = (await planned(source)).of("orders").consumers[0]
        found.append(await positions.read(source, "orders", consumer))

    run(offline())
    assert found == [Position(50, frozenset({4, 9}))] * 2


def test_a_durable_whose_application_runs_is_not_touched(one: Group, newest: JetStream) -> None:
    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        async with await Client.connect(one.urls, client_id="app") as client:
            await client.subscribe("orders", durable="bills")
            with pytest.raises(UserError, match="app/bills is open: stop its application"):
                await positions.read(source, "orders", (await planned(source)).of("orders").consumers[0])

    run(publish(one, "orders", numbered(1, 5)))
    prepared(one, newest, work)


def test_a_consumer_is_planted_once_and_an_interrupted_planting_is_done_again(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 30)))
    run(read_some(one, 30, {7, 8}))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        (consumer,) = stream.consumers
        position = await positions.read(source, "orders", consumer)
        half = {"name": consumer.name, "durable_name": consumer.name, "ack_policy": "explicit"}
        await target.set_consumer("orders", {**half, "metadata": {positions.PLANTED: "no"}})
        await positions.plant(target, stream, consumer, position)
        with pytest.raises(UserError, match="was moved before"):
            await positions.plant(target, stream, consumer, position)
        assert sorted(await delivered(target, "orders", consumer.name, 2)) == [7, 8]

    prepared(one, newest, work)


@pytest.mark.parametrize("trouble", ["has not got the messages yet", "does not know what was given"])
def test_a_new_leader_that_is_behind_costs_no_open_message(
    one: Group, newest: JetStream, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    run(publish(one, "orders", numbered(1, 30)))
    run(read_some(one, 30, {7, 8}))
    pull, told, troubles = positions._pull, Target.consumer, iter(range(2))

    async def pulled(*arguments: Any) -> list[Msg]:
        return [] if "has not got" in trouble and next(troubles, None) is not None else await pull(*arguments)

    async def asked(target: Target, stream: str, name: str) -> dict[str, Any] | None:
        found = await told(target, stream, name)
        forgot = found and "does not know" in trouble and next(troubles, None) is not None
        return {**found, "num_ack_pending": 0} if forgot and found else found

    monkeypatch.setattr(positions, "_pull", pulled)
    monkeypatch.setattr(Target, "consumer", asked)

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        (consumer,) = stream.consumers
        await positions.plant(target, stream, consumer, await positions.read(source, "orders", consumer))
        assert next(troubles, None) is None, "there was no trouble"
        assert sorted(await delivered(target, "orders", consumer.name, 2)) == [7, 8]

    prepared(one, newest, work)


def test_a_durable_that_is_ahead_of_the_copy_waits_for_it(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 10)))

    async def work(_source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        with pytest.raises(UserError, match="has not come to message 11 yet"):
            await positions.plant(target, stream, consumer_of(stream), Position(11, frozenset()))

    run(read_some(one, 10, set()))
    prepared(one, newest, work)


def consumer_of(stream: StreamPlan) -> positions.ConsumerPlan:
    """The only consumer of a stream's plan."""
    (consumer,) = stream.consumers
    return consumer


def test_a_durable_goes_back_to_where_its_consumer_is(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 20)))
    run(read_some(one, 20, {18}))
    run(publish(one, "orders", numbered(21, 40)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        consumer = consumer_of(stream)
        await positions.plant(target, stream, consumer, await positions.read(source, "orders", consumer))
        assert sorted(await delivered(target, "orders", consumer.name, 6)) == [18, *range(21, 26)]
        await positions.back(source, target, stream, consumer)
        async with await Client.connect(one.urls, client_id="app") as client:
            durable = await client.subscribe("orders", durable="bills")
            assert [(await durable.next(10)).sequence for _ in range(15)] == list(range(26, 41))

    prepared(one, newest, work)


# --- producers ----------------------------------------------------------------------------------------------------


def test_producers_move_through_the_gate_and_numbers_go_on(one: Group, js: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 100)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        await publish(one, "orders", numbered(101, 110))
        result = await gate.cut_over(plan, plan.of("orders"), source, target)
        assert (result.messages, result.problem) == (110, "")
        answer = await target.connection.jetstream().publish("orders", b"native")
        assert answer.seq == 111
        with pytest.raises(ExceptionGroup) as raised:
            await Copier(plan, source, target).run()
        assert "is open to producers" in str(raised.value.exceptions[0])

    prepared(one, js, work)


def test_the_gate_stays_closed_while_somebody_publishes_to_the_group(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 10)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stop = asyncio.Event()

        async def keep_publishing() -> None:
            async with await Client.connect(one.urls, client_id="writer") as client:
                while not stop.is_set():
                    await client.publish("orders", b"more")
                    await asyncio.sleep(0.1)

        publishing = asyncio.create_task(keep_publishing())
        with pytest.raises(UserError, match="messages were published to the group within"):
            await gate.cut_over(plan, plan.of("orders"), source, target)
        assert not await gate.is_open(target, plan.of("orders"))
        stop.set()
        await publishing

    prepared(one, newest, work)


def test_the_gate_stays_closed_while_both_sides_differ(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 10)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        await target.api("STREAM.MSG.DELETE.orders", {"seq": 4, "no_erase": True})
        with pytest.raises(UserError, match="not opened: orders: DIFFERENT: message 4 is missing"):
            await gate.cut_over(plan, plan.of("orders"), source, target)
        assert not await gate.is_open(target, plan.of("orders"))

    prepared(one, newest, work)


def test_messages_of_jetstream_go_back_under_their_numbers_and_forward_again(one: Group, newest: JetStream) -> None:
    run(publish(one, "orders", numbered(1, 20)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        await gate.cut_over(plan, stream, source, target)
        for number in range(21, 41):
            await target.connection.jetstream().publish("orders", b"native %d" % number)
        assert await reverse.back(plan, stream, source, target, print) == 20
        assert not await gate.is_open(target, stream)
        there = [(message.sequence, message.data) async for message in source.messages("orders", 21, 40)]
        assert there == [(number, b"native %d" % number) for number in range(21, 41)]
        await publish(one, "orders", numbered(41, 45))
        assert (await gate.cut_over(plan, stream, source, target)).messages == 45
        assert [sequence for sequence, _, _ in await held(target, "orders")] == list(range(1, 46))

    prepared(one, newest, work)


def test_the_way_back_survives_a_takeover(group: Group, newest: JetStream) -> None:
    run(publish(group, "orders", numbered(1, 20)))

    async def work(source: LiveSource, target: Target, plan: Plan) -> None:
        stream = plan.of("orders")
        await gate.cut_over(plan, stream, source, target)
        for number in range(21, 421):
            await target.connection.jetstream().publish("orders", b"native %d" % number)
        going = asyncio.create_task(reverse.back(plan, stream, source, target, print))
        while (await source.channels())["orders"].last < 60:
            await asyncio.sleep(0.02)
        (await asyncio.to_thread(group.wait_active)).kill()
        await going
        there = [message.data async for message in source.messages("orders", 21, 420)]
        assert there == [b"native %d" % number for number in range(21, 421)]

    prepared(group, newest, work)
