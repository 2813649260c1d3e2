"""Channels copied to real JetStream servers under their own sequence numbers, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import run
from moving import Memory, equal, held, message, moved, numbered, planned

from harness.dev.exit_play import both, publish
from harness.loopback.jetstream import LINES, JetStream
from harness.loopback.server import MINIMAL, Group
from stanft.exit import record
from stanft.exit import source as source_side
from stanft.exit.copy import Copier, Progress
from stanft.exit.plan import Plan, StreamPlan
from stanft.exit.source import Channel, StoreSource
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.stan.protocol_pb2 import MsgProto
from stanft.store.channel import Message


@pytest.fixture(scope="module")
def js(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JetStream]:
    """The newest server; each test has streams of its own names."""
    with JetStream(tmp_path_factory.mktemp("js")) as server:
        yield server


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Group]:
    """A group of one server, with three channels' limits of its own."""
    limits = "store_limits { channels { few { max_msgs: 10 } } }"
    with Group(tmp_path / "one", size=1, config=MINIMAL.replace("store: file", f"store: file\n  {limits}")) as group:
        group.start()
        yield group


def only(name: str) -> Plan:
    """A plan of one channel whose stream has the same name."""
    return Plan("test-cluster", (StreamPlan(name, name),))


def test_messages_that_suddenly_become_large_do_not_fill_the_memory(
    one: Group, js: JetStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, take = 0, source_side._Window.take

    def watched(window: source_side._Window, wire: MsgProto) -> None:
        nonlocal largest
        take(window, wire)
        largest = max(largest, window._bytes)

    monkeypatch.setattr(source_side, "WINDOW_BYTES", 1 << 20)
    monkeypatch.setattr(source_side._Window, "take", watched)

    async def work() -> None:
        await publish(one, "orders", [*numbered(1, 3000), *numbered(3001, 3040, 500_000)])
        async with both(one, js) as (source, _):
            await source.channels()  # from which it knows that a message has 6.7 kB on the average
            found = []
            async for message in source.messages("orders", 2990, 3040):
                found.append(message.sequence)
                await asyncio.sleep(0.02)  # so that more comes than is taken
            assert found == list(range(2990, 3041))

    run(work())
    assert 2 << 20 < largest < 3 << 20


def test_what_was_on_its_way_when_a_copy_was_interrupted_is_no_other_copiers(monkeypatch: pytest.MonkeyPatch) -> None:
    copier = Copier(only("orders"), Memory(), None)  # type: ignore[arg-type] - nothing is asked of it
    looks, progress = iter((0, 5, 9, 11)), Progress("orders")

    async def look(*_: object) -> int:
        return next(looks)

    async def send_to_10(one: StreamPlan, *_: object) -> None:
        copier._sent(one, 10)

    monkeypatch.setattr(copier, "_ready", look)
    monkeypatch.setattr(copier, "_add", send_to_10)

    async def work() -> None:
        for _ in range(3):
            await copier._pass(copier.plan.of("orders"), Channel("orders", 20, 0, 1, 20), progress)
        with pytest.raises(UserError, match="another copier"):
            await copier._pass(copier.plan.of("orders"), Channel("orders", 20, 0, 1, 20), progress)

    run(work())


@pytest.mark.parametrize("line", LINES)
def test_every_message_keeps_number_time_and_content(line: str, one: Group, tmp_path: Path) -> None:
    async def work(target_of: JetStream) -> None:
        await publish(one, "orders.new", numbered(1, 1500))
        await publish(one, "bills", [b"", b"x" * 100_000, "Größe €".encode()])
        async with both(one, target_of) as (source, target):
            copied = await moved(source, target)
            assert sum(progress.copied for progress in copied) == 1503
            there = [message async for message in source.messages("orders.new", 1, 1500)]
            assert await held(target, "orders_new") == [
                (one.sequence, record.stamp(one.timestamp), one.data) for one in there
            ]
            assert [data for _, _, data in await held(target, "bills")] == [b"", b"x" * 100_000, "Größe €".encode()]
            assert [result.messages for result in await equal(source, target)] == [3, 1500]

    with JetStream(tmp_path / "js", line) as target_of:
        run(work(target_of))


def test_a_second_run_copies_nothing_and_a_later_one_what_is_new(one: Group, js: JetStream) -> None:
    async def work() -> None:
        await publish(one, "again", numbered(1, 20))
        async with both(one, js) as (source, target):
            assert (await moved(source, target))[0].copied == 20
            assert (await moved(source, target))[0].copied == 0
            await publish(one, "again", numbered(21, 25))
            assert (await moved(source, target))[0].copied == 5
            assert (await equal(source, target))[0].messages == 25

    run(work())


def test_a_channel_whose_front_has_expired_begins_with_the_number_it_has(one: Group, js: JetStream) -> None:
    async def work() -> None:
        await publish(one, "few", numbered(1, 100))
        async with both(one, js) as (source, target):
            await moved(source, target)
            assert [sequence for sequence, _, _ in await held(target, "few")] == list(range(91, 101))
            await publish(one, "few", numbered(101, 150))
            await moved(source, target)
            # What was copied before is gone from the source, and so are the messages between.
            assert [sequence for sequence, _, _ in await held(target, "few")] == list(range(141, 151))
            await equal(source, target)

    run(work())


def test_an_empty_channel_becomes_a_stream_that_begins_with_its_next_number(js: JetStream) -> None:
    async def work() -> None:
        target = await Target.connect(js.urls)
        empty = Memory(hollow=[])
        await Copier(only("hollow"), empty, target).run()
        empty.held["hollow"] = [message(1), message(2)]
        await Copier(only("hollow"), empty, target).run()
        assert [sequence for sequence, _, _ in await held(target, "hollow")] == [1, 2]
        await target.close()

    run(work())


def test_reply_subjects_are_kept_in_a_header(js: JetStream) -> None:
    async def work() -> None:
        target = await Target.connect(js.urls)
        await Copier(only("asked"), Memory(asked=[message(1, reply="answer.here")]), target).run()
        found = await target.get("asked", 1)
        assert found is not None
        assert found[0][record.REPLY] == "answer.here"
        await target.close()

    run(work())


def test_messages_keep_the_age_they_have_if_the_plan_says_so(js: JetStream) -> None:
    now = time.time_ns()
    messages = [Message(1, now - int(8.2e9), "", b"old"), Message(2, now, "", b"young")]

    async def work() -> None:
        target = await Target.connect(js.urls)
        plan = Plan("test-cluster", (StreamPlan("aged", "aged", max_age=10, keep_age=True),))
        await Copier(plan, Memory(aged=messages), target).run()
        assert len(await held(target, "aged")) == 2
        await asyncio.sleep(4)
        assert [data for _, _, data in await held(target, "aged")] == [b"young"]
        await target.close()

    run(work())


def test_a_store_on_disk_is_copied_without_any_server(one: Group, js: JetStream) -> None:
    async def work() -> None:
        target = await Target.connect(js.urls)
        source = StoreSource(one.store)
        await moved(source, target)
        assert (await equal(source, target))[0].messages == 300
        await target.close()

    run(publish(one, "offline", numbered(1, 300)))
    with pytest.raises(UserError, match="a server holds"):
        StoreSource(one.store)
    one[0].stop()
    run(work())


def test_a_copy_that_follows_takes_what_is_published_meanwhile(one: Group, js: JetStream) -> None:
    async def work() -> None:
        await publish(one, "flow", numbered(1, 50))
        async with both(one, js) as (source, target):
            copier, stop = Copier(await planned(source), source, target), asyncio.Event()
            following = asyncio.create_task(copier.run(follow=True, stop=stop))
            await publish(one, "flow", numbered(51, 500))
            while copier.progress["flow"].last < 500:
                await asyncio.sleep(0.05)
            stop.set()
            await following
            assert (await equal(source, target))[0].messages == 500

    run(work())


def test_large_messages_after_small_ones_do_not_flood_the_copier(one: Group, js: JetStream) -> None:
    async def work() -> None:
        await publish(one, "mixed", [*numbered(1, 400), *(bytes([n]) * 1_000_000 for n in range(60))])
        async with both(one, js) as (source, target):
            (progress,) = await moved(source, target)
            assert (progress.copied, progress.interruptions) == (460, 0)
            await equal(source, target)

    run(work())


def test_quiet_channels_cost_the_target_nothing_while_a_copy_follows(js: JetStream) -> None:
    names = [f"quiet{number}" for number in range(50)]

    async def work() -> None:
        target = await Target.connect(js.urls)
        source = Memory(**{name: [message(1)] for name in names})
        plan = Plan("test-cluster", tuple(StreamPlan(name, name) for name in names))
        copier, stop = Copier(plan, source, target), asyncio.Event()
        following = asyncio.create_task(copier.run(follow=True, stop=stop))
        while not copier.progress or not all(one.level for one in copier.progress.values()):
            await asyncio.sleep(0.05)
        asked = target.connection.stats["out_msgs"]
        await asyncio.sleep(1.5)
        assert target.connection.stats["out_msgs"] == asked
        source.held["quiet7"].append(message(2))
        while copier.progress["quiet7"].last < 2:
            await asyncio.sleep(0.05)
        stop.set()
        await following
        assert [sequence for sequence, _, _ in await held(target, "quiet7")] == [1, 2]
        await target.close()

    run(work())


# --- refused ------------------------------------------------------------------------------------------------------


def test_two_copiers_of_one_channel_do_not_store_anything_twice(js: JetStream) -> None:
    messages = [message(number) for number in range(1, 4001)]

    async def work() -> None:
        target, other = await Target.connect(js.urls), await Target.connect(js.urls)
        copiers = [Copier(only("twice"), Memory(twice=messages), one) for one in (target, other)]
        ends = await asyncio.gather(*(copier.run() for copier in copiers), return_exceptions=True)
        assert any(not isinstance(end, BaseException) for end in ends) or all(
            "another copier" in repr(end) for end in ends
        )
        await Copier(only("twice"), Memory(twice=messages), target).run()
        assert [sequence for sequence, _, _ in await held(target, "twice")] == list(range(1, 4001))
        await target.close()
        await other.close()

    run(work())


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([message(n) for n in range(1, 8)], "the source ends with message 7, and 10 was copied"),
        (
            [*(message(n) for n in range(1, 8)), *(message(n, b"another") for n in range(8, 15))],
            "message 10 is another one at the source",
        ),
    ],
)
def test_a_source_that_went_back_stops_the_copy(now: list[Message], said: str, js: JetStream) -> None:
    name = f"back{len(now)}"

    async def work() -> None:
        target = await Target.connect(js.urls)
        await Copier(only(name), Memory(**{name: [message(n) for n in range(1, 11)]}), target).run()
        with pytest.raises(ExceptionGroup) as raised:
            await Copier(only(name), Memory(**{name: now}), target).run()
        assert said in str(raised.value.exceptions[0])
        assert len(await held(target, name)) == 10
        await target.close()

    run(work())


