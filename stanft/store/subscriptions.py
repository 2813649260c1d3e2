"""The subscriptions of one channel, from its subs.dat: how far each was sent, and what it has not acknowledged."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from stanft.stan import protocol_pb2 as pb
from stanft.store.findings import Finding, Harm
from stanft.store.records import Ending, RecordFile, VersionError

FILE = "subs.dat"


class Kind(enum.IntEnum):
    """The types of records in subs.dat."""

    NEW = 1
    UPDATE = 2
    DELETE = 3
    ACK = 4
    SENT = 5


@dataclass
class Subscription:
    """One subscription; pending holds the sequences that it was sent and has not acknowledged."""

    record: pb.SubscriptionRecord
    pending: set[int] = field(default_factory=set)

    @property
    def last_sent(self) -> int:
        """The highest sequence that it was sent, or after which it begins."""
        return self.record.last_sent

    @property
    def durable(self) -> bool:
        """Whether its position outlives its clients."""
        return bool(self.record.is_durable or self.record.durable_name or ":" in self.record.queue_group)

    @property
    def online(self) -> bool:
        """Whether a client had it open."""
        return bool(self.record.client_id) and not self.record.is_closed

    @property
    def group(self) -> str:
        """The queue group, without the durable's name; empty for none."""
        return self.record.queue_group.rpartition(":")[2]

    @property
    def durable_name(self) -> str:
        """The name under which its position is kept; a queue group has it before the colon."""
        return self.record.durable_name or self.record.queue_group.rpartition(":")[0]


@dataclass
class Subscriptions:
    """What subs.dat holds, and what is wrong in it."""

    all: list[Subscription] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Durable:
    """A position that must not be lost: a durable subscription, or a durable queue group with all its members."""

    channel: str
    name: str
    client_id: str  # empty for a queue group
    group: str  # empty if it is none
    last_sent: int
    pending: frozenset[int]
    online: bool
    ack_wait: int  # seconds
    max_in_flight: int  # of all members together

    @property
    def label(self) -> str:
        """client/name, or name:group for a queue group."""
        return f"{self.name}:{self.group}" if self.group else f"{self.client_id}/{self.name}"


def durables(channel: str, subscriptions: list[Subscription]) -> list[Durable]:
    """The durables of a channel; the members of a queue group are one."""
    grouped: dict[tuple[str, str, str], list[Subscription]] = {}
    for one in subscriptions:
        if one.durable:
            client = "" if one.group else one.record.client_id
            grouped.setdefault((one.durable_name, client, one.group), []).append(one)
    return [
        Durable(
            channel=channel,
            name=name,
            client_id=client,
            group=group,
            last_sent=max(one.last_sent for one in members),
            pending=frozenset().union(*(one.pending for one in members)),
            online=any(one.online for one in members),
            ack_wait=max(one.record.ack_wait for one in members),
            max_in_flight=sum(one.record.max_in_flight for one in members),
        )
        for (name, client, group), members in sorted(grouped.items())
    ]


def read(path: Path, *, crc: bool = True, live: bool = False) -> Subscriptions:
    """Replay a subs.dat. live: a server writes it, so its end moves. A file that is not there holds nothing."""
    found = Subscriptions()
    where = f"{path.parent.name}/{path.name}"
    known: dict[int, Subscription] = {}
    records = RecordFile(path, typed=True, crc=crc)
    try:
        for record in records:
            if not record.intact:
                text = f"the record at byte {record.offset} does not have its checksum"
                found.findings.append(Finding(where, "corrupt", text, Harm.STOPS))
                continue
            try:
                _apply(known, record.kind, record.content)
            except (DecodeError, ValueError) as error:
                text = f"the record at byte {record.offset} cannot be read: {error}"
                found.findings.append(Finding(where, "corrupt", text, Harm.STOPS))
    except FileNotFoundError:
        found.findings.append(Finding(where, "missing", "is not there: a server knows no durable", Harm.LOSES))
    except (OSError, VersionError) as error:
        found.findings.append(Finding(where, "unreadable", str(error), Harm.STOPS))
    found.findings += endings(records, where, live=live)
    found.all = [known[number] for number in sorted(known)]
    return found


def endings(records: RecordFile, where: str, *, live: bool) -> list[Finding]:
    """What the end of a typed file says, once it was read."""
    if records.ending is Ending.WHOLE or (live and records.ending is not Ending.CORRUPT):
        return []
    harm = Harm.NOTHING if records.ending is Ending.ZEROS else Harm.STOPS
    return [Finding(where, records.ending.value, f"{records.why}, from byte {records.end} on", harm)]


def _apply(known: dict[int, Subscription], kind: int, content: bytes) -> None:
    """One record, as recoverSubscriptions in stores/filestore.go takes it. Raises ValueError for an unknown type."""
    match Kind(kind):
        case Kind.NEW:
            record = pb.SubscriptionRecord.FromString(content)
            known[record.number] = Subscription(record)
        case Kind.UPDATE:
            record = pb.SubscriptionRecord.FromString(content)
            known.setdefault(record.number, Subscription(record)).record = record
        case Kind.DELETE:
            known.pop(pb.SubscriptionRecord.FromString(content).number, None)
        case Kind.SENT:
            sent = pb.DeliveryRecord.FromString(content)
            if (one := known.get(sent.number)) is not None:
                one.record.last_sent = max(one.record.last_sent, sent.sequence)
                one.pending.add(sent.sequence)
        case Kind.ACK:
            sent = pb.DeliveryRecord.FromString(content)
            if (one := known.get(sent.number)) is not None:
                one.pending.discard(sent.sequence)
