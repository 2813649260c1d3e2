"""The lab's clients: a publisher beside each node, a reader of everything at the end, all in one ledger.

Each publisher stays with its node (as a client in the node's zone would), so that a cut-off active still has clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from harness.nfs_lab.lab import Lab
from harness.nfs_lab.machine import Machine
from stanft.stan.client import Client
from stanft.stan.errors import NoActiveError, StanError
from stanft.stan.options import ConnectOptions
from stanft.stan.outcome import Outcome, PublishResult
from stanft.traffic.ledger import STORED, Ledger, Track, encode
from stanft.traffic.reading import Reader

CHANNEL = "lab"
BESIDE = "beside-"  # the publisher beside a node
RATE = 20.0  # messages per second and publisher: enough to see a gap of 0.1 s, little enough for emulated machines
IN_FLIGHT = 20  # unanswered messages per publisher; then it waits, as a careful client does
ACK_TIMEOUT = 5.0  # seconds until a publication counts as unknown; a later acknowledgement still counts as one
SIZE = 256  # bytes per message

T = TypeVar("T")


class Clients:
    """Publishers and reader over one ledger, run by an event loop of their own; times are time.monotonic()."""

    def __init__(self, lab: Lab, run: str) -> None:
        self.lab = lab
        self.ledger = Ledger(run)
        self.guids: dict[str, tuple[Track, int]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._names = itertools.count()
        self._thread.start()

    def start(self) -> None:
        """Begin to publish through every node."""
        tracks = [(node, self.ledger.track(CHANNEL, f"{BESIDE}{node.name}")) for node in self.lab.nodes]

        async def begin() -> None:
            self._tasks = [asyncio.create_task(self._publish(node, track)) for node, track in tracks]

        self._wait(begin(), 10)

    @property
    def publishers(self) -> dict[str, int]:
        """The number of the ledger's track of each publisher, by the node that it is beside."""
        return {track.publisher.removeprefix(BESIDE): number for number, track in enumerate(self.ledger.tracks)}

    def flowing(self, since: float, *, every: bool = True) -> bool:
        """Whether every publisher (or any) had a message acknowledged that it sent after since (monotonic seconds)."""
        found = [
            any(
                code == STORED and sent > since
                for sent, code in zip(track.sent[-200:], track.codes[-200:], strict=False)
            )
            for track in self.ledger.tracks
        ]
        return all(found) if every else any(found)

    def stop(self) -> None:
        """End the publishers; what is still unanswered a little later is unknown."""

        async def end() -> None:
            self._stop.set()
            await asyncio.wait(self._tasks, timeout=ACK_TIMEOUT + 5)

        self._wait(end(), ACK_TIMEOUT + 10)

    def read_all(self, timeout: float) -> None:
        """Read every channel from its first message on, through any node, within timeout seconds each.

        What a reading did not reach is told by its view.
        """
        urls = [self.lab.client_url(node) for node in self.lab.nodes if node.running]
        for channel in sorted({track.channel for track in self.ledger.tracks}):
            self._wait(Reader(urls, limit=timeout).read(self.ledger, channel), timeout + 60)

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
        if client is not None:
            deadline = time.monotonic() + ACK_TIMEOUT
            while client.in_flight and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            with contextlib.suppress(Exception):
                await client.abandon()

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
            guid = await client.publish_async(CHANNEL, payload, settle)
        except NoActiveError as error:
            track.end(number, Outcome.NOT_STORED, time.monotonic(), str(error))
        except StanError as error:
            track.end(number, Outcome.UNKNOWN, time.monotonic(), str(error))
        else:
            self.guids[guid] = (track, number)
