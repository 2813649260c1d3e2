"""One run of one fault: traffic and watch around it, then what they saw as plain data."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any

from stanft.drill import server_log
from stanft.drill.reach import Place, Reach
from stanft.drill.watch import Reign, Watch, two_actives, without_active
from stanft.faults import Fault, Injection, Scene
from stanft.ground.errors import UserError
from stanft.ground.progress import step
from stanft.stan.options import ConnectOptions
from stanft.traffic.clients import Plan, Traffic
from stanft.traffic.ledger import MINIMUM_RATE, Ledger, Outage

WARM_UP = 3.0  # seconds of enough traffic before the fault
SPARE = 1.1  # of the minimum rate that the warm-up asks for, as the verdict looks back further than it
LONG = 15.0  # seconds of waiting that want a sign of life
AFTER = 2.0  # seconds of traffic after all is whole again, for the comparison
BACK = 300  # acknowledgements of new messages that mean "publishing goes on"
COURSE_WIDTH = 0.1  # seconds of one point of the throughput's course
COURSE_BEFORE = 2.0
COURSE_AFTER = 15.0
PLAN = Plan(channel="stan-ft-drill", publishers=2, rate=600.0, window=256, size=128, subscribers=1, from_first=False)


@dataclass(frozen=True)
class Settings:
    """How to measure: the traffic, the client's manners, the cluster id, and the rate below which a run is void."""

    plan: Plan = PLAN
    options: ConnectOptions = field(default_factory=ConnectOptions)
    cluster_id: str = "test-cluster"
    minimum_rate: float = MINIMUM_RATE
    whole_within: float = 180.0  # seconds for the group to be whole again after a fault
    fresh_channels: bool = False  # each run its own channel, below the plan's: for servers that delete inactive ones


def refresh(scene: Scene, within: float) -> None:
    """Replace standbys that restarted, so that Kubernetes' restart back-off does not add up over a series of runs.

    Raises UserError if the group is not whole again within so many seconds.
    """
    scene.group.wait_whole(within)
    worn = [server.pod for server in scene.group.servers() if server.restarts and not server.is_active]
    for name in worn:
        pod = scene.pods()[name]
        scene.delete(pod)
        scene.wait_gone(pod)
        scene.group.wait_whole(within)


@dataclass
class Seen:
    """Everything that one run produced; times are monotonic seconds."""

    fault: Fault
    number: int
    ledger: Ledger
    watch: Watch
    minimum_rate: float
    restarts: dict[str, int]  # of each pod, before the fault
    began: float = field(default_factory=time.monotonic)
    load: float = 0.0  # of the machine, just before the fault
    store: dict[str, int] = field(default_factory=dict)  # messages, bytes, channels that the active holds, just before
    injection: Injection = field(default_factory=lambda: Injection(""))
    problem: str = ""  # what did not come back


def play(fault: Fault, scene: Scene, reach: Reach, settings: Settings, number: int = 1) -> dict[str, Any]:
    """Play a fault once and give the record of the run (see record()).

    Raises UserError if the group is not whole before, or is not whole again in time; whatever was broken is healed.
    """
    group = scene.group
    with fault.ready(scene):
        group.wait_whole(settings.whole_within)
        places = [Place(pod.metadata.name, pod.status.pod_ip or "") for pod in group.pods()]
        channel = (
            f"{settings.plan.channel}.{secrets.token_hex(4)}" if settings.fresh_channels else settings.plan.channel
        )
        patience = max(settings.plan.connect_wait, fault.patience)
        plan = replace(settings.plan, channel=channel, connect_wait=patience)
        traffic = Traffic(reach.urls(places), cluster_id=settings.cluster_id, plan=plan, options=settings.options)
        watch = Watch(group, reach, moved=lambda found: traffic.learn(reach.urls(found)))
        seen = Seen(fault, number, traffic.ledger, watch, settings.minimum_rate, _restarts(scene))
        with watch, traffic.running():
            try:
                traffic.warm_up(WARM_UP, minimum=settings.minimum_rate * SPARE)
            except TimeoutError as error:
                raise UserError(
                    f"the traffic before the fault is too thin to prove anything: {error}. Is the machine or the "
                    "network busy? Lower the bar with --minimum-rate, or raise --rate."
                ) from error
            seen.load, seen.store = os.getloadavg()[0], _store(scene, watch)
            reigns = len(watch.ordered())
            with fault.on(scene) as seen.injection:
                traffic.ledger.mark("fault", seen.injection.at)
                seen.problem = _outlast(fault, seen.injection, traffic, watch, reigns)
            group.wait_whole(settings.whole_within)
            seen.problem = _go_on(traffic, time.monotonic(), fault.patience) or seen.problem
            time.sleep(AFTER)
        return record(scene, seen)


def _outlast(fault: Fault, injection: Injection, traffic: Traffic, watch: Watch, reigns: int) -> str:
    """Wait as long as the fault is to stay; gives what did not come back, "" if all did."""
    if fault.lasts is not None:
        with step(f"{fault.name} for {fault.lasts:g} s") if fault.lasts > LONG else contextlib.nullcontext():
            time.sleep(fault.lasts)
        return ""
    since = injection.at
    if fault.takeovers[0] > 0:
        successor = watch.wait_successor(reigns, fault.patience)
        if successor is None:
            return f"no server took over within {fault.patience:.0f} s"
        since = max(since, successor.first)
    return _go_on(traffic, since, fault.patience)


