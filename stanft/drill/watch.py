"""Watches who says to be active, on every server at once: two at the same time, and the time with none.

A server process is active from when it took the lock until it ends, never twice (nats-streaming-server server/ft.go),
and each has an id of its own. So two were active at once exactly if the stretches overlap in which their answers
prove it; a stretch begins when the first such answer was complete and ends when the last one was asked for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from stanft.drill.reach import Place, Reach, places
from stanft.ground import wait
from stanft.group.live import Group
from stanft.words import ACTIVE

ANSWER_LIMIT = 1.0  # seconds; an active in recovery does not answer on /streaming until it is done
PODS_EVERY = 0.5  # seconds between two looks at which pods there are


@dataclass
class Reign:
    """One server process as active: proven from first to last (monotonic seconds)."""

    server: str
    pod: str
    first: float
    last: float


@dataclass(frozen=True)
class Change:
    """A server's answer that differs from its last one; state is "" when it did not answer."""

    at: float
    pod: str
    state: str


class Watch:
    """Polls the servers in threads of its own from __enter__ to __exit__; the pods are looked up again all the time."""

    def __init__(
        self,
        group: Group,
        reach: Reach,
        *,
        find: Callable[[], list[Place]] | None = None,
        moved: Callable[[list[Place]], None] | None = None,
    ) -> None:
        self.group = group
        self.reach = reach
        self.reigns: list[Reign] = []
        self.changes: list[Change] = []
        self._find = find or (lambda: places(group.pods()))
        self._moved = moved
        self._places: list[Place] = []
        self._pollers: dict[Place, threading.Event] = {}
        self._states: dict[str, str] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._renew()
        thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for stop in self._pollers.values():
            stop.set()
        for thread in self._threads:
            thread.join(timeout=ANSWER_LIMIT + 2)

    def _follow(self) -> None:
        while not self._ending.wait(PODS_EVERY):
            # The API server may be gone: then the pods are taken to be where they were.
            with contextlib.suppress(Exception):
                self._renew()

    def _renew(self) -> None:
        found = self._find()
        if found == self._places:
            return
        for place in [known for known in self._pollers if known not in found]:
            self._pollers.pop(place).set()
        for place in found:
            if place not in self._pollers:
                stop = self._pollers[place] = threading.Event()
                thread = threading.Thread(target=self._poll, args=(place, stop), daemon=True)
                thread.start()
                self._threads.append(thread)
        self._places = found
        if self._moved is not None:
            self._moved(found)

    def _poll(self, place: Place, stop: threading.Event) -> None:
        while not stop.is_set():
            asked = time.monotonic()
            answer = self.reach.monitor(place, "streaming/serverz", ANSWER_LIMIT) or {}
            answered = time.monotonic()
            self.note(place.pod, answer.get("state", ""), answer.get("server_id", ""), asked, answered)
            stop.wait(max(0.0, self.reach.period - (answered - asked)))

    def note(self, pod: str, state: str, server: str, asked: float, answered: float) -> None:
        """Record one answer of a server: its state and process id, and when it was asked and had answered."""
        with self._lock:
            if self._states.get(pod) != state:
                self._states[pod] = state
                self.changes.append(Change(answered, pod, state))
            if state != ACTIVE:
                return
            for reign in self.reigns:
                if reign.server == server:
                    reign.first = min(reign.first, answered)
                    reign.last = max(reign.last, asked)
                    return
            self.reigns.append(Reign(server, pod, answered, asked))

    def ordered(self) -> list[Reign]:
        """The reigns in the order in which they began."""
        with self._lock:
            return sorted(self.reigns, key=lambda reign: reign.first)

    def wait_successor(self, number: int, timeout: float) -> Reign | None:
        """The reign after so many others, once there is one; None after timeout seconds."""
        found = wait.happens(lambda: self.ordered()[number:], timeout, every=0.02)
        return found[0] if found else None


def two_actives(reigns: Sequence[Reign]) -> list[tuple[str, str, float]]:
    """The pairs of servers that were active at once, as (pod, pod, seconds)."""
    found = []
    for number, one in enumerate(reigns):
        for other in reigns[number + 1 :]:
            overlap = min(one.last, other.last) - max(one.first, other.first)
            if overlap > 0:
                found.append((one.pod, other.pod, overlap))
    return found


def without_active(reigns: Sequence[Reign]) -> float:
    """The seconds between reigns in which nobody said to be active."""
    ordered = sorted(reigns, key=lambda reign: reign.first)
    total, end = 0.0, None
    for reign in ordered:
        if end is not None and reign.first > end:
            total += reign.first - end
        end = reign.last if end is None else max(end, reign.last)
    return total
