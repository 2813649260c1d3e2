"""scripts/mutate: breaks the charts, or the judging code, in many small ways and shows which breaks no test notices."""

from __future__ import annotations

import argparse
import os
import sys
import time

import pytest

from harness.dev.mutants import MUTANTS, Mutant
from harness.dev.mutation import Forks, Result
from harness.dev.pymutants import PyMutant
from harness.dev.pymutation import PyResult, Target, breaks, run, spread
from harness.ground.paths import REPO
from stanft.cli import common
from stanft.ground.progress import say

# Reviewed renders and effects would notice any change at all; what counts is what the other tests understand.
# Tests of documents and of refused values say nothing about what is rendered.
LEFT_OUT = ("golden", "every_value", "properties", "guide", "bad_inputs", "notes")
FIRST = ("test_invariants.py", "test_inventory_stability.py", "test_inventory.py")
LAST = ("test_kubernetes_schema.py", "test_environments.py")
REQUIRED = 95.0  # per cent of the mutants that the suite has to notice
_UNIT = "tests/unit/"
# What a verdict rests on, and the tests that have to notice its breaks.
TARGETS = (
    Target("stanft/traffic/verdict.py", (f"{_UNIT}test_verdict.py",)),
    Target("stanft/drill/judge.py", (f"{_UNIT}test_drill_judge.py",)),
    Target("harness/nfs_lab/judge.py", (f"{_UNIT}test_nfs_lab_judge.py",)),
    Target("stanft/traffic/ledger.py", (f"{_UNIT}test_ledger.py", f"{_UNIT}test_drill_judge.py")),
    Target("stanft/drill/statistics.py", (f"{_UNIT}test_speed.py", f"{_UNIT}test_drill.py")),
    Target("stanft/drill/server_log.py", (f"{_UNIT}test_server_log.py", f"{_UNIT}test_drill.py")),
    Target("stanft/drill/watch.py", (f"{_UNIT}test_drill.py",)),
    Target("stanft/faults/model.py", (f"{_UNIT}test_faults.py",)),
    Target("stanft/group/live.py", (f"{_UNIT}test_status.py",)),
)


def suite() -> list[str]:
    """The test files that broken charts are tested with, the most telling first."""
    folder = REPO / "tests" / "render"
    chosen = [path.name for path in sorted(folder.glob("test_*.py")) if not any(word in path.name for word in LEFT_OUT)]
    middle = [name for name in chosen if name not in FIRST and name not in LAST]
    ordered = [name for name in (*FIRST, *middle, *LAST) if name in chosen]
    return [str(folder / name) for name in ordered]


def main(arguments: list[str] | None = None) -> int:
    """Try every mutant and return the exit code: 0 when at least REQUIRED per cent were noticed."""
    made = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    made.add_argument("--only", metavar="TEXT", default="", help="mutants whose description contains this text")
    made.add_argument("--jobs", type=int, default=2, help="test runs at the same time (default: %(default)s)")
    made.add_argument("--list", action="store_true", help="list the mutants and end")
    made.add_argument("--python", action="store_true", help="break the code that judges, not the charts")
    made.add_argument("--most", type=int, metavar="N", help="with --python: at most so many breaks of each module")
    options = made.parse_args(arguments)
    if options.python:
        return _python(options)
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.label]
    if options.list:
        print("\n".join(mutant.label for mutant in chosen))
        return 0
    if not chosen:
        print(f"error: no mutant is described by {options.only!r}; scripts/mutate --list shows all.", file=sys.stderr)
        return 2
    started = time.monotonic()
    os.chdir(REPO)
    plugin = Forks(chosen, options.jobs, _tell)
    options_of_pytest = ["-q", "--no-header", "--tb=no", "--show-objects=0", "-p", "no:xdist"]
    code = pytest.main([*options_of_pytest, *suite()], plugins=[plugin])
    results = [result for result in plugin.results if result.mutant is not None]
    if len(results) != len(chosen):
        killer = plugin.results[0].killer if plugin.results else None
        if killer:
            print(f"error: the suite fails for the charts as they are ({killer}): make it pass first.", file=sys.stderr)
        else:
            print(f"error: not every break was tried: pytest ended with {code}, see above.", file=sys.stderr)
        return 2
    return _summary(results, time.monotonic() - started)


def _python(options: argparse.Namespace) -> int:
    """Break the judging code; --only chooses modules by their path."""
    targets = [target for target in TARGETS if options.only in target.file]
    if not targets:
        print(
            f"error: no module is called like {options.only!r}; there are {', '.join(each.file for each in TARGETS)}."
        )
        return 2
    results: list[PyResult] = []
    for target in targets:
        found = list(spread(breaks(target), options.most or sys.maxsize))
        if options.list:
            print("\n".join(f"{target.file}, {mutant}" for mutant in found))
            continue
        whole: list[PyResult] = []
        run(target, [None], 1, whole.append)
        if whole[0].noticed:
            print(f"error: {' '.join(target.tests)} fail for {target.file} as it is.", file=sys.stderr)
            return 2
        here: list[PyResult] = []

        def told(result: PyResult, here: list[PyResult] = here) -> None:
            here.append(result)
            if not result.noticed:
                say(f"    NOT SEEN {result.target.file}, {result.mutant}")

        run(target, found, options.jobs, told)
        results += here
        say(f"{target.file}: {sum(each.noticed for each in here)} of {len(here)} noticed")
    return 0 if options.list else _summary_python(results)


def _summary_python(results: list[PyResult]) -> int:
    survivors: list[tuple[str, PyMutant]] = [
        (each.target.file, each.mutant) for each in results if each.mutant and not each.noticed
    ]
    share = 100 * (len(results) - len(survivors)) / max(len(results), 1)
    for file, mutant in survivors:
        print(f"survived: {file}, {mutant}")
    print(f"{len(results)} mutants, {len(results) - len(survivors)} noticed ({share:.1f} %).")
    return 0 if share >= REQUIRED else 1


def _tell(result: Result) -> None:
    label = result.mutant.label if result.mutant else "the charts as they are"
    killer = (result.killer or "").removeprefix("tests/render/")
    state = "noticed " if killer else "NOT SEEN" if result.mutant else "passed  "
    say(f"{state} {result.seconds:5.1f} s  {label}  {killer}")


def _summary(results: list[Result], seconds: float) -> int:
    survivors: list[Mutant] = [result.mutant for result in results if result.mutant and result.killer is None]
    share = 100 * (len(results) - len(survivors)) / len(results)
    print(f"{len(results)} mutants, {len(results) - len(survivors)} noticed ({share:.1f} %), in {seconds:.0f} s.")
    for mutant in survivors:
        print(f"survived: {mutant.label}\n    {mutant.old!r} -> {mutant.new!r}")
    return 0 if share >= REQUIRED else 1


if __name__ == "__main__":
    common.run(main)
