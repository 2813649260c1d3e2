"""Copies of a live store what a server reads when it becomes active: everything but the content of old messages.

Of a message file that means its index, and of the messages themselves the last one: a server compares it with the index
and reads no other (nats-streaming-server v0.25.6 stores/filestore.go). The rest of the file is a hole of the same size.
Positions are read before messages, and what the active has just begun to write is cut off.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import BinaryIO

START = 4  # the first record's offset: the format's version comes before it
HEADER = Struct("<II")  # size (in files with types, the type is its high byte) and CRC of a record
INDEX = Struct("<QqqII")  # sequence, offset, time, size of a message, and the CRC of these
TYPED = ("clients.dat", "subs.dat")
BACK = 1000  # messages at the end of a live file that may still be on their way to the storage
DATA = re.compile(r"msgs\.(\d+)\.dat")
_AT_ONCE = 1 << 20  # bytes
_libc = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """No copy can be made, or no server of this user could work on the store; value is the chart's key to look at."""

    def __init__(self, words: str, value: str) -> None:
        super().__init__(words)
        self.value = value


@dataclass
class Part:
    """What was copied: channels with messages in the order of their last one, sizes in bytes."""

    channels: int = 0
    messages: int = 0
    size: int = 0
    copied: int = 0
    last: dict[str, int] = field(default_factory=dict)  # channel -> the time of its last message


def take(source: Path, target: Path, user: int) -> Part:
    """Copy a store into the new directory target; user names the account in what is refused.

    A source that does not exist is an empty store. Raises RefusedError, OSError.
    """
    part = Part()
    target.mkdir()
    try:
        if not source.exists():
            return part
        _room(source, target)
        _writable(source, user)
        for name in ("server.dat", "clients.dat"):
            _log(source / name, target / name, part, user)
        for channel in sorted(path for path in source.iterdir() if path.is_dir()):
            _channel(channel, target / channel.name, part, user)
    except PermissionError as error:
        raise _denied(Path(error.filename or source), user, "read") from error
    return part


def _denied(path: Path, user: int, what: str) -> RefusedError:
    return RefusedError(
        f"user {user} may not {what} {path.name} of the store, which belongs to user {path.lstat().st_uid}",
        "podTemplate.securityContext.runAsUser",
    )


def _writable(path: Path, user: int) -> None:
    """Refuse what the servers' user could not write, were the volume not mounted for reading alone."""
    if _libc.access(os.fsencode(path), os.W_OK) != 0 and ctypes.get_errno() not in (errno.EROFS, errno.ENOENT):
        raise _denied(path, user, "write")


def _room(source: Path, target: Path) -> None:
    needed = 0
    for path in source.rglob("*"):
        if not DATA.fullmatch(path.name) and path.is_file():
            needed += path.stat().st_size
    free = shutil.disk_usage(target).free
    if needed > free:
        raise RefusedError(
            f"the copy takes {needed >> 20} MiB of indexes and positions, and the node's disk has {free >> 20} MiB",
            "rollout.trial (false goes without)",
        )


def _channel(source: Path, target: Path, part: Part, user: int) -> None:
    _writable(source, user)
    target.mkdir()
    _log(source / "subs.dat", target / "subs.dat", part, user)
    count = 0
    for path in sorted(source.iterdir(), key=lambda one: (len(one.name), one.name)):
        if DATA.fullmatch(path.name):
            copy = target / path.name
            try:
                _writable(path, user)
                count += _messages(path, copy, part)
            except FileNotFoundError:  # it has expired meanwhile
                copy.unlink(missing_ok=True)
                copy.with_suffix(".idx").unlink(missing_ok=True)
    part.channels += 1
    part.messages += count


def _log(source: Path, target: Path, part: Part, user: int) -> None:
    """Copy a file of records up to its last whole one."""
    _writable(source, user)
    try:
        size = _copied(source, target, part)
    except FileNotFoundError:
        return
    with target.open("r+b", buffering=_AT_ONCE) as file:
        file.truncate(_whole(file, size, typed=source.name in TYPED))


def _whole(file: BinaryIO, size: int, *, typed: bool) -> int:
    """The offset after the last whole record; CRCs count only at the end of a file, where it may be under way."""
    end = min(START, size)
    file.seek(end)
    while len(header := file.read(HEADER.size)) == HEADER.size:
        length, checksum = HEADER.unpack(header)
        length &= 0xFFFFFF if typed else 0xFFFFFFFF
        if (length == checksum == 0) or end + HEADER.size + length > size:
            break
        content = file.read(length)
        if size - end < _AT_ONCE and zlib.crc32(content) != checksum:
            break
        end += HEADER.size + length
    return end


def _copied(source: Path, target: Path, part: Part) -> int:
    with source.open("rb") as whole, target.open("wb") as copy:
        shutil.copyfileobj(whole, copy, _AT_ONCE)
        size = copy.tell()
    part.size += size
    part.copied += size
    return size


def _messages(source: Path, target: Path, part: Part) -> int:
    """Copy one file of messages with its index; gives the number of its messages (0 where there is no index)."""
    index = target.with_suffix(".idx")
    try:
        size = _copied(source.with_suffix(".idx"), index, part)
    except FileNotFoundError:
        index.unlink(missing_ok=True)
        size = 0
    count = max(0, size - START) // INDEX.size
    with source.open("rb") as messages, target.open("wb") as copy:
        whole = os.fstat(messages.fileno()).st_size
        kept = _last(messages, index, count, whole) if count else None
        if kept is None:  # without an index a server reads every message
            index.unlink(missing_ok=True)
            shutil.copyfileobj(messages, copy, _AT_ONCE)
            part.size += whole
            part.copied += whole
        else:
            count, offset, content, when = kept
            os.truncate(index, START + count * INDEX.size)
            copy.write(os.pread(messages.fileno(), START, 0))
            copy.seek(offset)
            copy.write(content)
            part.size += whole
            part.copied += START + len(content)
            channel = source.parent.name
            part.last[channel] = max(when, part.last.get(channel, 0))
            return count
    with target.open("r+b", buffering=_AT_ONCE) as file:
        file.truncate(_whole(file, whole, typed=False))
    return 0


def _last(messages: BinaryIO, index: Path, count: int, size: int) -> tuple[int, int, bytes, int] | None:
    """The last message that is whole in both files: its number in the index, offset, record, and time."""
    with index.open("rb") as file:
        for number in range(count, max(0, count - BACK), -1):
            entry = os.pread(file.fileno(), INDEX.size, START + (number - 1) * INDEX.size)
            _, offset, when, length, _ = INDEX.unpack(entry)
            if offset < START or offset + HEADER.size + length > size:
                continue
            content = os.pread(messages.fileno(), HEADER.size + length, offset)
            stored, checksum = HEADER.unpack_from(content)
            if stored == length and zlib.crc32(content[HEADER.size :]) == checksum:
                return number, offset, content, when
    return None


def newest(part: Part, most: int) -> Iterator[str]:
    """Channels with messages, those with the youngest ones first, so many at most."""
    yield from sorted(part.last, key=lambda name: part.last[name], reverse=True)[:most]