def _go_on(traffic: Traffic, since: float, patience: float) -> str:
    try:
        traffic.wait_recovered(since, acks=BACK, timeout=patience)
    except TimeoutError as error:
        return str(error)
    return ""


def record(scene: Scene, seen: Seen) -> dict[str, Any]:
    """A run as JSON-serialisable data; every time is in seconds relative to the fault."""
    injection, ledger, at = seen.injection, seen.ledger, seen.injection.at
    outage = ledger.outage(at)
    verdict = ledger.verdict(at, minimum_rate=seen.minimum_rate)
    reigns = seen.watch.ordered()
    acks = ledger.acks()
    end = acks[-1] if acks else at
    healed = injection.healed_at if injection.healed_at is not None else end
    calm = max(healed, outage.first_ack or at)
    logs = [
        line
        for pod in scene.pods().values()
        for previous in (True, False)
        for line in server_log.read(scene.group, pod, seen.began, previous=previous)
    ]
    successor = next((reign for reign in reigns if reign.first > at), None)
    timeline = _timeline(scene, seen, outage, successor)
    takeovers = max(0, len(reigns) - 1)
    pairs = two_actives(reigns)
    claims = server_log.two_actives(sorted(logs))
    problems = [seen.problem] if seen.problem else []
    if not outage.recovered:
        problems.append("publishing did not go on after the fault")
    if not verdict.passed:
        problems.append(verdict.sentence())
    problems += [f"two actives at once: {one} and {other} for at least {length:.2f} s" for one, other, length in pairs]
    # A heartbeat of the dead active that was read late has the same effect, so this alone proves no two actives.
    problems += [f"a server ended itself on a heartbeat of another active: {line.strip()}" for line in claims]
    restarts = {
        # A pod that was replaced counts from zero.
        pod: count - before if count >= (before := seen.restarts.get(pod, 0)) else count
        for pod, count in _restarts(scene).items()
    }
    if seen.fault.spares_bystanders:
        false = [pod for pod, count in restarts.items() if count and pod not in injection.victims]
        problems += [f"{pod} restarted although nothing was done to it" for pod in false]
    fewest, most = seen.fault.takeovers
    if not fewest <= takeovers <= most:
        right = str(fewest) if fewest == most else f"{fewest} to {most}"
        problems.append(f"{takeovers} takeovers, where {right} would be right")
    return {
        "number": seen.number,
        "victims": injection.victims,
        "notes": injection.notes,
        "outage": outage.seconds,
        "gaps": [[start - at, seconds] for start, seconds in outage.gaps],
        "total_gap": outage.total,
        "recovered": outage.recovered,
        "takeovers": takeovers,
        "two_actives": [list(pair) for pair in pairs],
        "claims": claims,
        "without_active": without_active(reigns),
        "reigns": [
            {"pod": reign.pod, "server": reign.server, "first": reign.first - at, "last": reign.last - at}
            for reign in reigns
        ],
        "timeline": timeline,
        "healed": healed - at,
        "whole_again": end - at,
        "rates": {
            "before": ledger.rate(at - WARM_UP, at),
            "during": ledger.rate(at, max(calm, at + 0.001)),
            "after": ledger.rate(end - AFTER, end),
        },
        "latency": {
            "before": ledger.latency(at - WARM_UP, at),
            "after": ledger.latency(end - AFTER, end),
        },
        "course": _course(acks, at),
        "restarts": restarts,
        "load": seen.load,
        "store": seen.store,
        "verdict": verdict.to_dict(),
        "problems": problems,
    }


def _store(scene: Scene, watch: Watch) -> dict[str, int]:
    """What the active's store holds, as it says itself; empty if it does not."""
    reigns = watch.ordered()
    serverz = scene.group.monitor(reigns[-1].pod, "streaming/serverz") if reigns else None
    if not serverz:
        return {}
    return {"messages": serverz["total_msgs"], "bytes": serverz["total_bytes"], "channels": serverz["channels"]}


def _restarts(scene: Scene) -> dict[str, int]:
    return {server.pod: server.restarts for server in scene.group.servers()}


def _timeline(scene: Scene, seen: Seen, outage: Outage, successor: Reign | None) -> dict[str, float]:
    """The moments of the takeover: last ack, fault, lock taken, ready, first ack, first delivery after it."""
    at, first_ack = seen.injection.at, outage.first_ack
    found = {"last_ack": outage.last_ack - at, "fault": 0.0}
    if successor is not None:
        found["seen_active"] = successor.first - at
    pod = scene.pods().get(successor.pod) if successor is not None else None
    if pod is not None:
        told = server_log.takeover(server_log.read(scene.group, pod, at))
        if told.lock is not None:
            found["lock"] = told.lock - at
        if told.ready is not None:
            found["ready"] = told.ready - at
    if first_ack is not None:
        found["first_ack"] = first_ack - at
        later = [
            view.times[place]
            for view in seen.ledger.views
            if (place := bisect_left(view.times, first_ack)) < len(view.times)
        ]
        if later:
            found["delivery"] = min(later) - at
    return found


def _course(acks: list[float], at: float) -> list[int]:
    """Acknowledgements per COURSE_WIDTH from COURSE_BEFORE before the fault on."""
    start = at - COURSE_BEFORE
    counts = [0] * int((COURSE_BEFORE + COURSE_AFTER) / COURSE_WIDTH)
    for ack in acks[bisect_left(acks, start) :]:
        place = int((ack - start) / COURSE_WIDTH)
        if place >= len(counts):
            break
        counts[place] += 1
    return counts
