"""scripts/release: packages the charts and the tool, checks what is in them, and pushes charts to an OCI registry."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.dev import releasing
from harness.ground.paths import REPO
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.ground.progress import step

EPILOG = """examples:
  scripts/release                                       everything, into build/release
  scripts/release --changed --list                      which charts have a version that no tag names yet
  scripts/release --chart stan-ft --push oci://localhost:5000/charts --plain-http

Without --push nothing leaves this machine. A line for each that is made: NAME VERSION FILE [DIGEST]."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="scripts/release",
        description="Packages the charts (with the licence) and the wheel of stan-ft, and writes the notes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--chart", action="append", metavar="NAME", help="only this chart; repeatable")
    made.add_argument("--no-wheel", action="store_true", help="leave the wheel of stan-ft out")
    made.add_argument("--changed", action="store_true", help="only charts whose version has no git tag yet")
    made.add_argument("--list", action="store_true", help="print what would be released (NAME VERSION) and end")
    made.add_argument("--output", type=Path, default=REPO / "build" / "release", metavar="FOLDER", help="%(default)s")
    made.add_argument("--push", metavar="oci://HOST/PATH", help="push the packaged charts there, as helm is logged in")
    made.add_argument("--plain-http", action="store_true", help="the registry speaks HTTP without TLS")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Make the release's files."""
    options = parser().parse_args(arguments)
    chosen = releasing.changed() if options.changed else releasing.charts()
    if unknown := set(options.chart or ()) - {chart.name for chart in releasing.charts()}:
        raise UserError(f"there is no chart {', '.join(sorted(unknown))} under charts/.")
    chosen = [chart for chart in chosen if not options.chart or chart.name in options.chart]
    if options.push and not options.push.startswith("oci://"):
        raise UserError(f"--push {options.push}: an OCI registry is written oci://HOST/PATH.")
    if options.list:
        for chart in chosen:
            print(chart.name, chart.version)
        return 0
    for chart in chosen:
        with step(f"packaging {chart.name} {chart.version}"):
            file = releasing.package(chart, options.output)
            (options.output / f"{chart.tag}.md").write_text(releasing.notes(chart.version), encoding="utf-8")
            digest = releasing.push(file, options.push, plain_http=options.plain_http) if options.push else ""
        print(chart.name, chart.version, file, digest, flush=True)
    if not options.no_wheel:
        with step("building the wheel"):
            print("wheel", releasing.wheel(options.output))
    return 0


if __name__ == "__main__":
    common.run(main)
