"""A connection that is closed is left behind in time, also when the other side never ends it."""

from __future__ import annotations

import asyncio

import pytest

from stanft.stan import connection
from stanft.stan.connection import Connection, NatsClient


def close(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Close a connection whose end never comes, or fails."""

    async def ends(_: NatsClient) -> None:
        if how == "never":
            await asyncio.Event().wait()
        raise OSError(how)

    monkeypatch.setattr(connection, "CLOSING", 0.05)
    monkeypatch.setattr(NatsClient, "close", ends)

    async def work() -> None:
        async with asyncio.timeout(10):
            await Connection().close()

    asyncio.run(work())


def test_a_close_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    close(monkeypatch, "never")


def test_a_close_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="reset"):
        close(monkeypatch, "reset")
