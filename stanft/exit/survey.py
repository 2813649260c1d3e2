"""What a group has and what each part becomes: two looks for the rates, and a sample of the reading for the time.

Nothing is changed: the monitoring ports are asked, and the sample is a plain subscription that acknowledges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stanft.exit import names
from stanft.exit.plan import limits_of
from stanft.exit.source import CLIENT_ID, Channel, Durable, Inventory, LiveSource, Passing, Source
from stanft.ground.errors import UserError
from stanft.stan.errors import StanError

PAUSE = 2.0  # seconds between the two looks
SAMPLE_SECONDS, SAMPLE_MESSAGES = 3.0, 20_000  # what the sample reads at most
BUSY = 1.0  # messages per second to its server from which on a client counts as sending: its pings are fewer


@dataclass(frozen=True)
class DurableSeen:
    """A durable and the consumer that takes its place; to_come is what it was not sent yet."""

    label: str
    kind: str  # "durable" or "durable queue group"
    client_id: str
    name: str
    group: str
    last_sent: int
    pending: int
    to_come: int
    online: bool
    ack_wait: int  # seconds
    max_in_flight: int
    consumer: str


@dataclass(frozen=True)
class ChannelSeen:
    """A channel and the stream that it becomes; size in bytes, times in seconds, 0 for no limit."""

    name: str
    messages: int
    size: int
    first: int
    last: int
    rate: float | None  # messages stored per second between the two looks, None where nobody could look twice
    max_messages: int
    max_bytes: int
    max_age: float
    max_inactivity: float
    stream: str
    problem: str  # why it cannot be moved, or ""
    durables: list[DurableSeen] = field(default_factory=list)
    others: list[Passing] = field(default_factory=list)


@dataclass(frozen=True)
class ClientSeen:
    """A client, what it reads, and what it sends as far as its NATS connection tells."""

    client_id: str
    reads: list[str]  # channels
    connected: str  # the address that it comes from, "" if its connection was not seen
    library: str
    sends: float | None  # messages per second to the server: published ones, acknowledgements and pings together
    publishes: str


@dataclass(frozen=True)
class Difference:
    """Something that JetStream has no counterpart for, where it is used, and what it becomes."""

    what: str
    where: list[str]
    becomes: str


@dataclass(frozen=True)
class Sample:
    """What was read of one channel to see how fast it goes; seconds without those of connecting."""

    channel: str
    messages: int
    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds


@dataclass(frozen=True)
class Survey:
    """Everything that is shown; copy_seconds is the time for reading all of it once, None where no sample was read."""

    cluster_id: str
    taken: str
    seconds: float  # between the two looks, 0 where there was one
    messages: int
    size: int
    channels: list[ChannelSeen]
    clients: list[ClientSeen]
    differences: list[Difference]
    sample: Sample | None
    sample_problem: str
    copy_seconds: float | None


async def look(source: Source, *, pause: float = PAUSE, sample_seconds: float = SAMPLE_SECONDS) -> Survey:
    """Look at a source, twice with so many seconds between if it lives, and read a sample for at most so many seconds.

    Raises UserError when the source cannot be asked. With sample_seconds 0 no message is read.
    """
    found = await source.inventory()
    rates: dict[str, float] = {}
    clients = [ClientSeen(one.client_id, _reads(found, one.client_id), "", "", None, "") for one in found.clients]
    waited = 0.0
    if isinstance(source, LiveSource):
        before, since = await source.monitor.connections(), time.monotonic()
        counts = {one.name: one.last for one in (await source.channels()).values()}
        await asyncio.sleep(pause)
        later = await source.channels()
        after, waited = await source.monitor.connections(), time.monotonic() - since
        rates = {name: max(one.last - counts.get(name, 0), 0) / waited for name, one in later.items()}
        clients = clients_of(found, before, after, waited)
    sample, problem = await _sample(source, found.channels, sample_seconds)
    return survey(found, rates, clients, sample=sample, problem=problem, seconds=waited)


def survey(
    found: Inventory,
    rates: dict[str, float],
    clients: list[ClientSeen],
    *,
    sample: Sample | None = None,
    problem: str = "",
    seconds: float = 0.0,
) -> Survey:
    """Put together what was seen."""
    messages, size = sum(one.messages for one in found.channels), sum(one.size for one in found.channels)
    streams = names.distinct([one.name for one in found.channels])
    channels = [
        _channel(found, one, streams[one.name], rates.get(one.name))
        for one in sorted(found.channels, key=lambda one: one.name)
    ]
    took = None
    if sample is not None and sample.messages:
        # The slower of the two: a store of large messages is bound by bytes, one of small ones by messages.
        took = sample.seconds * max(messages / sample.messages, size / max(sample.size, 1))
    taken = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Survey(
        cluster_id=found.cluster_id,
        taken=taken,
        seconds=seconds,
        messages=messages,
        size=size,
        channels=channels,
        clients=[one for one in clients if not one.client_id.startswith(CLIENT_ID)],
        differences=differences(found, channels),
        sample=sample,
        sample_problem=problem,
        copy_seconds=took,
    )


def _channel(found: Inventory, channel: Channel, stream: str, rate: float | None) -> ChannelSeen:
    limits = limits_of(found.limits, channel.name)
    return ChannelSeen(
        name=channel.name,
        messages=channel.messages,
        size=channel.size,
        first=channel.first,
        last=channel.last,
        rate=rate,
        max_messages=limits["max_msgs"],
        max_bytes=limits["max_bytes"],
        max_age=limits["max_age"] / 1e9,
        max_inactivity=limits["max_inactivity"] / 1e9,
        stream=stream,
        problem=names.problem(channel.name),
        durables=[_durable(one, channel) for one in found.durables if one.channel == channel.name],
        others=[one for one in found.others if one.channel == channel.name],
    )


def _durable(one: Durable, channel: Channel) -> DurableSeen:
    return DurableSeen(
        label=one.label,
        kind="durable queue group" if one.group else "durable",
        client_id=one.client_id,
        name=one.name,
        group=one.group,
        last_sent=one.last_sent,
        pending=one.pending,
        # What expired before it was sent does not come any more.
        to_come=channel.last - max(one.last_sent, channel.first - 1),
        online=one.online,
        ack_wait=one.ack_wait,
        max_in_flight=one.max_in_flight,
        consumer=names.consumer(one.client_id, one.name, one.group),
    )


def _reads(found: Inventory, client_id: str) -> list[str]:
    held: Iterable[Durable | Passing] = [*found.durables, *found.others]
    return sorted({one.channel for one in held if client_id in one.readers})


def clients_of(
    found: Inventory, before: list[dict[str, Any]], after: list[dict[str, Any]], seconds: float
) -> list[ClientSeen]:
    """The clients, each with its NATS connection: the one that listens on its heartbeat subject, or has its name.

    The server counts what a connection sends, not to which channel: that nobody can see from outside.
    """
    sent = {(one["server"], one["cid"]): int(one.get("in_msgs", 0)) for one in before}
    listening = {subject: one for one in after for subject in one.get("subscriptions_list") or []}
    named = {str(one["name"]): one for one in after if one.get("name")}
    made = []
    for session in found.clients:
        reads = _reads(found, session.client_id)
        connection = listening.get(session.heartbeats) or named.get(session.client_id)
        if connection is None:
            made.append(ClientSeen(session.client_id, reads, "", "", None, "not known: its connection is not here"))
            continue
        earlier = sent.get((connection["server"], connection["cid"]))
        rate = None if earlier is None else max(int(connection.get("in_msgs", 0)) - earlier, 0) / seconds
        library = " ".join(str(connection[key]) for key in ("lang", "version") if connection.get(key))
        made.append(
            ClientSeen(
                session.client_id, reads, str(connection.get("ip", "")), library, rate, _publishes(rate, bool(reads))
            )
        )
    return made


def _publishes(rate: float | None, reads: bool) -> str:
    if rate is None:
        return "not known: it has just connected"
    if rate <= BUSY:
        return "not while looked at"
    return "yes, or acknowledges what it reads" if reads else "yes"


def differences(found: Inventory, channels: list[ChannelSeen]) -> list[Difference]:
    """What has no counterpart in JetStream and is used here."""
    groups = {one.label: one.channel for one in found.durables if one.group}
    plain = [f"{one.channel}: {one.label}" for one in found.durables if not one.group]
    patterns = [name for name in found.limits.get("channels") or {} if {"*", ">"} & set(name.split("."))]
    movable = [one for one in channels if not one.problem]
    rows = [
        Difference(
            "a channel whose name is no subject of a stream",
            [f"{one.name!r}: {one.problem}" for one in channels if one.problem],
            "cannot be moved: let its applications publish under another name first, or leave it out of the plan",
        ),
        Difference(
            "a channel whose name cannot be the name of a stream (dots, other letters, only case different)",
            [one.name for one in movable if one.stream != one.name],
            "the stream has the name that the plan gives; applications go on with the channel's name as subject",
        ),
        Difference(
            "a durable queue group, kept under durable:group",
            [f"{channel}: {label}" for label, channel in groups.items()],
            "one consumer that all members pull from, named durable-group without the colon",
        ),
        Difference(
            "a durable that is known by client id and name together",
            plain,
            "one consumer whose name is made of both; whoever knows the name may read from it",
        ),
        Difference(
            "a subscription or queue group without durable, which chooses its start itself",
            [f"{one.channel}: {one.label} ({one.members})" for one in found.others],
            "no position to move: the application chooses where its consumer starts; a sequence number that it keeps "
            "itself stays valid",
        ),
        Difference(
            "limits for patterns of channels",
            patterns,
            "each stream gets the limits that its channel has now; a new channel gets none by its name",
        ),
        Difference(
            "max_bytes",
            [one.name for one in movable if one.max_bytes],
            "JetStream counts subject and headers too: the plan sets none; set it yourself, larger",
        ),
        Difference(
            "max_age",
            [one.name for one in movable if one.max_age],
            "starts anew with the copy, unless the plan says keep_age: true",
        ),
        Difference(
            "max_inactivity, by which an unused channel deletes itself",
            [one.name for one in movable if one.max_inactivity],
            "a stream stays until somebody deletes it",
        ),
        Difference(
            "max_channels, max_subscriptions",
            [f"{key}: {found.limits[key]}" for key in ("max_channels", "max_subscriptions") if found.limits.get(key)],
            "limits of the account at the target (max_streams, max_consumers)",
        ),
        Difference(
            "a channel that is made by its first message",
            ["every channel"] if channels else [],
            "a stream is made beforehand: what is published to a subject without one is refused",
        ),
    ]
    return [one for one in rows if one.where]


async def _sample(source: Source, channels: list[Channel], seconds: float) -> tuple[Sample | None, str]:
    """Read the largest channel from its beginning, for so many seconds at most; why not, else."""
    held = [one for one in channels if one.messages]
    if not seconds:
        return None, "not asked for"
    if not held:
        return None, "there is no message"
    channel = max(held, key=lambda one: one.size)
    last = min(channel.last, channel.first + SAMPLE_MESSAGES - 1)
    count = size = 0
    try:
        if isinstance(source, LiveSource):
            await source.client()
        started = time.monotonic()
        async with contextlib.aclosing(source.messages(channel.name, channel.first, last)) as messages:
            async for message in messages:
                count, size = count + 1, size + len(message.data)
                if time.monotonic() - started > seconds:
                    break
    except (StanError, UserError) as error:
        return None, str(error)
    # With its share of what the server counts for a message beside the content.
    share = channel.size * count // channel.messages
    return Sample(channel.name, count, max(size, share), max(time.monotonic() - started, 1e-6)), ""
