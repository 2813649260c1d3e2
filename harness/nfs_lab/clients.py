"""The lab's clients: publishers and consumers beside each node, a reader of everything at the end, in one ledger.

Each publisher stays with its node (as a client in the node's zone would), so that a cut-off active still has clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from harness.nfs_lab.lab import Lab
from harness.nfs_lab.machine import Machine
from harness.nfs_lab.scenes import Scene
from stanft.stan.client import Client
from stanft.stan.errors import NoActiveError, StanError
from stanft.stan.options import ConnectOptions, Start
from stanft.stan.outcome import Outcome, PublishResult
from stanft.stan.subscription import Message
from stanft.traffic.ledger import STORED, Ledger, Track, View, encode
from stanft.traffic.reading import Reader

CHANNEL = "lab"
BESIDE = "beside-"  # the publisher beside a node
RATE = 20.0  # messages per second and publisher: enough to see a gap of 0.1 s, little enough for emulated machines
IN_FLIGHT = 20  # unanswered messages per publisher; then it waits, as a careful client does
QUIET_RATE = 2.0  # the same in a quiet channel, once its time has come; less where there are many
UNACKED = 64  # messages that a consumer may have open
ACK_WAIT = 3  # seconds until the server sends again what a consumer has not acknowledged
DRAIN = 10.0  # seconds without a message after which a consumer has all that it gets
ACK_TIMEOUT = 5.0  # seconds until a publication counts as unknown; a later acknowledgement still counts as one
SIZE = 256  # bytes per message
READERS = 8  # channels that are read at the same time at the end

T = TypeVar("T")


class Clients:
    """Publishers and reader over one ledger, run by an event loop of their own; times are time.monotonic()."""

    def __init__(self, lab: Lab, run: str, scene: Scene) -> None:
        self.lab = lab
        self.scene = scene
        self.wake = asyncio.Event()  # the quiet channels are used from now on
        self._sessions: dict[str, Client] = {}  # consumer -> its last one
        self.came: dict[str, float] = {}  # consumer -> when a message came last
        self.ledger = Ledger(run)
        self.guids: dict[str, tuple[Track, int]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()  # nothing will be acknowledged any more: what a consumer misses now, it misses
        self._tasks: list[asyncio.Task[None]] = []
        self._consumers: list[asyncio.Task[None]] = []
        self._names = itertools.count()
        # All quiet channels together are no busier than the busy one.
        self._pause = max(1 / QUIET_RATE, len(scene.quiet) / RATE)  # seconds
        self._thread.start()

    def start(self) -> None:
        """Begin to publish through every node, and to consume."""
        busy = [(node, self.ledger.track(CHANNEL, f"{BESIDE}{node.name}")) for node in self.lab.nodes]
        quiet = [
            (node, self.ledger.track(channel, f"{BESIDE}{node.name}"))
            for channel in self.scene.quiet
            for node in self.lab.nodes
        ]
        views = [
            self.ledger.view(f"consumer-{number}", CHANNEL, window=UNACKED) for number in range(self.scene.consumers)
        ]

        async def begin() -> None:
            self._consumers = [asyncio.create_task(self._consume(number, view)) for number, view in enumerate(views)]
            self._tasks = [asyncio.create_task(self._publish(node, track)) for node, track in busy]
            self._tasks += [asyncio.create_task(self._publish_rarely(node, track)) for node, track in quiet]

        self._wait(begin(), 10)

    @property
    def publishers(self) -> dict[str, int]:
        """The number of the ledger's track of each publisher, by the node that it is beside."""
        return {
            track.publisher.removeprefix(BESIDE): number
            for number, track in enumerate(self.ledger.tracks)
            if track.channel == CHANNEL
        }

    def fault(self, active: Machine) -> None:
        """The fault comes now: from here on the quiet channels get messages, too."""
        if self.scene.keeps:
            there = urlsplit(self.lab.client_url(active)).netloc
            for view in self.ledger.views:
                session = self._sessions.get(view.name)
                view.complete = session is None or session.server != there
        self._loop.call_soon_threadsafe(self.wake.set)

    def flowing(self, since: float, *, every: bool = True) -> bool:
        """Whether every publisher (or any) had a message acknowledged that it sent after since (monotonic seconds).

        Those of quiet channels count as soon as these are used.
        """
        found = [
            any(
                code == STORED and sent > since
                for sent, code in zip(track.sent[-200:], track.codes[-200:], strict=False)
            )
            for track in self.ledger.tracks
            if track.channel == CHANNEL or self.wake.is_set() or not since
        ]
        return all(found) if every else any(found)

    def stop(self) -> None:
        """End the publishers; what is still unanswered a little later is unknown."""

        async def end() -> None:
            self._stop.set()
            await asyncio.wait(self._tasks, timeout=ACK_TIMEOUT + 5)
            self._settled.set()
            if self._consumers:
                _, left = await asyncio.wait(self._consumers, timeout=DRAIN * 3)
                for task in left:
                    task.cancel()

        self._wait(end(), ACK_TIMEOUT + DRAIN * 3 + 15)

    def read_all(self, timeout: float) -> None:
        """Read every channel from its first message on, through any node, within timeout seconds each.

        What a reading did not reach is told by its view.
        """
        reader = Reader([self.lab.client_url(node) for node in self.lab.nodes if node.running], limit=timeout)
        channels = sorted({track.channel for track in self.ledger.tracks})
        at_once = asyncio.Semaphore(READERS)

        async def read(channel: str) -> View:
            async with at_once:
                return await reader.read(self.ledger, channel)

        async def read_each() -> list[View]:
            return await asyncio.gather(*(read(channel) for channel in channels))

        for view in self._wait(read_each(), (timeout + 60) * math.ceil(len(channels) / READERS)):
            newest = max(view.sequences, default=0)
            view.first = self.scene.oldest(newest)
            for live in self.ledger.views:
                if live.channel == view.channel and not live.last and max(live.sequences, default=0) < newest:
                    live.unfinished = f"it got no further than sequence {max(live.sequences, default=0)} of {newest}"

    def close(self) -> None:
        """End everything, also what an interrupted run left under way."""

        async def end() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.wait(others or [asyncio.create_task(asyncio.sleep(0))], timeout=5)

        with contextlib.suppress(TimeoutError):
            self._wait(end(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # ---- inside ----

    def _wait(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    async def _publish_rarely(self, node: Machine, track: Track) -> None:
        """A quiet channel: one message at the start, none until wake, and some from then on."""
        client: Client | None = None
        while not self._stop.is_set():
            if client is None or client.lost:
                client = await self._connect(node)
                continue
            # The first one has to be acknowledged, so that the channel is there.
            begins = STORED not in track.codes and not client.in_flight
            if client.connected and client.in_flight < IN_FLIGHT and (begins or self.wake.is_set()):
                await self._send(client, track)
            await asyncio.sleep(self._pause)
        await self._leave(client)

    async def _consume(self, number: int, view: View) -> None:
        """A durable subscriber of the busy channel that acknowledges late, through the node that is next."""
        client: Client | None = None
        while not self._settled.is_set() or time.monotonic() - self.came.get(view.name, 0.0) < DRAIN:
            if client is None or client.lost:
                await self._abandon(client)
                client = await self._subscribe(number, view)
            await asyncio.sleep(0.2)
            if self._settled.is_set() and not self.ledger.missing(view):
                break
        await self._leave(client)

    async def _subscribe(self, number: int, view: View) -> Client | None:
        after = self.scene.acks_after
        own = number % len(self.lab.nodes)
        # The first session is with the node that it is beside, whatever that one takes to answer.
        others = [*self.lab.nodes[own + 1 :], *self.lab.nodes[:own]] if view.name in self._sessions else []
        urls = [self.lab.client_url(node) for node in (self.lab.nodes[own], *others)]
        client: Client | None = None

        async def handle(message: Message) -> None:
            self.came[view.name] = message.received
            self.ledger.deliver(view, message.data, message.sequence, message.redelivered, message.received)
            # Handlers run one after the other, and an acknowledgement in flight must not hold up the next message.
            asyncio.get_running_loop().call_later(after, lambda: asyncio.ensure_future(message.ack()))

        with contextlib.suppress(StanError, OSError, TimeoutError):
            # The durable position belongs to the client's name, so a new session has to have the same one.
            client = await Client.connect(urls, client_id=view.name, wait=3.0)
            await client.subscribe(
                CHANNEL,
                handle,
                durable=view.name,
                start=Start.first(),
                max_in_flight=UNACKED,
                manual_acks=True,
                ack_wait=ACK_WAIT,
                wait=5.0,
            )
            self._sessions[view.name] = client
            return client
        await self._abandon(client)
        await asyncio.sleep(0.1)
        return None

    @staticmethod
    async def _abandon(client: Client | None) -> None:
        if client is not None:
            with contextlib.suppress(Exception):
                await client.abandon()

    async def _leave(self, client: Client | None) -> None:
        if client is not None:
            deadline = time.monotonic() + ACK_TIMEOUT
            while client.in_flight and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            await self._abandon(client)

    async def _publish(self, node: Machine, track: Track) -> None:
        client: Client | None = None
        next_at = time.monotonic()
        while not self._stop.is_set():
            if client is None or client.lost:
                client = await self._connect(node)
                continue
            # A client that waits sends nothing; what it could not send is no part of the ledger.
            next_at = max(next_at + 1 / RATE, time.monotonic())
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            if client.in_flight >= IN_FLIGHT or not client.connected:
                continue
            await self._send(client, track)
        await self._leave(client)

    async def _connect(self, node: Machine) -> Client | None:
        name = f"{node.name}-{next(self._names)}"
        options = ConnectOptions(ack_timeout=ACK_TIMEOUT)
        with contextlib.suppress(StanError, OSError, TimeoutError):
            return await Client.connect(self.lab.client_url(node), client_id=name, options=options, wait=3.0)
        await asyncio.sleep(0.1)
        return None

    async def _send(self, client: Client, track: Track) -> None:
        number = track.send(time.monotonic())
        payload = encode(self.ledger.run, track.publisher, number, SIZE)

        def settle(result: PublishResult) -> None:
            track.end(number, result.outcome, time.monotonic(), result.error)

        try:
            guid = await client.publish_async(track.channel, payload, settle)
        except NoActiveError as error:
            track.end(number, Outcome.NOT_STORED, time.monotonic(), str(error))
        except StanError as error:
            track.end(number, Outcome.UNKNOWN, time.monotonic(), str(error))
        else:
            self.guids[guid] = (track, number)
