"""Copies channels to streams: every message under its own number, from wherever the stream ends, as often as needed.

All state is in JetStream. What is there already is compared with the source by one message before anything is added.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stanft.exit import record
from stanft.exit.plan import Plan, StreamPlan, stream_config
from stanft.exit.source import Channel, Source
from stanft.exit.target import Target, is_copy, metadata, private
from stanft.exit.writer import WriteInterruptedError, Writer
from stanft.ground.errors import UserError
from stanft.stan.errors import StanError
from stanft.store.channel import Message

POLL = 0.5  # seconds between two looks at the source while following it
GIVE_UP = 300.0  # seconds without progress after which a copy that does not follow ends
AT_ONCE = 8  # channels copied at the same time


@dataclass
class Progress:
    """How far one channel is; last and behind as of the last look."""

    channel: str
    copied: int = 0  # messages, in this run
    size: int = 0  # bytes of their contents
    last: int = 0  # the last sequence in the stream
    source_last: int = 0
    interruptions: int = 0
    note: str = ""
    level: bool = False  # whether a look at the stream has found it where the channel was

    @property
    def behind(self) -> int:
        """Messages that the source has and the stream has not."""
        return max(self.source_last - self.last, 0)


@dataclass
class Copier:
    """Copies what a plan names. rate is in messages per second over all channels, 0 for as fast as it goes."""

    plan: Plan
    source: Source
    target: Target
    rate: float = 0
    at_once: int = AT_ONCE
    say: Callable[[str], None] = lambda _line: None
    progress: dict[str, Progress] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.at_once)
        self._due = time.monotonic()
        self._highest: dict[str, int] = {}  # the last sequence that we sent to each stream

    async def run(self, *, follow: bool = False, stop: asyncio.Event | None = None) -> list[Progress]:
        """Copy until both sides are equal, or with follow until stop is set. Raises UserError."""
        stop = stop or asyncio.Event()
        self.progress = {one.channel: Progress(one.channel) for one in self.plan.streams}
        moved = time.monotonic()
        while True:
            channels = await self.source.channels()
            before = sum(one.copied for one in self.progress.values())
            async with asyncio.TaskGroup() as group:
                for one in self.plan.streams:
                    group.create_task(self._turn(one, channels.get(one.channel)))
            if sum(one.copied for one in self.progress.values()) > before:
                moved = time.monotonic()
            done = all(one.behind == 0 for one in self.progress.values())
            if stop.is_set() or (done and not follow):
                return list(self.progress.values())
            if not follow and time.monotonic() - moved > GIVE_UP:
                waiting = next(one for one in self.progress.values() if one.behind)
                raise UserError(f"{waiting.channel}: no progress for {GIVE_UP:.0f} s: {waiting.note}.")
            if done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL)

    async def _turn(self, one: StreamPlan, channel: Channel | None) -> None:
        async with self._turns:
            progress = self.progress[one.channel]
            if channel is None:
                if not progress.note:
                    self.say(f"{one.channel}: is not at the source (any more); its stream stays as it is")
                progress.note, progress.source_last = "not at the source", progress.last
                return
            if progress.level and channel.last == progress.last:
                return  # nothing is asked of JetStream for a thousand channels that are quiet
            try:
                progress.level = False
                await self._pass(one, channel, progress)
                progress.level = progress.last == channel.last
            except (WriteInterruptedError, StanError) as error:
                progress.interruptions += 1
                if progress.note != str(error):
                    self.say(f"{one.channel}: interrupted ({error}); goes on from what is stored")
                progress.note = str(error)
                await asyncio.sleep(min(0.1 * 2 ** min(progress.interruptions, 5), 2))

    async def _pass(self, one: StreamPlan, channel: Channel, progress: Progress) -> None:
        """Bring one stream to where the channel is now."""
        last = await self._ready(one, channel)
        if last > self._highest.setdefault(one.stream, last):
            raise UserError(f"{one.channel}: another copier writes to {one.stream}: let only one run.")
        progress.last, progress.source_last = last, channel.last
        if channel.last < last:
            raise UserError(
                f"{one.channel}: the source ends with message {channel.last}, and {last} was copied: the source went "
                "back (a restored backup, or messages lost with a node). Nothing was changed; compare both sides, and "
                f"delete the stream {one.stream} to copy again."
            )
        if channel.last == last:
            return
        if channel.first > last + 1:
            self.say(
                f"{one.channel}: {last + 1} to {channel.first - 1} are gone from the source; the stream starts after"
            )
            await self.target.purge_before(one.stream, channel.first)
            last = channel.first - 1
            self._sent(one, last)
        await self._add(one, channel, last, progress)
        progress.note = ""

    async def _ready(self, one: StreamPlan, channel: Channel) -> int:
        """The last sequence of the stream, which is made if it is not there. Raises UserError if it is not ours."""
        found = await self.target.stream(one.stream)
        if found is None:
            first = channel.first if channel.messages else channel.last + 1
            marks = metadata(self.plan.cluster_id, one.channel)
            await self.target.create(stream_config(self.plan, one, max(first, 1), marks))
            return max(first, 1) - 1
        config = found["config"]
        if not is_copy(config, self.plan.cluster_id, one.channel):
            raise UserError(f"{one.channel}: the target has a stream {one.stream} that is not its copy: rename one.")
        if config.get("subjects") != [private(self.plan.cluster_id, one.stream)]:
            raise UserError(
                f"{one.channel}: {one.stream} is open to producers: it was cut over, nothing is copied to it."
            )
        return int(found["state"]["last_seq"])

    async def _add(self, one: StreamPlan, channel: Channel, last: int, progress: Progress) -> None:
        """Copy what comes after last; the message last itself is read too, and must be the one that was copied."""
        start = last if last >= channel.first else last + 1
        subject = private(self.plan.cluster_id, one.stream)
        expected = last + 1
        try:
            async with (
                contextlib.aclosing(self.source.messages(one.channel, start, channel.last)) as messages,
                Writer(self.target, one.stream, subject) as writer,
            ):
                async for message in messages:
                    if message.sequence == last:
                        await self._compare(one, message)
                        continue
                    if message.sequence != expected:
                        # What expired while it was copied: the stream then begins where the source does.
                        await writer.finish()
                        await self.target.purge_before(one.stream, message.sequence)
                        self._sent(one, message.sequence - 1)
                    if self.rate:
                        await self._pace()
                    self._sent(one, message.sequence)
                    await writer.put(message, ttl=_ttl(one, message), final=message.sequence == channel.last)
                    expected = message.sequence + 1
                    progress.copied += 1
                    progress.size += len(message.data)
                    progress.last = message.sequence
                await writer.finish()
        finally:
            # An interrupted copy has sent more than is stored; the stream tells at the next look.
            progress.last = min(progress.last, expected - 1)

    def _sent(self, one: StreamPlan, sequence: int) -> None:
        # It never goes back: what was on its way when a copy was interrupted may be stored after the next look.
        self._highest[one.stream] = max(self._highest[one.stream], sequence)

    async def _compare(self, one: StreamPlan, message: Message) -> None:
        copy = await self.target.get(one.stream, message.sequence)
        if copy is None:
            return  # a limit of the stream dropped it
        if not record.same(message, *copy):
            raise UserError(
                f"{one.channel}: message {message.sequence} is another one at the source than in {one.stream}: the "
                "source went back and gave its numbers again (a restored backup, or messages lost with a node). "
                f"Nothing was changed; compare both sides, and delete the stream {one.stream} to copy again."
            )

    async def _pace(self) -> None:
        self._due = max(self._due + 1 / self.rate, time.monotonic() - 0.1)
        if (ahead := self._due - time.monotonic()) > 0.01:
            await asyncio.sleep(ahead)


def _ttl(one: StreamPlan, message: Message) -> int:
    """Whole seconds that a message has left to live, 0 if it keeps no age."""
    if not one.keep_age or not one.max_age:
        return 0
    return max(1, math.ceil(one.max_age - (time.time() - message.timestamp / 1e9)))
