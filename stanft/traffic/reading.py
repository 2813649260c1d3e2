"""Reads a whole channel again from a message on, by a client of its own: what the store holds when all is over."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from stanft.stan.client import Client
from stanft.stan.errors import StanError
from stanft.stan.options import ConnectOptions, Start
from stanft.stan.subscription import Message
from stanft.traffic.ledger import Ledger, View

LAST_WAIT = 5.0  # seconds for a channel's last message; an empty channel has none
QUIET = 25.0  # seconds without a new message after which a reading is given up; a takeover may lie between
IN_FLIGHT = 512  # unacknowledged messages of the reader


@dataclass(frozen=True)
class Reader:
    """How to read: servers as URLs, limit seconds to begin, and quiet seconds without a message that end an attempt.

    A reading that goes on is not ended by the limit: a store may be large.
    """

    servers: Sequence[str]
    cluster_id: str = "test-cluster"
    options: ConnectOptions | None = None
    limit: float = 180.0
    quiet: float = QUIET

    async def read(self, ledger: Ledger, channel: str, *, first: int = 1, name: str = "last read") -> View:
        """Read a channel from sequence first to its last message; gives the view, which tells if it did not get there.

        A reader that loses its session is replaced by another one, which begins anew. Nothing is raised for servers
        that do not answer.
        """
        deadline = time.monotonic() + self.limit
        while True:
            view = ledger.view(name, channel, last=True)
            view.begins = first
            try:
                await self._attempt(ledger, view, first, deadline)
            except (StanError, OSError, TimeoutError) as error:
                view.unfinished = str(error) or type(error).__name__
            if not view.unfinished or time.monotonic() + 1 > deadline:
                return view
            view.complete = False  # the next one has to see everything; what this one saw still counts
            await asyncio.sleep(0.5)

    async def last_sequence(self, channel: str) -> int:
        """The sequence of a channel's last message as the active tells it, 0 if it holds none; raises StanError."""
        client = await self._connect(self.limit)
        try:
            return await _last_sequence(client, channel)
        finally:
            with contextlib.suppress(Exception):
                await client.close()

    async def _connect(self, wait: float) -> Client:
        name = f"reader-{secrets.token_hex(4)}"
        return await Client.connect(
            list(self.servers), client_id=name, cluster_id=self.cluster_id, options=self.options, wait=wait
        )

    async def _attempt(self, ledger: Ledger, view: View, first: int, deadline: float) -> None:
        """Read once; notes in the view why it did not reach the last message."""
        newest, came = 0, time.monotonic()

        def take(message: Message) -> None:
            nonlocal newest, came
            newest, came = max(newest, message.sequence), time.monotonic()
            ledger.deliver(view, message.data, message.sequence, message.redelivered, message.received)

        client = await self._connect(deadline - time.monotonic())
        try:
            last = await _last_sequence(client, view.channel)
            if last < first:
                return
            wait = deadline - time.monotonic()
            await client.subscribe(view.channel, take, start=Start.sequence(first), max_in_flight=IN_FLIGHT, wait=wait)
            came = time.monotonic()
            while newest < last:
                now = time.monotonic()
                if client.lost or now - came > self.quiet:
                    why = "its session was lost" if client.lost else f"nothing came for {now - came:.0f} s"
                    view.unfinished = f"sequence {newest} of {last} was read, then {why}"
                    return
                await asyncio.sleep(0.05)
        finally:
            with contextlib.suppress(Exception):
                await client.close()


async def _last_sequence(client: Client, channel: str) -> int:
    subscription = await client.subscribe(channel, start=Start.last(), wait=LAST_WAIT)
    try:
        return (await subscription.next(LAST_WAIT)).sequence
    except TimeoutError:
        # No message because there is none, or because nobody is there any more: an active answers this.
        probe = await client.subscribe(channel, start=Start.new(), wait=LAST_WAIT)
        await probe.close()
        return 0
    finally:
        with contextlib.suppress(StanError):
            await subscription.close()
