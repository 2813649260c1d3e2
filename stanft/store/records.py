"""The records of a store file, one after the other, and how the file ends.

Format: four bytes version (1), then records of four bytes size (in typed files the type is the high byte), four bytes
CRC-32 of the content, the content; all little endian (nats-io/nats-streaming-server v0.25.6 stores/filestore.go).
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

START = 4  # the first record's offset: the version comes before it
HEADER = Struct("<II")
VERSION = 1
_READ = 1 << 20  # bytes read at once


class Ending(enum.Enum):
    """How a file of records ends."""

    WHOLE = "whole"
    TORN = "torn"  # in the middle of a record, or empty: no server starts on it ("unexpected EOF", "file version: EOF")
    ZEROS = "zeros"  # with zeros: the server cuts the file there by itself
    CORRUPT = "corrupt"  # what follows is no record


@dataclass(frozen=True, slots=True)
class Record:
    """One record; kind is 0 in files without types. intact: the content has the stored CRC."""

    offset: int
    kind: int
    content: bytes
    intact: bool

    @property
    def end(self) -> int:
        """The offset just after it."""
        return self.offset + HEADER.size + len(self.content)


class VersionError(ValueError):
    """The file does not begin with a version that is known."""


def encode(kind: int, content: bytes) -> bytes:
    """A record as it is stored; kind is 0 where the file has no types."""
    return HEADER.pack(kind << 24 | len(content), zlib.crc32(content)) + content


def preamble() -> bytes:
    """What each file begins with."""
    return VERSION.to_bytes(START, "little")


class RecordFile:
    """The records of one file, read once from front to end; afterwards ending, end and why tell how it ends.

    typed: subs.dat and clients.dat. crc: False leaves the checksums unread (stores written with another polynomial).
    Iteration raises VersionError, OSError.
    """

    def __init__(self, path: Path, *, typed: bool, crc: bool = True) -> None:
        self.path = path
        self.typed = typed
        self.crc = crc
        self.ending = Ending.WHOLE
        self.end = START  # offset after the last whole record
        self.why = ""

    def __iter__(self) -> Iterator[Record]:
        with self.path.open("rb", buffering=_READ) as file:
            size = self.path.stat().st_size
            if size < START:
                self.end = 0
                self._stop(Ending.TORN, "not even its version was written")
                return
            version = int.from_bytes(file.read(START), "little")
            if version != VERSION:
                raise VersionError(f"begins with version {version}, and {VERSION} is the only one known")
            damaged = 0
            while header := file.read(HEADER.size):
                if len(header) < HEADER.size:
                    self._stop(Ending.TORN, f"{len(header)} bytes of a record's header at the end")
                    return
                first, checksum = HEADER.unpack(header)
                kind, length = (first >> 24, first & 0xFFFFFF) if self.typed else (0, first)
                if first == checksum == 0:
                    self._zeros(file.read(_READ))
                    return
                content = file.read(length) if length <= max(size, self.path.stat().st_size) - self.end else b""
                if len(content) < length:
                    file.seek(self.end + 1)
                    self._cut(length, file.read(_READ))
                    return
                intact = not self.crc or zlib.crc32(content) == checksum
                damaged = 0 if intact else damaged + 1
                if damaged > 1:  # two in a row: most likely the size before them was hit, so nothing after it is known
                    self._stop(Ending.CORRUPT, "no record can be made out any more")
                    return
                record = Record(self.end, kind, content, intact)
                self.end = record.end
                yield record

    def _stop(self, ending: Ending, why: str) -> None:
        self.ending, self.why = ending, why

    def _cut(self, length: int, rest: bytes) -> None:
        """A record is longer than the file: it was cut, unless others follow it, so that its size must be wrong."""
        if any(self._begins(rest, offset) for offset in range(len(rest) - HEADER.size)):
            self._stop(Ending.CORRUPT, "the size of a record is wrong, for whole ones follow it")
        else:
            self._stop(Ending.TORN, f"a record of {length} bytes is cut")

    def _begins(self, content: bytes, offset: int) -> bool:
        """Whether a whole record begins here."""
        first, checksum = HEADER.unpack_from(content, offset)
        length = first & 0xFFFFFF if self.typed else first
        start = offset + HEADER.size
        return bool(0 < length <= len(content) - start) and zlib.crc32(content[start : start + length]) == checksum

    def _zeros(self, rest: bytes) -> None:
        if rest.strip(b"\0"):
            self._stop(Ending.CORRUPT, "zeros with data after them, which a server cuts off without a word")
        else:
            self._stop(Ending.ZEROS, "zeros at the end, which a server cuts off")
