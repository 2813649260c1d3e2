"""Where messages come from: a live group, or a store directory that no server uses."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from stanft.ground.errors import UserError
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.errors import StanError
from stanft.stan.options import ConnectOptions, Start
from stanft.stan.subscription import Subscription
from stanft.store import channel as store_channel
from stanft.store import state
from stanft.store.channel import Message
from stanft.store.findings import Harm

CLIENT_ID = "stan-ft-exit"
PAGE = 1024  # channels asked for at once
WINDOW_BYTES = 4 << 20  # what one subscription may have on its way, about
WINDOW_FIRST, WINDOW_MOST = 64, 8192  # messages in the first window, whose sizes are not known, and in any
SILENCE = 3.0  # seconds without a message that should come, after which a subscription is made anew
ACK_WAIT = 3600  # seconds; nothing is acknowledged, and nothing shall come twice because of that


@dataclass(frozen=True)
class Channel:
    """What a channel holds now; first is last + 1 when it is empty, size is in bytes as the server counts."""

    name: str
    messages: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Durable:
    """A durable, or a durable queue group with its members; pending counts what is not acknowledged."""

    channel: str
    client_id: str
    name: str
    group: str
    last_sent: int
    pending: int
    online: bool
    ack_wait: int
    max_in_flight: int
    readers: tuple[str, ...] = ()  # ids of the clients that are connected

    @property
    def label(self) -> str:
        """client/name, or name:group for a queue group."""
        return f"{self.name}:{self.group}" if self.group else f"{self.client_id}/{self.name}"


@dataclass(frozen=True)
class Passing:
    """Subscriptions that are no durables: one of a client, or a queue group's; their position ends with them."""

    channel: str
    client_id: str
    group: str
    members: int
    last_sent: int
    pending: int
    readers: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The client, or the queue group."""
        return f"queue group {self.group}" if self.group else self.client_id


@dataclass(frozen=True)
class Session:
    """A client as the active knows it; heartbeats is the subject on which it is asked whether it lives."""

    client_id: str
    heartbeats: str = ""


@dataclass(frozen=True)
class Inventory:
    """Everything that a group has; limits is the server's own table (empty from a store on disk)."""

    cluster_id: str
    channels: list[Channel]
    durables: list[Durable]
    clients: list[Session]
    others: list[Passing]
    limits: dict[str, Any]


class Source(Protocol):
    """What copying and comparing need."""

    cluster_id: str

    async def channels(self) -> dict[str, Channel]:
        """What each channel holds now."""

    async def channel(self, name: str) -> Channel | None:
        """What one channel holds now, None if there is none (any more)."""

    async def inventory(self) -> Inventory:
        """Everything."""

    def messages(self, name: str, first: int, last: int) -> AsyncGenerator[Message, None]:
        """The messages first to last of a channel, in order; those that have expired are left out."""

    async def close(self) -> None:
        """Give back what was opened."""


async def existing(source: Source, name: str) -> Channel:
    """What one channel holds now. Raises UserError if there is none (any more)."""
    found = await source.channel(name)
    if found is None:
        raise UserError(f"{name}: the source has no such channel (any more): leave it out with --channel.")
    return found


def client_id(step: str, channels: Sequence[str]) -> str:
    """The id for one step on some channels: steps may run at once, and one that was killed is replaced by its next run.

    The server drops what a killed one left, its subscriptions too, when the same id comes again; else after minutes.
    """
    chosen = f"-{zlib.crc32(' '.join(sorted(channels)).encode()):08x}" if channels else ""
    return f"{CLIENT_ID}-{step}{chosen}"


