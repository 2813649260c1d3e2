"""What a run of a drill came to, from what was seen of it alone: nobody is asked here.

Every time is in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stanft.drill import server_log
from stanft.drill.watch import Reign, two_actives
from stanft.faults import Fault, Injection
from stanft.traffic.ledger import Ledger, Outage
from stanft.traffic.verdict import Judgement, too_many_or_few

AWAY = 1.0  # seconds before the end of the traffic by which a subscriber must have been served again
RESTART, LIVE = "restart", "live"  # how the last read was made: after one more restart of all servers, or without

Log = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Seen:
    """Everything that one run showed, complete: what the judge has not got here it does not know.

    reigns are the active servers in order until the last read; logs those of each pod since the run began; restarts
    count those of each pod's container before and after the fault; served is when each subscriber got a message last;
    ended when the last acknowledgement came; problem what did not come back; unasked what could not be found out.
    """

    fault: Fault
    number: int
    injection: Injection
    ledger: Ledger
    minimum_rate: float
    reigns: Sequence[Reign] = ()
    logs: Mapping[str, Log] = field(default_factory=dict)
    restarts_before: Mapping[str, int] = field(default_factory=dict)
    restarts_after: Mapping[str, int] = field(default_factory=dict)
    served: Mapping[str, float | None] = field(default_factory=dict)
    problem: str = ""
    unasked: Sequence[str] = ()
    last_read: str = RESTART
    load: float = 0.0  # of the machine, just before the fault
    store: Mapping[str, int] = field(default_factory=dict)  # messages, bytes, channels of the active, just before

    @property
    def takeovers(self) -> int:
        """How often the active changed."""
        return max(0, len(self.reigns) - 1)

    @property
    def outages(self) -> dict[str, Outage]:
        """The outage of each publisher."""
        return self.ledger.outages(self.injection.at)

    @property
    def restarts(self) -> dict[str, int]:
        """How often each pod's container restarted since the run began; a pod that was replaced counts from zero."""
        return {
            pod: count - before if count >= (before := self.restarts_before.get(pod, 0)) else count
            for pod, count in self.restarts_after.items()
        }

    @property
    def claims(self) -> list[str]:
        """The lines in which a server says that another one is active too."""
        return server_log.two_actives(sorted(line for log in self.logs.values() for line in log))


def judge(seen: Seen) -> Judgement:
    """What the run came to."""
    messages = seen.ledger.verdict(seen.injection.at, minimum_rate=seen.minimum_rate).judgement
    return Judgement(
        lost=messages.lost,
        failed=tuple(_failures(seen)),
        unknown=(*messages.unknown, *_unknowns(seen)),
        void=messages.void,
    )


def _failures(seen: Seen) -> Iterator[str]:
    if seen.problem:
        yield seen.problem
    for name, outage in seen.outages.items():
        if not outage.recovered:
            yield f"publishing did not go on after the fault: {name} never came back"
    for name in _gone(seen):
        yield f"the subscriber {name} never came back"
    for one, other, length in two_actives(seen.reigns):
        yield f"two actives at once: {one} and {other} for at least {length:.{2 if length >= 0.01 else 4}f} s"
    # A heartbeat of the dead active that was read late has the same effect, so this alone proves no two actives.
    for line in seen.claims:
        yield f"a server ended itself on a heartbeat of another active: {line.strip()}"
    if seen.fault.spares_bystanders:
        for pod, count in seen.restarts.items():
            if count and pod not in seen.injection.victims:
                yield f"{pod} restarted although nothing was done to it"
    yield from too_many_or_few(seen.takeovers, seen.fault.takeovers)


def _gone(seen: Seen) -> list[str]:
    """The subscribers that got nothing while the publishers were served at the end."""
    acks = seen.ledger.acks()
    if not acks:
        return []
    return [name for name, last in seen.served.items() if last is None or last < acks[-1] - AWAY]


def _unknowns(seen: Seen) -> Iterator[str]:
    yield from seen.unasked
    yield from seen.ledger.unread()
