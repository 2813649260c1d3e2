"""One run: a fresh lab, clients, a fault, its end, a restart of all servers, and what the ledger and the logs say."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.nfs_lab.clients import Clients
from harness.nfs_lab.faults import Fault
from harness.nfs_lab.image import Image
from harness.nfs_lab.lab import ACTIVE_LINE, ENDED_LINE, PAUSES, Lab, Settings, running
from harness.nfs_lab.machine import Machine, MachineError
from harness.nfs_lab.pod import rendered, values
from stanft.ground.errors import UserError
from stanft.stan.errors import StanError
from stanft.stan.outcome import Outcome
from stanft.traffic.ledger import Ledger

WARM_UP = 5.0  # seconds of traffic before the fault
MINIMUM_RATE = 3.0  # acknowledged messages per second before the fault, below which a run proves nothing
FENCED = "fence: ended the server"
SLOW_START = ("dial tcp", "read tcp", "unable to start a NATS Server")  # of a server on a loaded computer
STALL_SHARE = 3.0  # a machine that gets no processor time for this part of a lease makes the run void
AFTER_TAKEOVER = 8.0  # seconds for which a cut or a frozen node goes on beside the next active
SETTLE = 4.0  # seconds of traffic after everything flows again


@dataclass
class Result:
    """What one run showed (seconds; None = did not happen). harm = why the run is a failure, empty if it is none."""

    fault: str
    settings: dict[str, Any]
    active: str = ""
    takeover: float | None = None  # from the fault to another server's "Server is active"
    outage: float | None = None  # longest time without any acknowledgement, all publishers together
    outage_rest: float | None = None  # the same for publishers beside the other nodes
    fenced: float | None = None  # from the fault to the fence's ending the server
    ended: float | None = None  # from the fault to the end of the old active's server, by whatever cause
    two_actives: float = 0.0  # seconds during which two servers took themselves for active (frozen time not counted)
    acks_by_loser: int = 0  # messages sent since the fault that a server took after another had become active
    late_acks: int = 0  # those sent before it, stored before a freeze and acknowledged after it: no harm if not lost
    refused: int = 0
    unknown: int = 0
    acknowledged: int = 0
    lost: int = 0
    damage: list[str] = field(default_factory=list)
    verdict: str = ""
    harm: list[str] = field(default_factory=list)
    void: str = ""
    stall: float = 0.0  # the longest time that a machine got no processor time although the lab did not stop it
    events: list[tuple[float, str, str]] = field(default_factory=list)


def once(
    fault: Fault, settings: Settings, image: Image, accelerator: str, number: int, *, live: bool = False
) -> Result:
    """Do one run in a lab of its own. Raises UserError or RenderError only where the lab itself cannot run."""
    result = Result(fault.name, asdict(settings))
    pod = rendered(values(settings.nodes, settings.remedies, settings.options))
    try:
        with running(settings, pod, image, accelerator, live=live) as lab:
            clients = Clients(lab, f"{fault.name}-{number}")
            try:
                _run(lab, clients, fault, settings, result)
            finally:
                clients.close()
    except MachineError as error:
        result.void = f"the lab failed: {error}"
    except OSError as error:
        raise UserError(f"the NFS lab cannot run here: {error}") from error
    return result


def _run(lab: Lab, clients: Clients, fault: Fault, settings: Settings, result: Result) -> None:
    active = lab.wait_active()
    result.active = active.name
    clients.start()
    _wait(lambda: clients.flowing(0.0), 30)
    time.sleep(WARM_UP)
    active = lab.wait_active()
    at = lab.note("lab", f"fault: {fault.title}")
    fault.inject(lab, active)
    _hold(lab, active, at, fault.hold(settings.lease))
    _ask_liveness(lab, active)
    healed = lab.note("lab", "healed")
    with suppress(MachineError):
        fault.heal(lab, active)
    flowing = _wait(lambda: clients.flowing(healed + 0.5), settings.lease * 2 + settings.grace + 40)
    lab.note("lab", "every publisher is served again" if flowing else "not every publisher is served")
    time.sleep(SETTLE)
    clients.stop()
    stopped = time.monotonic()
    _measure(lab, clients, active, at=at, stopped=stopped, result=result)
    _read_after_restart(lab, clients, result)
    if not flowing:
        result.harm.append("service did not come back by itself")
    _judge(lab, clients.ledger, at, result)
    result.events = [(round(when - at, 3), machine, text) for when, machine, text in sorted(lab.events)]


def _hold(lab: Lab, active: Machine, at: float, seconds: float) -> None:
    """Let the fault last; one that outlasts the lease ends a while after the takeover that it brought about."""
    while time.monotonic() < at + seconds:
        since = [time.monotonic() - when for when in _takeovers(lab, active, at)]
        if seconds > lab.settings.lease and since and max(since) > AFTER_TAKEOVER:
            return
        time.sleep(0.1)


def _takeovers(lab: Lab, active: Machine, at: float) -> list[float]:
    """When another server than the old active became active, from the fault on."""
    return [when for when, name, text in lab.events if when > at and name != active.name and ACTIVE_LINE in text]


def _ask_liveness(lab: Lab, active: Machine) -> None:
    """Note what the kubelet's liveness probe would get from the old active, which it asks from the node itself."""
    paused = [text for _, name, text in sorted(lab.events) if name == active.name and text in PAUSES]
    if active.running and paused[-1:] != ["frozen"]:
        ask = "timeout 5 wget -q -O - http://127.0.0.1:8222/healthz || echo no answer"
        with suppress(MachineError):
            lab.note(active.name, f"liveness probe: {active.run(ask, timeout=20, check=False).strip()}")