class Monitor:
    """The monitoring ports of a group's servers; what the active says counts."""

    def __init__(self, urls: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        self.urls = [url if "://" in url else f"http://{url}" for url in urls]
        self.tls = tls
        self._active = ""

    def get(self, url: str, path: str, timeout: float = 5.0) -> dict[str, Any]:
        """The JSON of one server, empty where it says that there is no such thing. Raises OSError."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        connection = (
            http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=self.tls)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=timeout)
        )
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}{path}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == http.client.NOT_FOUND and "?" in path:
                return {}
            if answer.status != http.client.OK:
                raise OSError(f"{url}{path} answers {answer.status}")
            content = json.loads(body)
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"{url}{path}: {error}") from error
        finally:
            connection.close()
        if not isinstance(content, dict):
            raise OSError(f"{url}{path} is no JSON object")
        return content

    async def ask(self, path: str, wait: float = 30.0) -> dict[str, Any]:
        """The active's answer, looked for again for wait seconds. Raises UserError when nobody is active."""
        deadline = time.monotonic() + wait
        while True:
            last = "none was asked"
            for url in sorted(self.urls, key=lambda one: one != self._active):
                try:
                    found = await asyncio.to_thread(self.get, url, "/streaming/serverz")
                    if found.get("state") in ("FT_ACTIVE", "STANDALONE"):
                        self._active = url
                        return await asyncio.to_thread(self.get, url, path, 30.0)
                    last = f"{url} is {found.get('state')}"
                except OSError as error:
                    last = str(error)
            if time.monotonic() > deadline:
                raise UserError(
                    f"no active server at {', '.join(self.urls)} ({last}): give the monitoring address of every server "
                    "of the group with --monitor."
                )
            await asyncio.sleep(0.2)

    async def pages(self) -> AsyncIterator[dict[str, Any]]:
        """Each channel as /streaming/channelsz?subs=1 has it; without limit= the server leaves out all after 1,024."""
        offset = 0
        while True:
            page = await self.ask(f"/streaming/channelsz?subs=1&limit={PAGE}&offset={offset}")
            found = page.get("channels") or []
            for one in found:
                yield one
            offset += len(found)
            if len(found) < PAGE:
                return

    async def connections(self) -> list[dict[str, Any]]:
        """The NATS connections of every server that answers, with the subjects that each listens on."""
        found: list[dict[str, Any]] = []
        for url in self.urls:
            with contextlib.suppress(OSError):
                answer = await asyncio.to_thread(self.get, url, "/connz?subs=1&limit=1000000", 30.0)
                found += [{**one, "server": url} for one in answer.get("connections") or []]
        return found

    async def one(self, name: str) -> dict[str, Any]:
        """One channel with its subscriptions, empty if there is none."""
        return await self.ask(f"/streaming/channelsz?channel={quote(name, safe='')}&subs=1")


def _channel(found: dict[str, Any]) -> Channel:
    count, last = int(found.get("msgs", 0)), int(found.get("last_seq", 0))
    first = int(found.get("first_seq", 0)) if count else last + 1
    return Channel(str(found["name"]), count, int(found.get("bytes", 0)), first, last)


def durables_of(found: dict[str, Any]) -> tuple[list[Durable], list[Passing]]:
    """The durables in one entry of channelsz, and what is no durable; members of a queue group are one."""
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    passing: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found.get("subscriptions") or []:
        name, _, group = str(one.get("queue_name", "")).rpartition(":")
        if one.get("durable_name"):
            grouped.setdefault((str(one["client_id"]), str(one["durable_name"]), ""), []).append(one)
        elif name:
            grouped.setdefault(("", name, group), []).append(one)
        else:
            passing.setdefault(("" if group else str(one.get("client_id", "")), group), []).append(one)
    made = [
        Durable(
            channel=str(found["name"]),
            client_id=client,
            name=name,
            group=group,
            last_sent=max(int(one.get("last_sent", 0)) for one in members),
            pending=sum(int(one.get("pending_count", 0)) for one in members),
            online=any(not one.get("is_offline") for one in members),
            ack_wait=max(int(one.get("ack_wait", 30)) for one in members),
            max_in_flight=max(sum(int(one.get("max_inflight", 0)) for one in members), 1),
            readers=_readers(members),
        )
        for (client, name, group), members in sorted(grouped.items())
    ]
    others = [
        Passing(
            channel=str(found["name"]),
            client_id=client,
            group=group,
            members=len(members),
            last_sent=max(int(one.get("last_sent", 0)) for one in members),
            pending=sum(int(one.get("pending_count", 0)) for one in members),
            readers=_readers(members),
        )
        for (client, group), members in sorted(passing.items())
    ]
    return made, others


def _readers(members: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(
        sorted({str(one["client_id"]) for one in members if one.get("client_id") and not one.get("is_offline")})
    )


class _Window:
    """Messages on their way from one subscription to whoever reads them."""

    def __init__(self) -> None:
        self.full = False  # whether so many bytes came that the rest is left where it is
        self._arrived: list[Message] = []
        self._bytes = 0
        self._news = asyncio.Event()

    def take(self, wire: pb.MsgProto) -> None:
        """One message from the wire."""
        if not self.full:
            data = wire.data
            self._arrived.append(Message(wire.sequence, wire.timestamp, wire.reply, data))
            self._bytes += len(data)
            self.full = self._bytes > 2 * WINDOW_BYTES
            self._news.set()

    async def some(self) -> list[Message]:
        """Those that came since the last call, at least one. Raises TimeoutError when none comes."""
        if not self._arrived:
            self._news.clear()
            async with asyncio.timeout(SILENCE):
                await self._news.wait()
        found, self._arrived, self._bytes = self._arrived, [], 0
        return found


class LiveSource:
    """A running group, read with plain subscriptions that leave nothing behind and acknowledge nothing."""

    def __init__(
        self,
        servers: Sequence[str],
        monitors: Sequence[str],
        cluster_id: str,
        options: ConnectOptions | None = None,
        client_id: str = CLIENT_ID,
    ) -> None:
        self.servers = list(servers)
        self.cluster_id = cluster_id
        self.client_id = client_id
        self.options = options or ConnectOptions()
        self.monitor = Monitor(monitors, self.options.tls)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._trouble = ""  # why the last window ended early
        self._sizes: dict[str, float] = {}  # bytes of a channel's message as the server counts them, on the average

    async def channels(self) -> dict[str, Channel]:
        """What each channel holds now."""
        found = {str(one["name"]): _channel(one) async for one in self.monitor.pages()}
        self._sizes = {name: one.size / one.messages for name, one in found.items() if one.messages}
        return found

    async def channel(self, name: str) -> Channel | None:
        """What one channel holds now."""
        found = await self.monitor.one(name)
        return _channel(found) if found else None

    async def inventory(self) -> Inventory:
        """Everything that the active tells."""
        own = (await self.monitor.ask("/streaming/serverz")).get("cluster_id", "")
        if own != self.cluster_id:
            raise UserError(f"the group's cluster id is {own!r} and not {self.cluster_id!r}: give --cluster-id {own}.")
        channels: list[Channel] = []
        durables: list[Durable] = []
        others: list[Passing] = []
        async for one in self.monitor.pages():
            channels.append(_channel(one))
            kept, passing = durables_of(one)
            durables += kept
            others += passing
        # With subs=1 the server gives objects, without it names alone (server/monitor.go).
        clients = (await self.monitor.ask("/streaming/clientsz?subs=1&limit=1000000")).get("clients") or []
        limits = (await self.monitor.ask("/streaming/storez")).get("limits") or {}
        sessions = [Session(str(one["id"]), str(one.get("hb_inbox", ""))) for one in clients]
        return Inventory(
            self.cluster_id, channels, durables, sorted(sessions, key=lambda one: one.client_id), others, limits
        )

    async def client(self) -> Client:
        """A session, made anew when the last one is over. Raises ConnectError."""
        async with self._connecting:
            if self._client is None or self._client.lost:
                self._client = await Client.connect(
                    self.servers, client_id=self.client_id, cluster_id=self.cluster_id, options=self.options, wait=60
                )
            return self._client

    async def messages(self, name: str, first: int, last: int) -> AsyncGenerator[Message, None]:
        """The messages first to last, window by window, so that neither side ever has more on its way than a window.

        A message may be left out only when the group has none of its number. Raises StanError, UserError.
        """
        expected, size, tries, room = first, self._sizes.get(name, 1.0), 0, WINDOW_FIRST
        while expected <= last:
            most = max(1, min(room, int(WINDOW_BYTES / size), last - expected + 1))
            room = min(room * 4, WINDOW_MOST)
            arrived = expected
            async with contextlib.aclosing(self._window(name, expected, most)) as window:
                async for batch in window:
                    for message in batch:
                        if message.sequence != arrived:
                            if message.sequence < arrived:
                                continue
                            # Only what has expired may be missing; what was lost on the way is asked for again.
                            if arrived >= (await existing(self, name)).first:
                                break
                        if message.sequence > last:
                            return
                        size = max(size * 0.98, len(message.data) + 100)  # as large as the largest of late
                        arrived = message.sequence + 1
                        yield message
                    else:
                        continue
                    break
            tries = 0 if arrived > expected else tries + 1
            expected = arrived
            if tries:
                found = await existing(self, name)
                if found.last < expected:
                    raise UserError(
                        f"{name}: the group ends with message {found.last} and had {expected} before: it went back "
                        "(a restored backup, or messages lost with a node). Nothing was changed; look at both sides."
                    )
                if tries > 10:
                    raise UserError(
                        f"{name}: the group does not deliver message {expected}, which it says it has: {self._trouble}."
                    )
                expected = max(expected, found.first)
                await asyncio.sleep(min(0.1 * 2**tries, 5))

    async def _window(self, name: str, first: int, most: int) -> AsyncGenerator[list[Message], None]:
        """At most so many messages from a sequence on, as they come.

        They are fewer when none comes for SILENCE seconds, and when more bytes come than the sizes before let expect.
        """
        window = _Window()
        subscription: Subscription | None = None
        try:
            client = await self.client()
            subscription = await client.subscribe(
                name,
                start=Start.sequence(first),
                manual_acks=True,
                ack_wait=ACK_WAIT,
                max_in_flight=most,
                raw=window.take,
            )
            while most > 0:
                some = await window.some()
                if window.full:
                    await subscription.close()
                    most = 0
                most -= len(some)
                yield some
        except (StanError, TimeoutError) as error:
            self._trouble = str(error) or f"nothing came for {SILENCE:g} s"
            return
        finally:
            if subscription is not None and not subscription.closed:
                with contextlib.suppress(StanError):
                    await subscription.close()

    async def close(self) -> None:
        """End the session."""
        if self._client is not None:
            with contextlib.suppress(StanError):
                await self._client.close()


class StoreSource:
    """A store directory on disk: a snapshot, a backup, or the volume of a group that was stopped."""

    def __init__(self, directory: Path) -> None:
        if state.held(directory):
            raise UserError(f"a server holds {directory}: stop it, or give the group's addresses instead.")
        self.directory = directory
        self.store = state.read(directory)
        bad = [one for one in self.store.findings if one.harm is not Harm.NOTHING]
        if bad:
            raise UserError(f"{directory} is damaged: {bad[0].line()}; see stan-ft verify, and copy a mended backup.")
        self.cluster_id = self.store.cluster_id
        self._held = {one.name: one for one in self.store.channels}

    async def channels(self) -> dict[str, Channel]:
        """What each channel holds."""
        made = {}
        for name, one in self._held.items():
            held = one.messages
            made[name] = Channel(name, held.count, held.size, held.first or held.last + 1, held.last)
        return made

    async def channel(self, name: str) -> Channel | None:
        """What one channel holds."""
        return (await self.channels()).get(name)

    async def inventory(self) -> Inventory:
        """Everything that the files tell; the server's limits are in its configuration, not here."""
        durables = [
            Durable(
                channel=name,
                client_id=one.client_id,
                name=one.name,
                group=one.group,
                last_sent=one.last_sent,
                pending=len(one.pending),
                online=False,
                ack_wait=one.ack_wait,
                max_in_flight=max(one.max_in_flight, 1),
            )
            for name, held in self._held.items()
            for one in held.durables
        ]
        clients = [Session(name) for name in sorted(self.store.clients)]
        return Inventory(self.cluster_id, list((await self.channels()).values()), durables, clients, [], {})

    async def messages(self, name: str, first: int, last: int) -> AsyncGenerator[Message, None]:
        """The messages first to last."""
        for message in store_channel.messages(self._held[name].messages, first):
            if message.sequence > last:
                return
            yield message

    async def close(self) -> None:
        """Nothing is open."""
