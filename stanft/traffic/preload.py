"""Fills the store before a drill, so that takeovers of stores of a known size can be measured."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from stanft.ground.errors import UserError
from stanft.stan.client import Client

CHANNEL = "stan-ft-drill-store"
WINDOW = 512  # messages that wait for their acknowledgement
TIMEOUT = 600.0  # seconds
MOST = 4 * 2**30  # bytes of one fill


@dataclass(frozen=True)
class Amount:
    """So many messages of so many bytes each, spread over so many channels."""

    messages: int
    size: int
    channels: int = 1

    @classmethod
    def of(cls, text: str) -> Self:
        """The amount from a text such as "100000x512" or "100000x512x1000"; raises UserError for any other text."""
        found = re.fullmatch(r"(\d+)x(\d+)(?:x(\d+))?", text)
        messages, size, channels = (int(part or 1) for part in found.groups()) if found else (0, 0, 0)
        if not messages or not size or not 1 <= channels <= messages or messages * size > MOST:
            raise UserError(
                f"{text!r} is no amount of messages: write NUMBERxBYTES, such as 100000x512, up to 4 GiB in all, or "
                "NUMBERxBYTESxCHANNELS, such as 100000x512x100."
            )
        return cls(messages, size, channels)


def fill(urls: Sequence[str], cluster_id: str, amount: Amount) -> None:
    """Publish the amount to CHANNEL, or to CHANNEL.1 and so on; raises what the client raises."""
    asyncio.run(asyncio.wait_for(_fill(urls, cluster_id, amount), TIMEOUT))


async def _fill(urls: Sequence[str], cluster_id: str, amount: Amount) -> None:
    payload = bytes(amount.size)
    async with await Client.connect(urls, client_id="stan-ft-drill-fill", cluster_id=cluster_id) as client:
        for number in range(amount.messages):
            channel = CHANNEL if amount.channels == 1 else f"{CHANNEL}.{number % amount.channels + 1}"
            await client.publish_async(channel, payload)
            while client.in_flight >= WINDOW:
                await asyncio.sleep(0.001)
        while client.in_flight:
            await asyncio.sleep(0.01)
