"""The messages of one channel: its slices in order, with what is wrong in them, and the messages themselves."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from google.protobuf.message import DecodeError

from stanft.stan import protocol_pb2 as pb
from stanft.store.findings import Finding, Harm
from stanft.store.records import START, VERSION, Ending, Record, RecordFile, VersionError

SLICE = re.compile(r"msgs\.(\d+)\.dat\Z")
INDEX = Struct("<QQqII")  # sequence, offset, timestamp, size, CRC-32 of what is before it
COUNTED_EXTRA = INDEX.size + 8  # bytes that the server counts to a message beside its record's content


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; timestamp is the server's clock in nanoseconds."""

    sequence: int
    timestamp: int
    reply: str
    data: bytes


@dataclass
class Span:
    """Records that follow each other in one file with sequences that do too: what counts of it, in order."""

    path: Path
    first: int
    last: int
    start: int
    end: int


@dataclass
class Messages:
    """What the message files of a channel hold; first is 0 if there is none. last_time is in nanoseconds."""

    name: str
    spans: list[Span] = field(default_factory=list)
    slices: int = 0
    size: int = 0  # bytes as the server counts them
    last_time: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The first sequence, 0 if there is no message."""
        return self.spans[0].first if self.spans else 0

    @property
    def last(self) -> int:
        """The last sequence, 0 if there is no message."""
        return self.spans[-1].last if self.spans else 0

    @property
    def count(self) -> int:
        """How many messages there are."""
        return sum(span.last - span.first + 1 for span in self.spans)


def slices(folder: Path) -> list[Path]:
    """The data files of a channel's directory, oldest first."""
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := SLICE.match(path.name))]
    return [path for _, path in sorted(found)]


def scan(folder: Path, *, crc: bool = True, live: bool = False) -> Messages:
    """Read every record and index of a channel's directory. live: a server writes, so the last file's end moves.

    A sequence that is stored again replaces what was stored from it on, as a server has it that knows the index.
    Files that vanish meanwhile have expired. Raises nothing but OSError of the directory itself.
    """
    found = Messages(folder.name)
    paths = slices(folder)
    for path in paths:
        try:
            _scan_slice(found, path, crc=crc, live=live and path == paths[-1], folder=folder)
        except FileNotFoundError:
            continue
        except (OSError, VersionError) as error:
            found.findings.append(Finding(_where(path), "unreadable", str(error), Harm.STOPS))
        found.slices += 1
    for before, after in zip(found.spans, found.spans[1:], strict=False):
        if after.first > before.last + 1:
            text = f"messages {before.last + 1} to {after.first - 1} are missing between those that are there"
            found.findings.append(Finding(_where(after.path), "gap", text, Harm.LOSES))
    for left in sorted(set(folder.glob("msgs.*.idx")) - {path.with_suffix(".idx") for path in paths}):
        text = "an index without its messages: the file msgs.N.dat is missing"
        if not live:
            found.findings.append(Finding(_where(left), "missing", text, Harm.LOSES))
    return found