def test_a_stream_that_is_somebody_elses_is_not_touched(js: JetStream) -> None:
    async def work() -> None:
        target = await Target.connect(js.urls)
        await target.create({"name": "theirs", "subjects": ["theirs.own"]})
        with pytest.raises(ExceptionGroup) as raised:
            await Copier(only("theirs"), Memory(theirs=[message(1)]), target).run()
        assert "that is not its copy" in str(raised.value.exceptions[0])
        await target.close()

    run(work())


def test_producers_find_nobody_until_the_stream_is_opened(js: JetStream) -> None:
    async def work() -> None:
        target = await Target.connect(js.urls)
        await Copier(only("closed"), Memory(closed=[message(1)]), target).run()
        await target.connection.publish("closed", b"early")
        await target.connection.flush()
        assert len(await held(target, "closed")) == 1
        await target.close()

    run(work())


def test_a_target_that_is_too_old_is_refused_by_name(js: JetStream) -> None:
    async def work() -> None:
        target = await Target.connect(js.urls)
        target.connection._server_info["version"] = "2.10.29"
        with pytest.raises(UserError, match=r"nats-server 2\.10\.29: 2\.11 is the oldest"):
            target.check_version()
        await target.close()

    run(work())


def test_a_target_without_jetstream_is_refused(one: Group) -> None:
    with pytest.raises(UserError, match=r"the target is nats-server 2\.9\.24"):
        run(Target.connect(one.urls))


