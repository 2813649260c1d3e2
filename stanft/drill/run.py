"""One run of one fault: traffic and watch around it, the channel read again, and all of it for the judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stanft.drill import server_log
from stanft.drill.judge import LIVE, RESTART, Seen, judge
from stanft.drill.reach import Reach, places
from stanft.drill.watch import Watch, two_actives, without_active
from stanft.faults import Fault, Injection, Scene
from stanft.ground.errors import UserError
from stanft.ground.progress import step
from stanft.ground.textfile import write
from stanft.stan.errors import StanError
from stanft.stan.options import ConnectOptions
from stanft.traffic.clients import Plan, Traffic
from stanft.traffic.ledger import MINIMUM_RATE, Outage
from stanft.traffic.reading import Reader
from stanft.traffic.verdict import Judgement

WARM_UP = 3.0  # seconds of enough traffic before the fault
SPARE = 1.1  # of the minimum rate that the warm-up asks for, as the verdict looks back further than it
LONG = 15.0  # seconds of waiting that want a sign of life
AFTER = 2.0  # seconds of traffic after all is whole again, for the comparison
BACK = 300  # acknowledgements of new messages that mean "publishing goes on"
COURSE_WIDTH = 0.1  # seconds of one point of the throughput's course
COURSE_BEFORE = 2.0
COURSE_AFTER = 15.0
LAST_READ = 120.0  # seconds for the last read, on top of a fault's patience
NEARLY_FULL = 0.95  # of max_bytes: the next message would have made room for itself
PLAN = Plan(
    channel="stan-ft-drill",
    publishers=2,
    rate=600.0,
    window=256,
    size=128,
    subscribers=1,
    queue_members=2,
    sleepers=1,
    from_first=False,
)


@dataclass(frozen=True)
class Settings:
    """How to measure: the traffic, the client's manners, the cluster id, and the rate below which a run is void.

    last_read: RESTART = all servers are restarted once more before the channel is read again, LIVE = they are not;
    keep is the folder for the ledgers of runs that fail.
    """

    plan: Plan = PLAN
    options: ConnectOptions = field(default_factory=ConnectOptions)
    cluster_id: str = "test-cluster"
    minimum_rate: float = MINIMUM_RATE
    whole_within: float = 180.0  # seconds for the group to be whole again after a fault
    fresh_channels: bool = False  # each run its own channel, below the plan's: for servers that delete inactive ones
    last_read: str = LIVE
    keep: Path | None = None


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


def play(fault: Fault, scene: Scene, reach: Reach, settings: Settings, number: int = 1) -> dict[str, Any]:
    """Play a fault once and give the record of the run (see describe()); its ledger is kept if the settings say where.

    Raises UserError if the group is not whole before, or the fault cannot be played; whatever was broken is healed.
    What goes wrong once the fault has taken effect raises nothing: it is part of what was seen.
    """
    seen = collect(fault, scene, reach, settings, number)
    judgement = judge(seen)
    if settings.keep is not None and judgement.word.fails:
        name = f"{fault.name}-{number}-{seen.ledger.run}.json"
        write(settings.keep / name, json.dumps(seen.ledger.to_dict()))
    return describe(seen, judgement)


def collect(fault: Fault, scene: Scene, reach: Reach, settings: Settings, number: int = 1) -> Seen:
    """Play a fault once and give everything that was seen of it; raises what play() raises."""
    group = scene.group
    with fault.ready(scene):
        group.wait_whole(settings.whole_within)
        began, clock = time.monotonic(), server_log.clock()
        channel = (
            f"{settings.plan.channel}.{secrets.token_hex(4)}" if settings.fresh_channels else settings.plan.channel
        )
        patience = max(settings.plan.connect_wait, fault.patience)
        # Who is away for long has more to catch up with than anybody waits for.
        sleepers = 0 if (fault.lasts or 0) > LONG else settings.plan.sleepers
        plan = replace(settings.plan, channel=channel, connect_wait=patience, sleepers=sleepers)
        urls = reach.urls(places(group.pods()))
        reader = Reader(urls, settings.cluster_id, settings.options, limit=patience + LAST_READ)
        first = asyncio.run(_next_sequence(reader, channel))
        traffic = Traffic(urls, cluster_id=settings.cluster_id, plan=plan, options=settings.options)
        watch = Watch(group, reach, moved=lambda found: traffic.learn(reach.urls(found)))
        seen = Seen(fault, number, Injection(fault.name), traffic.ledger, settings.minimum_rate)
        seen = replace(seen, restarts_before=_restarts(scene), last_read=settings.last_read)
        try:
            with watch, traffic.running():
                seen = _through_the_fault(seen, scene, traffic, watch, settings)
        except (StanError, TimeoutError) as error:
            if not seen.injection.at:
                raise UserError(f"the traffic before the fault did not run: {error}") from error
            seen = replace(seen, problem=seen.problem or f"a client did not get through: {error}")
        served = {each.client_id.removeprefix(f"{traffic.ledger.run}-"): each.last for each in traffic.subscribers}
        seen = replace(seen, reigns=tuple(watch.ordered()), served=served)
        seen = _ask_servers(seen, scene, began, clock)
        return _read_again(seen, scene, reach, settings, reader=reader, first=first)


async def _next_sequence(reader: Reader, channel: str) -> int:
    """The sequence that the channel's next message will have; raises UserError if nobody serves."""
    try:
        return await reader.last_sequence(channel) + 1
    except (StanError, TimeoutError) as error:
        raise UserError(f"nobody serves the channel {channel} before the drill: {error}") from error


