"""The comparison of a channel with its copy is red for every way in which they can differ, and says where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from loopback import run
from moving import Memory, message

from harness.loopback.jetstream import JetStream
from stanft.exit import compare
from stanft.exit.copy import Copier
from stanft.exit.plan import Plan, StreamPlan
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.store.channel import Message

COUNT = 2500
Change = Callable[[list[Message]], list[Message]]


@pytest.fixture(scope="module")
def js(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JetStream]:
    """The newest server; each test has a stream of its own name."""
    with JetStream(tmp_path_factory.mktemp("js")) as server:
        yield server


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A channel of this test's own."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def whole() -> list[Message]:
    """What the source has."""
    return [message(number, reply="to.me" if number == 7 else "") for number in range(1, COUNT + 1)]


def changed(number: int, **fields: object) -> Change:
    """One message with other fields."""

    def change(messages: list[Message]) -> list[Message]:
        return [replace(one, **fields) if one.sequence == number else one for one in messages]  # type: ignore[arg-type]

    return change


def swapped(messages: list[Message]) -> list[Message]:
    """Two neighbours with each other's content and time."""
    first, second = messages[1499], messages[1500]
    made = list(messages)
    made[1499] = replace(second, sequence=first.sequence)
    made[1500] = replace(first, sequence=second.sequence)
    return made


async def compared(js: JetStream, name: str, source: list[Message], copy: list[Message]) -> compare.Compared:
    """Copy one list, and compare with the other."""
    target = await Target.connect(js.urls)
    plan = Plan("test-cluster", (StreamPlan(name, name),))
    await Copier(plan, Memory(**{name: copy}), target).run()
    (result,) = await compare.compare(plan, Memory(**{name: source}), target)
    await target.close()
    return result


def test_equal_sides_give_equal_digests_for_each_thousand(js: JetStream, name: str) -> None:
    result = run(compared(js, name, whole(), whole()))
    assert (result.problem, result.messages, result.first, result.last) == ("", COUNT, 1, COUNT)
    assert [first for first, _ in result.digests] == [1, 1000, 2000]
    assert len({digest for _, digest in result.digests}) == 3
    assert compare.check([result]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(changed(1234, data=b"content 1235"), "1234 differs: its content differs from byte 11", id="byte"),
        pytest.param(changed(1234, data=b"content 123"), "1234 differs: its content has 11 bytes", id="shorter"),
        pytest.param(changed(9, timestamp=9), "9 differs: its header Nats-Streaming-Timestamp", id="time"),
        pytest.param(changed(7, reply=""), "7 differs: its header Nats-Streaming-Reply is None", id="reply"),
        pytest.param(changed(8, reply="to.me"), "8 differs: its header Nats-Streaming-Reply is 'to.me'", id="more"),
        pytest.param(swapped, "1500 differs", id="swapped"),
    ],
)
def test_one_difference_is_named(change: Change, said: str, js: JetStream, name: str) -> None:
    result = run(compared(js, name, whole(), change(whole())))
    assert f"message {said}" in result.problem
    assert compare.check([result]) == 1


@pytest.mark.parametrize("number", [1, 1700, COUNT])
def test_a_message_that_was_dropped_from_the_stream_is_named(number: int, js: JetStream, name: str) -> None:
    async def work() -> compare.Compared:
        target = await Target.connect(js.urls)
        plan = Plan("test-cluster", (StreamPlan(name, name),))
        await Copier(plan, Memory(**{name: whole()}), target).run()
        await target.api(f"STREAM.MSG.DELETE.{name}", {"seq": number, "no_erase": True})
        (result,) = await compare.compare(plan, Memory(**{name: whole()}), target)
        await target.close()
        return result

    assert run(work()).problem == f"message {number} is missing in the stream"


def test_a_message_that_the_source_never_had_is_named(js: JetStream, name: str) -> None:
    result = run(compared(js, name, whole()[:-1], whole()))
    assert "the stream ends with 2500 and the channel with 2499" in result.problem


def test_a_message_that_the_source_has_not_in_the_middle_is_named(js: JetStream, name: str) -> None:
    source = [one for one in whole() if one.sequence != 1300]
    assert run(compared(js, name, source, whole())).problem == "message 1300 is in the stream and not at the source"


def test_what_is_not_copied_yet_is_counted_and_not_equal(js: JetStream, name: str) -> None:
    result = run(compared(js, name, whole(), whole()[:-100]))
    assert (result.problem, result.behind, result.messages) == ("", 100, COUNT - 100)
    assert compare.check([result]) == 1


def test_what_the_source_has_dropped_meanwhile_is_no_difference(js: JetStream, name: str) -> None:
    result = run(compared(js, name, whole()[40:], whole()))
    assert (result.problem, result.first, result.messages, result.earlier) == ("", 41, COUNT - 40, 40)


def test_what_a_limit_of_the_stream_has_dropped_is_no_difference(js: JetStream, name: str) -> None:
    async def work() -> compare.Compared:
        target = await Target.connect(js.urls)
        plan = Plan("test-cluster", (StreamPlan(name, name, max_messages=1000),))
        await Copier(plan, Memory(**{name: whole()}), target).run()
        (result,) = await compare.compare(plan, Memory(**{name: whole()}), target)
        await target.close()
        return result

    result = run(work())
    assert (result.problem, result.first, result.messages) == ("", COUNT - 999, 1000)


def test_a_stream_that_is_not_there_is_named(js: JetStream) -> None:
    async def work() -> compare.Compared:
        target = await Target.connect(js.urls)
        plan = Plan("test-cluster", (StreamPlan("nowhere", "nowhere"),))
        (result,) = await compare.compare(plan, Memory(nowhere=whole()), target)
        await target.close()
        return result

    assert run(work()).problem == "there is no stream nowhere"


def test_nothing_compared_is_no_success() -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        compare.check([])


def test_it_can_run_while_the_copy_runs(js: JetStream, name: str) -> None:
    async def work() -> list[compare.Compared]:
        target = await Target.connect(js.urls)
        plan = Plan("test-cluster", (StreamPlan(name, name),))
        source = Memory(**{name: whole() + [message(n) for n in range(COUNT + 1, 8001)]})
        copying = asyncio.create_task(Copier(plan, source, target).run())
        results = []
        while not copying.done():
            await asyncio.sleep(0.05)
            if await target.stream(name):
                results += await compare.compare(plan, source, target)
        await copying
        results += await compare.compare(plan, source, target)
        await target.close()
        return results

    results = run(work())
    assert [one.problem for one in results if one.problem] == []
    assert (results[-1].messages, results[-1].behind) == (8000, 0)