def test_a_message_that_the_target_cannot_take_is_named(tmp_path: Path) -> None:
    async def work(js: JetStream) -> None:
        target = await Target.connect(js.urls)
        with pytest.raises(ExceptionGroup) as raised:
            await Copier(only("big"), Memory(big=[message(1), message(2, b"x" * 4000)]), target).run()
        assert "message 2 is 4" in str(raised.value.exceptions[0])
        assert "raise max_payload" in str(raised.value.exceptions[0])
        await target.close()

    with JetStream(tmp_path / "small", extra="max_payload: 4000") as js:
        run(work(js))


def test_a_full_target_stops_the_copy_with_what_it_needs_and_it_goes_on_after(tmp_path: Path) -> None:
    messages = [message(n, b"x" * 10_000) for n in range(1, 301)]
    js = JetStream(tmp_path / "full")
    config = js.servers[0].config
    roomy = config.read_text()

    async def work() -> None:
        target = await Target.connect(js.urls)
        with pytest.raises(ExceptionGroup) as raised:
            await Copier(only("full"), Memory(full=messages), target).run()
        assert "the target is full" in str(raised.value.exceptions[0])
        js.servers[0].stop()
        config.write_text(roomy)
        js.start()
        await Copier(only("full"), Memory(full=messages), target).run()
        assert len(await held(target, "full")) == 300
        await target.close()

    config.write_text(roomy.replace("jetstream {", "jetstream { max_file: 1MB,"))
    with js:
        run(work())
