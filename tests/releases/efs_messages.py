"""Messages into and out of a single server over a claim: what has to be there again after a change of storage."""

from __future__ import annotations

import asyncio

from stanft.stan.client import Client
from stanft.stan.options import Start
from stanft.stan.subscription import Message


def publish(url: str, count: int) -> None:
    """Publish the numbers below count and wait until each is stored."""
    asyncio.run(_publish(url, count))


def read(url: str, count: int) -> list[str]:
    """The first count messages; raises TimeoutError if they have not come within 30 s."""
    return asyncio.run(_read(url, count))


async def _publish(url: str, count: int) -> None:
    async with await Client.connect(url, client_id="writer", cluster_id="kept") as client:
        for number in range(count):
            await client.publish("kept", str(number).encode())


async def _read(url: str, count: int) -> list[str]:
    seen: list[str] = []
    done = asyncio.Event()

    def on_message(message: Message) -> None:
        seen.append(message.data.decode())
        if len(seen) == count:
            done.set()

    async with await Client.connect(url, client_id="reader", cluster_id="kept") as client:
        await client.subscribe("kept", on_message, start=Start.first())
        await asyncio.wait_for(done.wait(), 30)
    return seen