def _wait(condition: Any, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _measure(lab: Lab, clients: Clients, active: Machine, *, at: float, stopped: float, result: Result) -> None:
    """Times from the logs: who was active when, who acknowledged what."""
    ledger = clients.ledger
    took = _takeovers(lab, active, at)
    ends = [when for when, name, text in lab.events if when > at and name == active.name and _is_end(text)]
    fences = [when for when, name, text in lab.events if when > at and name == active.name and FENCED in text]
    result.takeover = _since(at, took)
    result.fenced = _since(at, fences)
    result.ended = _since(at, ends)
    result.outage = round(ledger.outage(at).seconds, 2)
    others = [clients.track_of(node) for node in lab.nodes if node is not active]
    result.outage_rest = round(ledger.outage(at, tracks=others).seconds, 2)
    spans = _spans(lab, stopped)
    result.two_actives = round(sum(max(0.0, min(b[1], d[1]) - max(b[0], d[0])) for b, d in _pairs(spans)), 2)
    if took:
        sent = {guid: track.sent[number - 1] for guid, (track, number) in clients.guids.items()}
        by_loser = [guid for when, name, guid in lab.acks if at < when <= stopped and _outdated(lab, name, when)]
        result.late_acks = sum(sent.get(guid, at) < at for guid in by_loser)
        result.acks_by_loser = len(by_loser) - result.late_acks


def _outdated(lab: Lab, node: str, when: float) -> bool:
    """Whether another server had become active since the one of this node last did."""
    became = [(at, name) for at, name, text in lab.events if at <= when and ACTIVE_LINE in text]
    return bool(became) and max(became)[1] != node


def _is_end(text: str) -> bool:
    # A killed process may wait in its node's kernel for the NFS server, but it serves nobody any more.
    return text.startswith(ENDED_LINE) or text == "powered off" or FENCED in text


def _since(at: float, times: list[float]) -> float | None:
    return round(min(times) - at, 2) if times else None


def _spans(lab: Lab, stopped: float) -> list[tuple[str, float, float]]:
    """(node, from, to) for each time that a server took itself for active; frozen time is left out."""
    spans = []
    for node in lab.nodes:
        began: float | None = None
        for when, name, text in sorted(lab.events):
            if name != node.name:
                continue
            if ACTIVE_LINE in text:
                began = when
            elif began is not None and (_is_end(text) or text in ("frozen",)):
                spans.append((node.name, began, when))
                began = None if _is_end(text) else -1.0
            elif began == -1.0 and text == "thawed":
                began = when
        if began is not None and began > 0:
            spans.append((node.name, began, stopped))
    return spans


def _pairs(spans: list[tuple[str, float, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return [((a[1], a[2]), (b[1], b[2])) for i, a in enumerate(spans) for b in spans[i + 1 :] if a[0] != b[0]]


def _read_after_restart(lab: Lab, clients: Clients, result: Result) -> None:
    """End all servers, start them again and read everything: what counts is what the store holds."""
    began = lab.note("lab", "all servers restarted")
    for node in lab.nodes:
        if node.running:
            lab.kill_server(node)
    limit = lab.settings.lease * 2 + lab.settings.grace + 30
    try:
        clients.read_all(limit + 60)
    except (StanError, TimeoutError) as error:
        result.damage.append(f"after a restart of all nobody serves: {error}")
    result.damage += sorted(
        {
            text
            for when, _, text in lab.events
            if when > began and ("[FTL]" in text or "panic" in text) and not any(word in text for word in SLOW_START)
        }
    )


def _judge(lab: Lab, ledger: Ledger, at: float, result: Result) -> None:
    verdict = ledger.verdict()
    result.acknowledged = verdict.acknowledged
    result.refused = ledger.count(Outcome.REFUSED)
    result.unknown = ledger.count(Outcome.UNKNOWN)
    result.lost = verdict.findings["lost"].count
    result.verdict = verdict.sentence()
    machine, silence = lab.stall(at - WARM_UP)
    result.stall = round(silence, 1)
    result.void = ledger.too_quiet(at, MINIMUM_RATE, WARM_UP)
    if not result.void and silence > lab.settings.lease / STALL_SHARE:
        result.void = f"this computer was too slow: {machine} stood still for {silence:.1f} s"
    if not verdict.valid:
        result.harm.append(verdict.sentence())
    if result.acks_by_loser:
        result.harm.append(f"{result.acks_by_loser} messages acknowledged by the old active after the takeover")
    if result.damage:
        result.harm.append("store damaged: " + "; ".join(result.damage))
