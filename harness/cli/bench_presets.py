"""scripts/bench presets: both durability presets beside bare servers, in interleaved rounds on one directory."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from harness.charts.render import render, stan_conf
from harness.dev import presets, rates
from harness.dev.presets import Measured
from harness.ground.paths import REPO
from harness.loopback.server import Group
from stanft.cli import common
from stanft.ground import shell
from stanft.ground.progress import say, step
from stanft.ground.textfile import write
from stanft.kube import objects

RECIPE = REPO / "tests" / "fixtures" / "recipe" / "runnable" / "stan.yaml"
NEEDED = 4 * 2**30  # bytes of disk
BESIDE_RECIPE = "bare, the recipe's options"


def main(arguments: list[str] | None = None) -> int:
    """Measure for the given time, print the table, and return 0 if both presets keep the goal."""
    options = rates.options("presets", 200, NEEDED, arguments, __doc__)
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
        return rates.in_turns(servers, seconds)


def _report(found: dict[str, Measured], directory: Path, file: Path | None) -> int:
    rows = {name: presets.row(each) for name, each in found.items()}
    system_type = shell.output(["stat", "-f", "-c", "%T", directory]).strip()
    say(rates.conditions(system_type))
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
        machine = {"load": load, "cores": cores, "file_system": system_type, "message_bytes": rates.SIZE}
        every = {name: asdict(each) for name, each in found.items()}
        write(file, json.dumps({"machine": machine, "rows": rows, "overheads": told, "rounds": every}, indent=1) + "\n")
        say(f"every figure: {file}")
    return 0 if all(cost.met for costs in overheads.values() for cost in costs.values()) else 1


if __name__ == "__main__":
    common.run(main)
