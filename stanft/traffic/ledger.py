"""The ledger of a run: every send, acknowledgement and delivery with its time, and the verdict over them.

Pure data: times are seconds of one monotonic clock, given by whoever records. The model is that of Jepsen's
total-queue checker (lost, duplicated, unexpected, recovered) and of etcd's robustness tests (a run without enough
traffic before the fault counts for nothing).
"""

from __future__ import annotations

import itertools
import math
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from stanft.stan.outcome import Outcome
from stanft.traffic.verdict import Judgement, Word

MINIMUM_RATE = 500.0  # acknowledged messages per second before the fault, below which a run is void
RATE_WINDOW = 5.0  # seconds before the fault over which that rate is taken
NOTABLE_GAP = 0.1  # seconds without an acknowledgement that are listed as a gap
# Seconds that an acknowledgement may be on its way when the traffic ends; what waits longer was not served any more.
ON_ITS_WAY = 2.0
SILENT = 5.0  # seconds before the others by which a publisher may end; who sends rarely has more
EXAMPLES = 10  # how many messages a finding names

_CODES = (None, Outcome.STORED, Outcome.NOT_STORED, Outcome.REFUSED, Outcome.UNKNOWN)
PENDING, STORED, NOT_STORED, REFUSED, UNKNOWN = range(5)
_CODE = {outcome: code for code, outcome in enumerate(_CODES) if outcome is not None}

# Findings that make a run fail, each with what it means.
FATAL = {
    "lost": "acknowledged, never delivered",
    "unexpected": "delivered, but never sent, or damaged",
    "duplicated": "stored twice: one message under two sequence numbers",
    "reordered": "first delivered after a later message of the same publisher",
    "conflicting": "two messages under one sequence number",
    "contradicted": "delivered, although the server had refused it or was not there",
    "stale": "the channel's last value is older than what was delivered",
    "skipped": "acknowledged and in the store, but never delivered to this subscription",
    "rewound": "came again although it cannot have been unacknowledged: the durable position went back",
    "twice": "came again without the mark before the fault, when no record of sending can have been lost",
    "vanished": "a sequence between two others that holds nothing any more, though no limit drops from the middle",
}
# Findings that an at-least-once service may show.
NOTED = {
    "recovered": "delivered, although no acknowledgement had come",
    "redelivered": "came again, marked as such",
    "repeated": "came again without the mark (the server's record of sending was lost with it)",
    "dropped": "delivered, and no more in the store, which may drop the oldest (its limits)",
}


def _kept(at: float) -> float:
    return round(at, 6)


def _again(marked: int, before: bool) -> str:
    """What a message is that came again, with the mark of a redelivery or before the fault."""
    return "redelivered" if marked else "twice" if before else "repeated"


def encode(run: str, publisher: str, number: int, size: int = 0) -> bytes:
    """The payload of message number of a publisher: who and which, filled up to size bytes, with a checksum."""
    body = f"{run} {publisher} {number} ".encode()
    body += b"." * (size - len(body) - 9)
    return b"%08x " % zlib.crc32(body) + body


def decode(payload: bytes) -> tuple[str, str, int] | None:
    """Run, publisher and number of a payload; None if it is damaged or not one of ours."""
    head, _, body = payload.partition(b" ")
    parts = body.split(b" ")
    if len(parts) != 4 or head != b"%08x" % zlib.crc32(body):
        return None
    return parts[0].decode(), parts[1].decode(), int(parts[2])


