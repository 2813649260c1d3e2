"""scripts/compare: the chart, the recipe and the official chart's shape side by side, under the same faults."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from harness.ground.paths import REPO
from harness.local import compare, furnish
from harness.local.up import up
from stanft import faults, report
from stanft.cli import common
from stanft.ground.progress import say, step
from stanft.ground.textfile import write

SHORT = ("kill=3", "delete=3", "roll=1", "hang=1")


def main(arguments: list[str] | None = None) -> int:
    """Compare, write data and page, print the table; 1 if the chart failed a run."""
    parser = argparse.ArgumentParser(
        prog="scripts/compare",
        description="Installs the chart, the reference recipe and the official stan chart's shape beside each other on "
        "the local cluster, each in a namespace of its own, and plays the same faults on them in turn.",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[=RUNS[/OTHERS]]",
        help="fault to play, how often on the chart, and how often on each of the others "
        f"(repeatable; default: {' '.join(SHORT)}; scripts/drill --list has all)",
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=[one.key for one in compare.CONTENDERS], help="leave others out"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPO / "build" / "compare",
        help="where NAME.json of each and index.html go (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    furnish.everything()
    wanted = compare.rounds(options.fault or SHORT, faults.find)
    chosen = [one for one in compare.CONTENDERS if not options.only or one.key in options.only]
    cluster = up().cluster

    def keep(data: dict[str, dict[str, Any]]) -> None:
        for key, found in data.items():
            write(options.folder / f"{key}.json", json.dumps(found))

    with contextlib.ExitStack() as stack:
        scenes = {}
        for one in chosen:
            with step(f"{one.label} in namespace {one.namespace}"):
                scenes[one] = stack.enter_context(compare.installed(cluster, one))
        data = compare.compare(scenes, wanted, keep=keep)
        say("==> taking all of it away again")
    drills = list(data.values())
    write(options.folder / "index.html", report.page(drills, title="Failover, side by side"))
    print(report.text(drills))
    print(f"page: {options.folder / 'index.html'}")
    problems = report.failures(data[compare.CHART.key], report.Bounds()) if compare.CHART.key in data else []
    for problem in problems:
        print(f"failed: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    common.run(lambda: main(sys.argv[1:]))
