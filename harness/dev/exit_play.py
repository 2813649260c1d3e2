"""What the measurements of the way out share: a group filled from here, and its command line as a user types it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.ground.paths import bytecode
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


def arguments(step: str, file: Path, group: Group, js: JetStream, *more: str) -> list[str]:
    """The words of stan-ft for a step between these two sides."""
    made = ["exit", step, str(file), f"--cluster-id={group.cluster_id}", *(f"--servers={url}" for url in group.urls)]
    return [*made, *(f"--monitor={url}" for url in group.monitors), *(f"--target={url}" for url in js.urls), *more]


@dataclass(frozen=True)
class Ran:
    """How a command ended; seconds of wall and of processor time, memory in MiB at its highest."""

    code: int
    out: str
    err: str
    seconds: float
    processor: float
    memory: float


def run(words: Sequence[str]) -> Ran:
    """Run stan-ft with these words to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "stanft.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **bytecode()},  # as where pip installed it
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Ran(
            code=process.returncode,
            out=out.read().decode(),
            err=err.read().decode(),
            seconds=seconds,
            processor=used.ru_utime + used.ru_stime,
            memory=used.ru_maxrss / 1024,
        )
