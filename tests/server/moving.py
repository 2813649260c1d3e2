"""What the tests of the way out share: a filled group, the move of all its channels, and both sides read back."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from stanft.exit import compare, plan, record
from stanft.exit.copy import Copier, Progress
from stanft.exit.plan import Plan
from stanft.exit.source import Channel, Inventory, Source
from stanft.exit.target import Target
from stanft.store.channel import Message


def numbered(first: int, last: int, size: int = 100) -> list[bytes]:
    """Contents that begin with their number."""
    return [b"%d " % number + bytes(size) for number in range(first, last + 1)]


async def planned(source: Source, replicas: int = 1) -> Plan:
    """Everything at the source, without limits on the streams."""
    found = await source.inventory()
    return plan.propose(Inventory(found.cluster_id, found.channels, found.durables, [], [], {}), replicas)


async def moved(source: Source, target: Target, replicas: int = 1) -> list[Progress]:
    """Copy everything once."""
    return await Copier(await planned(source, replicas), source, target).run()


async def equal(source: Source, target: Target) -> list[compare.Compared]:
    """Compare everything, which must be equal and complete."""
    results = await compare.compare(await planned(source), source, target)
    assert [one.line() for one in results if one.problem or one.behind] == []
    return results


class Memory:
    """A source whose messages a test has in its hands, by channel."""

    cluster_id = "test-cluster"

    def __init__(self, **held: list[Message]) -> None:
        self.held = held

    async def channels(self) -> dict[str, Channel]:
        """What each channel holds."""
        made = {}
        for name, messages in self.held.items():
            first, last = (messages[0].sequence, messages[-1].sequence) if messages else (1, 0)
            made[name] = Channel(name, len(messages), 0, first, last)
        return made

    async def channel(self, name: str) -> Channel | None:
        """What one channel holds."""
        return (await self.channels()).get(name)

    async def inventory(self) -> Inventory:
        """The channels alone."""
        return Inventory(self.cluster_id, list((await self.channels()).values()), [], [], [], {})

    async def messages(self, name: str, first: int, last: int) -> AsyncGenerator[Message, None]:
        """The messages first to last."""
        for message in list(self.held[name]):
            if first <= message.sequence <= last:
                yield message

    async def close(self) -> None:
        """Nothing is open."""


def message(sequence: int, data: bytes = b"", reply: str = "") -> Message:
    """A message whose time is its number in seconds."""
    return Message(sequence, sequence * 1_000_000_000 + 7, reply, data or b"content %d" % sequence)


async def held(target: Target, stream: str) -> list[tuple[int, str, bytes]]:
    """Sequence, time header and content of everything in a stream."""
    found: list[tuple[int, str, bytes]] = []
    while batch := await target.read(stream, found[-1][0] + 1 if found else 1, 500):
        found += [(sequence, headers.get(record.TIMESTAMP, ""), data) for sequence, headers, data in batch]
    return found
