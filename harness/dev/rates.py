"""How fast servers on loopback acknowledge, in rounds that take turns, and how long they take to recover a store."""

from __future__ import annotations

import asyncio
import os
import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from harness.dev.presets import Measured, order, rate
from harness.ground import system, toolchain
from harness.ground.paths import REPO
from harness.loopback.server import Server
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import step
from stanft.stan.client import Client
from stanft.words import ACTIVE

MESSAGES = 40_000  # per round and server, from four publishers that do not wait: about a second
WAITING = 200  # messages of one publisher that waits for each acknowledgement
SIZE = 512  # bytes
IN_EACH = 3  # messages in each channel of a store that is recovered
AT_ONCE = 50  # channels that are made side by side
RECOVERY = 300.0  # seconds that one may take on a busy machine
_RECOVERING = re.compile(r"(\S+ \S+) \[INF\] STREAM: Recovering the state")
_RECOVERED = re.compile(r"(\S+ \S+) \[INF\] STREAM: Streaming Server is ready")


def options(what: str, seconds: float, needed: int, arguments: list[str] | None, description: str | None) -> Namespace:
    """The options of `scripts/bench WHAT`, with the directory made and the tools there; needed is in bytes of disk.

    Raises UserError for no time, or too small a disk.
    """
    made = ArgumentParser(prog=f"scripts/bench {what}", description=description)
    made.add_argument("--seconds", type=float, default=seconds, help="time for all rounds (default: %(default)s)")
    made.add_argument(
        "--directory", type=Path, default=REPO / "build", help="where the stores are made (default: build)"
    )
    made.add_argument("--json", type=Path, help="also write every figure to this file")
    found = made.parse_args(arguments)
    if found.seconds <= 0:
        raise UserError(f"--seconds {found.seconds:g}: give the time for all rounds, such as {seconds:g}.")
    found.directory.mkdir(parents=True, exist_ok=True)
    system.require_free_disk(found.directory, needed)
    for tool in ("nats-streaming-server", "stan-bench"):
        toolchain.ensure(tool)
    return found


def conditions(file_system: str) -> str:
    """A line above a table of rates: what was measured, and on which kind of file system."""
    return (
        f"\n{SIZE} bytes a message; 4 publishers that do not wait (acks/s), 1 that waits for each (ms); {file_system}\n"
    )


def in_turns(servers: Mapping[str, Server], seconds: float) -> dict[str, Measured]:
    """Rounds over all servers, which run already, for about so many seconds.

    The first one warms up and does not count; at least three count, so that there is a scatter to tell.
    """
    found = {name: Measured() for name in servers}
    turn, began, longest = 0, time.monotonic(), 0.0
    while turn < 4 or time.monotonic() - began + longest < seconds:
        started = time.monotonic()
        with step(f"round {turn}" + (" (to warm up)" if turn == 0 else "")):
            for name in order(list(servers), turn):
                channel = f"round-{turn % 4}"
                now, latencies = flood(servers[name], channel), asyncio.run(wait(servers[name], channel))
                if turn:
                    found[name].rates.append(now)
                    found[name].latencies.append(latencies)
        longest = max(longest, time.monotonic() - started)
        turn += 1
    return found


def flood(server: Server, channel: str) -> float:
    """Messages per second of four publishers that do not wait for each acknowledgement."""
    command: list[str | Path] = [toolchain.ensure("stan-bench"), "-s", server.url, "-c", server.cluster_id]
    command += ["-np", "4", "-ns", "0", "-n", str(MESSAGES), "-ms", str(SIZE), "-sync=false", channel]
    done = shell.run(command)
    return rate(done.stdout + done.stderr)


async def wait(server: Server, channel: str) -> list[float]:
    """Seconds to each acknowledgement of one publisher that waits for it before the next message."""
    payload = os.urandom(SIZE)
    found: list[float] = []
    async with await Client.connect(server.url, client_id="waiting", cluster_id=server.cluster_id) as client:
        for _ in range(WAITING):
            began = time.perf_counter()
            await client.publish(channel, payload)
            found.append(time.perf_counter() - began)
    return found


async def fill(url: str, cluster_id: str, channels: int, messages: int) -> None:
    """Make so many channels with so many messages in each, at the server with this URL and cluster id."""
    payload = os.urandom(SIZE)
    async with await Client.connect(url, client_id="filling", cluster_id=cluster_id) as client:

        async def one(number: int) -> None:
            for _ in range(messages):
                await client.publish(f"channel-{number}", payload)

        for first in range(0, channels, AT_ONCE):
            await asyncio.gather(*(one(number) for number in range(first, min(first + AT_ONCE, channels))))


def recovery(server: Server) -> tuple[float, float]:
    """Start a server over a store, and end it: seconds of the recovery by its own log, and from the start to active.

    Raises ServerError if it does not become active, UserError if its log does not tell when it recovered.
    """
    before, began = len(server.log), time.monotonic()
    server.start()
    server.wait_state(ACTIVE, RECOVERY)
    whole = time.monotonic() - began
    said = server.log[before:]
    server.stop()
    marks = [pattern.search(said) for pattern in (_RECOVERING, _RECOVERED)]
    if not all(marks):
        raise UserError(f"the server's log does not tell when it recovered: {said.strip()[-300:]}")
    start, end = (datetime.strptime(each[1], "%Y/%m/%d %H:%M:%S.%f") for each in marks if each)
    return (end - start).total_seconds(), whole
