"""What a run in the NFS lab came to, from what was seen of it alone: nobody is asked here.

Every time is in seconds of the host's monotonic clock; what is measured is told in seconds since the fault.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stanft.stan.outcome import Outcome
from stanft.traffic.ledger import EXAMPLES, Ledger
from stanft.traffic.verdict import Judgement, too_many_or_few

ACTIVE_LINE = "STREAM: Server is active"
ENDED_LINE = "lab: server ended"
POWERED_OFF, FROZEN, THAWED = "powered off", "frozen", "thawed"
FENCED = "supervisor: ends the server"
OUT_OF_MEMORY = "Out of memory: Killed"  # a node's kernel
WARM_UP = 5.0  # seconds of traffic before the fault
MINIMUM_RATE = 3.0  # acknowledged messages per second before the fault, below which a run proves nothing
STALL_SHARE = 3.0  # a machine that gets no processor time for this part of a lease was too slow
SLOW_START = ("dial tcp", "read tcp", "unable to start a NATS Server")  # of a server on a loaded computer

Event = tuple[float, str, str]  # time, machine, what happened


@dataclass(frozen=True)
class Seen:
    """Everything that one run showed from the fault on.

    publishers are the ledger's tracks by the node that each is beside; acks are (time, node, guid) of each
    acknowledgement in the servers' traces, sent when each guid was sent; flowing: every publisher was served at last;
    restarted is when all servers were ended for the last read; broken what the lab could not do or find out after the
    fault; stall the machine that stood still for longest after the fault, and for how long; right how many takeovers
    the fault has right, at least and at most.
    """

    fault: str
    lease: int
    nodes: Sequence[str]
    active: str
    at: float
    stopped: float
    restarted: float
    ledger: Ledger
    publishers: Mapping[str, int]
    events: Sequence[Event] = ()
    acks: Sequence[tuple[float, str, str]] = ()
    sent: Mapping[str, float] = field(default_factory=dict)
    flowing: bool = True
    broken: Sequence[str] = ()
    stall: tuple[str, float] = ("", 0.0)
    right: tuple[int, int] = (1, 1)

    @property
    def took(self) -> list[float]:
        """When another server than the old active became active, from the fault on."""
        return takeovers(self.events, self.active, self.at)

    @property
    def takeovers(self) -> int:
        """How often a server became active from the fault until the traffic ended."""
        return sum(ACTIVE_LINE in text for when, _, text in self.events if self.at < when <= self.stopped)

    @property
    def late(self) -> tuple[list[str], list[str]]:
        """Messages that a server acknowledged after another had become active: sent since the fault, and before it."""
        if not self.took:
            return [], []
        late = [guid for when, node, guid in self.acks if self.at < when <= self.stopped and self.outdated(node, when)]
        return (
            [guid for guid in late if self.sent.get(guid, self.at) >= self.at],
            [guid for guid in late if self.sent.get(guid, self.at) < self.at],
        )

    def outdated(self, node: str, when: float) -> bool:
        """Whether another server had become active since the one of this node last did."""
        became = [(at, name) for at, name, text in self.events if at <= when and ACTIVE_LINE in text]
        return bool(became) and max(became)[1] != node

    @property
    def damage(self) -> list[str]:
        """What the servers said of the store when all of them started again for the last read."""
        return sorted(
            {
                text
                for when, _, text in self.events
                if when > self.restarted
                and ("[FTL]" in text or "panic" in text)
                and not any(word in text for word in SLOW_START)
            }
        )


def takeovers(events: Sequence[Event], active: str, at: float) -> list[float]:
    """When another server than this active became active, from a time on."""
    return [when for when, name, text in events if when > at and name != active and ACTIVE_LINE in text]


def void(ledger: Ledger, now: float, stall: tuple[str, float], lease: int) -> str:
    """Why a fault now would prove nothing; asked before it, so that nothing that follows can make it void."""
    machine, silence = stall
    if silence > lease / STALL_SHARE:
        return f"this computer was too slow before the fault: {machine} stood still for {silence:.1f} s"
    return ledger.too_quiet(now, MINIMUM_RATE, WARM_UP)


def judge(seen: Seen) -> Judgement:
    """What the run came to."""
    messages = seen.ledger.verdict().judgement
    damage = seen.damage
    return Judgement(
        lost=(*messages.lost, *((f"store damaged: {'; '.join(damage)}",) if damage else ())),
        failed=tuple(_failures(seen)),
        unknown=(*messages.unknown, *seen.broken, *_small(seen), *seen.ledger.unread()),
    )


def _small(seen: Seen) -> Iterator[str]:
    """The lab's own fault, which may be behind whatever else was seen."""
    for _, name, text in seen.events:
        if OUT_OF_MEMORY in text:
            yield f"{name} has too little memory for this scene: {text}"


