"""A whole store directory: its owner, clients, channels and durables, and everything that is wrong with it."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from stanft.ground.errors import UserError
from stanft.stan import protocol_pb2 as pb
from stanft.store import channel, subscriptions
from stanft.store.channel import Messages
from stanft.store.findings import Finding, Harm
from stanft.store.records import START, RecordFile, VersionError
from stanft.store.subscriptions import Durable, Subscriptions, durables

SERVER, CLIENTS, LOCK = "server.dat", "clients.dat", ".rootdir.lck"
LEASE = ".lease."  # how the files begin that the charts' supervisors lock, one for each pod
ADDED, GONE = 1, 2  # the types of records in clients.dat
_FLOCK = "hhqqi4x" if struct.calcsize("P") == 8 else "hhiii"  # struct flock of Linux: type, whence, start, length, pid


@dataclass
class Channel:
    """One channel: its messages and its subscriptions."""

    name: str
    messages: Messages
    subscriptions: Subscriptions

    @property
    def durables(self) -> list[Durable]:
        """The positions that must not be lost."""
        return durables(self.name, self.subscriptions.all)


@dataclass
class Store:
    """What a store directory holds; live: a server holds its lock, so positions in subs.dat lag behind."""

    directory: Path
    cluster_id: str = ""
    live: bool = False
    clients: dict[str, pb.ClientRecord] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    own: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Everything that is not as it should be, the files of the store itself first."""
        parts = [finding for one in self.channels for finding in (*one.messages.findings, *one.subscriptions.findings)]
        return [*self.own, *parts]


def read(directory: Path, *, crc: bool = True, only: str = "") -> Store:
    """Read a store directory and judge it; only this channel if one is named.

    Nothing is written and no lock is taken. Raises UserError if it is no store.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} is no directory: give the store's own (streaming.dir of the configuration).")
    if not (directory / SERVER).exists() and not any(_is_channel(one) for one in _folders(directory)):
        raise UserError(
            f"{directory} is no file store: it has no {SERVER} and no channel; give the directory that "
            "streaming.dir of the configuration names."
        )
    store = Store(directory, live=held(directory))
    _server(store, crc=crc)
    store.clients = _clients(store, crc=crc)
    folders = [one for one in _folders(directory) if not only or one.name == only]
    if only and not folders:
        raise UserError(f"{directory} has no channel {only!r}: it has {', '.join(names(directory)) or 'none'}.")
    for folder in folders:
        store.channels.append(_channel(store, folder, crc=crc))
    return store


def names(directory: Path) -> list[str]:
    """The channels of a store directory."""
    return [one.name for one in _folders(directory)]


def held(directory: Path) -> bool:
    """Whether another process holds the store's lock. It is asked for, never taken."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


def _folders(directory: Path) -> list[Path]:
    """Each of these is a channel to a server, whatever it holds."""
    return sorted(one for one in directory.iterdir() if one.is_dir())


def _is_channel(folder: Path) -> bool:
    return (folder / subscriptions.FILE).exists() or bool(channel.slices(folder))


def _server(store: Store, *, crc: bool) -> None:
    path = store.directory / SERVER
    records = RecordFile(path, typed=False, crc=crc)
    try:
        found = list(records)
        # The server wants this file to be exactly one record (recoverServerInfo in stores/filestore.go).
        if len(found) != 1 or not found[0].intact or found[0].end != path.stat().st_size:
            why = "is empty" if records.end <= START else records.why or "does not hold exactly one whole record"
            store.own.append(Finding(SERVER, "corrupt", why, Harm.STOPS))
        else:
            store.cluster_id = pb.ServerRecord.FromString(found[0].content).cluster_id
    except FileNotFoundError:
        text = "is not there: a server takes the store for a new one, and an old version numbers from 1 again"
        store.own.append(Finding(SERVER, "missing", text, Harm.STOPS))
    except (OSError, VersionError, DecodeError) as error:
        store.own.append(Finding(SERVER, "unreadable", str(error), Harm.STOPS))


def logged_clients(path: Path, *, crc: bool = True) -> tuple[RecordFile, Iterator[tuple[int, pb.ClientRecord, bool]]]:
    """The records of a clients.dat: type, client, whether it is intact. The file object tells its end afterwards."""
    records = RecordFile(path, typed=True, crc=crc)
    return records, ((one.kind, pb.ClientRecord.FromString(one.content), one.intact) for one in records)


def _clients(store: Store, *, crc: bool) -> dict[str, pb.ClientRecord]:
    known: dict[str, pb.ClientRecord] = {}
    records, logged = logged_clients(store.directory / CLIENTS, crc=crc)
    try:
        for kind, client, intact in logged:
            if not intact or kind not in (ADDED, GONE):
                text = f"a record before byte {records.end} is damaged"
                store.own.append(Finding(CLIENTS, "corrupt", text, Harm.STOPS))
            elif kind == ADDED:
                known[client.client_id] = client
            else:
                known.pop(client.client_id, None)
    except FileNotFoundError:
        if not store.live:
            store.own.append(Finding(CLIENTS, "missing", "is not there: a server knows no client", Harm.NOTHING))
    except (OSError, VersionError, DecodeError) as error:
        store.own.append(Finding(CLIENTS, "unreadable", str(error), Harm.STOPS))
    store.own += subscriptions.endings(records, CLIENTS, live=store.live)
    return known


def _channel(store: Store, folder: Path, *, crc: bool) -> Channel:
    # Positions first: what is read later may be newer, so no position can be ahead of its messages by our reading.
    positions = subscriptions.read(folder / subscriptions.FILE, crc=crc, live=store.live)
    if not _is_channel(folder):
        text = "has no file of a channel, and yet every server takes it for a channel of this name"
        store.own.append(Finding(folder.name, "stranger", text, Harm.NOTHING))
        return Channel(folder.name, Messages(folder.name), Subscriptions())
    messages = channel.scan(folder, crc=crc, live=store.live)
    found = Channel(folder.name, messages, positions)
    where = f"{folder.name}/{subscriptions.FILE}"
    for durable in found.durables:
        if durable.last_sent > messages.last:
            text = (
                f"{durable.label} was sent up to {durable.last_sent}, and the last message is {messages.last}: "
                f"the next {durable.last_sent - messages.last} messages would never be delivered to it"
            )
            positions.findings.append(Finding(where, "ahead", text, Harm.LOSES))
    for one in positions.all:
        gone = one.record.client_id and one.record.client_id not in store.clients
        if gone and one.durable and one.group and not store.live:
            text = (
                f"{one.durable_name}:{one.group} has a member of {one.record.client_id}, a client that {CLIENTS} does "
                f"not know: a server drops the member with its {len(one.pending)} unacknowledged messages"
            )
            positions.findings.append(Finding(where, "ghost", text, Harm.LOSES))
    return found
