"""A whole move under load, with an active and a leader that die: what was acknowledged reaches the application."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import nats.errors
import pytest
from loopback import run
from moving import planned

from harness.dev.exit_play import both
from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.exit import gate, positions
from stanft.exit.copy import Copier
from stanft.exit.target import Target
from stanft.stan.client import Client
from stanft.stan.errors import StanError
from stanft.stan.options import Start

PRODUCERS = 3
LIMIT = 150.0  # seconds for everything


class Producers:
    """They publish to the group, numbered by producer, and note what was acknowledged; later to JetStream."""

    def __init__(self) -> None:
        self.acknowledged: set[bytes] = set()
        self.stop = asyncio.Event()
        self._count = Counter[int]()

    def _content(self, number: int) -> bytes:
        self._count[number] += 1
        return b"%d-%d" % (number, self._count[number])

    async def at_the_group(self, group: Group, number: int) -> None:
        async with await Client.connect(group.urls, client_id=f"producer-{number}") as client:
            while not self.stop.is_set():
                content = self._content(number)
                try:
                    await client.publish("orders", content, timeout=2)
                except StanError:
                    await asyncio.sleep(0.02)
                    continue  # unknown or not stored: it may be delivered, and need not
                self.acknowledged.add(content)
                await asyncio.sleep(0.002)

    async def at_jetstream(self, target: Target, number: int, count: int) -> None:
        for _ in range(count):
            content = self._content(number)
            await target.connection.jetstream().publish("orders", content)
            self.acknowledged.add(content)


async def at_the_group(group: Group, handled: Counter[bytes], stop: asyncio.Event) -> None:
    """The application before its move: a durable that handles and acknowledges all but every 50th message."""
    async with await Client.connect(group.urls, client_id="app") as client:
        durable = await client.subscribe(
            "orders", durable="bills", start=Start.first(), manual_acks=True, max_in_flight=4000, ack_wait=60
        )
        while not stop.is_set():
            try:
                message = await durable.next(0.5)
            except TimeoutError:
                continue
            if message.sequence % 50:
                handled[message.data] += 1
                await message.ack()
        await asyncio.sleep(0.3)  # the server takes the last acknowledgements
        await durable.close()


async def at_jetstream(target: Target, handled: Counter[bytes], wanted: set[bytes]) -> None:
    """The application after its move, until it has seen everything that is wanted."""
    subscription = await target.connection.jetstream().pull_subscribe_bind(durable="app-bills", stream="orders")
    while wanted - handled.keys():
        try:
            batch = await subscription.fetch(100, timeout=5)
        except (nats.errors.TimeoutError, TimeoutError):
            continue
        for message in batch:
            handled[message.data] += 1
            await message.ack()


@pytest.mark.timeout(300)
def test_nothing_that_was_acknowledged_is_lost_and_nothing_handled_comes_twice(group: Group, tmp_path: Path) -> None:
    producers, handled = Producers(), Counter[bytes]()

    async def work(js: JetStream) -> None:
        producing = [asyncio.create_task(producers.at_the_group(group, number)) for number in range(PRODUCERS)]
        stopped = asyncio.Event()
        application = asyncio.create_task(at_the_group(group, handled, stopped))
        await asyncio.sleep(1)
        async with both(group, js) as (source, target):
            copier, enough = Copier(await planned(source, replicas=3), source, target), asyncio.Event()
            following = asyncio.create_task(copier.run(follow=True, stop=enough))
            await asyncio.sleep(1)
            (await asyncio.to_thread(group.wait_active)).kill()
            await asyncio.sleep(4)
            (await asyncio.to_thread(js.leader, "orders")).kill()

            # Consumers first: the application goes on at JetStream while producers are still at the group.
            stopped.set()
            await application
            stream = copier.plan.of("orders")
            (consumer,) = stream.consumers
            position = await positions.read(source, "orders", consumer)
            assert position.pending
            while copier.progress["orders"].last < position.last_sent:
                await asyncio.sleep(0.1)
            await positions.plant(target, stream, consumer, position)
            moved = asyncio.create_task(at_jetstream(target, handled, producers.acknowledged))
            await asyncio.sleep(1)

            # Producers last.
            producers.stop.set()
            await asyncio.gather(*producing)
            enough.set()
            await following
            await gate.cut_over(copier.plan, stream, source, target)
            await asyncio.gather(*(producers.at_jetstream(target, number, 50) for number in range(PRODUCERS)))
            await moved
            if producers.acknowledged - handled.keys():
                await at_jetstream(target, handled, producers.acknowledged)

    with JetStream(tmp_path / "js", size=3) as js:
        run(work(js), LIMIT)
    assert len(producers.acknowledged) > 500
    assert producers.acknowledged - handled.keys() == set()
    # A killed active may have forgotten acknowledgements of its last moment; the move itself repeats nothing.
    twice = [content for content, count in handled.items() if count > 1]
    assert len(twice) <= 64, f"{len(twice)} of {len(handled)} messages were handled twice"
