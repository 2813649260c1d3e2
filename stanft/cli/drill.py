"""stan-ft drill: plays faults on a live group and says how long it was away, and whether anything was lost."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from stanft import drill, faults, report
from stanft.cli import common, where
from stanft.conf import url
from stanft.drill import reach
from stanft.drill.judge import LIVE, RESTART
from stanft.drill.run import PLAN, Settings
from stanft.exit import names
from stanft.faults import Fault, Need, Scene
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step
from stanft.ground.textfile import check_target, write
from stanft.stan.options import NATS_PY_DEFAULTS, STAN_GO_DEFAULTS, ConnectOptions
from stanft.traffic import preload
from stanft.traffic.clients import STAN_GO_PLAN
from stanft.traffic.ledger import MINIMUM_RATE
from stanft.words import CLUSTER_ID

SOAK = "soak"
MOST_SOAK = 86400.0  # seconds
# How clients reconnect, and how they publish.
CLIENTS = {
    "quick": (ConnectOptions(), PLAN),
    "nats-py": (NATS_PY_DEFAULTS, PLAN),
    "stan.go": (
        STAN_GO_DEFAULTS,
        dataclasses.replace(
            STAN_GO_PLAN,
            subscribers=PLAN.subscribers,
            queue_members=PLAN.queue_members,
            sleepers=PLAN.sleepers,
            from_first=PLAN.from_first,
        ),
    ),
}
MOST_PUBLISHERS = 200  # each is a client with a connection of its own
_CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]+")  # nats-streaming-server server/server.go
_NATS = re.compile(r"((nats|tls)://)?([^/@]*@)?[^/@\s]+", re.IGNORECASE)
MOST_RATE = 20000  # messages per second in all: a drill is no load test
EPILOG = """examples:
  stan-ft drill --list
  stan-ft drill --fault kill=30 --fault delete=10 --yes --json drill.json --html drill.html
  stan-ft drill --context prod --namespace messaging --name stan --fault delete --dry-run
  stan-ft drill --context prod -n messaging --fault delete --nats nats://10.0.0.5:4222

The drill publishes to a channel of its own and stops after the first run that fails. The server deletes the channel
where the store has a maxInactivity; elsewhere it stays. The subscriptions are deleted. Ctrl-C heals.