def _through_the_fault(seen: Seen, scene: Scene, traffic: Traffic, watch: Watch, settings: Settings) -> Seen:
    """Traffic, the fault, its end, and traffic after it; raises UserError before the fault has taken effect only."""
    fault, injection, problem = seen.fault, seen.injection, ""
    try:
        traffic.warm_up(WARM_UP, minimum=settings.minimum_rate * SPARE)
    except TimeoutError as error:
        raise UserError(
            f"the traffic before the fault is too thin to prove anything: {error}. Is the machine or the "
            "network busy? Lower the bar with --minimum-rate, or raise --rate."
        ) from error
    traffic.rest()
    load, store, reigns = os.getloadavg()[0], _store(scene, watch), len(watch.ordered())
    try:
        with fault.on(scene, injection):
            traffic.ledger.mark("fault", injection.at)
            problem = _outlast(fault, injection, traffic, watch, reigns)
        scene.group.wait_whole(settings.whole_within)
    except UserError as error:
        if not injection.at:
            raise
        problem = problem or str(error)
    try:
        traffic.wake()
    except StanError as error:
        problem = problem or f"a durable subscriber that was away could not come back: {error}"
    problem = _go_on(traffic, time.monotonic(), fault.patience) or problem
    time.sleep(AFTER)
    return replace(seen, load=load, store=store, problem=problem)


def _ask_servers(seen: Seen, scene: Scene, began: float, clock: float) -> Seen:
    """Add what the servers and their pods tell after the fault; what they do not tell is noted as not known."""
    unasked = [] if seen.reigns else ["no server was seen to be active, so nobody knows whether two were"]
    logs: dict[str, list[tuple[float, str]]] = {}
    restarts: dict[str, int] = {}
    try:
        restarts = _restarts(scene)
        for name, pod in scene.pods().items():
            now = server_log.read(scene.group, pod, began, clock)
            if now is None:
                unasked.append(f"the log of {name} could not be read")
            before = server_log.read(scene.group, pod, began, clock, previous=True)
            logs[name] = [*(before or []), *(now or [])]
    except Exception as error:  # the API server may be away; what it would have told is not known then
        unasked.append(f"the servers could not be asked after the fault: {error}")
    return replace(seen, logs=logs, restarts_after=restarts, unasked=tuple(unasked))


def _read_again(seen: Seen, scene: Scene, reach: Reach, settings: Settings, *, reader: Reader, first: int) -> Seen:
    """Add what a new client reads of the whole channel, after one more restart of all servers if that is wanted."""
    group, problem = scene.group, ""
    try:
        if settings.last_read == RESTART:
            pods = list(scene.pods().values())
            for pod in pods:
                scene.delete(pod, grace=0)
            for pod in pods:
                scene.wait_gone(pod)
        group.wait_whole(settings.whole_within)
        reader = replace(reader, servers=reach.urls(places(group.pods())))
    except Exception as error:  # whatever it is, the reading below shows whether anybody serves
        problem = f"the servers did not come back after the last restart: {error}"
    channel = seen.ledger.tracks[0].channel
    view = asyncio.run(reader.read(seen.ledger, channel, first=first))
    told, limits = _limits(scene, channel)
    now = time.monotonic()
    view.first = lowest(told, limits, first, lasted=now - seen.injection.at + WARM_UP)
    last_ack = max(seen.ledger.acks(), default=now)
    if not view.times and 0 < limits.get("max_inactivity", 0) <= (now - last_ack) * 1e9:
        view.unfinished = "the channel was idle for longer than max_inactivity, so the server may have deleted it"
    return replace(seen, problem=seen.problem or problem)


