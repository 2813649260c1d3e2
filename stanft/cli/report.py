"""stan-ft report: draws the page, the table or the JUnit file of drills from the JSON that they left."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from stanft import report
from stanft.drill.statistics import slower
from stanft.ground.errors import UserError
from stanft.ground.textfile import write

EPILOG = """examples:
  stan-ft report drill.json --html drill.html
  stan-ft report chart.json recipe.json --html side-by-side.html --title "Chart and recipe"
  stan-ft report drill.json --baseline docs/reports/failover/chart.json

exit codes: 0; 1 a fault took longer than --baseline allows; 2 a file is no drill's."""
SLOWER = 1.5  # a median of 30 kills strays by a seventh by chance, one of 10 by a quarter


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft report",
        description="Show what drills found: several files side by side, in the order given.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("files", nargs="+", type=Path, metavar="JSON", help="written by stan-ft drill --json")
    made.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    made.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    made.add_argument(
        "--format", choices=("table", "json"), default="table", help="of what is printed (default: table)"
    )
    made.add_argument("--title", default="Failover drill", help="title of the page (default: %(default)s)")
    made.add_argument(
        "--baseline", type=Path, metavar="JSON", help="a kept drill: end with 1 if a fault takes longer now than in it"
    )
    made.add_argument(
        "--slower",
        type=float,
        default=SLOWER,
        metavar="RATIO",
        help="how much longer is too long (default: %(default)g)",
    )
    made.add_argument("--preface", default="", help="a paragraph on top of the page")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Write what was asked for and print the table; raises UserError for files that are no drill's."""
    options = parser().parse_args(arguments)
    drills = [read(file) for file in options.files]
    if options.html:
        write(options.html, report.page(drills, title=options.title, preface=options.preface))
    if options.junit:
        write(options.junit, report.junit(drills))
    if options.format == "json":
        print(json.dumps([dataclasses.asdict(row) for row in report.rows(drills)], indent=2))
    else:
        print(report.text(drills))
    kept = read(options.baseline) if options.baseline else None
    found = [words for data in drills for words in slower(data, kept, options.slower)] if kept else []
    for words in found:
        print(f"slower: {words}", file=sys.stderr)
    return 1 if found else 0


def read(file: Path) -> dict[str, Any]:
    """What a drill left in a file; raises UserError if it cannot be read or is something else."""
    try:
        data = json.loads(file.read_text())
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}): give a file that stan-ft drill --json wrote.") from error
    return report.known(data, str(file))