def _failures(seen: Seen) -> Iterator[str]:
    if not seen.flowing:
        yield "service did not come back by itself"
    gone = [name for name, outage in seen.ledger.outages(seen.at).items() if not outage.recovered]
    if gone:
        others = len(gone) - EXAMPLES
        yield f"{', '.join(gone[:EXAMPLES])}{f' and {others} others' if others > 0 else ''} never came back"
    if by_loser := len(seen.late[0]):
        yield f"{by_loser} messages acknowledged by the old active after the takeover"
    yield from too_many_or_few(seen.takeovers, seen.right)


def measure(seen: Seen) -> dict[str, Any]:
    """The figures of a run as JSON-serialisable data (seconds; None = did not happen)."""
    at, ledger = seen.at, seen.ledger
    own = [(when, text) for when, name, text in seen.events if when > at and name == seen.active]
    each = {name: ledger.outage(at, tracks=[ledger.tracks[track]]) for name, track in seen.publishers.items()}
    merged = ledger.outage(at)
    verdict = ledger.verdict()
    machine, silence = seen.stall
    slow = silence > seen.lease / STALL_SHARE
    return {
        "takeover": _since(at, seen.took),
        "takeovers": seen.takeovers,
        "fenced": _since(at, [when for when, text in own if FENCED in text]),
        "ended": _since(at, [when for when, text in own if _is_end(text)]),
        "outage": _told(max((outage.seconds for outage in each.values()), default=merged.seconds)),
        "outage_merged": _told(merged.seconds),
        "outage_rest": _told(
            max((outage.seconds for name, outage in each.items() if name != seen.active), default=0.0)
        ),
        "two_actives": _told(_overlap(_spans(seen))),
        "acks_by_loser": len(seen.late[0]),
        "late_acks": len(seen.late[1]),
        "acknowledged": verdict.acknowledged,
        "refused": ledger.count(Outcome.REFUSED),
        "unknown": ledger.count(Outcome.UNKNOWN),
        "lost": verdict.lost,
        "lost_where": verdict.lost_where,
        "verdict": verdict.sentence(),
        "damage": seen.damage,
        "stall": round(silence, 1),
        "slow": f"{machine} stood still for {silence:.1f} s after the fault" if slow else "",
        "events": [(round(when - at, 3), name, text) for when, name, text in sorted(seen.events)],
    }


def _is_end(text: str) -> bool:
    # A killed process may wait in its node's kernel for the NFS server, but it serves nobody any more.
    return text.startswith(ENDED_LINE) or text == POWERED_OFF or FENCED in text


def _since(at: float, times: list[float]) -> float | None:
    return _told(min(times) - at) if times else None


def _told(seconds: float) -> float:
    return round(seconds, 2)


def _spans(seen: Seen) -> list[tuple[float, float]]:
    """From when to when a server took itself for active, each time; frozen time is left out."""
    spans = []
    for node in seen.nodes:
        began: float | None = None
        asleep = False
        for when, name, text in sorted(seen.events):
            if name != node or when > seen.stopped:
                continue
            if ACTIVE_LINE in text or (text == THAWED and asleep):
                began, asleep = when, False
            elif began is not None and (_is_end(text) or text == FROZEN):
                spans.append((began, when))
                began, asleep = None, text == FROZEN
            elif _is_end(text):
                asleep = False
        if began is not None:
            spans.append((began, seen.stopped))
    return spans


def _overlap(spans: Sequence[tuple[float, float]]) -> float:
    return sum(
        max(0.0, min(one[1], other[1]) - max(one[0], other[0])) for one, other in itertools.combinations(spans, 2)
    )
