"""stan-ft compare: says whether a drill is worse than an earlier one, fault by fault."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stanft import report
from stanft.cli.report import read
from stanft.ground.errors import UserError

FEWEST = 5  # runs on each side: fewer say nothing about a median, as detection alone is spread over 1.4 s
NOISE = 0.3  # seconds by which two medians of the same group may differ
EPILOG = """examples:
  stan-ft compare before-the-upgrade.json after-the-upgrade.json
  stan-ft compare baseline.json tonight.json --tolerance 1.5 --format json

exit codes: 0 no fault is worse, 1 at least one is, 2 the drills cannot be compared."""


@dataclass(frozen=True)
class Change:
    """One fault before and after: runs, median and longest outage in seconds, and what is worse ("" if nothing is)."""

    fault: str
    runs: tuple[int, int]
    median: tuple[float | None, float | None]
    longest: tuple[float | None, float | None]
    lost: tuple[int, int]
    failed: tuple[int, int]
    worse: str
    note: str = ""


def changes(before: dict[str, Any], after: dict[str, Any], tolerance: float) -> list[Change]:
    """Every fault that both drills played, in the later one's order. Raises UserError if there is none."""
    earlier = {row.fault: row for row in report.rows([before])}
    found = [_change(earlier[row.fault], row, tolerance) for row in report.rows([after]) if row.fault in earlier]
    if not found:
        raise UserError(
            f"the drills have no fault in common: {', '.join(earlier) or 'none'} before, "
            f"{', '.join(row.fault for row in report.rows([after])) or 'none'} after. Play the same ones."
        )
    return found


def _change(before: report.Row, after: report.Row, tolerance: float) -> Change:
    worse, note = [], ""
    if after.lost > before.lost:
        worse.append(f"{after.lost} lost, {before.lost} before")
    if after.two_actives > before.two_actives:
        worse.append(f"two actives in {after.two_actives} runs, in {before.two_actives} before")
    if after.failed > before.failed:
        worse.append(f"{after.failed} runs failed, {before.failed} before")
    if min(before.n, after.n) < FEWEST:
        note = f"medians are judged from {FEWEST} runs on each side on"
    elif before.median is not None and after.median is not None:
        allowed = max(before.median * tolerance, before.median + NOISE)
        if after.median > allowed:
            worse.append(f"median {after.median:.2f} s, where {allowed:.2f} s are allowed")
    return Change(
        after.fault,
        (before.n, after.n),
        (before.median, after.median),
        (before.longest, after.longest),
        (before.lost, after.lost),
        (before.failed, after.failed),
        "; ".join(worse),
        note,
    )


def table(found: list[Change]) -> str:
    """The changes for a terminal."""
    lines = [f"{'FAULT':18} {'RUNS':>9} {'MEDIAN':>17} {'LONGEST':>17}  VERDICT"]
    for each in found:
        runs = f"{each.runs[0]} > {each.runs[1]}"
        median, longest = (" > ".join(report.seconds(value) for value in pair) for pair in (each.median, each.longest))
        verdict = f"worse: {each.worse}" if each.worse else each.note or "not worse"
        lines.append(f"{each.fault:18} {runs:>9} {median:>17} {longest:>17}  {verdict}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft compare",
        description="Say whether a drill is worse than an earlier one: longer outages, losses, failed runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("before", type=Path, metavar="BEFORE.json", help="what stan-ft drill --json wrote then")
    made.add_argument("after", type=Path, metavar="AFTER.json", help="what it wrote now")
    made.add_argument(
        "--tolerance",
        type=float,
        default=1.25,
        metavar="FACTOR",
        help=f"a median may grow by this factor, and by {NOISE:g} s in any case (default: %(default)s)",
    )
    made.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Print what changed; 1 if a fault is worse. Raises UserError for files that are no drills'."""
    options = parser().parse_args(arguments)
    if options.tolerance < 1:
        raise UserError(f"--tolerance {options.tolerance:g}: give a factor of 1 or more, such as 1.25.")
    found = changes(read(options.before), read(options.after), options.tolerance)
    print(json.dumps([asdict(each) for each in found], indent=2) if options.format == "json" else table(found))
    return 1 if any(each.worse for each in found) else 0