def _where(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _scan_slice(found: Messages, path: Path, *, crc: bool, live: bool, folder: Path) -> None:
    where, index = _where(path), _Index(path.with_suffix(".idx"), crc=crc)
    records = RecordFile(path, typed=False, crc=crc)
    before = len(found.findings)

    def tell(kind: str, text: str, harm: Harm) -> None:
        found.findings.append(Finding(where, kind, text, harm))

    repeated: list[int] = []
    for record in records:
        if not record.intact:
            tell("corrupt", f"the record at byte {record.offset} does not have its checksum", Harm.STOPS)
            continue
        try:
            message = pb.MsgProto.FromString(record.content)
        except DecodeError:
            tell("corrupt", f"the record at byte {record.offset} is no message", Harm.STOPS)
            continue
        if message.subject != folder.name and not any(finding.kind == "foreign" for finding in found.findings):
            text = f"message {message.sequence} belongs to the channel {message.subject!r}"
            tell("foreign", text, Harm.LOSES)
        if _enter(found, path, record, message.sequence):
            repeated.append(message.sequence)
        found.size += len(record.content) + COUNTED_EXTRA
        found.last_time = message.timestamp
        index.compare(record, message)
    if repeated:
        text = f"{_several(repeated)} stored more than once; a server without the index would deliver them wrongly"
        tell("doubled", text, Harm.LOSES)
    moving = live and records.ending in (Ending.TORN, Ending.ZEROS)
    if records.ending is Ending.TORN and not moving:
        tell("torn", f"{records.why}, from byte {records.end} on", Harm.STOPS)
    elif records.ending is Ending.CORRUPT:
        tell("corrupt", f"{records.why}, from byte {records.end} on", Harm.STOPS)
    elif records.ending is Ending.ZEROS and not moving:
        tell("zeros", f"{records.why} at byte {records.end}", Harm.NOTHING)
    whole = not any(finding.harm is Harm.STOPS for finding in found.findings[before:])
    found.findings += index.findings(where=_where(index.path), live=live, data_is_whole=whole)


def _enter(found: Messages, path: Path, record: Record, sequence: int) -> bool:
    """Count a record; gives whether its sequence was there already, whose first record then counts no more."""
    repeated = bool(found.spans) and sequence <= found.spans[-1].last
    if repeated:
        while found.spans and found.spans[-1].first >= sequence:
            found.spans.pop()
        if found.spans and found.spans[-1].last >= sequence:
            _shorten(found.spans[-1], sequence)
    last = found.spans[-1] if found.spans else None
    if last and last.path == path and last.end == record.offset and sequence == last.last + 1:
        last.last, last.end = sequence, record.end
    else:
        found.spans.append(Span(path, sequence, sequence, record.offset, record.end))
    return repeated


def _shorten(span: Span, sequence: int) -> None:
    """Take sequence and all after it out of a span."""
    for offset, message in _read(span):
        if message.sequence == sequence:
            span.last, span.end = sequence - 1, offset
            return


def _several(sequences: list[int]) -> str:
    if len(sequences) == 1:
        return f"message {sequences[0]} is"
    return f"{len(sequences)} messages ({sequences[0]} to {sequences[-1]}) are"


def _read(span: Span) -> Iterator[tuple[int, pb.MsgProto]]:
    """The messages of a span with their offsets."""
    with span.path.open("rb", buffering=1 << 20) as file:
        file.seek(span.start)
        offset = span.start
        while offset < span.end:
            size = int.from_bytes(file.read(8)[:4], "little")
            yield offset, pb.MsgProto.FromString(file.read(size))
            offset += 8 + size


def messages(found: Messages, start: int = 1) -> Iterator[Message]:
    """The messages that count, in order, from sequence start on. Raises OSError."""
    for span in found.spans:
        if span.last < start:
            continue
        for _, message in _read(span):
            if message.sequence >= start:
                yield Message(message.sequence, message.timestamp, message.reply, message.data)


def sizes(found: Messages) -> Iterator[int]:
    """The bytes that the server counts to each message, in order. Raises OSError."""
    for span in found.spans:
        for _, message in _read(span):
            yield message.ByteSize() + COUNTED_EXTRA


class _Index:
    """The index of a slice, compared with the data entry by entry while that is read."""

    def __init__(self, path: Path, *, crc: bool) -> None:
        self.path = path
        self.crc = crc
        self.there = path.exists()
        self.broken = ""
        self.harm = Harm.NOTHING  # of a broken one
        self.unknown: list[int] = []  # sequences in the data that the index does not name
        self.wrong = ""
        self._entries = self._read() if self.there else iter(())
        self._next = next(self._entries, None)

    def _read(self) -> Iterator[tuple[int, int, int, int]]:
        with self.path.open("rb", buffering=1 << 18) as file:
            version = int.from_bytes(file.read(START), "little")
            if version != VERSION:
                self.broken, self.harm = f"begins with version {version}", Harm.STOPS
                return
            while entry := file.read(INDEX.size):
                if len(entry) < INDEX.size:
                    self.broken = "its last entry is cut"
                    return
                if not entry.strip(b"\0"):
                    return
                sequence, offset, timestamp, size, checksum = INDEX.unpack(entry)
                if self.crc and zlib.crc32(entry[:-4]) != checksum:
                    self.broken = f"the entry of message {sequence} does not have its checksum"
                    return
                yield sequence, offset, timestamp, size

    def compare(self, record: Record, message: pb.MsgProto) -> None:
        """Take the next record of the data."""
        if not self.there:
            return
        while self._next is not None and self._next[1] < record.offset:
            self.wrong = self.wrong or f"names byte {self._next[1]} for message {self._next[0]}, where none begins"
            self._next = next(self._entries, None)
        if self._next is None or self._next[1] > record.offset:
            self.unknown.append(message.sequence)
            return
        if self._next != (message.sequence, record.offset, message.timestamp, len(record.content)):
            self.wrong = self.wrong or f"its entry of message {self._next[0]} does not fit message {message.sequence}"
        self._next = next(self._entries, None)

    def findings(self, *, where: str, live: bool, data_is_whole: bool) -> list[Finding]:
        """What is wrong with it, once all data was compared."""
        if not self.there:
            return [Finding(where, "missing", "is not there; a server makes it anew from the data", Harm.NOTHING)]
        found = []
        if self.broken and not live:
            without = "" if self.harm is Harm.NOTHING else "without it "
            text = f"{self.broken}; {without}a server makes it anew from the data"
            found.append(Finding(where, "index-broken", text, self.harm))
        if self.wrong:
            found.append(Finding(where, "index-wrong", f"{self.wrong}: other messages would be delivered", Harm.LOSES))
        if self._next is not None and not live and data_is_whole:
            beyond = [self._next, *self._entries]
            text = (
                f"knows {len(beyond)} messages ({beyond[0][0]} to {beyond[-1][0]}) that the data has lost: "
                "they were cut off"
            )
            found.append(Finding(where, "index-ahead", text, Harm.LOSES))
        if self.unknown and not self.broken and not live:
            text = (
                f"{_several(self.unknown)} in the data and not in the index: a server does not show them and gives "
                "their numbers again; without this index it would show them"
            )
            found.append(Finding(where, "index-behind", text, Harm.LOSES))
        return found
