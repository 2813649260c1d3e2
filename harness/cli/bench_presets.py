"""scripts/bench presets: both durability presets beside bare servers, in interleaved rounds on one directory."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from harness.charts.render import render, stan_conf
from harness.dev import presets
from harness.dev.presets import Measured
from harness.ground import system, toolchain
from harness.ground.paths import REPO
from harness.loopback.server import Group, Server
from stanft.cli import common
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step
from stanft.ground.textfile import write
from stanft.kube import objects
from stanft.stan.client import Client

MESSAGES = 40_000  # per round and server, from four publishers that do not wait: about a second
WAITING = 200  # messages of one publisher that waits for each acknowledgement
SIZE = 512  # bytes
RECIPE = REPO / "tests" / "fixtures" / "recipe" / "runnable" / "stan.yaml"
NEEDED = 4 * 2**30  # bytes of disk
BESIDE_RECIPE = "bare, the recipe's options"


def main(arguments: list[str] | None = None) -> int:
    """Measure for the given time, print the table, and return 0 if both presets keep the goal."""
    made = argparse.ArgumentParser(prog="scripts/bench presets", description=__doc__)
    made.add_argument("--seconds", type=float, default=200, help="time for all rounds (default: %(default)s)")
    made.add_argument(
        "--directory", type=Path, default=REPO / "build", help="where the stores are made (default: build)"
    )
    made.add_argument("--json", type=Path, help="also write every figure to this file")
    options = made.parse_args(arguments)
    if options.seconds <= 0:
        raise UserError(f"--seconds {options.seconds:g}: give the time for all rounds, such as 200.")
    options.directory.mkdir(parents=True, exist_ok=True)
    system.require_free_disk(options.directory, NEEDED)
    for tool in ("nats-streaming-server", "stan-bench"):
        toolchain.ensure(tool)
    rounds = _measure(options.seconds, options.directory)
    return _report(rounds, options.directory, options.json)


def configurations() -> dict[str, str]:
    """What is compared, by name: each preset as the chart renders it, its options on a bare server, the recipe's."""
    found: dict[str, str] = {}
    for preset in presets.PRESETS:
        text = stan_conf(render("stan-ft", {"store": {"durability": preset}}))
        found |= {f"chart, {preset}": text, f"bare, {preset}": presets.bare(text)}
    recipe = objects.find(objects.parse(RECIPE.read_text()), "ConfigMap", "stan-config")
    return {**found, BESIDE_RECIPE: presets.bare(str(recipe["data"]["stan.conf"]))}


def _measure(seconds: float, directory: Path) -> dict[str, Measured]:
    found = {name: Measured() for name in configurations()}
    with ExitStack() as ended:
        root = Path(tempfile.mkdtemp(prefix="bench-presets-", dir=directory))
        ended.callback(shutil.rmtree, root, ignore_errors=True)
        with step("starting a server for each of the five configurations"):
            servers = {}
            for number, (name, text) in enumerate(configurations().items()):
                group = ended.enter_context(Group(root / str(number), size=1, config=text))
                group[0].start()
                servers[name] = group[0]
            for name, server in servers.items():
                server.wait_state("FT_ACTIVE" if name.startswith("chart") else "STANDALONE", 30)
        turn, began, longest = 0, time.monotonic(), 0.0
        # The first round warms up and does not count; at least three count, so that there is a scatter to tell.
        while turn < 4 or time.monotonic() - began + longest < seconds:
            started = time.monotonic()
            with step(f"round {turn}" + (" (to warm up)" if turn == 0 else "")):
                for name in presets.order(list(servers), turn):
                    channel = f"round-{turn % 4}"
                    rate, latencies = _flood(servers[name], channel), asyncio.run(_wait(servers[name], channel))
                    if turn:
                        found[name].rates.append(rate)
                        found[name].latencies.append(latencies)
            longest = max(longest, time.monotonic() - started)
            turn += 1
    return found


def _flood(server: Server, channel: str) -> float:
    """Messages per second of four publishers that do not wait for each acknowledgement."""
    command: list[str | Path] = [toolchain.ensure("stan-bench"), "-s", server.url, "-c", server.cluster_id]
    command += ["-np", "4", "-ns", "0", "-n", str(MESSAGES), "-ms", str(SIZE), "-sync=false", channel]
    done = shell.run(command)
    return presets.rate(done.stdout + done.stderr)


async def _wait(server: Server, channel: str) -> list[float]:
    """Seconds to each acknowledgement of one publisher that waits for it before the next message."""
    payload = os.urandom(SIZE)
    found: list[float] = []
    async with await Client.connect(server.url, client_id="waiting", cluster_id=server.cluster_id) as client:
        for _ in range(WAITING):
            began = time.perf_counter()
            await client.publish(channel, payload)
            found.append(time.perf_counter() - began)
    return found


def _report(found: dict[str, Measured], directory: Path, file: Path | None) -> int:
    rows = {name: presets.row(each) for name, each in found.items()}
    system_type = shell.output(["stat", "-f", "-c", "%T", directory]).strip()
    say(
        f"\n{SIZE} bytes a message; 4 publishers that do not wait (acks/s), 1 that waits for each (ms); {system_type}\n"
    )
    print(presets.table(rows))
    overheads = {
        preset: presets.compared(found[f"chart, {preset}"], found[f"bare, {preset}"]) for preset in presets.PRESETS
    }
    print()
    for preset, costs in overheads.items():
        for what, cost in costs.items():
            verdict = "kept" if cost.met else "not kept"
            scatter = f"half of the rounds {cost.low:+.1f} to {cost.high:+.1f}"
            print(f"{preset}: overhead in {what} {cost.median:+.1f} % ({scatter}); goal {presets.GOAL:.0f} % {verdict}")
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"load average of this machine: {load:.1f} with {cores} cores")
    if file:
        told = {preset: {what: asdict(cost) for what, cost in costs.items()} for preset, costs in overheads.items()}
        machine = {"load": load, "cores": cores, "file_system": system_type, "message_bytes": SIZE}
        every = {name: asdict(each) for name, each in found.items()}
        write(file, json.dumps({"machine": machine, "rows": rows, "overheads": told, "rounds": every}, indent=1) + "\n")
        say(f"every figure: {file}")
    return 0 if all(cost.met for costs in overheads.values() for cost in costs.values()) else 1


if __name__ == "__main__":
    common.run(main)