def _limits(scene: Scene, channel: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the active says of the channel, and of the limits that hold for it; empty where it does not."""
    active = next((server.pod for server in scene.group.servers() if server.is_active), "")
    told = scene.group.monitor(active, f"streaming/channelsz?channel={channel}") or {}
    limits = (scene.group.monitor(active, "streaming/storez") or {}).get("limits") or {}
    return told, {**limits, **((limits.get("channels") or {}).get(channel) or {})}


def lowest(told: Mapping[str, Any], limits: Mapping[str, Any], first: int, *, lasted: float) -> int:
    """The lowest sequence that a channel may still have, 0 if it has to have all from sequence first on.

    told is /streaming/channelsz of it, limits are its own as /streaming/storez has them, lasted is for how many seconds
    the run has gone on. Only a limit that is reached may have dropped the oldest messages.
    """
    begins = int(told.get("first_seq") or 0)
    if begins <= first:
        return 0
    most, size, age = (limits.get(name) or 0 for name in ("max_msgs", "max_bytes", "max_age"))
    full = 0 < most <= told.get("msgs", 0) or 0 < size * NEARLY_FULL <= told.get("bytes", 0)
    return begins if full or 0 < age <= lasted * 1e9 else 0


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


def describe(seen: Seen, judgement: Judgement) -> dict[str, Any]:
    """A run as JSON-serialisable data; every time is in seconds relative to the fault.

    outage is that of the publisher that was out for longest, merged the time in which none was served.
    """
    injection, ledger, at = seen.injection, seen.ledger, seen.injection.at
    merged, each = ledger.outage(at), seen.outages
    worst = max(each.values(), key=lambda outage: outage.seconds, default=merged)
    acks = ledger.acks()
    end = acks[-1] if acks else at
    healed = injection.healed_at if injection.healed_at is not None else end
    calm = max(healed, merged.first_ack or at)
    return {
        "number": seen.number,
        "victims": injection.victims,
        "notes": injection.notes,
        "outage": worst.seconds,
        "merged": merged.seconds,
        "publishers": {name: _outage(outage, at) for name, outage in each.items()},
        "gaps": [[start - at, seconds] for start, seconds in merged.gaps],
        "total_gap": merged.total,
        "recovered": all(outage.recovered for outage in each.values()),
        "takeovers": seen.takeovers,
        "two_actives": [list(pair) for pair in two_actives(seen.reigns)],
        "claims": seen.claims,
        "without_active": without_active(seen.reigns),
        "reigns": [
            {"pod": reign.pod, "server": reign.server, "first": reign.first - at, "last": reign.last - at}
            for reign in seen.reigns
        ],
        "timeline": _timeline(seen, merged),
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
        "restarts": seen.restarts,
        "load": seen.load,
        "store": dict(seen.store),
        "last_read": seen.last_read,
        "verdict": ledger.verdict(at, minimum_rate=seen.minimum_rate).to_dict(),
        "judgement": judgement.to_dict(),
        "problems": judgement.problems,
    }


def _outage(outage: Outage, at: float) -> dict[str, Any]:
    return {
        "outage": outage.seconds,
        "recovered": outage.recovered,
        "gaps": [[start - at, seconds] for start, seconds in outage.gaps],
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


def _timeline(seen: Seen, outage: Outage) -> dict[str, float]:
    """The moments of the takeover: last ack, fault, lock taken, ready, first ack, first delivery after it."""
    at, first_ack = seen.injection.at, outage.first_ack
    found = {"last_ack": outage.last_ack - at, "fault": 0.0}
    successor = next((reign for reign in seen.reigns if reign.first > at), None)
    if successor is not None:
        found["seen_active"] = successor.first - at
        told = server_log.takeover([line for line in seen.logs.get(successor.pod, ()) if line[0] >= at])
        if told.lock is not None:
            found["lock"] = told.lock - at
        if told.ready is not None:
            found["ready"] = told.ready - at
    if first_ack is not None:
        found["first_ack"] = first_ack - at
        later = [
            view.times[place]
            for view in seen.ledger.views
            if not view.last and (place := bisect_left(view.times, first_ack)) < len(view.times)
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
