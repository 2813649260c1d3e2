"""scripts/rehearse: plays the README's commands on bare systems, and shows what somebody new to them would see."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.cli.test import SUITES
from harness.dev import bareroot, rehearsed
from harness.dev.bareroot import GUISES, Outcome
from harness.ground import toolchain
from harness.ground.paths import REPO
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step

LOGS = REPO / "build" / "rehearse"
# Ubuntu where its archive is reached, which the table tells.
SYSTEMS = ("bookworm", "trixie", "noble")
ON_REQUEST = ("forky",)  # Debian's testing, with the newest Python
PATIENCE = 3600.0  # seconds for one command, also on a busy machine
INSTALL = "scripts/lib/venv python -m pip --version"
UNIT_AND_RENDER = "unit and render"
SHORT = {"install": INSTALL, UNIT_AND_RENDER: "scripts/test unit render"}
WHOLE = SHORT | {"lint": "scripts/lint", "server": "scripts/test server", "nfs": "scripts/test nfs"}
# In a user's home, at the end: what should not be there is listed, and fails the rehearsal.
ROOTS = {"files of root's": '! find "$HOME" -user root | grep .'}
LEFT = {"files left": 'scripts/down --cache && ! find ~ -mindepth 1 ! -path ~/.cache ! -path "$HOME/clone*" | grep .'}
# On this machine itself, as a cluster needs a real one; under a cache, a name and a port of its own.
CLUSTER = {"up": "scripts/up", "failover": "scripts/test acceptance releases failover", "down": "scripts/down --cache"}
EPILOG = """Each system is made from its packages alone, with an empty cache; the plays of a system are root, and a user
with sudo, another language and time zone, a small /tmp and a home with a space in its name. At the end no file in that
home may be root's, and after scripts/down --cache none but the clone's may be left. The first play of the whole form
builds every tool; later ones, and the short form, are given the built tools and start cold otherwise.
What each command printed is kept under build/rehearse. Exit code 0 if all of it passed, 1 if not."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="scripts/rehearse",
        description=__doc__.split(": ", 1)[1] if __doc__ else None,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--short", action="store_true", help="only Debian 12 with its pip, as the user: install, unit and render"
    )
    made.add_argument("--system", action="append", choices=SYSTEMS + ON_REQUEST, help="only this one; may be repeated")
    made.add_argument("--guise", action="append", choices=GUISES, help="only as root, or as the user")
    made.add_argument("--step", action="append", choices=WHOLE, help="only this step and the install")
    made.add_argument("--cold", action="store_true", help="every play builds its tools itself (hours)")
    made.add_argument("--no-cluster", action="store_true", help="leave out the cluster on this machine")
    made.add_argument("--keep", action="store_true", help="leave the roots under the cache, to look at them")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Play, print the table, and return 1 if a step failed."""
    options = parser().parse_args(arguments)
    common.end_like_ctrl_c()
    bareroot.available()
    rows: list[tuple[str, str, str]] = []
    failed = 0
    for where, name, outcome in _plays(options):
        # Of the whole form some systems may be out of reach; a short one that was not played has shown nothing.
        bad = outcome.code != 0 if isinstance(outcome, Outcome) else options.short
        failed += bad
        rows.append((where, name, _words(outcome)))
        if isinstance(outcome, Outcome):
            _show(outcome, 25 if bad else 4)
    print(f"{'SYSTEM':18} {'STEP':16} OUTCOME")
    for row in rows:
        print("{:18} {:16} {}".format(*row))
    print(f"rehearsal: {len(rows)} steps, {failed} failed")
    return 1 if failed else 0


def _plays(options: argparse.Namespace) -> Iterator[tuple[str, str, Outcome | str]]:
    """Each step as it is done: where, its name, and its outcome or why there is none."""
    systems = options.system or (["bookworm"] if options.short else list(SYSTEMS))
    guises = [GUISES[name] for name in options.guise or (["user"] if options.short else list(GUISES))]
    steps = SHORT if options.short else WHOLE
    if options.step:
        steps = {name: line for name, line in steps.items() if name in ("install", *options.step)}
    given: list[Path] = _tools() if options.short or options.step else []
    for suite in systems:
        for guise in guises:
            where = f"{suite}, {guise.name}"
            try:
                with bareroot.made(suite, guise, keep=options.keep) as root:
                    if given and not options.cold:
                        root.give(given)
                    after = {} if not guise.uid else ROOTS if options.keep else ROOTS | LEFT
                    for name, line in (steps | after).items():
                        yield where, name, _play(root, name, line)
                        if options.short and name == UNIT_AND_RENDER:
                            root.take(f"build/test/{rehearsed.junit(name)}", rehearsed.REPORT)
            except UserError as error:
                yield where, "make the root", f"not played: {str(error).splitlines()[0]}"
                break
            given = given or _tools()
    if not options.short and not options.step and not options.no_cluster:
        yield from _cluster()


def _play(root: bareroot.Root, name: str, line: str) -> Outcome:
    log = LOGS / f"{root.directory.name}-{'-'.join(re.findall('[a-z]+', name))}.log"
    with step(f"{root.directory.name}: {line}"):
        return root.play(line, log, PATIENCE)


def _tools() -> list[Path]:
    """The directories of the built tools that these suites need, built first on this machine if need be."""
    names = {tool for suite in SUITES if not suite.needs_cluster for tool in suite.tools if tool in toolchain.names()}
    wanted = next(suite.tools for suite in SUITES if "unit" in suite.folders)
    built = {name: toolchain.find(name) for name in names}
    built |= {name: toolchain.ensure(name) for name in wanted}
    return [path.parent for _, path in sorted(built.items()) if path]


def _cluster() -> Iterator[tuple[str, str, Outcome | str]]:
    """The part that needs a machine, from an empty cache of its own."""
    own = {
        **os.environ,
        "STAN_FT_CACHE": str(LOGS / "cache"),
        "STAN_FT_CLUSTER": "rehearsal",
        "STAN_FT_PORT": "14222",
        "STAN_FT_BUILD": "",
    }

    def play(name: str) -> tuple[str, str, Outcome]:
        with step(f"this machine: {CLUSTER[name]}"):
            argv = ["sh", "-c", CLUSTER[name]]
            return "this machine", name, bareroot.watch(CLUSTER[name], argv, LOGS / f"{name}.log", PATIENCE, own)

    try:
        yield play("up")
        yield play("failover")
    finally:
        last = play("down")
    yield last


def _words(outcome: Outcome | str) -> str:
    if isinstance(outcome, str):
        return outcome
    how = {0: "passed", None: "not done in time"}.get(outcome.code, f"failed (exit code {outcome.code})")
    lines = outcome.said.splitlines()
    # Which tests failed, as scripts/test tells it at its end, and its log is gone with the root's clone.
    broken = [line.strip() for line in lines if outcome.code and re.match(r" +tests\.\w+\.\w", line)]
    skips = [line.strip() for line in lines if " skipped: " in line]
    return f"{how}, {outcome.seconds:.0f} s{''.join(f'; {line}' for line in [*broken, *skips])}"


def _show(outcome: Outcome, lines: int) -> None:
    for line in outcome.said.splitlines()[-lines:]:
        say(f"    | {line}")
    sys.stderr.flush()


if __name__ == "__main__":
    common.run(main)
