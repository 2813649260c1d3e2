"""What the measurements of the way out share: a group filled from here, and its command line as a user types it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.exit import plan as planning
from stanft.exit.source import Inventory, LiveSource
from stanft.exit.target import Target
from stanft.ground import textfile
from stanft.stan.client import Client

WINDOW = 500  # publications on their way at once
WINDOW_BYTES = 4 << 20


async def publish(group: Group, channel: str, contents: Iterable[bytes], client_id: str = "writer") -> None:
    """Store these messages, in order."""
    async with await Client.connect(group.urls, client_id=client_id, cluster_id=group.cluster_id) as client:
        await fill(client, channel, contents)
        while client.in_flight:
            await asyncio.sleep(0.01)


async def fill(client: Client, channel: str, contents: Iterable[bytes]) -> None:
    """Publish these messages in order, a bounded number at once; some may still be on their way at the end."""
    for content in contents:
        while client.in_flight >= max(1, min(WINDOW, WINDOW_BYTES // (len(content) + 1))):
            await asyncio.sleep(0.001)
        await client.publish_async(channel, content)


@asynccontextmanager
async def both(group: Group, js: JetStream) -> AsyncIterator[tuple[LiveSource, Target]]:
    """Connections to both sides."""
    source = LiveSource(group.urls, group.monitors, group.cluster_id)
    target = await Target.connect(js.urls)
    try:
        yield source, target
    finally:
        await source.close()
        await target.close()


async def write_plan(group: Group, js: JetStream, file: Path, replicas: int) -> None:
    """Everything at the source, without limits on the streams, as a plan."""
    async with both(group, js) as (source, _):
        found = await source.inventory()
    unlimited = Inventory(found.cluster_id, found.channels, found.durables, [], [], {})
    textfile.write(file, planning.as_yaml(planning.propose(unlimited, replicas)))


def command(step: str, file: Path, group: Group, js: JetStream, *more: str) -> list[str]:
    """The words of stan-ft exit for these two sides."""
    made = [sys.executable, "-m", "stanft.cli.main", "exit", step, str(file)]
    made += [f"--servers={url}" for url in group.urls] + [f"--monitor={url}" for url in group.monitors]
    return [*made, f"--cluster-id={group.cluster_id}", *(f"--target={url}" for url in js.urls), *more]


async def called(words: Sequence[str]) -> tuple[int, str, str]:
    """Run a command to its end; gives its exit code and what it printed."""
    done = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await done.communicate()
    assert done.returncode is not None
    return done.returncode, out.decode(), err.decode()


def machine() -> str:
    """One line on the state of this machine, without which no figure means anything."""
    return f"load average of this machine: {os.getloadavg()[0]:.1f} with {os.cpu_count()} cores"
