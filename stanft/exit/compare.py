"""Compares every message of a channel with its copy: digests per 1,000 sequences, and the first that differs by name.

Nothing of what the copier knew is used: both sides are read again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from stanft.exit import record
from stanft.exit.plan import Plan, StreamPlan
from stanft.exit.source import Source, existing
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.store.channel import Message

BLOCK = 1000  # sequences that share a digest
AT_ONCE = 4  # channels
AHEAD = 500  # messages of the copy that are asked for at once


@dataclass
class Compared:
    """What the comparison of one channel found; problem is empty if both sides are equal up to last."""

    channel: str
    stream: str
    first: int = 0
    last: int = 0
    messages: int = 0
    behind: int = 0  # messages that the source has after last, not copied yet
    earlier: int = 0  # messages that the stream still has and the source dropped from its front
    problem: str = ""
    digests: list[tuple[int, str]] = field(default_factory=list)  # first sequence of each block, and its digest

    def line(self) -> str:
        """For people."""
        if self.problem:
            return f"{self.channel}: DIFFERENT: {self.problem}"
        more = f", {self.behind} not copied yet" if self.behind else ""
        more += f", {self.earlier} before them are gone from the source" if self.earlier else ""
        if not self.messages:
            return f"{self.channel}: equal, no messages (last sequence {self.last}){more}"
        return f"{self.channel}: equal, {self.messages} messages, {self.first} to {self.last}{more}"


async def compare(plan: Plan, source: Source, target: Target) -> list[Compared]:
    """Compare everything in a plan, up to where each stream is when its turn comes. Raises UserError, StanError."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def turn(one: StreamPlan) -> Compared:
        async with turns:
            return await channel(one, source, target)

    return list(await asyncio.gather(*(turn(one) for one in plan.streams)))


async def channel(one: StreamPlan, source: Source, target: Target) -> Compared:
    """Compare one channel."""
    done = Compared(one.channel, one.stream)
    # The copy first: what the source has gained meanwhile is behind, not missing.
    copy = await target.stream(one.stream)
    held = await source.channel(one.channel)
    if copy is None or held is None:
        done.problem = (
            f"there is no stream {one.stream}" if copy is None else "the source has no such channel (any more)"
        )
        return done
    state = copy["state"]
    done.last, begin = int(state["last_seq"]), int(state["first_seq"])
    done.behind = max(held.last - done.last, 0)
    if done.last > held.last:
        done.problem = f"the stream ends with {done.last} and the channel with {held.last}: more than the source has"
        return done
    done.earlier = max(min(held.first, done.last + 1) - begin, 0) if state["messages"] else 0
    pair = _Pair(one, source, target)
    if held.first <= done.last:
        await _messages(done, pair, held.first)
    return done


@dataclass
class _Pair:
    """A channel and its copy."""

    one: StreamPlan
    source: Source
    target: Target

    async def excused(self, ours: int | None, copy: int | None) -> str:
        """Which side may skip its message, "" if neither: what expires while this reads is no difference.

        A stream without limits drops nothing by itself.
        """
        if copy is not None and (ours is None or copy < ours):
            return "copy" if copy < (await existing(self.source, self.one.channel)).first else ""
        limited = self.one.max_messages or self.one.max_bytes or self.one.max_age
        if ours is not None and limited:
            found = await self.target.stream(self.one.stream)
            return "ours" if found and ours < int(found["state"]["first_seq"]) else ""
        return ""


async def _messages(done: Compared, pair: _Pair, first: int) -> None:
    left = pair.source.messages(done.channel, first, done.last)
    right = _copies(pair.target, done.stream, first, done.last)
    digest, block, begin = hashlib.sha256(), -1, 0
    ours, copy = await anext(left, None), await anext(right, None)
    while ours is not None or copy is not None:
        if ours is None or copy is None or ours.sequence != copy[0]:
            numbers = ours.sequence if ours else None, copy[0] if copy else None
            match await pair.excused(*numbers):
                case "copy":
                    copy = await anext(right, None)
                case "ours":
                    ours = await anext(left, None)
                case _:
                    done.problem = _missing(*numbers)
                    return
            continue
        if not record.same(ours, copy[1], copy[2]):
            done.problem = f"message {ours.sequence} differs: {_how(ours, copy)}"
            return
        if ours.sequence // BLOCK != block:
            if done.messages:
                done.digests.append((begin, digest.hexdigest()))
            digest, block, begin = hashlib.sha256(), ours.sequence // BLOCK, ours.sequence
        digest.update(record.fingerprint(ours))
        done.first = done.first or ours.sequence
        done.messages += 1
        ours, copy = await anext(left, None), await anext(right, None)
    if done.messages:
        done.digests.append((begin, digest.hexdigest()))


def _missing(ours: int | None, copy: int | None) -> str:
    if ours is not None and (copy is None or ours < copy):
        return f"message {ours} is missing in the stream"
    return f"message {copy} is in the stream and not at the source"


def _how(ours: Message, copy: tuple[int, dict[str, str], bytes]) -> str:
    _, headers, data = copy
    if data != ours.data:
        place = next((n for n, (a, b) in enumerate(zip(ours.data, data, strict=False)) if a != b), None)
        if place is None:
            return f"its content has {len(data)} bytes, at the source {len(ours.data)}"
        return f"its content differs from byte {place} on"
    if headers.get(record.TIMESTAMP, "") != record.stamp(ours.timestamp):
        return f"its header {record.TIMESTAMP} is {headers.get(record.TIMESTAMP)!r}"
    return f"its header {record.REPLY} is {headers.get(record.REPLY)!r}, at the source {ours.reply!r}"


async def _copies(
    target: Target, stream: str, first: int, end: int
) -> AsyncIterator[tuple[int, dict[str, str], bytes]]:
    """The messages of a stream in order; the next ones are on their way while those before are compared."""
    expected, ahead = first, asyncio.create_task(target.read(stream, first, AHEAD))
    try:
        while expected <= end:
            found = await ahead
            if not found:
                return
            # Of a batch some may be lost on the way; a message that is really missing is missing again.
            whole = next((n for n in range(1, len(found)) if found[n][0] != found[n - 1][0] + 1), len(found))
            expected = found[whole - 1][0] + 1
            if expected <= end:
                ahead = asyncio.create_task(target.read(stream, expected, AHEAD))
            for one in found[:whole]:
                if one[0] > end:
                    return
                yield one
    finally:
        ahead.cancel()


def check(results: list[Compared]) -> int:
    """The exit code: 0 all equal and nothing behind, 1 otherwise. Raises UserError when nothing was compared."""
    if not results:
        raise UserError("the plan names no channel: there is nothing to compare.")
    return 1 if any(one.problem or one.behind for one in results) else 0
