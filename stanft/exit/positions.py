"""The positions of durables: read without changing them, and planted in JetStream to the message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from stanft.exit.plan import ConsumerPlan, StreamPlan
from stanft.exit.source import ACK_WAIT, CLIENT_ID, Durable, LiveSource, StoreSource, durables_of
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.stan.client import Client
from stanft.stan.errors import StanError
from stanft.stan.options import Start
from stanft.stan.subscription import Message

PLANTED = "stan-ft-planted"  # in a consumer's metadata: "no" until it is done
PROBE = 20.0  # seconds for which unacknowledged messages are waited for
BATCH = 500
BEHIND = 5.0  # seconds for a server that has just become a leader to have what it is to deliver
TRIES = 3  # of planting one consumer
_NS = 1_000_000_000


@dataclass(frozen=True)
class Position:
    """What a durable was sent up to, and which of that it has not acknowledged."""

    last_sent: int
    pending: frozenset[int]

    def line(self) -> str:
        """For people."""
        return f"sent up to {self.last_sent}, {len(self.pending)} not acknowledged"


async def find(source: LiveSource | StoreSource, channel: str, consumer: ConsumerPlan) -> Durable:
    """The durable as it is now. Raises UserError if there is none."""
    if isinstance(source, LiveSource):
        found, _ = durables_of(await source.monitor.one(channel))
    else:
        found = [one for one in (await source.inventory()).durables if one.channel == channel]
    for one in found:
        if consumer.of(one):
            return one
    raise UserError(f"{channel}: the source has no durable {consumer.label} (any more).")


async def read(source: LiveSource | StoreSource, channel: str, consumer: ConsumerPlan) -> Position:
    """The exact position of a durable that no client has open; it is the same afterwards.

    A running group tells only how many messages are not acknowledged. Which ones is seen by opening the durable with
    room for one message: the server sends again all that are open, and nothing new. None is acknowledged.
    Raises UserError while a client has it open, or when it cannot be read whole.
    """
    durable = await find(source, channel, consumer)
    if durable.online:
        raise UserError(
            f"{channel}: {durable.label} is open: stop its application (all members of a group), then again."
        )
    if isinstance(source, StoreSource):
        for one in source.store.channels:
            for held in one.durables:
                if one.name == channel and (held.client_id, held.name, held.group) == (
                    durable.client_id,
                    durable.name,
                    durable.group,
                ):
                    return Position(held.last_sent, held.pending)
    if not durable.pending:
        return Position(durable.last_sent, frozenset())
    assert isinstance(source, LiveSource)
    seen = await _probe(source, durable)
    after = await find(source, channel, consumer)
    if after.last_sent != durable.last_sent or after.pending != len(seen):
        raise UserError(
            f"{channel}: {durable.label} has {after.pending} messages not acknowledged up to {after.last_sent}, and "
            f"{len(seen)} of them came: try again, or read the store of the stopped group with --store."
        )
    return Position(durable.last_sent, frozenset(seen))


async def _probe(source: LiveSource, durable: Durable) -> set[int]:
    seen: set[int] = set()
    news = asyncio.Event()

    def take(message: Message) -> None:
        if message.sequence <= durable.last_sent:
            seen.add(message.sequence)
            news.set()

    client = await Client.connect(
        source.servers,
        client_id=durable.client_id or f"{CLIENT_ID}-probe",
        cluster_id=source.cluster_id,
        options=source.options,
    )
    async with client:
        subscription = await client.subscribe(
            durable.channel,
            take,
            queue=durable.group,
            durable=durable.name,
            start=Start.new(),
            manual_acks=True,
            ack_wait=ACK_WAIT,
            max_in_flight=1,
        )
        deadline = time.monotonic() + PROBE
        with contextlib.suppress(TimeoutError):
            while len(seen) < durable.pending:
                news.clear()
                async with asyncio.timeout(max(deadline - time.monotonic(), 0.01)):
                    await news.wait()
        await subscription.close()
    return seen


async def plant(target: Target, stream: StreamPlan, consumer: ConsumerPlan, position: Position) -> dict[str, Any]:
    """Make the consumer that goes on exactly where the durable was; gives what JetStream says of it.

    The tool takes what the durable was sent, acknowledges what it had acknowledged, and gives the rest back.
    Interrupted, it is made anew by the next try. Raises UserError if it cannot be.
    """
    found = await target.stream(stream.stream)
    if found is None or int(found["state"]["last_seq"]) < position.last_sent:
        raise UserError(f"{stream.channel}: the copy has not come to message {position.last_sent} yet: copy first.")
    there = await target.consumer(stream.stream, consumer.name)
    if there is not None:
        state = (there["config"].get("metadata") or {}).get(PLANTED)
        if state == "yes":
            raise UserError(f"{stream.channel}: the consumer {consumer.name} is there already: it was moved before.")
        if state != "no":
            raise UserError(f"{stream.channel}: a consumer {consumer.name} that is not ours is there: rename one.")
        await target.delete_consumer(stream.stream, consumer.name)
    first = int(found["state"]["first_seq"])
    pending = sorted(one for one in position.pending if one >= first)
    config: dict[str, Any] = {
        "name": consumer.name,
        "durable_name": consumer.name,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": max(pending[0] if pending else position.last_sent + 1, 1),
        "ack_policy": "explicit",
        "ack_wait": ACK_WAIT * _NS,
        "max_ack_pending": -1,
        "max_deliver": -1,
        "metadata": {PLANTED: "no"},
    }
    for _ in range(TRIES):
        await target.set_consumer(stream.stream, config, "create")
        given: set[int] = set()
        if pending:
            given = await _pre_acknowledge(target, stream.stream, consumer.name, set(pending), position.last_sent)
        there = await target.consumer(stream.stream, consumer.name)
        if given.issuperset(pending) and there is not None and int(there["num_ack_pending"]) == len(given):
            break
        # A leader that was lost meanwhile: the next one may not know what the consumer had been given.
        await target.delete_consumer(stream.stream, consumer.name)
    else:
        raise UserError(
            f"{stream.channel}: JetStream does not keep {len(pending)} messages for {consumer.name} to be given again: "
            "see that all its servers are up (nats server report jetstream), then try again."
        )
    config |= {
        "ack_wait": int(consumer.ack_wait * _NS),
        "max_ack_pending": consumer.max_ack_pending,
        "metadata": {PLANTED: "yes"},
    }
    return await target.set_consumer(stream.stream, config, "update")


async def _pre_acknowledge(target: Target, stream: str, name: str, pending: set[int], last_sent: int) -> set[int]:
    """Take everything up to last_sent, acknowledge what is not pending, and give the rest back at the end.

    Gives the sequences that it gave back; where some are missing in between, a few after last_sent are among them.
    """
    kept: dict[int, str] = {}
    seen, until = min(pending) - 1, time.monotonic() + BEHIND
    while seen < last_sent:
        batch = await _pull(target, stream, name, min(BATCH, last_sent - seen))
        if not batch:
            # Gone from the stream since; or the consumer's leader is a server that has not got them yet.
            if time.monotonic() > until:
                break
            await asyncio.sleep(0.2)
            continue
        until = time.monotonic() + BEHIND
        done = []
        for message in batch:
            # $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>..., with domain and account two parts later
            parts = message.reply.split(".")
            sequence = int(parts[5 if len(parts) == 9 else 7])
            seen = max(seen, sequence)
            if sequence in pending or sequence > last_sent:
                kept[sequence] = message.reply
            else:
                done.append(message.reply)
        try:
            await asyncio.gather(*(target.connection.request(reply, b"+ACK", timeout=10) for reply in done))
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UserError(f"{name}: JetStream did not take an acknowledgement ({error}): try again.") from error
    for reply in kept.values():
        await target.connection.publish(reply, b"-NAK")
    await target.connection.flush()
    return set(kept)


async def _pull(target: Target, stream: str, name: str, count: int) -> list[Msg]:
    """The next messages of a consumer, fewer when there are no more."""
    found: list[Msg] = []
    ended = asyncio.Event()

    async def take(message: Msg) -> None:
        if (message.headers or {}).get("Status"):
            ended.set()
        else:
            found.append(message)
            if len(found) == count:
                ended.set()

    inbox = target.connection.new_inbox()
    answers = await target.connection.subscribe(inbox, cb=take)
    try:
        question = json.dumps({"batch": count, "no_wait": True}).encode()
        await target.connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", question, reply=inbox)
        async with asyncio.timeout(10):
            await ended.wait()
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise UserError(f"{name}: JetStream does not deliver ({error or 'no answer'}): try again.") from error
    finally:
        await answers.unsubscribe()
    return found


async def back(source: LiveSource, target: Target, stream: StreamPlan, consumer: ConsumerPlan) -> Position:
    """Set the durable of a running group to where the consumer is, and delete the consumer.

    JetStream tells up to which message everything is acknowledged; what was acknowledged after a gap comes again.
    Raises UserError, StanError.
    """
    durable = await find(source, stream.channel, consumer)
    if durable.online:
        raise UserError(f"{stream.channel}: {durable.label} is open at the group: stop its application, then again.")
    there = await target.consumer(stream.stream, consumer.name)
    if there is None:
        raise UserError(f"{stream.channel}: JetStream has no consumer {consumer.name}: nothing was moved.")
    if int(there.get("num_waiting", 0)):
        raise UserError(f"{stream.channel}: {consumer.name} is in use: stop its application first.")
    floor = int(there["ack_floor"]["stream_seq"])
    if not floor:
        floor = int(there["config"].get("opt_start_seq", 1)) - 1
    last = int((await source.monitor.one(stream.channel)).get("last_seq", 0))
    if floor > last:
        raise UserError(f"{stream.channel}: the group ends with {last} and {floor} is acknowledged: copy back first.")
    client = await Client.connect(
        source.servers,
        client_id=durable.client_id or f"{CLIENT_ID}-probe",
        cluster_id=source.cluster_id,
        options=source.options,
    )
    async with client:
        options: dict[str, Any] = {"queue": durable.group, "durable": durable.name, "manual_acks": True}
        old = await client.subscribe(stream.channel, lambda _message: None, max_in_flight=1, **options)
        await old.unsubscribe()
        start = Start.sequence(floor + 1) if floor < last else Start.new()
        made = await client.subscribe(
            stream.channel,
            lambda _message: None,
            start=start,
            ack_wait=max(int(consumer.ack_wait), 1),
            max_in_flight=1,
            **options,
        )
        await made.close()
    await target.delete_consumer(stream.stream, consumer.name)
    now = await find(source, stream.channel, consumer)
    if now.last_sent - now.pending > floor:
        raise StanError(f"{stream.channel}: {durable.label} is at {now.last_sent} and not at {floor}")
    return Position(floor, frozenset())
