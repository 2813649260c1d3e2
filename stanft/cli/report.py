"""stan-ft report: draws the page, the table or the JUnit file of drills from the JSON that they left."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from stanft import report
from stanft.ground.errors import UserError
from stanft.ground.textfile import write

EPILOG = """examples:
  stan-ft report drill.json --html drill.html
  stan-ft report chart.json recipe.json --html side-by-side.html --title "Chart and recipe"

exit codes: 0, or 2 where a file is no drill's."""


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
    return 0


def read(file: Path) -> dict[str, Any]:
    """What a drill left in a file; raises UserError if it cannot be read or is something else."""
    try:
        data = json.loads(file.read_text())
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({error}): give a file that stan-ft drill --json wrote.") from error
    return report.known(data, str(file))
