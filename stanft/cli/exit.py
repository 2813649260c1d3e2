"""stan-ft exit: moves a group to JetStream: inventory, plan, copy, verify, cut over, back."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stanft.cli import exit_sides as sides
from stanft.exit import compare, gate, inventory, job, positions, reverse, survey
from stanft.exit import plan as planning
from stanft.exit.copy import AT_ONCE, Copier
from stanft.exit.plan import Plan
from stanft.exit.source import LiveSource, Source, StoreSource
from stanft.ground import textfile
from stanft.ground.errors import UserError
from stanft.ground.progress import say
from stanft.kube import kubeschema

TOLD_EVERY = 5.0  # seconds between two lines of progress

SHOWN: dict[str, Callable[[survey.Survey], str]] = {
    "table": inventory.as_text,
    "json": lambda found: json.dumps(asdict(found), indent=2),
    "html": inventory.as_page,
}

Command = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


def parser() -> argparse.ArgumentParser:
    """The arguments of all steps."""
    made = argparse.ArgumentParser(
        prog="stan-ft exit",
        description="Moves a NATS Streaming group to JetStream, each message under the sequence number that it has. "
        "Steps: inventory, plan, copy, verify, cutover, and back. Until a cut-over the group is only read; "
        "durables keep their positions there until you delete them.",
        epilog=f"Passwords and tokens come from the environment: {sides.SOURCE_PASSWORD}, {sides.SOURCE_TOKEN}, "
        f"{sides.TARGET_PASSWORD}, {sides.TARGET_TOKEN}. Exit code: 0 done or equal, 1 not equal, 2 not done. "
        "Example: stan-ft exit inventory --servers nats://stan:4222 --monitor http://stan-0:8222",
    )
    steps = made.add_subparsers(dest="step", required=True, metavar="STEP", help="one of these; each has --help")
    one = steps.add_parser("inventory", help="what there is: channels, durables, clients, and what it becomes")
    sides.source_options(one)
    one.add_argument("--format", choices=("table", "json", "html"), default="table", help="default: table")
    one.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of printing it")
    one.add_argument(
        "--sample",
        type=float,
        default=survey.SAMPLE_SECONDS,
        metavar="SECONDS",
        help="read messages for so long to estimate the time of a copy; 0 reads none (default: %(default)g)",
    )
    one.set_defaults(command=_inventory)

    one = steps.add_parser("plan", help="write the plan, a file to edit, or hold one against both sides")
    sides.source_options(one)
    sides.target_options(one)
    one.add_argument("file", type=Path, help="the plan; written, unless --check is given")
    one.add_argument("--check", action="store_true", help="write nothing: say what is wrong with the file")
    one.add_argument("--replicas", type=int, default=3, choices=(1, 3, 5), help="of each stream (default: 3)")
    one.set_defaults(command=_plan)

    one = steps.add_parser("copy", help="copy what is not copied yet; can be ended and run again at any point")
    sides.both_options(one)
    one.add_argument("--follow", action="store_true", help="go on with what is published, until ended (Ctrl-C)")
    one.add_argument(
        "--rate", type=float, default=0, metavar="N", help="messages per second at most, over all channels"
    )
    one.add_argument(
        "--parallel", type=int, default=AT_ONCE, metavar="N", help="channels at once (default: %(default)s)"
    )
    one.set_defaults(command=_copy)

    one = steps.add_parser("verify", help="compare every message of the source with the copy")
    sides.both_options(one)
    one.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="json has the digest of each 1,000 (default: table)",
    )
    one.set_defaults(command=_verify)

    one = steps.add_parser("status", help="how far each channel is, and where its durables and producers are")
    sides.both_options(one)
    one.set_defaults(command=_status)

    one = steps.add_parser("cutover", help="move durables whose applications are stopped, or producers that are still")
    one.add_argument("what", choices=("consumers", "producers"))
    sides.both_options(one)
    one.set_defaults(command=_cutover)

    one = steps.add_parser("bridge", help="feed a channel from its open stream, for applications that still read it")
    sides.both_options(one)
    one.set_defaults(command=_bridge)

    one = steps.add_parser("back", help="take durables or producers of a cut-over back to the group")
    one.add_argument("what", choices=("consumers", "producers"))
    sides.both_options(one)
    one.set_defaults(command=_back)

    _job_step(steps)
    return made


def _job_step(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = steps.add_parser("job", help="print a Job that copies or compares inside the cluster")
    one.add_argument("what", choices=("copy", "verify"))
    sides.both_options(one)
    one.add_argument("--follow", action="store_true", help="copy: go on with what is published, until it is deleted")
    one.add_argument("--rate", type=float, default=0, metavar="N", help="copy: messages per second at most")
    one.add_argument("--name", default="stan-ft-exit", help="of Job and ConfigMap (default: %(default)s)")
    one.add_argument("--namespace", "-n", default="", help="where they are made (default: where you apply them)")
    one.add_argument(
        "--secret",
        default="",
        metavar="NAME",
        help="a Secret that you make: the files of the login under their names, and source-password, source-token, "
        "target-password, target-token",
    )
    one.add_argument(
        "--package",
        default="",
        metavar="WHAT",
        help="what pip installs in the pod: the address of a release's wheel, or a name and version in your index",
    )
    one.add_argument("--image", default="", help=f"an image that has stan-ft, in place of --package with {job.IMAGE}")
    one.set_defaults(command=_job)


def main(arguments: list[str] | None = None) -> int:
    """Do one step; gives the exit code."""
    options = parser().parse_args(arguments)
    command: Command = options.command
    return asyncio.run(command(options))


def _chosen(options: argparse.Namespace) -> Plan:
    """The plan, cut down to the channels that were named."""
    plan = planning.read(options.plan)
    if not options.channel:
        return plan
    return Plan(plan.cluster_id, tuple(plan.of(name) for name in options.channel))


async def _inventory(options: argparse.Namespace) -> int:
    source = sides.open_source(options)
    try:
        found = await survey.look(source, sample_seconds=options.sample)
    finally:
        await source.close()
    text = SHOWN[options.format](found)
    if options.output is None:
        print(text)
    else:
        textfile.write(options.output, text + "\n")
        print(f"wrote {options.output}")
    return 0


async def _plan(options: argparse.Namespace) -> int:
    async with sides.opened(options) as (source, target):
        found = await source.inventory()
        if options.check:
            plan = planning.read(options.file)
        else:
            if options.file.exists():
                raise UserError(f"{options.file} exists: give --check to hold it against both sides, or another name.")
            plan = planning.propose(found, options.replicas)
        judged = await planning.judge(plan, found, target)
    if not options.check:
        textfile.write(options.file, planning.as_yaml(plan))
        print(f"wrote {options.file}: {len(plan.streams)} streams")
    for note in judged.notes:
        print(f"note: {note}")
    for problem in judged.problems:
        print(f"problem: {problem}")
    print(
        f"{len(judged.problems)} problems: mend them in the plan or at the target" if judged.problems else "no problem"
    )
    return 1 if judged.problems else 0


async def _copy(options: argparse.Namespace) -> int:
    plan = _chosen(options)
    stop = asyncio.Event()
    if options.follow:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with sides.opened(options) as (source, target):
        judged = await planning.judge(plan, await source.inventory(), target)
        if judged.problems:
            raise UserError(f"the plan does not fit: {judged.problems[0]} (stan-ft exit plan --check tells all).")
        copier = Copier(plan, source, target, rate=options.rate, at_once=options.parallel, say=say)
        say(f"copying {len(plan.streams)} channels")
        telling = asyncio.create_task(_told(copier))
        started = time.monotonic()
        try:
            done = await copier.run(follow=options.follow, stop=stop)
        finally:
            telling.cancel()
    took = max(time.monotonic() - started, 0.001)
    copied = sum(one.copied for one in done)
    for one in done:
        print(f"{one.channel}: copied {one.copied}, the stream ends with {one.last}, {one.behind} behind")
    print(f"copied {copied} messages in {took:.1f} s, {copied / took:,.0f}/s")
    return 1 if any(one.behind for one in done) else 0


async def _told(copier: Copier) -> None:
    """Say every TOLD_EVERY seconds how far the copy is."""
    before, when = 0, time.monotonic()
    while True:
        await asyncio.sleep(TOLD_EVERY)
        copied = sum(one.copied for one in copier.progress.values())
        behind = sum(one.behind for one in copier.progress.values())
        now = time.monotonic()
        say(f"copied {copied} messages, {(copied - before) / (now - when):,.0f}/s, {behind} to go")
        before, when = copied, now


async def _verify(options: argparse.Namespace) -> int:
    plan = _chosen(options)
    async with sides.opened(options) as (source, target):
        results = await compare.compare(plan, source, target)
    code = compare.check(results)
    if options.format == "json":
        print(json.dumps([asdict(one) for one in results], indent=2))
        return code
    for one in results:
        print(one.line())
    bad = sum(bool(one.problem) for one in results)
    total = sum(one.messages for one in results)
    behind = sum(one.behind for one in results)
    print(f"{len(results)} channels, {total} messages compared, {bad} different, {behind} not copied yet")
    return code


async def _status(options: argparse.Namespace) -> int:
    plan = _chosen(options)
    async with sides.opened(options) as (source, target):
        channels = await source.channels()
        for one in plan.streams:
            found = await target.stream(one.stream)
            if found is None:
                print(f"{one.channel}: not copied yet")
                continue
            last = int(found["state"]["last_seq"])
            at_source = channels[one.channel].last if one.channel in channels else 0
            opened = await gate.is_open(target, one)
            where = "producers: JetStream" if opened else "producers: the group"
            print(f"{one.channel}: {where}, the group ends with {at_source}, the stream with {last}")
            for consumer in one.consumers:
                there = await target.consumer(one.stream, consumer.name)
                marks = ((there or {}).get("config") or {}).get("metadata") or {}
                moved = "moved" if marks.get(positions.PLANTED) == "yes" else "at the group"
                print(f"  {consumer.label}: {moved}")
    return 0


async def _cutover(options: argparse.Namespace) -> int:
    plan = _chosen(options)
    failed = 0
    async with sides.opened(options) as (source, target):
        for one in plan.streams:
            if options.what == "producers":
                result = await gate.cut_over(plan, one, _live(source), target)
                print(f"{result.line()}; {one.stream} is open: start the producers on JetStream, subject {one.channel}")
                continue
            for consumer in one.consumers:
                try:
                    position = await positions.read(_known(source), one.channel, consumer)
                    await positions.plant(target, one, consumer, position)
                except UserError as error:
                    failed += 1
                    print(f"not moved: {error}")
                else:
                    print(
                        f"{one.channel}: {consumer.label} ({position.line()}) is the consumer {consumer.name} of "
                        f"{one.stream}: start its application there"
                    )
    return 1 if failed else 0


async def _bridge(options: argparse.Namespace) -> int:
    plan = _chosen(options)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with sides.opened(options) as (source, target):
        for one in plan.streams:
            if not await gate.is_open(target, one):
                raise UserError(f"{one.channel}: producers are at the group: stan-ft exit copy --follow is the bridge.")
        say(f"bridging {len(plan.streams)} channels until ended")
        while not stop.is_set():
            for one in plan.streams:
                if copied := await reverse.copy_back(one, _live(source), target, say):
                    say(f"{one.channel}: {copied} messages to the group")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)
    return 0


async def _back(options: argparse.Namespace) -> int:
    plan = _chosen(options)
    async with sides.opened(options) as (source, target):
        for one in plan.streams:
            if options.what == "producers":
                copied = await reverse.back(plan, one, _live(source), target, say)
                print(
                    f"{one.channel}: {one.stream} is closed, {copied} messages went to the group: start producers there"
                )
                continue
            for consumer in one.consumers:
                if await target.consumer(one.stream, consumer.name) is None:
                    print(f"{one.channel}: {consumer.label} was not moved")
                    continue
                position = await positions.back(_live(source), target, one, consumer)
                print(f"{one.channel}: {consumer.label} goes on at the group after message {position.last_sent}")
    return 0


async def _job(options: argparse.Namespace) -> int:
    if options.store is not None:
        raise UserError("a Job reads the running group: give --servers and --monitor, not --store.")
    if not options.servers or not options.monitor:
        raise UserError("where is the group? Give --servers and --monitor as the pod reaches them.")
    if bool(options.package) == bool(options.image):
        raise UserError("what runs in the pod? Give --package (what pip installs) or --image (one that has stan-ft).")
    if options.what == "verify" and (options.follow or options.rate):
        raise UserError("--follow and --rate go with copy: leave them out for verify.")
    plan = _chosen(options)
    arguments, environment = sides.arguments_inside(options)
    if (environment or any(f"={job.LOGIN}/" in word for word in arguments)) and not options.secret:
        raise UserError("the login needs a Secret: make one with its files and passwords, and name it with --secret.")
    if options.secret and not options.user and not options.target_user:
        environment |= {sides.SOURCE_TOKEN: "source-token", sides.TARGET_TOKEN: "target-token"}
    made = job.Job(
        name=options.name,
        namespace=options.namespace,
        step=options.what,
        plan=planning.as_yaml(plan),
        arguments=arguments,
        environment=environment,
        secret=options.secret,
        image=options.image or job.IMAGE,
        package=options.package,
    )
    for item in job.objects(made):
        if problems := kubeschema.problems(item):
            raise UserError(f"Kubernetes would refuse the {item['kind']}: {problems[0]}.")
    print(job.manifest(made), end="")
    return 0


def _live(source: Source) -> LiveSource:
    if not isinstance(source, LiveSource):
        raise UserError("this needs the running group: give --servers and --monitor, not --store.")
    return source


def _known(source: Source) -> LiveSource | StoreSource:
    assert isinstance(source, (LiveSource, StoreSource))
    return source
