"""A copy of a store that can be taken while servers run: it may repeat deliveries after a restore, and never lose one.

Positions are read before messages, so none is ahead of them; clients before and after, so no member of a queue group
lacks its client; indexes are left out, since a server makes them anew; ends that are cut are left out too.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from stanft.ground.errors import UserError
from stanft.stan import protocol_pb2 as pb
from stanft.store import channel, state, subscriptions, verify
from stanft.store.channel import Messages, Span
from stanft.store.findings import Harm
from stanft.store.records import VersionError, encode, preamble
from stanft.store.state import ADDED, CLIENTS, SERVER
from stanft.store.subscriptions import Kind, Subscriptions

MANIFEST = "backup.json"
FILES = "store"  # the folder beside it
FORMAT = 1
HOPELESS = frozenset({"corrupt", "unreadable", "gap", "foreign"})  # findings with which a copy would be no backup
_AT_ONCE = 1 << 20  # bytes


@dataclass
class Copied:
    """What a backup or a restore did; notes are what was left out or changed on the way, for people."""

    channels: int = 0
    messages: int = 0
    durables: int = 0
    size: int = 0  # bytes in files
    live: bool = False
    notes: list[str] = field(default_factory=list)


def backup(source: Path, target: Path, *, crc: bool = True) -> Copied:
    """Copy a store into the new folder target, prove the copy, and write a manifest beside it.

    Raises UserError when target is not empty or inside the store, or when the store is damaged in a way that a
    backup would only hide; OSError.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is not empty: give a folder that is new, one for each backup.")
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{target} is inside the store, where every folder is taken for a channel: give one outside.")
    if not (source / SERVER).exists():
        raise UserError(f"{source} has no {SERVER}: give the store's own directory (streaming.dir).")
    files = target / FILES
    files.mkdir(parents=True)
    try:
        return _backup(source, target, files, crc=crc)
    except BaseException:
        shutil.rmtree(files)  # without a manifest it is nobody's backup
        raise


def _backup(source: Path, target: Path, files: Path, *, crc: bool) -> Copied:
    done = Copied(live=state.held(source))
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    clients, connected = _clients(source, crc=crc)
    _write(files / SERVER, [(source / SERVER).read_bytes()])
    needed: set[str] = set()
    for name in state.names(source):
        needed |= _channel(source / name, files / name, done, crc=crc)
    later, connected = _clients(source, crc=crc)
    clients |= later
    kept = [clients[one] for one in sorted(clients.keys() & (needed | connected))]
    _write(files / CLIENTS, [preamble(), *(encode(ADDED, one.SerializeToString()) for one in kept)])
    copy = _proven(files, crc=crc)
    manifest = {
        "format": FORMAT,
        "started": started,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "live": done.live,
        "crc": crc,
        "files": {str(path.relative_to(files)): _digest(path) for path in _files(files)},
        "store": {key: value for key, value in copy.items() if key in ("cluster_id", "channels")},
    }
    _write(target / MANIFEST, [json.dumps(manifest, indent=1).encode()])
    return done


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a backup whose files are all there and unchanged. Raises UserError otherwise."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        listed: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is no finished backup ({error}): give a folder that stan-ft backup made; without {MANIFEST} it "
            "was interrupted."
        ) from error
    if manifest.get("format") != FORMAT:
        raise UserError(f"{folder} was made by another version of stan-ft (format {manifest.get('format')}): use that.")
    found = {str(path.relative_to(folder / FILES)): path for path in _files(folder / FILES)}
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            raise UserError(f"{folder}: {name} is missing: this backup is damaged, take an older one.")
        if name not in listed:
            raise UserError(f"{folder}: {name} is not of this backup: take it away, then try again.")
        if _digest(found[name]) != listed[name]:
            raise UserError(f"{folder}: {name} was changed after the backup: it is damaged, take an older one.")
    return dict(manifest)