exit codes: 0 every run passed, 1 a run failed or missed --max-outage or --goals, 2 the drill could not be made,
130 interrupted (and healed)."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft drill",
        description="Play faults on a live fault-tolerant group, made by these charts or not, under own traffic.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    place = made.add_argument_group("where")
    where.add_options(place)
    where.add_name(place)
    where.add_monitor_port(place)
    place.add_argument("--cluster-id", default=CLUSTER_ID, help="NATS Streaming cluster id (default: %(default)s)")
    place.add_argument("--nats", action="append", default=[], metavar="URL", help="address of a server (repeatable)")
    place.add_argument(
        "--reach",
        choices=("auto", "direct", "forward"),
        default="auto",
        help="pod addresses, kubectl port-forward, or what works (default: %(default)s)",
    )
    place.add_argument("--user", help="NATS user; its password is read from $NATS_PASSWORD")
    what = made.add_argument_group("what")
    what.add_argument("--list", action="store_true", help="list the faults and end")
    what.add_argument("--fault", action="append", default=[], metavar="NAME[=RUNS]", help="fault to play (repeatable)")
    what.add_argument("--runs", type=int, default=1, help="runs of a fault that names none (default: %(default)s)")
    what.add_argument("--lasts", type=float, metavar="SECONDS", help="how long a soak lasts (default: 60)")
    what.add_argument(
        "--debug-image", default="busybox:1.35.0", metavar="IMAGE", help="for the fault abort: has sh and kill"
    )
    what.add_argument("--dry-run", action="store_true", help="say what would be done, check that it could, and end")
    what.add_argument("--yes", "-y", action="store_true", help="do not ask before the first fault")
    how = made.add_argument_group("how to measure")
    how.add_argument("--channel", default=PLAN.channel, help="channel of the traffic (default: %(default)s)")
    how.add_argument(
        "--rate", type=float, default=PLAN.rate, help="messages/s of each publisher (default: %(default)g)"
    )
    how.add_argument("--publishers", type=int, default=PLAN.publishers, help="publishers (default: %(default)s)")
    how.add_argument("--size", type=int, default=PLAN.size, help="bytes of a message (default: %(default)s)")
    how.add_argument(
        "--minimum-rate",
        type=float,
        default=MINIMUM_RATE,
        help="acknowledged messages/s before the fault below which a run proves nothing (default: %(default)g)",
    )
    how.add_argument(
        "--client",
        choices=tuple(CLIENTS),
        default="quick",
        help="quick: adds next to nothing to an outage; nats-py: reconnects as that does by itself (2 s); stan.go: "
        "also publishes one message after the other and waits 30 s for each acknowledgement (default: %(default)s)",
    )
    how.add_argument(
        "--fresh-channels",
        action="store_true",
        help="a channel per run, named below --channel; keeps the store small where the server deletes idle channels",
    )
    how.add_argument(
        "--preload",
        metavar="NUMBERxBYTES[xCHANNELS]",
        help=f"first fill the store with so many messages, in the channel {preload.CHANNEL} or spread over so many "
        "channels below it (they stay in it)",
    )
    judge = made.add_argument_group("verdict")
    judge.add_argument(
        "--last-read",
        choices=(RESTART, LIVE),
        help="how the channel is read again after each run, from the run's first message on and by a new client: after "
        "one more restart of all servers, or live. Live does not prove that what was acknowledged survives a restart "
        "(default: restart on the local cluster, live elsewhere)",
    )
    judge.add_argument(
        "--keep", type=Path, metavar="DIR", help="folder for the ledgers of runs that fail (default: beside --json)"
    )
    judge.add_argument("--max-outage", type=float, metavar="SECONDS", help="a longer outage fails the run")
    judge.add_argument("--goals", action="store_true", help="the charts' own goals fail the drill too")
    judge.add_argument("--keep-going", action="store_true", help="go on after a run that failed")
    judge.add_argument("--label", default="", help="name of this drill in reports")
    judge.add_argument("--json", type=Path, metavar="FILE", help="write everything there after every run")
    judge.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    judge.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the drill; 0 every run passed, 1 one did not. Raises UserError if it cannot be made."""
    options = parser().parse_args(arguments)
    common.end_like_ctrl_c()
    try:
        return _run(options)
    except KeyboardInterrupt:
        say("\nthe fault is healed")
        raise


def _run(options: argparse.Namespace) -> int:
    if options.list:
        for fault in faults.FAULTS.values():
            print(f"{fault.name:18}  {fault.sentence}\n{'':18}  needs {fault.need.value}" + _goal(fault))
        return 0
    _check(options)
    chosen = [(_fault(name, options), runs) for name, runs in drill.wanted(options.fault, options.runs)]
    scene = _scene(options)
    for fault, _ in chosen:
        fault.check(scene)
    _allowed(scene, [fault for fault, _ in chosen], restart=_last_read(options, scene) == RESTART)
    _tell(scene, chosen, options)
    if problem := scene.group.problem():
        raise UserError(f"the group is not whole before the drill: {problem}. Mend that first.")
    if options.dry_run:
        say("dry run: nothing was done")
        return 0
    _confirm(options, scene.group.namespace)
    way = reach.choose(scene.group, options.nats, scene.kubeconfig, scene.context, way=options.reach)
    say(f"==> clients reach the servers by {way.description}")
    try:
        if options.preload:
            with step(f"filling the store with {options.preload} messages"):
                urls = way.urls(reach.places(scene.pods().values()))
                preload.fill(urls, options.cluster_id, preload.Amount.of(options.preload))
        data = drill.drill(
            chosen,
            scene,
            way,
            _settings(options, scene),
            label=options.label,
            keep_going=options.keep_going,
            keep=lambda data: _keep(options.json, data),
        )
    finally:
        way.close()
    _keep(options.json, data)
    bounds = report.Bounds(options.max_outage, goals=options.goals)
    if options.junit:
        write(options.junit, report.junit([data], bounds))
    if options.html:
        write(options.html, report.page([data]))
    print(report.text([data]))
    failures = report.failures(data, bounds)
    for failure in failures:
        print(f"failed: {failure}")
    print("verdict: " + ("failed" if failures else "passed"))
    return 1 if failures else 0


def _fault(name: str, options: argparse.Namespace) -> Fault:
    found = faults.find(name)
    return dataclasses.replace(found, lasts=options.lasts) if name == SOAK and options.lasts else found


def _keep(path: Path | None, data: dict[str, Any]) -> None:
    if path is not None:
        write(path, json.dumps(data))


def _goal(fault: Fault) -> str:
    return f"; goal: {fault.goal}" if str(fault.goal) else ""


def _check(options: argparse.Namespace) -> None:
    if not options.fault:
        raise UserError("no fault chosen: name one with --fault, such as --fault delete; stan-ft drill --list has all.")
    if options.lasts is not None:
        if SOAK not in [name for name, _ in drill.wanted(options.fault, options.runs)]:
            raise UserError("--lasts is for --fault soak: every other fault knows itself how long it lasts.")
        if not 1 <= options.lasts <= MOST_SOAK:
            raise UserError(f"--lasts must be from 1 to {MOST_SOAK:.0f} seconds, such as --lasts 1800.")
    _check_traffic(options)
    _check_places(options)


def _check_traffic(options: argparse.Namespace) -> None:
    if not 1 <= options.publishers <= MOST_PUBLISHERS:
        raise UserError(f"--publishers must be from 1 to {MOST_PUBLISHERS}.")
    if not 0 < options.rate * options.publishers <= MOST_RATE:
        raise UserError(f"--rate x --publishers must be from 1 to {MOST_RATE} messages per second.")
    for name, value in (("--minimum-rate", options.minimum_rate), ("--max-outage", options.max_outage)):
        if value is not None and not value >= 0:
            raise UserError(f"{name} {value:g}: give a number from 0 on.")
    if options.rate * options.publishers < options.minimum_rate:
        raise UserError(
            f"--rate x --publishers is {options.rate * options.publishers:g} messages per second, less than "
            f"--minimum-rate {options.minimum_rate:g}: every run would be void."
        )
    if options.preload:
        preload.Amount.of(options.preload)
    if not 64 <= options.size <= 1_000_000:
        raise UserError("--size must be from 64 to 1000000 bytes.")


def _check_places(options: argparse.Namespace) -> None:
    if (why := names.problem(options.channel)) or "/" in options.channel or "\\" in options.channel:
        raise UserError(f"--channel {options.channel!r:.60} {why or 'is a path'}: name one such as {PLAN.channel}.")
    if not _CLUSTER_ID.fullmatch(options.cluster_id):
        raise UserError(f"--cluster-id {options.cluster_id!r:.60}: letters, digits, - and _ make one, as {CLUSTER_ID}.")
    for address in options.nats:
        if wrong := url.problem(address) if "://" in address else None:
            raise UserError(f"--nats {address!r:.60}: {wrong}; write one such as nats://10.0.0.5:4222.")
        if not _NATS.fullmatch(address):
            raise UserError(f"--nats {address!r:.60} is no server's: write one such as nats://10.0.0.5:4222.")
    for file in (options.json, options.junit, options.html):
        if file is not None:
            check_target(file)


def _scene(options: argparse.Namespace) -> Scene:
    """The group, and the nodes if they are ours."""
    found = where.find(options)
    group = found.group(options.name, options.monitor_port)
    return Scene(group, found.nodes, found.kubeconfig, found.context, options.debug_image)


def _allowed(scene: Scene, chosen: list[Fault], *, restart: bool) -> None:
    """Raise UserError if this user's rights do not suffice."""
    needed = {("list", "pods", "", ""), ("get", "statefulsets", "apps", "")}
    needed |= {("delete", "pods", "", "") for fault in chosen if fault.name.startswith("delete")}
    needed |= {("delete", "pods", "", "")} if restart else set()
    needed |= {("create", "pods", "", "eviction") for fault in chosen if fault.name == "drain"}
    needed |= {("patch", "pods", "", "ephemeralcontainers") for fault in chosen if fault.need is Need.DEBUG}
    needed |= {("patch", "statefulsets", "apps", "") for fault in chosen if fault.name == "roll"}
    needed |= {("patch", "statefulsets", "apps", "scale") for fault in chosen if fault.name == "scale"}
    missing = [
        f"{verb} {resource}{'/' if sub else ''}{sub}"
        for verb, resource, group, sub in sorted(needed)
        if not scene.allowed(verb, resource, group, sub)
    ]
    if missing:
        raise UserError(
            f"this user may not {', '.join(missing)} in namespace {scene.group.namespace}: ask for that right."
        )