class Track:
    """What one publisher sent to one channel; messages are numbered from 1."""

    def __init__(self, channel: str, publisher: str) -> None:
        self.channel = channel
        self.publisher = publisher
        self.sent = array("d")
        self.ended = array("d")
        self.codes = bytearray()
        self.late: set[int] = set()  # acknowledged after having been unknown
        self.retries: dict[int, int] = {}  # number of the new attempt -> number of the old one
        self.errors: dict[str, int] = {}

    def send(self, at: float, *, retry_of: int | None = None) -> int:
        """Record an attempt and give its number; a resend is a new attempt that names the old one."""
        self.sent.append(at)
        self.ended.append(math.nan)
        self.codes.append(PENDING)
        if retry_of is not None:
            self.retries[len(self.sent)] = retry_of
        return len(self.sent)

    def end(self, number: int, outcome: Outcome, at: float, error: str = "") -> None:
        """Record how an attempt ended; an acknowledgement after UNKNOWN makes it stored after all."""
        index = number - 1
        if self.codes[index] == UNKNOWN:
            self.late.add(number)
        self.codes[index] = _CODE[outcome]
        self.ended[index] = at
        if error:
            self.errors[error] = self.errors.get(error, 0) + 1

    def count(self, outcome: Outcome) -> int:
        """How many attempts ended so."""
        return self.codes.count(_CODE[outcome])

    @property
    def pending(self) -> int:
        """How many attempts have not ended."""
        return self.codes.count(PENDING)

    def attempts(self) -> Iterator[tuple[float, float, int]]:
        """When each was sent and ended, and how it ended, in the order of their numbers."""
        return zip(self.sent, self.ended, self.codes, strict=False)  # another thread may be about to send one


class View:
    """What one subscription saw of a channel; the members of a queue group share one view.

    complete = it must see everything that is acknowledged (so that what it misses is lost); ordered = its deliveries
    have an order (those of several members have none between them); window = how many messages can be unacknowledged
    at once in a durable subscription, 0 where it does not matter; last = it read what the store holds after the run;
    unfinished = why it ended before it had seen everything that there was: what it misses then is unknown, not lost;
    begins = the lowest sequence that a message of the run can have; first = the lowest that the channel may still have,
    if its limits drop the oldest.
    """

    def __init__(
        self,
        name: str,
        channel: str,
        *,
        complete: bool = True,
        ordered: bool = True,
        window: int = 0,
        last: bool = False,
    ) -> None:
        self.name = name
        self.channel = channel
        self.complete = complete
        self.ordered = ordered
        self.window = window
        self.last = last
        self.unfinished = ""
        self.begins = 1
        self.first = 0
        self.times = array("d")
        self.tracks = array("i")  # index into the ledger's tracks, -1 = not one of ours
        self.numbers = array("q")
        self.sequences = array("q")
        self.marks = bytearray()  # 1 = marked as redelivered
        self.seen: dict[int, bytearray] = {}  # track -> by number: 1 = delivered

    def saw(self, track: int, number: int) -> None:
        """Remember that a message of a track was delivered."""
        seen = self.seen.setdefault(track, bytearray())
        if len(seen) <= number:
            seen.extend(bytes(number + 1024 - len(seen)))
        seen[number] = 1

    def distinct(self, track: int) -> int:
        """How many different messages of a track were delivered."""
        return self.seen.get(track, b"").count(1)


@dataclass(frozen=True)
class Finding:
    """Messages of one class, with a few of them by name."""

    count: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the messages of a run showed.

    findings count what each subscription missed or got, lost the messages that any of them missed for good. valid =
    none of FATAL; doubts = what could not be found out; void = why the run proves nothing (empty if it does).
    """

    attempted: int
    acknowledged: int
    not_stored: int
    refused: int
    unknown: int
    delivered: int
    lost: int
    findings: dict[str, Finding]
    lost_where: dict[str, int]  # prefix, middle or postfix of a publisher's messages
    void: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def harm(self) -> tuple[str, ...]:
        """What must not happen and did, one sentence for each class."""
        return tuple(
            f"{finding.count} {kind} ({FATAL[kind]}), such as {', '.join(finding.examples)}"
            for kind, finding in self.findings.items()
            if kind in FATAL and finding.count
        )

    @property
    def judgement(self) -> Judgement:
        """The verdict by the rule that all runs are judged by."""
        return Judgement(lost=self.harm, unknown=self.doubts, void=self.void)

    @property
    def valid(self) -> bool:
        """Nothing happened that must not happen."""
        return not self.harm

    @property
    def passed(self) -> bool:
        """Valid, everything known, and with enough traffic to mean something."""
        return self.judgement.word is Word.OK

    def sentence(self) -> str:
        """The verdict in one line; harm and doubt are told of a void run too."""
        problems = self.judgement.problems
        return f"{self.acknowledged} acknowledged of {self.attempted} sent, {self.delivered} delivered: " + (
            "; ".join(problems) if problems else "nothing lost, duplicated or out of order"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable data, with the conclusions."""
        return {**asdict(self), "valid": self.valid, "passed": self.passed, "sentence": self.sentence()}


