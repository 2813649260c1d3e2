"""How fast channels are copied and compared, beside reading the group alone and publishing to JetStream alone."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.dev import exit_play
from harness.ground import toolchain
from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.ground import shell
from stanft.ground.errors import UserError

SIZE = 512  # bytes
CHANNEL = "orders"
IN_FLIGHT = 1000  # publications of the one that publishes to JetStream alone


@dataclass(frozen=True)
class Figure:
    """One measurement: messages per second, microseconds of processor time a message and MiB where they are ours."""

    what: str
    rate: float
    processor: float = 0.0
    memory: float = 0.0
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def line(self) -> str:
        """For people."""
        cost = f"{self.processor:8.0f} µs{self.memory:8.0f} MiB" if self.memory else ""
        return f"{self.what:44}{self.rate:10,.0f}/s{cost}   load {self.load:.1f}"


async def play(
    group: Group, targets: Sequence[JetStream], directory: Path, messages: int, say: Callable[[str], None]
) -> list[Figure]:
    """Measure one after the other, at each target with as many replicas as it has servers.

    The group has to be empty. Raises UserError when something fails.
    """
    command: list[str | Path] = [toolchain.ensure("stan-bench"), "-s", group.urls[0], "-c", group.cluster_id]
    command += ["-np", "1", "-ns", "0", "-n", str(messages), "-ms", str(SIZE), "-sync=false", CHANNEL]
    await asyncio.to_thread(shell.run, command)
    found: list[Figure] = []

    def add(figure: Figure) -> None:
        found.append(figure)
        say(figure.line())

    add(Figure("stan-sub reads all", await asyncio.to_thread(_stan_sub, group, messages)))
    add(Figure("stan-ft's reader alone", await _reader(group, targets[0], messages)))
    for js in targets:
        replicas = len(js.servers)
        add(Figure(f"nats-py publishes, replicas {replicas}", await _publish(group, js, replicas, messages)))
        file = directory / f"plan-{replicas}.yaml"
        await exit_play.write_plan(group, js, file, replicas)
        for step in ("copy", "verify"):
            ran = await asyncio.to_thread(exit_play.run, exit_play.arguments(step, file, group, js))
            if ran.code != 0:
                raise UserError(f"{step} ends with {ran.code}: {(ran.err or ran.out).strip()[-300:]}")
            # The copy tells its own time; a comparison's has the start of the program in it.
            told = re.search(r"messages in ([\d.]+) s", ran.out)
            rate = messages / (float(told[1]) if told else ran.seconds)
            add(Figure(f"{step}, replicas {replicas}", rate, 1e6 * ran.processor / messages, ran.memory))
    return found


def _stan_sub(group: Group, messages: int) -> float:
    """Messages per second of the usual client that prints each."""
    words = [
        toolchain.ensure("stan-sub"),
        "-s",
        group.urls[0],
        "-c",
        group.cluster_id,
        "-id",
        "reader",
        "--all",
        CHANNEL,
    ]
    began = time.monotonic()
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as reader:
        assert reader.stdout is not None
        left = messages
        for line in reader.stdout:
            left -= b"Received" in line
            if not left:
                break
        seconds = time.monotonic() - began
        reader.terminate()
    return messages / seconds


async def _reader(group: Group, js: JetStream, messages: int) -> float:
    """Messages per second of the copier's reader, in this process."""
    async with exit_play.both(group, js) as (source, _):
        await source.channels()
        await source.client()
        began, count = time.monotonic(), 0
        async for _message in source.messages(CHANNEL, 1, messages):
            count += 1
    return count / (time.monotonic() - began)


async def _publish(group: Group, js: JetStream, replicas: int, messages: int) -> float:
    """Messages per second of nats-py's publisher that does not wait for each answer, with no header."""
    async with exit_play.both(group, js) as (_, target):
        await target.create({"name": "direct", "subjects": ["direct"], "num_replicas": replicas, "storage": "file"})
        stream = target.connection.jetstream(publish_async_max_pending=IN_FLIGHT)
        payload, began = bytes(SIZE), time.monotonic()
        for _ in range(messages):
            await stream.publish_async("direct", payload, wait_stall=30)
        await stream.publish_async_completed()
        seconds = time.monotonic() - began
        await target.api("STREAM.DELETE.direct")
    return messages / seconds
