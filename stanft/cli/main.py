"""stan-ft: one command for those who run NATS Streaming in fault-tolerant mode; each word after it is a file here."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from typing import Any

from stanft.cli import common
from stanft.ground.errors import UserError

# Each is a module of stanft.cli with parser() and main(arguments); it is loaded when it is called.
COMMANDS = {
    "check": "judge manifests, a chart or a live namespace by the rules that make a group safe",
    "status": "show the servers of a live group: who is active, who stands by, is it whole",
    "drill": "play faults on a live group under traffic, and measure what clients saw",
    "report": "draw the page, the table or the JUnit file of drills",
    "compare": "say whether a drill is worse than an earlier one",
    "verify": "read a store's files without a server and name what is damaged",
    "backup": "copy a store, also while servers run on it, and prove the copy",
    "restore": "put a backup into an empty store and prove it there",
    "exit": "move a group to JetStream, each message under its number, and compare every one",
    "rollout": "restart a group, standbys first and the active last: one takeover",
    "completion": "print what makes bash, zsh or fish complete these words",
}
EPILOG = """examples:
  stan-ft check my-manifests/ --namespace messaging     before an install: would this group be safe?
  stan-ft check --namespace messaging                   the same question to what runs there now
  stan-ft status --namespace messaging                  who is active?
  stan-ft drill --fault delete -n messaging --dry-run   what a drill would do, and whether it could
  stan-ft drill --fault delete=10 -n messaging --json drill.json --html drill.html
  stan-ft rollout -n messaging                          restart what an upgrade left outdated
  source <(stan-ft completion bash)                     complete words and options with Tab

stan-ft COMMAND --help says more. A cluster is found as kubectl finds it: --kubeconfig, --context, -n.

exit codes: 0 done and well, 1 judged bad, 2 could not be done, 130 interrupted."""


def command(name: str) -> Any:
    """The module of a command."""
    return importlib.import_module(f"stanft.cli.{name}")


def parser() -> argparse.ArgumentParser:
    """The command line before the command's own."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {sentence}" for name, sentence in COMMANDS.items())
    made = argparse.ArgumentParser(
        prog="stan-ft",
        usage="stan-ft COMMAND [OPTIONS]",
        description=f"Prove and tend fault-tolerant NATS Streaming groups, made by these charts or not.\n\n{listed}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"stan-ft {version()}")
    made.add_argument("command", nargs="?", metavar="COMMAND", help="one of the above")
    return made


def version() -> str:
    """The version of the installed package; "from a checkout" where it is not installed."""
    try:
        return importlib.metadata.version("stan-ft")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    first = words[0] if words else ""
    if first in COMMANDS:
        return int(command(first).main(words[1:]) or 0)
    options = parser().parse_args(words[:1])
    if options.command is None:
        parser().print_help()
        return 0
    raise UserError(f"there is no command {first!r}: choose one of {', '.join(COMMANDS)} (stan-ft --help).")


def entry() -> None:
    """What `stan-ft` runs."""
    common.run(main)


if __name__ == "__main__":
    entry()