def restore(folder: Path, directory: Path) -> Copied:
    """Put a backup into an empty store directory and prove it there; no server may run on it.

    As root, the files get the owner of the directory. Raises UserError when the backup is damaged, when the
    directory is in use or not empty, or when the result is not what was backed up; OSError.
    """
    manifest = check(folder)
    directory.mkdir(parents=True, exist_ok=True)
    if state.held(directory):
        raise UserError(f"a server holds {directory}: stop all of them (scale to 0), then try again.")
    left = sorted(
        one.name for one in directory.iterdir() if one.name != state.LOCK and not one.name.startswith(state.LEASE)
    )
    if left:
        raise UserError(f"{directory} is not empty ({', '.join(left[:3])}): move what is there away, then try again.")
    owner = directory.stat()
    done = Copied()
    for name in manifest["files"]:
        place = directory / name
        place.parent.mkdir(exist_ok=True)
        with (folder / FILES / name).open("rb") as source:
            done.size += _write(place, iter(lambda file=source: file.read(_AT_ONCE), b""))  # type: ignore[misc]
        if os.geteuid() == 0:
            for one in {place, place.parent} - {directory}:
                os.chown(one, owner.st_uid, owner.st_gid)
    result = _proven(directory, crc=manifest["crc"])
    if result["channels"] != manifest["store"]["channels"]:
        raise UserError(f"{directory} does not hold what {folder} does: the disk did not keep it; try another one.")
    done.channels = len(result["channels"])
    done.messages = sum(one["messages"] for one in result["channels"])
    done.durables = sum(len(one["durables"]) for one in result["channels"])
    return done


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, parts: Any) -> int:
    """Write a file through to the disk; gives its size."""
    with path.open("xb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _proven(directory: Path, *, crc: bool) -> dict[str, Any]:
    """What a copy holds. Raises UserError if it is not whole."""
    copy = state.read(directory, crc=crc)
    bad = [finding.line() for finding in copy.findings if finding.harm is not Harm.NOTHING]
    if bad:
        raise UserError(f"the copy {directory} is not whole: {bad[0]}. Remove it and try again.")
    return verify.as_data(copy)


def _clients(source: Path, *, crc: bool) -> tuple[dict[str, pb.ClientRecord], set[str]]:
    """Every client that the log still names, with its last record; and the ids of those that are connected."""
    named: dict[str, pb.ClientRecord] = {}
    connected: set[str] = set()
    _, logged = state.logged_clients(source / CLIENTS, crc=crc)
    try:
        for kind, client, intact in logged:
            if not intact:
                raise UserError(f"{source / CLIENTS} is damaged: stan-ft verify tells where; mend that first.")
            if kind == ADDED:
                named[client.client_id] = client
                connected.add(client.client_id)
            else:
                connected.discard(client.client_id)
    except FileNotFoundError:
        return {}, set()
    except (VersionError, DecodeError) as error:
        raise UserError(f"{source / CLIENTS} cannot be read ({error}): mend that first.") from error
    return named, connected


def _channel(source: Path, target: Path, done: Copied, *, crc: bool) -> set[str]:
    """Copy one channel; gives the clients that its subscriptions name."""
    positions = subscriptions.read(source / subscriptions.FILE, crc=crc, live=done.live)
    found = channel.scan(source, crc=crc, live=done.live)
    hopeless = [one for one in (*positions.findings, *found.findings) if one.kind in HOPELESS]
    if hopeless:
        raise UserError(
            f"the store is damaged, and a backup would hide that: {hopeless[0].where}: {hopeless[0].text}. Copy the "
            "directory as it is, then mend it."
        )
    if not found.slices and not (source / subscriptions.FILE).exists():
        done.notes.append(f"{source.name} is no channel and was left out")
        return set()
    target.mkdir()
    for finding in (*positions.findings, *found.findings):
        if finding.harm is not Harm.NOTHING:
            done.notes.append(f"mended in the copy: {finding.where}: {finding.text}")
    _messages(found, target, done)
    last = found.last
    content = list(_positions(positions, last, source.name, done))
    done.size += _write(target / subscriptions.FILE, [preamble(), *content])
    done.channels += 1
    done.messages += found.count
    done.durables += len(subscriptions.durables(source.name, positions.all))
    return {one.record.client_id for one in positions.all if one.record.client_id}


def _messages(found: Messages, target: Path, done: Copied) -> None:
    """Copy the records that count, file by file; a file that has expired meanwhile is left out with all before it."""
    by_file: dict[Path, list[Span]] = {}
    for span in found.spans:
        by_file.setdefault(span.path, []).append(span)
    for path, spans in by_file.items():
        try:
            file = path.open("rb")
        except FileNotFoundError:
            found.spans = [span for span in found.spans if span.first > spans[-1].last]
            continue
        with file:
            done.size += _write(target / path.name, _parts(file, spans))


def _parts(file: Any, spans: list[Span]) -> Iterator[bytes]:
    yield preamble()
    for span in spans:
        file.seek(span.start)
        left = span.end - span.start
        while left:
            part = file.read(min(left, _AT_ONCE))
            if not part:
                raise UserError(f"{span.path} became shorter while it was read: no server does that; check the volume.")
            left -= len(part)
            yield part


def _positions(found: Subscriptions, last: int, name: str, done: Copied) -> Iterator[bytes]:
    """The subscriptions as a compacted file has them, none ahead of the last message."""
    for one in found.all:
        record = pb.SubscriptionRecord()
        record.CopyFrom(one.record)
        if record.last_sent > last:
            done.notes.append(f"{name}: a position was ahead of the messages: {record.last_sent} became {last}")
            record.last_sent = last
        yield encode(Kind.NEW, record.SerializeToString())
        for sequence in sorted(one.pending):
            if sequence <= last:
                sent = pb.DeliveryRecord(number=record.number, sequence=sequence)
                yield encode(Kind.SENT, sent.SerializeToString())
