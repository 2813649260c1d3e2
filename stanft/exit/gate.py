"""The gate: until it is opened a stream takes messages from the copier alone; first the group must be still."""

from __future__ import annotations

import asyncio

from stanft.exit import compare
from stanft.exit.copy import Copier
from stanft.exit.plan import Plan, StreamPlan
from stanft.exit.source import LiveSource, Source, existing
from stanft.exit.target import Target, private
from stanft.ground.errors import UserError

STILL = 2.0  # seconds in which nothing may be published any more


async def is_open(target: Target, one: StreamPlan) -> bool:
    """Whether producers can write to the stream."""
    found = await target.stream(one.stream)
    if found is None:
        raise UserError(f"{one.channel}: there is no stream {one.stream}: copy first.")
    return bool(found["config"].get("subjects") == [one.channel])


async def open_(target: Target, one: StreamPlan) -> None:
    """Let producers write, in one change: from then on the copier finds nobody."""
    await target.change(one.stream, subjects=[one.channel], subject_transform=None)


async def close(target: Target, plan: Plan, one: StreamPlan) -> None:
    """Let nobody but the copier write."""
    subject = private(plan.cluster_id, one.stream)
    await target.change(one.stream, subjects=[subject], subject_transform={"src": subject, "dest": one.channel})


async def still(source: Source, channel: str) -> int:
    """The last sequence of a channel to which nobody publishes. Raises UserError if somebody does."""
    before = (await existing(source, channel)).last
    await asyncio.sleep(STILL)
    now = (await existing(source, channel)).last
    if now != before:
        raise UserError(
            f"{channel}: {now - before} messages were published to the group within {STILL:.0f} s: stop its producers, "
            f"or deny them to publish to _STAN.pub.*.{channel}, then try again."
        )
    return now


async def cut_over(plan: Plan, one: StreamPlan, source: LiveSource, target: Target) -> compare.Compared:
    """Bring in the tail, compare everything, and open the stream to producers.

    Nothing is opened unless the group is still and both sides are equal. Raises UserError, StanError.
    """
    last = await still(source, one.channel)
    await Copier(Plan(plan.cluster_id, (one,)), source, target).run()
    result = await compare.channel(one, source, target)
    if result.problem or result.behind:
        raise UserError(f"not opened: {result.line()}")
    if (now := (await existing(source, one.channel)).last) != last:
        raise UserError(
            f"{one.channel}: not opened: {now - last} messages came meanwhile: stop the producers, then again."
        )
    await open_(target, one)
    await asyncio.sleep(STILL / 2)
    late = (await existing(source, one.channel)).last - last
    if late:
        raise UserError(
            f"{one.channel}: the stream is open, and {late} messages came to the group after its end ({last}): a "
            "producer is left there. Stop it and publish these to JetStream, or go back: stan-ft exit back producers."
        )
    return result
