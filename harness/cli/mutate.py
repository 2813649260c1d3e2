"""scripts/mutate: breaks the charts in many small ways and shows which breaks the render suite does not notice."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.mutants import MUTANTS, Mutant
from harness.paths import CHARTS, REPO
from harness.progress import say

# The reviewed renders and effects would notice any change at all; what counts is what the other tests understand.
LEFT_OUT = ("test_golden.py", "test_every_value.py", "test_properties.py")
FIRST = ("test_invariants.py", "test_inventory_stability.py", "test_inventory.py")
_OTHERS = {"stan-ft": "test_efs_", "efs-provisioner": "test_stan_ft_"}
REQUIRED = 95.0  # per cent of the mutants that the suite has to notice
_PASSED, _FAILED = 0, 1  # exit codes of pytest; anything else is a broken run, not a killed mutant


@dataclass(frozen=True)
class Result:
    """What became of a mutant: the test that noticed it (None if none did), and the seconds that took."""

    mutant: Mutant
    killer: str | None
    seconds: float


def suite(chart: str) -> list[str]:
    """The test files that a broken copy of a chart is tested with, the most telling first."""
    files = sorted(path.name for path in (REPO / "tests" / "render").glob("test_*.py"))
    chosen = [name for name in files if name not in LEFT_OUT and not name.startswith(_OTHERS[chart])]
    return [*(name for name in FIRST if name in chosen), *(name for name in chosen if name not in FIRST)]


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
        print(f"error: no mutant is described by {options.only!r}; scripts/mutate --list shows them all.", file=sys.stderr)
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stan-ft-mutants-") as directory:
        charts = Path(directory) / "charts"  # as they are now, whatever is edited meanwhile
        shutil.copytree(CHARTS, charts)
        for chart in sorted({mutant.chart for mutant in chosen}):
            killer = _killer(charts, chart)
            if killer is not None:
                print(f"error: the suite fails for the charts as they are: {killer}. Make it pass first.", file=sys.stderr)
                return 2
        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(lambda mutant: _try(charts, mutant), chosen))
    return _tell(results, time.monotonic() - started)


def _try(original: Path, mutant: Mutant) -> Result:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stan-ft-mutant-") as directory:
        charts = Path(directory) / "charts"
        shutil.copytree(original, charts)
        file = charts / mutant.chart / mutant.file
        text = file.read_text()
        if mutant.old not in text:
            raise ValueError(f"{mutant.label}: {mutant.old!r} is not in the file any more; correct harness/mutants.py")
        file.write_text(text.replace(mutant.old, mutant.new, 1))
        result = Result(mutant, _killer(charts, mutant.chart), time.monotonic() - started)
    say(f"{'noticed ' if result.killer else 'SURVIVED'} {result.seconds:5.1f} s  {mutant.label}  {result.killer or ''}")
    return result


def _killer(charts: Path, chart: str) -> str | None:
    """The first test that fails for these charts, None if all pass. Raises RuntimeError when tests could not run."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:helm-charts"]
    command += ["--show-objects=0", *(f"tests/render/{name}" for name in suite(chart))]
    environment = {**os.environ, "STAN_FT_CHARTS": str(charts), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == _PASSED:
        return None
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 2)[1].removeprefix("tests/render/")
    if done.returncode == _FAILED:
        return "a test"
    raise RuntimeError(f"pytest ended with exit code {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _tell(results: list[Result], seconds: float) -> int:
    survivors = [result.mutant for result in results if result.killer is None]
    share = 100 * (len(results) - len(survivors)) / len(results) if results else 0.0
    print(f"{len(results)} mutants, {len(results) - len(survivors)} noticed ({share:.1f} %), in {seconds:.0f} s.")
    for mutant in survivors:
        print(f"survived: {mutant.label}\n    {mutant.old!r} -> {mutant.new!r}")
    return 0 if share >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
