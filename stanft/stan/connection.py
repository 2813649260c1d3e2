"""A NATS connection: nats-py's client that ends when asked, tells a refusal at once, and signs by itself."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client as NatsClient

from stanft.stan import keys
from stanft.stan.errors import ConnectError

CANCEL_AGAIN = 0.2  # seconds between two tries to end a connection attempt
TOLD_AT_CONNECT = ("Authorization Violation", "certificate", "CERTIFICATE", "Secure Connection")


async def end(attempts: asyncio.Future[Any]) -> None:
    """Cancel nats-py's attempts to connect until they end: it takes a cancelled wait for an attempt that failed."""
    while not attempts.done():
        attempts.cancel()
        await asyncio.wait({attempts}, timeout=CANCEL_AGAIN)


class Connection(NatsClient):
    """nats-py's client; it reads the file of an NKey or credentials at each connection, so that it may be renewed."""

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
