"""The proof that ends scripts/up: a message through each server."""

from __future__ import annotations

import asyncio
from typing import Any

from stanft import words
from stanft.stan.client import Client
from stanft.stan.options import Start


async def prove(urls: list[str], cluster_id: str = words.CLUSTER_ID) -> None:
    """Publish a message through each server and receive all of them; raises what the client raises if one is missing.

    The channel is deleted by nobody, as the server cannot: it is always the same one and holds one message per run.
    """
    channel = "stan-ft.proof"
    for number, url in enumerate(urls):
        token = f"proof-{number}".encode()
        client = await Client.connect(url, client_id=f"stan-ft-proof-{number}", cluster_id=cluster_id)
        async with client:
            received: asyncio.Queue[bytes] = asyncio.Queue()

            async def on_message(message: Any, queue: asyncio.Queue[bytes] = received) -> None:
                queue.put_nowait(message.data)

            await client.subscribe(channel, on_message, start=Start.new())
            await client.publish(channel, token, timeout=10.0)
            async with asyncio.timeout(10.0):
                while await received.get() != token:
                    pass
