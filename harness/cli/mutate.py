"""scripts/mutate: breaks the charts in many small ways and shows which breaks the render suite does not notice."""

from __future__ import annotations

import argparse
import os
import sys
import time

import pytest

from harness.dev.mutants import MUTANTS, Mutant
from harness.dev.mutation import Forks, Result
from harness.ground.paths import REPO
from stanft.cli import common
from stanft.ground.progress import say

# Reviewed renders and effects would notice any change at all; what counts is what the other tests understand.
# Tests of documents and of refused values say nothing about what is rendered.
LEFT_OUT = ("golden", "every_value", "properties", "guide", "bad_inputs", "notes")
FIRST = ("test_invariants.py", "test_inventory_stability.py", "test_inventory.py")
LAST = ("test_kubernetes_schema.py", "test_environments.py")
REQUIRED = 95.0  # per cent of the mutants that the suite has to notice


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
    options = made.parse_args(arguments)
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
