"""stan-ft compare: says whether a drill is worse than an earlier one, fault by fault."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stanft import report
from stanft.cli.report import read
from stanft.drill import statistics
from stanft.ground.errors import UserError

FEWEST = 5  # runs on each side: detection alone is spread over 1.4 s, so with fewer chance decides
SLOWER = 1.5  # a median of 30 kills strays by a seventh by chance, one of 10 by a quarter
EPILOG = """examples:
  stan-ft compare before-the-upgrade.json after-the-upgrade.json
  stan-ft compare baseline.json tonight.json --slower 2 --format json

exit codes: 0 no fault is worse, 1 at least one is, 2 the drills cannot be compared."""


@dataclass(frozen=True)
class Change:
    """One fault before and after: runs, seconds in which no publisher was served, and what is worse ("" if nothing)."""

    fault: str
    runs: tuple[int, int]
    median: tuple[float | None, float | None]
    longest: tuple[float | None, float | None]
    lost: tuple[int, int]
    failed: tuple[int, int]
    worse: str


def changes(before: dict[str, Any], after: dict[str, Any], ratio: float) -> list[Change]:
    """Every fault that both drills played, in the later one's order. Raises UserError if there is none."""
    then, now = ({row.fault: row for row in report.rows([each])} for each in (before, after))
    both = [fault for fault in now if fault in then]
    if not both:
        raise UserError(
            f"the drills have no fault in common: {', '.join(then) or 'none'} before, "
            f"{', '.join(now) or 'none'} after. Play the same ones."
        )
    slow = statistics.slower(after, before, ratio)
    return [
        _change(
            then[fault],
            now[fault],
            [statistics.figures(statistics.merged(_series(each, fault))) for each in (before, after)],
            [words.removeprefix(f"{fault}: ") for words in slow if words.startswith(f"{fault}: ")],
        )
        for fault in both
    ]


def _series(data: dict[str, Any], fault: str) -> dict[str, Any]:
    return next(series for series in reversed(data["series"]) if series["fault"] == fault)


def _change(
    before: report.Row, after: report.Row, took: Sequence[statistics.Figures | None], slower: Sequence[str]
) -> Change:
    worse = list(slower)
    if after.lost > before.lost:
        worse.append(f"{after.lost} lost, {before.lost} before")
    if after.two_actives > before.two_actives:
        worse.append(f"two actives in {after.two_actives} runs, in {before.two_actives} before")
    if after.failed > before.failed:
        worse.append(f"{after.failed} runs failed, {before.failed} before")
    then, now = took
    return Change(
        after.fault,
        (before.n, after.n),
        (then.median if then else None, now.median if now else None),
        (then.longest if then else None, now.longest if now else None),
        (before.lost, after.lost),
        (before.failed, after.failed),
        "; ".join(worse),
    )


def table(found: list[Change]) -> str:
    """The changes for a terminal."""
    lines = [f"{'FAULT':18} {'RUNS':>9} {'MEDIAN':>17} {'LONGEST':>17}  VERDICT"]
    for each in found:
        runs = f"{each.runs[0]} > {each.runs[1]}"
        median, longest = (" > ".join(report.seconds(value) for value in pair) for pair in (each.median, each.longest))
        verdict = f"worse: {each.worse}" if each.worse else "not worse"
        verdict += f" (chance has its say below {FEWEST} runs)" if min(each.runs) < FEWEST else ""
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
        "--slower",
        type=float,
        default=SLOWER,
        metavar="RATIO",
        help="a median or longest outage that grows by more than this is worse (default: %(default)g)",
    )
    made.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Print what changed; 1 if a fault is worse. Raises UserError for files that are no drills'."""
    options = parser().parse_args(arguments)
    if options.slower < 1:
        raise UserError(f"--slower {options.slower:g}: give a ratio of 1 or more, such as {SLOWER:g}.")
    found = changes(read(options.before), read(options.after), options.slower)
    print(json.dumps([asdict(each) for each in found], indent=2) if options.format == "json" else table(found))
    return 1 if any(each.worse for each in found) else 0