@dataclass(frozen=True)
class Outage:
    """The longest time without an acknowledgement around a fault (seconds; times of the run's clock).

    A message sent before the fault ends no outage, however late it is acknowledged: a woken server may do that.

    recovered = acknowledgements came again; if not, seconds counts to the end of the run. gaps are all notable ones
    as (start, seconds), total their sum.
    """

    fault: float
    seconds: float
    last_ack: float
    first_ack: float | None
    recovered: bool
    gaps: tuple[tuple[float, float], ...] = ()

    @property
    def total(self) -> float:
        """The sum of all notable gaps, in seconds."""
        return sum(seconds for _, seconds in self.gaps)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable data."""
        return {**asdict(self), "total": self.total}


@dataclass
class Ledger:
    """Everything that one run recorded; run is a short name without spaces that its messages carry."""

    run: str
    tracks: list[Track] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    marks: list[tuple[str, float]] = field(default_factory=list)  # events by name: "fault", "active", ...
    last_values: list[tuple[str, int]] = field(default_factory=list)  # channel, sequence of its last message

    # --- recording --------------------------------------------------------------------------------------------

    def track(self, channel: str, publisher: str) -> Track:
        """A new publisher's page."""
        track = Track(channel, publisher)
        self.tracks.append(track)
        return track

    def view(
        self,
        name: str,
        channel: str,
        *,
        complete: bool = True,
        ordered: bool = True,
        window: int = 0,
        last: bool = False,
    ) -> View:
        """A new subscription's page (see View)."""
        view = View(name, channel, complete=complete, ordered=ordered, window=window, last=last)
        self.views.append(view)
        return view

    def mark(self, name: str, at: float) -> None:
        """Record an event of the run."""
        self.marks.append((name, at))

    def last_value(self, channel: str, sequence: int) -> None:
        """Record which message the server gave, after the run, as the last one of a channel."""
        self.last_values.append((channel, sequence))

    def deliver(self, view: View, payload: bytes, sequence: int, redelivered: bool, at: float) -> None:
        """Record one delivery to a subscription."""
        index, number = self._whose(view.channel, payload)
        view.times.append(at)
        view.tracks.append(index)
        view.numbers.append(number)
        view.sequences.append(sequence)
        view.marks.append(redelivered)
        if index >= 0:
            view.saw(index, number)

    def _whose(self, channel: str, payload: bytes) -> tuple[int, int]:
        found = decode(payload)
        if found is not None and found[0] == self.run:
            for index, track in enumerate(self.tracks):
                if track.publisher == found[1] and track.channel == channel and 0 < found[2] <= len(track.sent):
                    return index, found[2]
        return -1, 0

    # --- counting ---------------------------------------------------------------------------------------------

    def count(self, outcome: Outcome) -> int:
        """How many attempts ended so, over all publishers."""
        return sum(track.count(outcome) for track in self.tracks)

    def missing(self, view: View) -> int:
        """How many acknowledged messages of its channel a subscription has not seen yet."""
        total = 0
        for index, track in enumerate(self.tracks):
            if track.channel == view.channel:
                seen = view.seen.get(index, b"")
                total += sum(
                    1
                    for number, code in enumerate(track.codes, 1)
                    if code == STORED and not (number < len(seen) and seen[number])
                )
        return total

    def acks(self, tracks: Iterable[Track] | None = None) -> list[float]:
        """The times of all acknowledgements, in order."""
        return sorted(
            ended
            for track in (self.tracks if tracks is None else tracks)
            for _, ended, code in track.attempts()
            if code == STORED
        )

    def rate(self, start: float, end: float, tracks: Iterable[Track] | None = None) -> float:
        """Acknowledged messages per second between two times."""
        acks = self.acks(tracks)
        return (bisect_left(acks, end) - bisect_left(acks, start)) / max(end - start, 1e-9)

    def throughput(self, width: float = 0.1) -> list[tuple[float, float]]:
        """The course of the run as (time, acknowledged messages per second) for each stretch of width seconds."""
        acks = self.acks()
        if not acks:
            return []
        buckets = [0] * (int((acks[-1] - acks[0]) / width) + 1)
        for at in acks:
            buckets[int((at - acks[0]) / width)] += 1
        return [(acks[0] + number * width, count / width) for number, count in enumerate(buckets)]

    def latency(self, start: float = -math.inf, end: float = math.inf) -> dict[str, float]:
        """Seconds from sending to acknowledgement for messages sent between two times: p50, p99, max (empty: none)."""
        took = sorted(
            ended - sent
            for track in self.tracks
            for sent, ended, code in track.attempts()
            if code == STORED and start <= sent < end
        )
        if not took:
            return {}
        return {"p50": took[len(took) // 2], "p99": took[int(len(took) * 0.99)], "max": took[-1]}

    # --- judging ----------------------------------------------------------------------------------------------

    def outage(
        self,
        fault: float,
        until: float = math.inf,
        *,
        tracks: Iterable[Track] | None = None,
        threshold: float = NOTABLE_GAP,
    ) -> Outage:
        """The longest gap between acknowledgements that ends after the fault and begins before until.

        tracks limits it to some publishers; threshold is the shortest gap to list, in seconds.
        """
        chosen = list(self.tracks if tracks is None else tracks)
        acks = sorted(
            ended
            for track in chosen
            for sent, ended, code in track.attempts()
            if code == STORED and (sent > fault or ended <= fault)
        )
        after = bisect_right(acks, fault)
        # The first acknowledgement past until ends a gap that began before it.
        points = [acks[after - 1] if after else fault, *acks[after : bisect_right(acks, until) + 1]]
        # What was sent well after the last acknowledgement shows an outage that the run did not outlast.
        last = points[-1]
        sent = sorted(at for track in chosen for at in track.sent)
        trying = sent[-1] if sent else fault
        # Who sends nothing any more while others do tries in vain to get a session.
        ending = max((track.sent[-1] for track in self.tracks if track.sent), default=fault)
        pause = max(SILENT, 3 * (trying - sent[0]) / len(sent)) if sent else SILENT
        goes_on = trying <= last + max(threshold, ON_ITS_WAY) and ending <= last + pause
        recovered = after < len(acks) and (last >= until or goes_on)
        if not recovered:
            points.append(max(fault, ending, last))
        pairs = list(itertools.pairwise(points))
        longest = max(pairs, key=lambda pair: pair[1] - pair[0])
        return Outage(
            fault=fault,
            seconds=longest[1] - longest[0],
            last_ack=longest[0],
            first_ack=longest[1] if recovered else None,
            recovered=recovered,
            gaps=tuple((a, b - a) for a, b in pairs if b - a >= threshold),
        )

    def outages(self, fault: float) -> dict[str, Outage]:
        """The outage of each publisher by itself, by channel and publisher: one that is served hides no other."""
        return {f"{track.channel}/{track.publisher}": self.outage(fault, tracks=[track]) for track in self.tracks}

    def too_quiet(self, fault: float, minimum: float = MINIMUM_RATE, window: float = RATE_WINDOW) -> str:
        """Why the traffic before the fault was too little to prove anything; empty if it was enough."""
        acks = self.acks()
        if not acks or acks[0] >= fault:
            return "no message was acknowledged before the fault"
        start = max(fault - window, acks[0])
        rate = self.rate(start, fault)
        if rate >= minimum:
            return ""
        return f"{rate:.0f} acknowledged messages per second before the fault, at least {minimum:.0f} are needed"

    def unread(self) -> list[str]:
        """A doubt for each channel that nobody read again after the run."""
        read = {view.channel for view in self.views if view.last and view.complete}
        left = [f"the channel {name}" for name in sorted({track.channel for track in self.tracks} - read)]
        if not self.tracks and not read:
            left = ["the store"]
        return [f"{what} was not read again, so nobody knows what the store holds" for what in left]

    def verdict(self, fault: float | None = None, *, minimum_rate: float = MINIMUM_RATE) -> Verdict:
        """Judge the run; with the time of its first fault also what came before it, and whether that was enough."""
        found: dict[str, list[str]] = {kind: [] for kind in (*FATAL, *NOTED)}
        where = {"prefix": 0, "middle": 0, "postfix": 0}
        holds: dict[str, dict[int, tuple[int, int]]] = {}  # channel -> sequence -> its message, in whatever view
        for view in self.views:
            self._judge(view, holds.setdefault(view.channel, {}), found, -math.inf if fault is None else fault)
        for view in self.views:
            if view.last and not view.unfinished:
                found["vanished"] += self._holes(view, holds[view.channel])
        unread = {channel: self._dropped_unread(channel, held) for channel, held in holds.items()}
        doubts = [
            doubt
            for view in self.views
            if view.complete
            for doubt in self._missed(view, holds[view.channel], unread[view.channel][0], found, where)
        ]
        doubts += [
            f"{len(messages)} acknowledged messages of {channel} were seen by nobody, and neither was what its limits "
            "have dropped, so nobody knows whether they were stored"
            for channel, (messages, surely) in sorted(unread.items())
            if messages and not surely
        ]
        recovered = [
            self._name(track, number)
            for index, track in enumerate(self.tracks)
            for number, code in enumerate(track.codes, 1)
            if (code in (UNKNOWN, PENDING)) and any(self._has(view, index, number) for view in self.views)
        ]
        found["recovered"] = recovered
        for channel, last in self.last_values:
            newest = max((max(view.sequences, default=0) for view in self.views if view.channel == channel), default=0)
            if last < newest:
                found["stale"].append(f"{channel}, sequence {last} after {newest}")
        return Verdict(
            attempted=sum(len(track.sent) for track in self.tracks),
            acknowledged=self.count(Outcome.STORED),
            not_stored=self.count(Outcome.NOT_STORED),
            refused=self.count(Outcome.REFUSED),
            unknown=self.count(Outcome.UNKNOWN) + sum(track.pending for track in self.tracks),
            delivered=max(
                (sum(view.distinct(index) for index in range(len(self.tracks))) for view in self.views), default=0
            ),
            lost=len({name.partition(" to ")[0] for name in found["lost"]}),
            findings={kind: Finding(len(names), tuple(names[:EXAMPLES])) for kind, names in found.items()},
            lost_where=where,
            void="" if fault is None else self.too_quiet(fault, minimum_rate),
            doubts=tuple(doubts),
        )

    def _name(self, track: Track, number: int) -> str:
        return f"{track.channel}/{track.publisher}/{number}"

    @staticmethod
    def _has(view: View, index: int, number: int) -> bool:
        seen = view.seen.get(index, b"")
        return number < len(seen) and bool(seen[number])

    def _judge(self, view: View, holds: dict[int, tuple[int, int]], found: dict[str, list[str]], fault: float) -> None:
        """Add to the findings what one subscription got; holds is what the channel's sequences were seen to hold."""
        stored_as: dict[tuple[int, int], int] = {}  # message -> its sequence
        newest: dict[int, int] = defaultdict(int)  # track -> highest number delivered in good order
        # track -> highest number delivered at all, and its sequence
        placed: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        highest = 0  # sequence delivered so far
        again: set[int] = set()  # sequences that came again, marked, since a new one came
        for at, index, number, sequence, marked in zip(
            view.times, view.tracks, view.numbers, view.sequences, view.marks, strict=True
        ):
            if index < 0:
                found["unexpected"].append(f"{view.channel}, sequence {sequence} to {view.name}")
                continue
            track, message = self.tracks[index], (index, number)
            name = f"{self._name(track, number)} to {view.name}"
            if holds.setdefault(sequence, message) != message:
                found["conflicting"].append(f"{name} at sequence {sequence}")
            first = message not in stored_as
            if stored_as.setdefault(message, sequence) != sequence:
                found["duplicated"].append(f"{name} at sequences {stored_as[message]} and {sequence}")
            elif not first:
                again |= {sequence} if marked else set()
                # So many were unacknowledged at the old active, and so many others at the next one.
                back = len(again) > 2 * view.window if marked else sequence + view.window < highest
                found["rewound" if view.window and back else _again(marked, at < fault)].append(name)
            if sequence > highest:
                highest = sequence
                again.clear()
            if not first:
                continue
            code = track.codes[number - 1]
            if code in (NOT_STORED, REFUSED):
                found["contradicted"].append(name)
            # Only what was acknowledged in time has a place in the order: the rest may have waited in a hung server.
            if code != STORED or number in track.late:
                continue
            later, place = placed[index]
            came = view.ordered and not marked
            # What comes out of order may come so, if it is marked or to one of several; what is stored so may not.
            if number < later and sequence > place:
                found["reordered"].append(f"{name} after {later}")
            elif came and number < newest[index]:
                found["reordered"].append(f"{name} after {newest[index]}")
            placed[index] = max(placed[index], (number, sequence))
            if came:
                newest[index] = max(newest[index], number)

    def _holes(self, view: View, holds: dict[int, tuple[int, int]]) -> list[str]:
        """The sequences between others that a store has nothing at; an acknowledged message there is lost anyway."""
        held = set(view.sequences)
        gone = set(range(min(held, default=0), max(held, default=0))) - held
        return [
            f"{view.channel}, sequence {sequence} to {view.name}"
            for sequence in sorted(gone)
            if sequence not in holds or self.tracks[holds[sequence][0]].codes[holds[sequence][1] - 1] != STORED
        ]

    def _missed(
        self,
        view: View,
        held: dict[int, tuple[int, int]],
        unread: set[tuple[int, int]],
        found: dict[str, list[str]],
        where: dict[str, int],
    ) -> Iterator[str]:
        """Sort what a subscription should have seen and did not into the findings; gives the doubts."""
        missed = gone = 0
        stores, oldest = self._stores(view.channel)
        known = {message: sequence for sequence, message in held.items()} if view.first or oldest else {}
        for index, track in enumerate(self.tracks):
            if track.channel != view.channel:
                continue
            seen = view.seen.get(index, b"")
            first, last = seen.find(1) if 1 in seen else math.inf, seen.rfind(1)
            for number, code in enumerate(track.codes, 1):
                if code != STORED or self._has(view, index, number):
                    continue
                name, sequence = f"{self._name(track, number)} to {view.name}", known.get((index, number), 0)
                dropped = (index, number) in unread
                if 0 < sequence < view.first or (view.last and dropped):
                    found["dropped"].append(name)
                elif view.unfinished:
                    missed += 1
                elif any(self._has(store, index, number) for store in stores):
                    found["skipped"].append(name)
                elif not view.last and (dropped or 0 < sequence < oldest):
                    gone += 1
                else:
                    found["lost"].append(name)
                    where["prefix" if number < first else "postfix" if number > last else "middle"] += 1
        # A reader that did not end is a doubt even where it misses nothing: it may have missed a double.
        if view.unfinished and (missed or view.last):
            yield f"{view.name} misses {missed} acknowledged messages, and its reading did not end: {view.unfinished}"
        if gone:
            yield (
                f"{view.name} misses {gone} acknowledged messages that the channel's limits have dropped, "
                "so nobody knows whether it skipped them"
            )

    def _stores(self, channel: str) -> tuple[list[View], int]:
        """What read the whole of a channel after the run, and the lowest sequence that it may still have."""
        stores = [view for view in self.views if view.last and not view.unfinished and view.channel == channel]
        return stores, max((store.first for store in stores), default=0)

    def _dropped_unread(self, channel: str, held: dict[int, tuple[int, int]]) -> tuple[set[tuple[int, int]], bool]:
        """What was acknowledged and seen by nobody, and may be what the limits dropped; and whether it surely is.

        It is no more than the sequences below the oldest at which nobody saw a message, and was sent before anything of
        its publisher that was stored above. Surely: every such sequence is taken by what is sought here.
        """
        stores, oldest = self._stores(channel)
        if not oldest:
            return set(), True
        begins = min(store.begins for store in stores)
        places = sum(sequence not in held for sequence in range(begins, oldest))
        placed = {message: sequence for sequence, message in held.items()}
        waiting: list[tuple[float, tuple[int, int]]] = []
        others = 0
        for index, track in enumerate(self.tracks):
            if track.channel != channel:
                continue
            for number, code in enumerate(track.codes, 1):
                sequence = placed.get((index, number), 0)
                if sequence >= oldest and code == STORED and number not in track.late:
                    break
                if not sequence and code == STORED:
                    waiting.append((track.sent[number - 1], (index, number)))
                others += not sequence and code in (UNKNOWN, PENDING)
        unread = {message for _, message in sorted(waiting)[:places]}
        return unread, places == len(waiting) + others

    # --- keeping ----------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The whole history as JSON-serialisable data (times in seconds, to the microsecond)."""
        return {
            "run": self.run,
            "marks": [[name, _kept(at)] for name, at in self.marks],
            "last_values": [list(each) for each in self.last_values],
            "tracks": [
                {
                    "channel": track.channel,
                    "publisher": track.publisher,
                    "sent": [_kept(at) for at in track.sent],
                    "ended": [None if math.isnan(at) else _kept(at) for at in track.ended],
                    "codes": list(track.codes),
                    "late": sorted(track.late),
                    "retries": {str(new): old for new, old in track.retries.items()},
                    "errors": track.errors,
                }
                for track in self.tracks
            ],
            "views": [
                {
                    "name": view.name,
                    "channel": view.channel,
                    "complete": view.complete,
                    "ordered": view.ordered,
                    "window": view.window,
                    "last": view.last,
                    "unfinished": view.unfinished,
                    "begins": view.begins,
                    "first": view.first,
                    "times": [_kept(at) for at in view.times],
                    "tracks": list(view.tracks),
                    "numbers": list(view.numbers),
                    "sequences": list(view.sequences),
                    "marks": list(view.marks),
                }
                for view in self.views
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Ledger:
        """The ledger that to_dict() described, so that an old run can be judged again."""
        ledger = cls(
            data["run"],
            marks=[(name, at) for name, at in data["marks"]],
            last_values=[(channel, sequence) for channel, sequence in data["last_values"]],
        )
        for page in data["tracks"]:
            track = ledger.track(page["channel"], page["publisher"])
            track.sent.extend(page["sent"])
            track.ended.extend(math.nan if at is None else at for at in page["ended"])
            track.codes.extend(page["codes"])
            track.late.update(page["late"])
            track.retries.update({int(new): old for new, old in page["retries"].items()})
            track.errors.update(page["errors"])
        for page in data["views"]:
            kept = {key: page[key] for key in ("complete", "ordered", "window", "last")}
            view = ledger.view(page["name"], page["channel"], **kept)
            view.unfinished, view.begins, view.first = page["unfinished"], page.get("begins", 1), page["first"]
            view.times.extend(page["times"])
            view.tracks.extend(page["tracks"])
            view.numbers.extend(page["numbers"])
            view.sequences.extend(page["sequences"])
            view.marks.extend(page["marks"])
            for index, number in zip(view.tracks, view.numbers, strict=True):
                if index >= 0:
                    view.saw(index, number)
        return ledger
