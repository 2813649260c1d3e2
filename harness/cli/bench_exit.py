"""scripts/bench exit: the way out to JetStream under kills, with a thousand channels, and against the clock."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.charts.render import render, stan_conf
from harness.dev import exit_kills, exit_many, exit_speed
from harness.ground import system
from harness.local import furnish, leaving
from harness.local.up import up
from harness.loopback.jetstream import LINES, JetStream
from harness.loopback.server import Group
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step
from stanft.ground.textfile import write


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
    one = plays.add_parser("channels", help="copy and compare many channels, some with messages of the largest size")
    one.add_argument("--channels", type=int, default=1000, metavar="N", help="default: %(default)s")
    one.set_defaults(run=_channels)
    one = plays.add_parser("speed", help="copy and compare one channel against the clock, beside each side alone")
    one.add_argument("--messages", type=int, default=200_000, metavar="N", help="default: %(default)s")
    one.set_defaults(run=_speed)
    one = plays.add_parser("cluster", help="a whole exit on the local cluster, recorded: Jobs, durables, a takeover")
    one.add_argument("--messages", type=int, default=1_000_000, metavar="N", help="in all (default: %(default)s)")
    one.add_argument("--output", type=Path, metavar="FILE", help="write the recording there too")
    one.set_defaults(run=_cluster)
    for name in ("kills", "channels", "speed"):
        plays.choices[name].add_argument(
            "--line", choices=LINES, default=LINES[-1], help="of nats-server (default: %(default)s)"
        )
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
    print(system.load())
    return 1 if done.wrong else 0


def _channels(options: argparse.Namespace) -> int:
    if options.channels < exit_many.LARGE:
        raise UserError(f"--channels {options.channels}: give {exit_many.LARGE} or more.")
    values = {"config": {"streaming": {"store_limits": {"max_channels": options.channels + 1}}}}
    config = stan_conf(render("stan-ft", values))
    with tempfile.TemporaryDirectory(prefix="stan-ft-bench-") as text, step(f"{options.channels} channels"):
        root = Path(text)
        with (
            Group(root / "group", config=config, size=1) as group,
            JetStream(root / "js", options.line, extra=exit_many.ROOM) as js,
        ):
            group.start()
            done = asyncio.run(exit_many.play(group, js, root, options.channels))
    print(f"one server of the group, one of nats-server {options.line}")
    print(done.text())
    print(system.load())
    return 1 if done.wrong else 0


def _speed(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="stan-ft-bench-") as text, step(f"{options.messages} messages"):
        root = Path(text)
        with (
            Group(root / "group", config=stan_conf(render("stan-ft", {})), size=1) as group,
            JetStream(root / "one", options.line) as single,
            JetStream(root / "three", options.line, size=3) as three,
        ):
            group.start()
            found = asyncio.run(exit_speed.play(group, (single, three), root, options.messages, say))
    print(
        f"{options.messages} messages of {exit_speed.SIZE} bytes, one server of the group, nats-server {options.line}"
    )
    for figure in found:
        print(figure.line())
    print(system.load())
    return 0


def _cluster(options: argparse.Namespace) -> int:
    furnish.everything()
    cluster = up().cluster
    told = leaving.Recording(say)
    try:
        with tempfile.TemporaryDirectory(prefix="stan-ft-bench-") as text, leaving.installed(cluster) as group:
            asyncio.run(leaving.play(cluster, group, Path(text), options.messages, told))
    finally:
        if options.output:
            write(options.output, "\n".join(told.lines) + "\n")
    return 0


if __name__ == "__main__":
    common.run(main)
