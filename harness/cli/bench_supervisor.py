"""scripts/bench supervisor: what the supervisor costs, in turns with the bare server: messages and recovery."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from harness.charts.render import render, stan_conf
from harness.dev import presets, rates
from harness.dev.presets import Measured
from harness.ground import system
from harness.loopback.server import Group
from harness.loopback.supervised import supervise
from stanft.cli import common
from stanft.ground import shell
from stanft.ground.progress import say, step
from stanft.ground.textfile import write
from stanft.words import ACTIVE

MESSAGE_GOAL = 2.0  # percent per message
RECOVERY_GOAL = 10.0  # percent of a recovery
CHANNELS = (1000, 2000)
ROUNDS = 5  # recoveries of each
NEEDED = 4 * 2**30  # bytes of disk
BARE, SUPERVISED = "bare", "supervised"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, and return 0 if messages and recovery cost no more than the goals."""
    options = rates.options("supervisor", 120, NEEDED, arguments, __doc__)
    messages = _messages(options.seconds, options.directory)
    recoveries = {str(channels): _recoveries(channels, options.directory) for channels in CHANNELS}
    return _report(messages, recoveries, options.directory, options.json)


def _messages(seconds: float, directory: Path) -> dict[str, Measured]:
    """Both presets, bare and supervised, in rounds that take turns."""
    with ExitStack() as ended:
        root = Path(tempfile.mkdtemp(prefix="bench-supervisor-", dir=directory))
        ended.callback(shutil.rmtree, root, ignore_errors=True)
        servers = {}
        for preset in presets.PRESETS:
            text = stan_conf(render("stan-ft", {"store": {"durability": preset}}))
            for how in (BARE, SUPERVISED):
                group = ended.enter_context(Group(root / f"{preset}-{how}", size=1, config=text))
                if how == SUPERVISED:
                    supervise(group)
                group[0].start()
                servers[f"{preset}, {how}"] = group[0]
        for server in servers.values():
            server.wait_state(ACTIVE, 30)
        return rates.in_turns(servers, seconds)


def _recoveries(channels: int, directory: Path) -> dict[str, list[tuple[float, float]]]:
    """One store, recovered by a bare and by a supervised server in turns: seconds by the log, and to active."""
    limits = {"config": {"streaming": {"store_limits": {"max_channels": channels + 1}}}}
    found: dict[str, list[tuple[float, float]]] = {BARE: [], SUPERVISED: []}
    with ExitStack() as ended:
        root = Path(tempfile.mkdtemp(prefix="bench-supervisor-", dir=directory))
        ended.callback(shutil.rmtree, root, ignore_errors=True)
        text = stan_conf(render("stan-ft", limits))
        groups = {
            how: ended.enter_context(Group(root / how, size=1, config=text, store=root / "store")) for how in found
        }
        supervise(groups[SUPERVISED])
        with step(f"a store with {channels:,} channels"):
            filling = groups[BARE][0]
            filling.start()
            filling.wait_state(ACTIVE, 30)
            asyncio.run(rates.fill(filling.url, filling.cluster_id, channels, rates.IN_EACH))
            filling.stop()
        with step(f"{channels:,} channels recovered {ROUNDS} times by each"):
            for turn in range(ROUNDS + 1):
                for how in presets.order(list(found), turn):
                    took = rates.recovery(groups[how][0])
                    if turn:  # the first one warms up
                        found[how].append(took)
    return found


def costs(
    messages: Mapping[str, Measured], recoveries: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
) -> list[tuple[str, presets.Overhead, float]]:
    """What is told of every comparison: its name, percent over the rounds, and the goal."""
    found = []
    for preset in presets.PRESETS:
        pair = presets.compared(messages[f"{preset}, {SUPERVISED}"], messages[f"{preset}, {BARE}"])
        found += [(f"{preset}: {what}", cost, MESSAGE_GOAL) for what, cost in pair.items()]
    for channels, sides in recoveries.items():
        ours, bare = ([seconds for seconds, _ in sides[how]] for how in (SUPERVISED, BARE))
        cost = presets.overhead(presets.overheads(ours, bare, more_is_better=False))
        found.append((f"recovery of {int(channels):,} channels", cost, RECOVERY_GOAL))
    return found


def _report(
    messages: Mapping[str, Measured],
    recoveries: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    directory: Path,
    file: Path | None,
) -> int:
    rows = {name: presets.row(each) for name, each in messages.items()}
    system_type = shell.output(["stat", "-f", "-c", "%T", directory]).strip()
    say(rates.conditions(system_type))
    print(presets.table(rows))
    print(f"\n{'':34}{'recovery s':>12}{'to active s':>13}")
    for channels, sides in recoveries.items():
        for how, rounds in sides.items():
            recovered, active = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"{f'{int(channels):,} channels, {how}':34}{recovered:12.3f}{active:13.3f}")
    print()
    told = costs(messages, recoveries)
    for name, cost, goal in told:
        verdict = "kept" if cost.median <= goal else "not kept"
        scatter = f"half of the rounds {cost.low:+.1f} to {cost.high:+.1f}"
        print(f"{name}: the supervisor costs {cost.median:+.1f} % ({scatter}); goal {goal:.0f} % {verdict}")
    print(system.load())
    if file:
        every = {name: asdict(each) for name, each in messages.items()}
        overheads = {name: asdict(cost) for name, cost, _ in told}
        machine = {"load": os.getloadavg()[0], "cores": os.cpu_count(), "file_system": system_type}
        figures = {"machine": machine, "rows": rows, "overheads": overheads, "rounds": every, "recoveries": recoveries}
        write(file, json.dumps(figures, indent=1) + "\n")
        say(f"every figure: {file}")
    return 0 if all(cost.median <= goal for _, cost, goal in told) else 1


if __name__ == "__main__":
    common.run(main)
