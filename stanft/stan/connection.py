"""A NATS connection: nats-py's client that ends when asked, tells a refusal at once, and signs by itself."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client as NatsClient
from nats.aio.subscription import Subscription
from nats.protocol import parser

from stanft.stan import keys
from stanft.stan.errors import ConnectError

Taker = Callable[[bytes, bytes], None]  # of a message's header block (empty if it has none) and content
CLOSING = 2.0  # seconds for the other side to end a connection that is closed
CANCEL_AGAIN = 0.2  # seconds between two tries to end a connection attempt
TOLD_AT_CONNECT = ("Authorization Violation", "certificate", "CERTIFICATE", "Secure Connection")


async def end(attempts: asyncio.Future[Any]) -> None:
    """Cancel nats-py's attempts to connect until they end: it takes a cancelled wait for an attempt that failed."""
    while not attempts.done():
        attempts.cancel()
        await asyncio.wait({attempts}, timeout=CANCEL_AGAIN)


class _Parser(parser.Parser):
    """nats-py's parser with a short way for messages that a taker gets; all else goes the way that it always goes."""

    nc: Connection
    wanted = 0  # bytes from the buffer's start to the end of the message for a taker that it begins with

    def reset(self) -> None:
        super().reset()
        self.wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        if self.nc.takers and self.state == parser.AWAITING_CONTROL_LINE:
            if self.buf:
                self.buf += data
                if len(self.buf) < self.wanted:
                    return
                data = bytes(self.buf)
            done, self.wanted = self._taken(data)
            self.buf[:] = data[done:]
            if self.wanted:
                return
            data = b""
        self.wanted = 0
        await super().parse(data)

    def _taken(self, data: bytes) -> tuple[int, int]:
        """How much was messages for takers, and how many bytes the one after them needs; 0 if it is for somebody else.

        A message begins with MSG SUBJECT SID [REPLY] SIZE, or with HMSG SUBJECT SID [REPLY] SIZE-OF-HEADERS SIZE.
        """
        takers, at, find = self.nc.takers, 0, data.find
        while True:
            plain = data.startswith(b"MSG ", at)
            if not plain and not data.startswith(b"HMSG ", at):
                return at, 0
            line = find(b"\r\n", at)
            if line < 0:
                return at, 0
            words = data[at:line].split()
            taker = takers.get(int(words[2]))
            if taker is None:
                return at, 0
            line += 2
            end = line + int(words[-1])
            if len(data) < end + 2:
                return at, end + 2 - at
            if plain:
                taker(b"", data[line:end])
            else:
                head = line + int(words[-2])
                taker(data[line:head], data[head:end])
            at = end + 2


class Connection(NatsClient):
    """nats-py's client; it reads the file of an NKey or credentials at each connection, so that it may be renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.takers: dict[int, Taker] = {}
        self._ps = _Parser(self)

    def take(self, subscription: Subscription, taker: Taker) -> None:
        """Give a subscription's messages to taker as they come, past nats-py's queue and task: half of the time."""
        self.takers[subscription._id] = taker

    async def leave(self, subscription: Subscription) -> None:
        """Unsubscribe; no message comes after that. Raises nats.errors.Error."""
        self.takers.pop(subscription._id, None)
        await subscription.unsubscribe()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if taker := self.takers.get(sid):
            taker(headers or b"", data)
        else:
            await super()._process_msg(sid, subject, reply, data, headers)

    async def close(self) -> None:
        """Close the connection; one whose end never comes, as of TLS that was cut in its handshake, is left alone."""
        closing = asyncio.ensure_future(super().close())
        done, _ = await asyncio.wait({closing}, timeout=CLOSING)
        if done:
            await closing
        else:
            closing.cancel()

    async def reach(
        self,
        servers: list[str],
        within: float,
        on_error: Callable[[Exception], Awaitable[None]] | None = None,
        **settings: Any,
    ) -> None:
        """Connect, trying for so many seconds; nats-py alone would try for ever, also where it was turned away.

        on_error gets every error of the connection, also later. Raises ConnectError, at once when a server refuses.
        """
        refused: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        last: Exception | None = None

        async def failed(error: Exception) -> None:
            nonlocal last
            last = error if str(error) else last
            if any(words in str(error) for words in TOLD_AT_CONNECT) and not refused.done():
                refused.set_result(error)
            if on_error is not None:
                await on_error(error)

        opening: asyncio.Future[None] = asyncio.ensure_future(
            self.connect(servers=servers, error_cb=failed, max_reconnect_attempts=-1, pending_size=0, **settings)
        )
        both: set[asyncio.Future[Any]] = {opening, refused}
        await asyncio.wait(both, timeout=max(within, 0), return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            if (why := opening.exception()) is None:
                return
            last = why if isinstance(why, Exception) else last
        await end(opening)
        where = ", ".join(urlsplit(server).netloc.rpartition("@")[2] or server for server in servers)
        raise ConnectError(
            f"no NATS connection to {where}: {refused.result() if refused.done() else last or 'no answer'}"
        )

    def _setup_nkeys_connect(self) -> None:
        def identity() -> keys.Identity:
            if self._user_credentials is not None:
                return keys.of_credentials(Path(str(self._user_credentials)))
            return keys.of_seed_file(Path(str(self._nkeys_seed)))

        if self._user_credentials is not None:
            self._user_jwt_cb = lambda: bytearray(identity().token.encode())
        self._public_nkey = identity().public
        self._signature_cb = lambda nonce: base64.b64encode(identity().sign(nonce.encode()))
