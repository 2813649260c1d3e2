"""scripts/report: draws the page, the table or the JUnit file of drills from the JSON that they left."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stanft import report
from stanft.ground.errors import UserError
from stanft.ground.textfile import write

EPILOG = """examples:
  scripts/report drill.json --html drill.html
  scripts/report chart.json recipe.json --html side-by-side.html --title "Chart and recipe" """


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="scripts/report",
        description="Show what drills found: several files side by side, in the order given.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("files", nargs="+", type=Path, metavar="JSON", help="written by scripts/drill --json")
    made.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    made.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    made.add_argument("--title", default="Failover drill", help="title of the page (default: %(default)s)")
    made.add_argument("--preface", default="", help="a paragraph on top of the page")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Write what was asked for and print the table; exit code 2 for files that are no drill's."""
    options = parser().parse_args(arguments)
    try:
        drills = [_read(file) for file in options.files]
        if options.html:
            write(options.html, report.page(drills, title=options.title, preface=options.preface))
        if options.junit:
            write(options.junit, report.junit(drills))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.text(drills))
    return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}): give a file that scripts/drill --json wrote.") from error
    return report.known(data, str(file))


if __name__ == "__main__":
    sys.exit(main())
