"""The way back for messages: what was published to JetStream goes to the channel, under the number that it has there.

A channel has no expected sequence and its answers no number. So one message is on its way at a time, and after any
doubt the group is asked how far it came before anything is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stanft.exit import gate
from stanft.exit.plan import Plan, StreamPlan
from stanft.exit.source import Channel, LiveSource, existing
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.stan.errors import NoActiveError, StanError

OVERLAP = 200  # messages at the end of the channel that must be the same on both sides
SETTLE = 3.0  # seconds after which a message without an answer has been stored, or never will be


async def copy_back(one: StreamPlan, source: LiveSource, target: Target, say: Callable[[str], None]) -> int:
    """Publish to the channel what its stream has more; gives how many. Raises UserError, StanError.

    Nobody else may publish to the channel meanwhile.
    """
    channel = await existing(source, one.channel)
    last = channel.last
    await _same_end(one, source, target, channel)
    copied = 0
    while batch := await target.read(one.stream, last + 1, 500):
        for sequence, _, data in batch:
            if sequence != last + 1:
                raise UserError(
                    f"{one.channel}: message {last + 1} is gone from {one.stream}: the numbers cannot be kept any more."
                )
            await _publish(one.channel, data, last, source, say)
            last = sequence
            copied += 1
    found = (await existing(source, one.channel)).last
    if found != last:
        raise UserError(
            f"{one.channel}: the group ends with {found} and not with {last}: somebody else publishes to it; stop "
            "that, and compare both sides."
        )
    return copied


async def _same_end(one: StreamPlan, source: LiveSource, target: Target, channel: Channel) -> None:
    """Raises UserError if both sides took messages of their own under the same numbers."""
    start = max(channel.last - OVERLAP, channel.first)
    copies = {sequence: data for sequence, _, data in await target.read(one.stream, start, OVERLAP + 1)}
    async for message in source.messages(one.channel, start, channel.last):
        if copies.get(message.sequence, message.data) != message.data:
            raise UserError(
                f"{one.channel}: message {message.sequence} is another one at the group than in {one.stream}: both "
                "took messages after the cut-over. Nothing was changed; publish one side's by hand."
            )


async def _publish(channel: str, data: bytes, last: int, source: LiveSource, say: Callable[[str], None]) -> None:
    while True:
        try:
            await (await source.client()).publish(channel, data, timeout=5)
            return
        except NoActiveError:
            await asyncio.sleep(0.2)
        except StanError as error:
            say(f"{channel}: no answer for message {last + 1} ({error}); looking whether it is there")
            await asyncio.sleep(SETTLE)
            if (await existing(source, channel)).last > last:
                return


async def back(plan: Plan, one: StreamPlan, source: LiveSource, target: Target, say: Callable[[str], None]) -> int:
    """Close the stream to producers and bring the channel to where it is; gives how many messages went back."""
    if await gate.is_open(target, one):
        await gate.close(target, plan, one)
    await gate.still(source, one.channel)
    return await copy_back(one, source, target, say)
