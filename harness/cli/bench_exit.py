"""scripts/bench exit: the way out to JetStream under kills, with a thousand channels, and against the clock."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.charts.render import render, stan_conf
from harness.dev import exit_kills, exit_play
from harness.loopback.jetstream import LINES, JetStream
from harness.loopback.server import Group
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step


def main(arguments: list[str] | None = None) -> int:
    """Play what was named; gives 0 if nothing was wrong."""
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def parser() -> argparse.ArgumentParser:
    """The options of all plays."""
    made = argparse.ArgumentParser(
        prog="scripts/bench exit", description=__doc__.split(": ", 1)[1] if __doc__ else None
    )
    plays = made.add_subparsers(dest="play", required=True, metavar="PLAY", help="one of these; each has --help")
    one = plays.add_parser("kills", help="kill the copier at random points while publishers run and servers die")
    one.add_argument("--kills", type=int, default=100, metavar="N", help="of the copier (default: %(default)s)")
    one.add_argument("--seed", type=int, default=17, metavar="N", help="of what is random (default: %(default)s)")
    one.set_defaults(run=_kills)
    for one in plays.choices.values():
        one.add_argument("--line", choices=LINES, default=LINES[-1], help="of nats-server (default: %(default)s)")
    return made


def _kills(options: argparse.Namespace) -> int:
    if options.kills < 1:
        raise UserError(f"--kills {options.kills}: give how often the copier shall be killed, such as 100.")
    with tempfile.TemporaryDirectory(prefix="stan-ft-bench-") as text, step(f"{options.kills} kills of one copy"):
        root = Path(text)
        config = stan_conf(render("stan-ft", {}))
        with Group(root / "group", config=config) as group, JetStream(root / "js", options.line, size=3) as js:
            group.start()
            done = asyncio.run(exit_kills.play(group, js, root, options.kills, seed=options.seed, say=say))
    print(
        f"{len(group.servers)} servers of the group, 3 of nats-server {options.line}, replicas 3, seed {options.seed}"
    )
    print(done.text())
    print(exit_play.machine())
    return 1 if done.wrong else 0


if __name__ == "__main__":
    common.run(main)
