"""stan-ft status: who is active, who stands by, on which claim, and whether the group is whole."""

from __future__ import annotations

import argparse
import json

from stanft.cli import where
from stanft.group import status

EPILOG = """examples:
  stan-ft status --namespace messaging
  stan-ft status --context prod -n messaging --name my-stan --format json

exit codes: 0 the group is whole, 1 it is not (the last line says why), 2 it could not be asked."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft status",
        description="Show the servers of a live group and its claim.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where.add_options(made)
    where.add_name(made)
    where.add_monitor_port(made)
    made.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Print the state of the group; exit code 1 if it is not whole."""
    options = parser().parse_args(arguments)
    seen = status.look(where.find(options).group(options.name, options.monitor_port))
    print(json.dumps(seen.to_dict(), indent=2) if options.format == "json" else status.show(seen))
    return 1 if seen.problem else 0
