"""What the tests on real servers share beside their fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from harness.charts.render import render
from harness.charts.render import stan_conf as rendered_conf

T = TypeVar("T")
# nats-streaming-server server/ft.go: heartbeats every 1 s, missed after 1.25 s, each +-10 %; a try for the lock that
# comes too early is repeated after another such wait.
HEARTBEAT, MISSED = 1.1, 1.375
LIMIT = 60.0  # seconds after which something asynchronous hangs for good


def run(work: Coroutine[Any, Any, T], limit: float = LIMIT) -> T:
    """Run something asynchronous to its end, and fail if it takes longer than limit seconds."""

    async def limited() -> T:
        async with asyncio.timeout(limit):
            return await work

    return asyncio.run(limited())


def stan_conf(values: dict[str, Any] | None = None) -> str:
    """The stan.conf that the chart renders for these values."""
    return rendered_conf(render("stan-ft", values or {}))
