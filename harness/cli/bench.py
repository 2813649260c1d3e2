"""scripts/bench: measures the render suite, side by side with the usual way of testing charts."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from harness.charts import render
from harness.ground import system, toolchain
from harness.ground.paths import REPO, bytecode
from stanft.cli import common
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step

WANTED_CHECKS = 500  # at least so many checks in the whole suite
WANTED_SECONDS = 20.0  # that the whole suite may take on two free cores
WANTED_FACTOR = 5.0  # that it is faster than the usual way
# The tests of each chart. Notes are not rendered by `helm template`, so their tests cannot take part.
COMPARED = ("test_stan_ft_*.py", "test_efs_*.py", "test_inventory*.py", "test_environments.py")


@dataclass(frozen=True)
class Run:
    """One run of checks: how many, their seconds of wall time, and the helm renders made for them."""

    checks: int
    seconds: float
    renders: int

    @property
    def rate(self) -> float:
        """Checks per second."""
        return self.checks / self.seconds


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and return 0 if every goal is met."""
    made = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog="scripts/bench presets measures the durability presets, scripts/bench supervisor what the supervisor "
        "costs, scripts/bench restore a backup and its restore, scripts/bench exit the way out to JetStream: see "
        "their own --help.",
    )
    made.add_argument("--checks", type=int, default=800, help="checks to compare side by side (default: %(default)s)")
    made.add_argument("--workers", type=int, default=2, help="test processes, for both ways (default: %(default)s)")
    made.add_argument("--no-whole", action="store_true", help="only compare; leave the run of the whole suite out")
    options = made.parse_args(arguments)
    render.engine_key()  # tools are built before the clock runs
    toolchain.ensure("helm")
    ours = _run("our way, nothing kept from before", "ours", options.checks, options.workers)
    usual = _run("the usual way", "usual", options.checks, options.workers)
    print(f"{'':28}{'checks':>8}{'seconds':>10}{'checks/s':>10}{'renders':>10}")
    _row("usual: a helm per render", usual)
    _row("ours: kept, one helm", ours)
    factor = usual.seconds / ours.seconds
    print(f"ours is {factor:.1f} times as fast on the same checks (goal: {WANTED_FACTOR:.0f})")
    met = factor >= WANTED_FACTOR
    if not options.no_whole:
        whole = _run("the whole render suite, nothing kept from before", "ours", 0, options.workers)
        _row("ours: the whole suite", whole)
        print(f"goal: {WANTED_CHECKS} checks or more, in {WANTED_SECONDS:.0f} s or less on two free cores")
        print(system.load())
        met = met and whole.checks >= WANTED_CHECKS and whole.seconds <= WANTED_SECONDS
    return 0 if met else 1


def _row(name: str, run: Run) -> None:
    print(f"{name:28}{run.checks:8}{run.seconds:10.1f}{run.rate:10.1f}{run.renders:10}")


def _run(title: str, way: str, checks: int, workers: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="stan-ft-bench-") as directory, step(title):
        report, junit = Path(directory) / "calls", Path(directory) / "junit.xml"
        folder = REPO / "tests" / "render"
        files = [path for each in COMPARED for path in sorted(folder.glob(each)) if "notes" not in path.name]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.bench.plugin", "--tb=line"]
        command += [str(path) for path in files] if checks else [str(folder)]
        command += [f"--junitxml={junit}", "-n", str(workers), "--dist", "worksteal", "-p", "no:helm-charts"]
        command += ["-k", "not notes and not guide"] if checks else []
        environment = {
            "STAN_FT_BENCH_WAY": way,
            "STAN_FT_BENCH_CHECKS": str(checks),
            "STAN_FT_BENCH_REPORT": str(report),
            "STAN_FT_RENDERS": str(Path(directory) / "renders"),
            **bytecode(),
        }
        started = time.monotonic()
        done = shell.run(command, cwd=REPO, env=environment, check=False)
        seconds = time.monotonic() - started
        if done.returncode != 0:
            say(done.stdout[-3000:])
            raise UserError(f"{title}: checks failed, so their time means nothing; run scripts/test render first.")
        calls = [json.loads(file.read_text())["calls"] for file in report.glob("*.json")]
        shutil.rmtree(report)
        suite = next(ElementTree.parse(junit).iter("testsuite"))  # noqa: S314 (written by the run just before)
        return Run(int(suite.get("tests", "0")), seconds, sum(calls))


if __name__ == "__main__":
    common.run(main)