def _tell(scene: Scene, chosen: list[tuple[Fault, int]], options: argparse.Namespace) -> None:
    group = scene.group
    place = scene.context or (f"the local cluster {scene.cluster.name}" if scene.cluster else "the current context")
    say(f"==> drill on StatefulSet {group.name} in namespace {group.namespace} of {place}")
    for server in group.servers():
        say(f"    {server.pod}: {server.state or 'no answer'} on {server.node}")
    total = options.rate * options.publishers
    say(f"    traffic: {total:g} messages/s of {options.size} bytes to {options.channel}")
    for fault, runs in chosen:
        say(f"    {runs} x {fault.name}: {fault.sentence}")
    if _last_read(options, scene) == RESTART:
        say("    after each run all servers are restarted once more, and the channel is read again")
    else:
        say("    after each run the channel is read again; that it survives a restart of all is not proven")


def _confirm(options: argparse.Namespace, namespace: str) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UserError("this breaks a live group on purpose: give --yes where nobody can be asked.")
    answer = input(f"This breaks a live group on purpose. Type its namespace ({namespace}) to go on: ")
    if answer.strip() != namespace:
        raise UserError("not confirmed: nothing was done.")


def _last_read(options: argparse.Namespace, scene: Scene) -> str:
    return str(options.last_read or (RESTART if scene.cluster is not None else LIVE))


def _settings(options: argparse.Namespace, scene: Scene) -> Settings:
    manners, usual = CLIENTS[options.client]
    publishers = max(options.publishers, usual.publishers) if options.client == "stan.go" else options.publishers
    plan = dataclasses.replace(
        usual, channel=options.channel, rate=options.rate, publishers=publishers, size=options.size
    )
    if options.user:
        manners = dataclasses.replace(manners, user=options.user, password=os.environ.get("NATS_PASSWORD", ""))
    beside = options.json.parent / f"{options.json.stem}-ledgers" if options.json else None
    return Settings(
        plan,
        manners,
        options.cluster_id,
        options.minimum_rate,
        fresh_channels=options.fresh_channels,
        last_read=_last_read(options, scene),
        keep=options.keep or beside,
    )
