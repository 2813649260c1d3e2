"""scripts/nfs-lab: runs the fault-tolerant group on a real NFSv4.1 mount of virtual machines, and breaks things."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness.dev import rates
from harness.ground import paths, system, toolchain
from harness.nfs_lab import engines, image, jobs, packages, recovery, report
from harness.nfs_lab.computer import Engine
from harness.nfs_lab.faults import FAULTS, Fault
from harness.nfs_lab.lab import Settings
from harness.nfs_lab.pod import NONE, REMEDIES, SUPERVISOR
from harness.nfs_lab.run import Result, once
from harness.nfs_lab.scenes import SCENES
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step
from stanft.traffic.verdict import Word, exit_code

SMOKE = ("kill", "cut-both", "freeze")
KNFSD_LEAST = 10  # seconds; the Linux NFS server takes no shorter lease or grace time (fs/nfsd/nfsctl.c)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    faults = "\n".join(f"  {name:13}{fault.title}" for name, fault in FAULTS.items())
    scenes = "\n".join(f"  {name:13}{scene.title}" for name, scene in SCENES.items())
    made = argparse.ArgumentParser(
        prog="scripts/nfs-lab",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs NATS Streaming in fault-tolerant mode on small virtual machines that share a real NFSv4.1\n"
        "mount, injects a fault, and says what became of the messages. Each run boots machines of its own.",
        epilog=f"faults:\n{faults}\n\nscenes:\n{scenes}\n\n"
        "It needs root, Debian 12 on x86-64 and 1.5 GiB of memory for each lab; QEMU and a few tools are installed.\n"
        "Machines run with KVM where it works, else as Linux in user mode. A fault that stops a machine's clocks\n"
        "cannot be played by that, and is emulated where there is no KVM, which is slow. A run that proves nothing\n"
        "(known before its fault) is made again, once. The exit code is 0 if every run with the supervisor was ok in\n"
        "the end and no attempt of one did harm or left a doubt, else 1.",
    )
    what = made.add_mutually_exclusive_group()
    what.add_argument("--smoke", action="store_true", help=f"one run of each of {', '.join(SMOKE)} (the default)")
    what.add_argument("--all", action="store_true", help="every fault, with the chart's supervisor and without")
    what.add_argument("--fault", action="append", choices=FAULTS, metavar="NAME", help="this fault; may be repeated")
    made.add_argument(
        "--scene",
        action="append",
        choices=SCENES,
        metavar="NAME",
        help="what goes on meanwhile (below); with the faults that can hurt in it unless --fault says others; may be "
        "repeated (default: plain)",
    )
    made.add_argument("--runs", type=_positive, metavar="N", help="runs of each (default: 1, --all: 10)")
    made.add_argument(
        "--remedies",
        action="append",
        choices=REMEDIES,
        help="supervisor: the chart's defaults; none: no supervisor and the server's own read-ahead; may be repeated "
        "(default: supervisor, with --all: both)",
    )
    made.add_argument("--lease", type=_seconds, default=20, metavar="S", help="the NFS server's lease (default 20 s)")
    made.add_argument("--grace", type=_seconds, metavar="S", help="the NFS server's grace time (default: the lease)")
    made.add_argument("--nodes", type=int, choices=(2, 3), default=2, help="machines of the group (default 2)")
    made.add_argument("--options", metavar="A,B", help="mount options instead of the chart's, comma separated")
    made.add_argument(
        "--machines", choices=engines.NAMES, help="how machines are played (default: the first that can and works here)"
    )
    made.add_argument(
        "--jobs",
        type=_positive,
        default=1,
        metavar="N",
        help="labs at the same time (default 1; a core plays one or two in user mode, half a one in emulation)",
    )
    made.add_argument(
        "--output", type=Path, metavar="FILE", help="add the results to this JSON file, a table beside it"
    )
    what.add_argument("--prepare", action="store_true", help="only install and build what the machines need")
    what.add_argument(
        "--recovery",
        type=_positive,
        metavar="N",
        help="no fault: how long a store with N channels takes to recover, with the supervisor and without in turns, "
        "and what each asks of the NFS server (--runs: of each, default 5)",
    )
    made.add_argument("--events", action="store_true", help="tell what happens in each run while it does")
    return made


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs: give 1 or more")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdigit() or not KNFSD_LEAST <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} will not do: the NFS server takes {KNFSD_LEAST} to 3600 seconds")
    return int(text)


def main() -> int:
    """Do the runs that the options ask for; 1 if a run with the supervisor did harm or proved nothing."""
    options = parser().parse_args()
    # The machines end with the blocks that made them.
    common.end_like_ctrl_c()
    if reason := packages.unfit():
        raise UserError(reason)
    toolchain.ensure_all(image.TOOLS)  # by the user: what root built would leave files of root's in Go's caches
    system.become_root("harness.cli.nfs_lab")
    packages.require_host()
    ways = engines.ensure()
    if options.prepare:
        return 0
    if options.recovery:
        engine = engines.choose(FAULTS["kill"], ways, options.machines)
        print(_recoveries(engine, options.recovery, options.runs or 5))
        return 0
    plan = [(FAULTS[name], settings) for name, settings in _plan(options)]
    players = {
        fault.name: engines.choose(fault, ways, options.machines) for fault in dict.fromkeys(fault for fault, _ in plan)
    }
    for title in dict.fromkeys(engine.title for engine in players.values()):
        faults = [name for name, engine in players.items() if engine.title == title]
        say(f"machines are played by {title}: {', '.join(faults)}")
    keep = options.output.parent / f"{options.output.stem}-kept" if options.output else None
    live = options.events
    work = [
        partial(_attempts, fault, settings, players[fault.name], f"run {number} of {len(plan)}", live=live, keep=keep)
        for number, (fault, settings) in enumerate(plan, 1)
    ]
    results: list[dict[str, Any]] = report.load(options.output) if options.output else []
    judged: list[list[Word]] = []
    for place, attempts in jobs.each(work, options.jobs):
        fault, settings = plan[place]
        for result in attempts:
            _tell(f"run {place + 1}, {_title(fault, settings)}", result)
        results += [result.to_dict() for result in attempts]
        if options.output:
            report.save(options.output, results)
        if settings.remedies == SUPERVISOR:
            judged.append([result.word for result in attempts])
    for made in (options.output, options.output.with_suffix(".md"), keep) if options.output and keep else ():
        if made.exists():
            paths.keep_owner(made)  # root wrote it into a user's folder
    print(report.table(results), end="")
    return exit_code(judged)


def _recoveries(engine: Engine, channels: int, rounds: int) -> str:
    """A table of recoveries on NFS, bare and supervised in turns."""

    def fill(url: str, cluster_id: str) -> None:
        asyncio.run(rates.fill(url, cluster_id, channels, rates.IN_EACH))

    with step(f"{channels:,} channels recovered {rounds} times by each, machines played by {engine.title}"):
        (_, found), *_ = jobs.each([partial(recovery.in_turns, engine, channels, rounds, fill)], 1)
    return recovery.table(found, channels)


def _title(fault: Fault, settings: Settings) -> str:
    return f"{fault.title}, {settings.scene}, remedies: {settings.remedies}"


def _attempts(
    fault: Fault, settings: Settings, engine: Engine, number: str, *, live: bool, keep: Path | None
) -> list[Result]:
    """One run; a void one says something of this computer only, so it is repeated, once."""
    made: list[Result] = []
    for again in ("", ", again"):
        with step(f"{number}: {_title(fault, settings)}{again}"):
            result = once(fault, settings, engine, uuid4().hex[:8], live=live, keep=keep)
        made.append(replace(result, machines=engine.name))
        if made[-1].word is not Word.VOID:
            break
    return made


def _plan(options: argparse.Namespace) -> list[tuple[str, Settings]]:
    scenes = [SCENES[name] for name in options.scene or ["plain"]]
    remedies = options.remedies or ([SUPERVISOR, NONE] if options.all else [SUPERVISOR])
    mount = tuple(options.options.split(",")) if options.options else None
    if mount and not all(mount):
        raise UserError(f"--options {options.options!r} has an empty option: write them like hard,timeo=600.")
    runs = options.runs or (10 if options.all else 1)
    grace = options.grace or options.lease
    return [
        (name, Settings(options.lease, grace, max(options.nodes, scene.nodes), which, mount, scene.name))
        for _ in range(runs)
        for scene in scenes
        for name in (list(FAULTS) if options.all else options.fault or scene.faults or SMOKE)
        for which in remedies
    ]


def _tell(title: str, result: Result) -> None:
    say(f"    {title}:")
    for problem in result.judgement.problems:
        say(f"    {str(result.word).upper()}: {problem}")
    found = result.measures
    if found:
        say(
            f"    takeover {found['takeover']} s, outage {found['outage']} s, {found['acknowledged']} acknowledged, "
            f"{found['lost']} lost, {found['acks_by_loser']} acknowledged by the loser; {found['verdict']}"
        )
    if result.kept:
        say(f"    kept: {result.kept}")
    sys.stderr.flush()


if __name__ == "__main__":
    common.run(main)
