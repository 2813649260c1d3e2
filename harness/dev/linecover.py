"""Which lines of harness/ the tests run: measured in every process that they start, kept per suite, reported over all.

coverage.py begins by itself in each Python of the locked environment (its a1_coverage.pth) when it is told to by a
variable, so that commands run as programs and parallel test workers count too. What a suite measured is replaced when
that suite is measured again, and kept beside the other suites' otherwise: the failover suite may run hours later.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.ground.paths import REPO
from stanft.ground import shell

DATA = REPO / "build" / "coverage"
WANTED = 90.0  # percent of each file's lines


@dataclass(frozen=True)
class Report:
    """What is covered: percent of all lines, and percent of each file that has less than WANTED, the lowest first."""

    total: float
    below: dict[str, float]
    suites: list[str]

    def lines(self) -> list[str]:
        """The report in words, one line each."""
        low = [f"  {percent:5.1f} %  {file}" for file, percent in self.below.items()]
        head = f"{self.total:.1f} % of harness/ is run by the suites {', '.join(self.suites)}"
        return [head, *([f"below {WANTED:.0f} %:", *low] if low else [])]


def begin(suite: str, data: Path = DATA) -> dict[str, str]:
    """Forget what this suite measured before; gives the variables with which its processes measure themselves."""
    folder = data / suite.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {"COVERAGE_PROCESS_START": str(REPO / "pyproject.toml"), "COVERAGE_FILE": str(folder / "data")}


def report(data: Path = DATA) -> Report:
    """What all measured suites run together. Raises shell.CommandError if none was measured."""
    suites = sorted(path for path in data.iterdir() if path.is_dir())
    # As programs: coverage.py in this process would drop what it measures of this process itself.
    _coverage("combine", "--keep", f"--data-file={data / 'data'}", *suites)
    _coverage("json", f"--data-file={data / 'data'}", "-o", data / "coverage.json")
    found = json.loads((data / "coverage.json").read_text())
    percents = {file: each["summary"]["percent_covered"] for file, each in found["files"].items()}
    below = dict(sorted(((f, p) for f, p in percents.items() if p < WANTED), key=lambda item: item[1]))
    return Report(found["totals"]["percent_covered"], below, [suite.name for suite in suites])


def _coverage(command: str, *arguments: str | Path) -> None:
    shell.run([sys.executable, "-m", "coverage", command, f"--rcfile={REPO / 'pyproject.toml'}", *arguments], cwd=REPO)
