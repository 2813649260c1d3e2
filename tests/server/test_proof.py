"""The message through each server with which scripts/up ends."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.local.proof import prove
from harness.loopback.server import Group
from stanft.stan.client import Client
from stanft.stan.options import Start


async def kept(url: str, cluster_id: str) -> list[bytes]:
    """What the channel of the proof holds."""
    found: list[bytes] = []
    async with await Client.connect(url, client_id="looks", cluster_id=cluster_id) as client:

        async def on_message(message: Any) -> None:
            found.append(message.data)

        await client.subscribe("stan-ft.proof", on_message, start=Start.first())
        async with asyncio.timeout(20):
            while len(found) < 3:
                await asyncio.sleep(0.01)
    return found


def test_one_message_is_stored_through_each_server(shared_group: Group) -> None:
    urls = [server.url for server in shared_group.servers]
    asyncio.run(prove(urls, shared_group.cluster_id))
    assert asyncio.run(kept(urls[0], shared_group.cluster_id)) == [b"proof-0", b"proof-1", b"proof-2"]
