"""The book of publications that wait for their answer, and of those whose answer may still come late."""

from __future__ import annotations

import inspect
import itertools
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nats.aio.msg import Msg

from stanft.stan import protocol_pb2 as pb
from stanft.stan.outcome import Outcome, PublishResult

NO_RESPONDERS = "503"  # the status by which a NATS server says that nobody took the message
LATE_KEPT = 60.0  # seconds for which a late acknowledgement is still matched to its message

PublishCallback = Callable[[PublishResult], Awaitable[None] | None]


def nobody_answered(raw: Msg) -> bool:
    """Whether a message is the NATS server's word that nobody took ours."""
    return bool(raw.headers) and (raw.headers or {}).get("Status") == NO_RESPONDERS


@dataclass(slots=True)
class _Entry:
    guid: str
    deadline: float
    callback: PublishCallback | None


class Publications:
    """Each publication has a number, its guid, and a reply subject of its own: so "no responders" tells which one.

    patient: "no responders" settles nothing (as stan.go has it).
    """

    def __init__(self, unit: str, *, patient: bool) -> None:
        self._unit = unit
        self._patient = patient
        self._numbers = itertools.count(1)
        self._waiting: OrderedDict[int, _Entry] = OrderedDict()
        self._late: OrderedDict[int, _Entry] = OrderedDict()
        self.answers = f"_STAN.acks.{unit}.*"

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, callback: PublishCallback | None, timeout: float) -> tuple[int, str, str]:
        """Enter a publication that must be answered within timeout seconds; gives number, guid and reply subject."""
        number = next(self._numbers)
        guid = f"{self._unit}{number}"
        self._waiting[number] = _Entry(guid, time.monotonic() + timeout, callback)
        return number, guid, f"_STAN.acks.{self._unit}.{number}"

    def cancel(self, number: int) -> None:
        """Strike out a publication that was never sent."""
        self._waiting.pop(number, None)

    async def answered(self, raw: Msg) -> None:
        """Take an answer from the wire."""
        number = int(raw.subject.rpartition(".")[2])
        if raw.data:
            ack = pb.PubAck.FromString(raw.data)
            await self._settle(number, Outcome.REFUSED if ack.error else Outcome.STORED, ack.error)
        elif nobody_answered(raw) and not self._patient:
            await self._settle(number, Outcome.NOT_STORED, "no responders")

    async def give_up(self, why: str) -> None:
        """Tell all that wait to be unknown."""
        for number in list(self._waiting):
            await self._settle(number, Outcome.UNKNOWN, why)

    async def sweep(self) -> None:
        """Tell what is overdue to be unknown, and forget what is very late."""
        now = time.monotonic()
        for number in [number for number, entry in self._waiting.items() if entry.deadline <= now]:
            await self._settle(number, Outcome.UNKNOWN, "no acknowledgement in time")
        while self._late and next(iter(self._late.values())).deadline <= now:
            self._late.popitem(last=False)

    async def _settle(self, number: int, outcome: Outcome, error: str = "") -> None:
        entry, late = self._waiting.pop(number, None), False
        if entry is None:
            entry, late = self._late.pop(number, None), True
        elif outcome is Outcome.UNKNOWN:
            entry.deadline = time.monotonic() + LATE_KEPT
            self._late[number] = entry
        if entry is not None and entry.callback is not None:
            result = entry.callback(PublishResult(entry.guid, outcome, error, late))
            if inspect.isawaitable(result):
                await result
