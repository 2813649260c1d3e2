"""The judge of a drill: a run with nothing wrong passes, and each thing that can be wrong with it convicts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from stanft.drill.judge import LIVE, RESTART, Seen, judge
from stanft.drill.run import _ask_servers, describe, lowest
from stanft.drill.watch import Reign
from stanft.faults import Fault, Injection, find
from stanft.stan.outcome import Outcome
from stanft.traffic.ledger import Ledger, Track, View, encode
from stanft.traffic.verdict import Word

AT = 110.0  # the fault
EVERY = 0.05  # seconds between two messages of a publisher
OUT = (110.0, 111.0)  # when nobody is served


class Story:
    """A run from 100 s to 120 s: two publishers, a durable subscriber, a last read; what a test changes goes wrong."""

    def __init__(
        self, *, out: dict[str, tuple[float, float]] | None = None, silent: dict[str, float] | None = None
    ) -> None:
        self.ledger = Ledger("run")
        self.tracks: dict[str, Track] = {name: self.ledger.track("channel", name) for name in ("pub-0", "pub-1")}
        self.live: View = self.ledger.view("sub-0", "channel", window=50)
        self.stored: list[tuple[str, int]] = []  # in the order of their sequences
        for step in range(400):
            for name, track in self.tracks.items():
                at = 100 + step * EVERY
                start, end = (out or {}).get(name, OUT)
                if at > (silent or {}).get(name, at):
                    continue
                number = track.send(at)
                if start <= at < end:
                    track.end(number, Outcome.NOT_STORED, at)
                else:
                    track.end(number, Outcome.STORED, at + 0.001)
                    self.stored.append((name, number))
        for sequence, (name, number) in enumerate(self.stored, 1):
            self.deliver(self.live, name, number, sequence)

    def deliver(self, view: View, name: str, number: int, sequence: int, *, marked: bool = False) -> None:
        """Deliver a message."""
        self.ledger.deliver(
            view, encode("run", name, number), sequence, marked, self.tracks[name].sent[number - 1] + 0.002
        )

    def last_read(self, stored: list[tuple[str, int]] | None = None) -> View:
        """Read the store again: all that was stored, or what a test says that it holds."""
        view = self.ledger.view("last read", "channel", last=True)
        for sequence, (name, number) in enumerate(self.stored if stored is None else stored, 1):
            self.deliver(view, name, number, sequence)
        return view

    def seen(self, **changes: Any) -> Seen:
        """Everything about it, with changes."""
        if not any(view.last for view in self.ledger.views) and not changes.pop("unread", False):
            self.last_read()
        injection = Injection("kill", victims=["stan-0"], at=AT, healed_at=AT)
        plain: dict[str, Any] = {
            "reigns": (Reign("A", "stan-0", 99, 109.9), Reign("B", "stan-1", 110.9, 120)),
            "logs": {"stan-0": [(100.0, "[INF] fine")], "stan-1": [(110.8, "[INF] STREAM: Server is active")]},
            "restarts_before": {"stan-0": 0, "stan-1": 2},
            "restarts_after": {"stan-0": 1, "stan-1": 2},
            "served": {"sub-0": 119.99},
            "last_read": RESTART,
        }
        return Seen(find("kill"), 1, injection, self.ledger, 30.0, **{**plain, **changes})


def convicted(seen: Seen) -> tuple[Word, list[str]]:
    """The word and the problems."""
    judgement = judge(seen)
    return judgement.word, judgement.problems


def test_a_run_with_nothing_wrong_is_ok() -> None:
    assert convicted(Story().seen()) == (Word.OK, [])


def test_900_of_1000_messages_that_vanish_from_the_store_after_their_delivery_are_lost() -> None:
    story = Story()
    story.last_read(story.stored[:100])
    word, [problem] = convicted(story.seen())
    assert word is Word.LOST
    assert problem.startswith(f"{len(story.stored) - 100} lost (acknowledged, never delivered), such as channel/pub-0/")


def test_a_message_that_the_store_holds_twice_is_found_by_the_last_read() -> None:
    story = Story()
    story.last_read([*story.stored, story.stored[10]])
    word, [problem] = convicted(story.seen())
    assert (word, "1 duplicated" in problem) == (Word.LOST, True)


def test_two_messages_that_changed_places_in_the_store_are_found_by_the_last_read() -> None:
    story = Story()
    changed = list(story.stored)
    changed[100], changed[102] = changed[102], changed[100]
    story.last_read(changed)
    word, problems = convicted(story.seen())
    assert word is Word.LOST
    assert [problem.split(" (")[0] for problem in problems] == ["1 reordered", "2 conflicting"]


def test_a_sequence_that_holds_another_message_than_was_delivered_under_it_conflicts() -> None:
    story = Story()
    story.last_read(story.stored[1:])
    _, problems = convicted(story.seen())
    assert any("conflicting" in problem for problem in problems)


def test_a_message_that_only_the_subscriber_misses_was_skipped() -> None:
    story = Story()
    story.live.seen[0][7] = 0
    word, problems = convicted(story.seen())
    assert word is Word.LOST
    assert problems == [
        "1 skipped (acknowledged and in the store, but never delivered to this subscription), such as "
        "channel/pub-0/7 to sub-0"
    ]


def test_a_durable_position_that_went_back_is_found() -> None:
    story = Story()
    story.deliver(story.live, *story.stored[0], 1)
    word, [problem] = convicted(story.seen())
    assert (word, "1 rewound" in problem) == (Word.LOST, True)


@pytest.mark.parametrize(("again", "word"), [(100, Word.OK), (101, Word.LOST)], ids=["two windows", "more"])
def test_a_durable_position_that_went_back_is_found_also_where_all_is_marked_as_redelivered(
    again: int, word: Word
) -> None:
    story = Story()
    for sequence in [*range(1, again + 1), *range(1, 50)]:
        story.deliver(story.live, *story.stored[sequence - 1], sequence, marked=True)
    assert convicted(story.seen())[0] is word
    assert bool(story.ledger.verdict().findings["rewound"].count) is (word is Word.LOST)


def test_marked_redeliveries_between_new_messages_are_no_position_that_went_back() -> None:
    story = Story()
    story.ledger.views.remove(story.live)
    live = story.ledger.view("sub-0", "channel", window=50)
    for sequence, (name, number) in enumerate(story.stored, 1):
        story.deliver(live, name, number, sequence)
        story.deliver(live, name, number, sequence, marked=True)
    assert convicted(story.seen()) == (Word.OK, [])


@pytest.mark.parametrize(("at", "word"), [(AT - 0.001, Word.LOST), (AT, Word.OK)], ids=["before the fault", "after"])
def test_what_a_queue_group_gets_twice_without_the_mark_is_excused_by_a_fault_alone(at: float, word: Word) -> None:
    story = Story()
    group = story.ledger.view("workers", "channel", ordered=False, window=100)
    for sequence, (name, number) in enumerate(story.stored, 1):
        story.deliver(group, name, number, sequence)
    name, number = story.stored[-1]
    story.ledger.deliver(group, encode("run", name, number), len(story.stored), False, at)
    judgement = judge(story.seen())
    assert judgement.word is word
    assert [problem[:8] for problem in judgement.problems] == (["1 twice "] if word is Word.LOST else [])


def test_what_may_have_been_unacknowledged_may_come_again() -> None:
    story = Story()
    sequence = len(story.stored) - 50
    story.deliver(story.live, *story.stored[sequence - 1], sequence)
    assert convicted(story.seen())[0] is Word.OK


def test_a_reading_that_did_not_end_is_unknown_even_where_it_misses_nothing() -> None:
    story = Story()
    story.last_read().unfinished = "nothing came for 25 s"
    word, [problem] = convicted(story.seen())
    assert word is Word.UNKNOWN
    assert "its reading did not end: nothing came for 25 s" in problem


def test_messages_that_changed_places_convict_even_where_they_are_marked_as_redelivered() -> None:
    story = Story()
    changed = list(story.stored)
    changed[100], changed[102] = changed[102], changed[100]
    view = story.ledger.view("last read", "channel", last=True)
    for sequence, (name, number) in enumerate(changed, 1):
        story.deliver(view, name, number, sequence, marked=True)
    _, problems = convicted(story.seen())
    assert [problem.split(" (")[0] for problem in problems] == ["1 reordered", "2 conflicting"]


def test_a_marked_redelivery_may_come_late_and_a_queue_group_in_any_order() -> None:
    story = Story()
    for sequence in (12, 10, 11):
        story.deliver(story.live, *story.stored[sequence - 1], sequence, marked=True)
    group = story.ledger.view("queue", "channel", ordered=False)
    late = story.ledger.view("late", "channel")
    for sequence, (name, number) in enumerate(story.stored, 1):
        story.deliver(late, name, number, sequence, marked=sequence in (300, 302))
    for sequence, (name, number) in reversed(list(enumerate(story.stored, 1))):
        story.deliver(group, name, number, sequence)
    assert convicted(story.seen()) == (Word.OK, [])


def test_a_queue_group_that_misses_one_message_convicts() -> None:
    story = Story()
    group = story.ledger.view("queue", "channel", ordered=False)
    for sequence, (name, number) in enumerate(story.stored, 1):
        if sequence != 200:
            story.deliver(group, name, number, sequence)
    word, [problem] = convicted(story.seen())
    assert (word, problem[:9]) == (Word.LOST, "1 skipped")


@pytest.mark.parametrize("place", [100, 700, -1], ids=["before the fault", "after it", "the very last"])
def test_one_acknowledged_message_that_the_store_has_not_is_lost_wherever_it_is(place: int) -> None:
    story = Story()
    name, number = story.stored[place]
    view = story.ledger.view("last read", "channel", last=True)
    for sequence, message in enumerate(story.stored, 1):
        if message != (name, number):
            story.deliver(view, *message, sequence)
    assert convicted(story.seen()) == (
        Word.LOST,
        [f"1 lost (acknowledged, never delivered), such as channel/{name}/{number} to last read"],
    )


def test_a_channel_that_is_gone_as_a_whole_is_lost() -> None:
    story = Story()
    story.last_read([])
    word, [problem] = convicted(story.seen())
    assert (word, problem.split(" (")[0]) == (Word.LOST, f"{len(story.stored)} lost")


@pytest.mark.parametrize(
    "harm", ["of another channel", "one byte changed", "of another run", "a number never sent", "number 0"]
)
def test_a_message_that_nobody_sent_there_convicts(harm: str) -> None:
    story = Story()
    story.ledger.track("elsewhere", "pub-9").send(100.0)
    view = story.last_read()
    payload = {
        "of another channel": encode("run", "pub-9", 1),
        "one byte changed": encode("run", "pub-0", 7).replace(b"pub-0", b"pub-1"),
        "of another run": encode("walk", "pub-0", 7),
        "a number never sent": encode("run", "pub-0", 10**6),
        "number 0": encode("run", "pub-0", 0),
    }[harm]
    story.ledger.deliver(view, payload, len(story.stored) + 1, False, 119.0)
    [problem] = judge(story.seen()).lost
    assert problem.startswith("1 unexpected ")


def unanswered(story: Story, *, retried: bool = False) -> tuple[str, int]:
    """The message during the fault whose answer never came; retried = it was sent again, and that was acknowledged."""
    track = story.tracks["pub-0"]
    number = 201
    track.codes[number - 1] = 0
    track.end(number, Outcome.UNKNOWN, 112.0)
    if retried:
        again = track.send(119.96, retry_of=number)
        track.end(again, Outcome.STORED, 119.97)
        story.stored.append(("pub-0", again))
        story.deliver(story.live, "pub-0", again, len(story.stored))
    return "pub-0", number


def test_a_message_that_was_sent_again_because_nobody_knew_may_be_there_twice() -> None:
    story = Story()
    message = unanswered(story, retried=True)
    story.stored.append(message)
    story.deliver(story.live, *message, len(story.stored))
    assert convicted(story.seen()) == (Word.OK, [])


def test_one_sending_that_was_stored_twice_convicts_even_where_its_outcome_is_unknown() -> None:
    story = Story()
    message = unanswered(story)
    story.last_read([*story.stored, message, message])
    word, [problem] = convicted(story.seen())
    assert (word, problem.split(" (")[0]) == (Word.LOST, "1 duplicated")


@pytest.mark.parametrize("delivered", [True, False], ids=["delivered before", "never delivered"])
def test_a_hole_in_the_store_convicts_though_nothing_acknowledged_is_missing(delivered: bool) -> None:
    story = Story()
    message = unanswered(story)
    view = story.ledger.view("last read", "channel", last=True)
    fresh = story.ledger.view("another", "channel")
    for place, (name, number) in enumerate(story.stored):
        for each in (view, fresh):
            story.deliver(each, name, number, place + 1 + (place >= 400))
    if delivered:
        story.deliver(fresh, *message, 401)
    story.ledger.views.remove(story.live)
    word, [problem] = convicted(story.seen())
    assert (word, problem.split(" (")[0]) == (Word.LOST, "1 vanished")
    assert problem.endswith("such as channel, sequence 401 to last read")
    view.unfinished = "it was cut off"
    assert convicted(story.seen())[0] is Word.UNKNOWN, "what was not read to its end has no holes yet"


def test_without_a_last_read_nobody_knows_what_the_store_holds() -> None:
    word, [problem] = convicted(Story().seen(unread=True))
    assert (word, "not read again" in problem) == (Word.UNKNOWN, True)


def test_with_one_channel_of_two_read_again_nobody_knows_what_the_other_holds() -> None:
    story = Story()
    other = story.ledger.track("second", "pub-9")
    for step in range(400):
        other.end(other.send(100 + step * EVERY), Outcome.STORED, 100 + step * EVERY)
    story.last_read()
    doubt = "unknown: the channel second was not read again, so nobody knows what the store holds"
    assert convicted(story.seen()) == (Word.UNKNOWN, [doubt])
    story.ledger.view("last read", "second", complete=False, last=True)
    assert convicted(story.seen()) == (Word.UNKNOWN, [doubt]), "a reading that is made again is none yet"


def test_what_the_limits_dropped_before_a_subscriber_had_it_is_not_known() -> None:
    story = Story()
    sleeper = story.ledger.view("sleeper", "channel")
    store = story.ledger.view("last read", "channel", last=True)
    for sequence, (name, number) in enumerate(story.stored, 1):
        if sequence >= 40:
            story.deliver(store, name, number, sequence)
        if sequence != 39:
            story.deliver(sleeper, name, number, sequence)
    store.first = 40
    assert convicted(story.seen()) == (
        Word.UNKNOWN,
        [
            "unknown: sleeper misses 1 acknowledged messages that the channel's limits have dropped, "
            "so nobody knows whether it skipped them"
        ],
    )
    store.first = 39
    assert convicted(story.seen())[0] is Word.LOST, "no limit dropped that one"


def test_what_the_limits_dropped_is_not_lost() -> None:
    story = Story()
    view = story.ledger.view("last read", "channel", last=True)
    for sequence, (name, number) in enumerate(story.stored, 1):
        if sequence >= 40:
            story.deliver(view, name, number, sequence)
    view.first = 40
    seen = story.seen()
    assert convicted(seen)[0] is Word.OK
    assert seen.ledger.verdict().findings["dropped"].count == 39
    view.first = 39
    assert convicted(seen)[0] is Word.LOST, "sequence 39 is missing for no reason"


def test_one_publisher_that_is_out_for_long_is_not_hidden_by_the_other() -> None:
    seen = Story(out={"pub-1": (110.0, 117.0)}).seen()
    told = describe(seen, judge(seen))
    assert told["outage"] == pytest.approx(7.05, abs=0.02)
    assert told["merged"] == pytest.approx(1.05, abs=0.02)
    assert {name.rpartition("/")[2]: round(one["outage"]) for name, one in told["publishers"].items()} == {
        "pub-0": 1,
        "pub-1": 7,
    }


def test_a_publisher_that_never_comes_back_fails_the_run() -> None:
    word, [problem] = convicted(Story(out={"pub-1": (110.0, 999.0)}).seen())
    assert word is Word.FAILED
    assert problem == "publishing did not go on after the fault: channel/pub-1 never came back"


@pytest.mark.parametrize(("until", "gone"), [(110.5, True), (114.9, True), (115.1, False)])
def test_a_publisher_that_has_no_session_any_more_never_came_back_though_it_sends_nothing(
    until: float, gone: bool
) -> None:
    story = Story(out={"pub-1": (0, 0)}, silent={"pub-1": until})
    outage = story.ledger.outages(AT)["channel/pub-1"]
    assert outage.recovered is not gone
    if gone:
        assert outage.seconds == pytest.approx(119.95 - until, abs=0.06), "until the others ended"
        assert any("channel/pub-1 never came back" in problem for problem in convicted(story.seen())[1])


def test_a_publisher_that_sends_rarely_may_end_before_the_others() -> None:
    ledger = Story().ledger
    rare = ledger.track("channel", "rare")
    for at in (100.0, 106.0, 112.0):
        rare.end(rare.send(at), Outcome.STORED, at + 0.001)
    assert ledger.outages(AT)["channel/rare"].recovered


@pytest.mark.parametrize("last", [None, 111.0, 118.9])
def test_a_subscriber_that_never_comes_back_fails_the_run(last: float | None) -> None:
    seen = Story().seen(served={"sub-0": 119.99, "worker-1": last})
    assert convicted(seen) == (Word.FAILED, ["the subscriber worker-1 never came back"])


def test_a_subscriber_that_was_served_until_a_second_before_the_end_came_back() -> None:
    seen = Story().seen()
    assert convicted(replace(seen, served={"sub-0": seen.ledger.acks()[-1] - 1.0}))[0] is Word.OK


def test_the_end_by_which_a_subscriber_has_to_be_served_is_the_very_last_acknowledgement() -> None:
    story = Story()
    track = story.tracks["pub-0"]
    number = track.send(121.5)
    track.end(number, Outcome.STORED, 121.5)
    story.stored.append(("pub-0", number))
    story.deliver(story.live, "pub-0", number, len(story.stored))
    assert convicted(story.seen(served={"sub-0": 120.2}))[0] is Word.FAILED
    assert convicted(story.seen(served={"sub-0": 120.5}))[0] is Word.OK


def test_without_any_acknowledgement_no_subscriber_can_be_told_to_be_gone() -> None:
    ledger = Ledger("run")
    track = ledger.track("channel", "pub-0")
    track.end(track.send(100.0), Outcome.UNKNOWN, 105.0)
    seen = Seen(find("kill"), 1, Injection("kill", at=AT), ledger, 0.0, served={"sub-0": None})
    assert not [problem for problem in convicted(seen)[1] if "sub-0" in problem]


def test_a_pod_that_is_new_after_the_fault_counts_its_restarts_from_zero() -> None:
    seen = Story().seen(restarts_after={"stan-9": 2})
    assert seen.restarts == {"stan-9": 2}


def test_two_servers_that_were_active_at_once_fail_the_run() -> None:
    reigns = (Reign("A", "stan-0", 99, 112), Reign("B", "stan-1", 110.9, 120))
    word, [problem] = convicted(Story().seen(reigns=reigns))
    assert (word, problem) == (Word.FAILED, "two actives at once: stan-0 and stan-1 for at least 1.10 s")


def test_two_that_were_active_at_once_for_milliseconds_fail_the_run_with_the_time() -> None:
    reigns = (Reign("A", "stan-0", 99, 110.902), Reign("B", "stan-1", 110.9, 120))
    _, [problem] = convicted(Story().seen(reigns=reigns))
    assert problem == "two actives at once: stan-0 and stan-1 for at least 0.0020 s"


def test_where_no_server_was_seen_to_be_active_nobody_knows_whether_two_were() -> None:
    nobody: Any = SimpleNamespace(pods=dict, group=SimpleNamespace(servers=list))
    quiet = replace(Story().seen(reigns=()), fault=replace(find("kill"), takeovers=(0, 0)))
    assert convicted(_ask_servers(quiet, nobody, AT, 0.0)) == (
        Word.UNKNOWN,
        ["unknown: no server was seen to be active, so nobody knows whether two were"],
    )
    assert convicted(_ask_servers(Story().seen(), nobody, AT, 0.0)) == (Word.OK, [])


@pytest.mark.parametrize(("servers", "takeovers"), [("A", 0), ("ABC", 2)])
def test_a_wrong_number_of_takeovers_fails_the_run(servers: str, takeovers: int) -> None:
    reigns = tuple(Reign(name, f"stan-{name}", 99 + 9 * n, 107 + 9 * n) for n, name in enumerate(servers))
    word, [problem] = convicted(Story().seen(reigns=reigns))
    assert (word, problem) == (Word.FAILED, f"{takeovers} takeovers, where 1 would be right")


def test_a_range_of_takeovers_is_told_as_one() -> None:
    fault = replace(find("kill"), takeovers=(2, 3))
    assert convicted(replace(Story().seen(), fault=fault))[1] == ["1 takeovers, where 2 to 3 would be right"]


def test_a_server_that_says_that_another_is_active_fails_the_run_also_in_its_previous_log() -> None:
    line = '[FTL] STREAM: ft: serverID "x" claims to be active, aborting'
    seen = Story().seen(logs={"stan-0": [(111.0, line)], "stan-1": []})
    word, [problem] = convicted(seen)
    assert (word, problem) == (Word.FAILED, f"a server ended itself on a heartbeat of another active: {line}")


BYSTANDERS: Fault = replace(find("kill"), spares_bystanders=True)


@pytest.mark.parametrize(
    ("after", "why"),
    [(3, "once more"), (1, "its pod was replaced, and its container restarted once")],
    ids=["once more", "replaced"],
)
def test_a_bystander_that_restarts_fails_the_run(after: int, why: str) -> None:
    seen = Story().seen(restarts_after={"stan-0": 1, "stan-1": after})
    assert convicted(seen)[0] is Word.OK, "not every fault spares bystanders"
    assert convicted(replace(seen, fault=BYSTANDERS)) == (
        Word.FAILED,
        ["stan-1 restarted although nothing was done to it"],
    ), why


def test_a_victim_may_restart_and_a_bystander_may_have_restarted_before() -> None:
    assert convicted(replace(Story().seen(), fault=BYSTANDERS))[0] is Word.OK


def test_what_did_not_come_back_fails_the_run() -> None:
    assert convicted(Story().seen(problem="no server took over within 120 s"))[0] is Word.FAILED


def test_what_could_not_be_found_out_makes_the_run_unknown() -> None:
    word, problems = convicted(Story().seen(unasked=["the log of stan-1 could not be read"]))
    assert (word, problems) == (Word.UNKNOWN, ["unknown: the log of stan-1 could not be read"])


def test_a_void_run_tells_its_losses_first() -> None:
    story = Story()
    story.last_read(story.stored[:-1])
    word, problems = convicted(replace(story.seen(), minimum_rate=500.0))
    assert word is Word.LOST
    assert [problem[:6] for problem in problems] == ["1 lost", "void: "]
    assert convicted(replace(Story().seen(), minimum_rate=500.0))[0] is Word.VOID


def test_a_late_acknowledgement_of_a_message_sent_before_the_fault_ends_no_outage() -> None:
    story = Story(out={"pub-0": (109.0, 117.0), "pub-1": (109.0, 117.0)})
    track = story.tracks["pub-0"]
    track.end(181, Outcome.STORED, 113.0)  # sent at 109.0, by a server that was woken
    assert story.ledger.outage(AT).seconds == pytest.approx(8.05, abs=0.02)


def test_the_record_of_a_run_is_told_in_times_since_the_fault() -> None:
    seen = Story().seen(last_read=LIVE)
    told = describe(seen, judge(seen))
    assert told["timeline"]["fault"] == 0
    assert told["timeline"]["last_ack"] == pytest.approx(-0.049)
    assert told["timeline"]["lock"] == pytest.approx(0.8)
    assert told["timeline"]["first_ack"] == pytest.approx(1.001)
    assert told["timeline"]["delivery"] == pytest.approx(1.002)
    assert (told["judgement"]["word"], told["problems"], told["last_read"]) == ("ok", [], "live")
    assert (told["takeovers"], told["restarts"]) == (1, {"stan-0": 1, "stan-1": 0})


CHANNEL = {"name": "channel", "msgs": 100, "bytes": 10_000, "first_seq": 40, "last_seq": 139}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 0),
        ({"max_msgs": 0, "max_bytes": 0, "max_age": 0}, 0),
        ({"max_msgs": 101}, 0),
        ({"max_msgs": 100}, 40),
        ({"max_bytes": 20_000}, 0),
        ({"max_bytes": 10_100}, 40),
        ({"max_age": 31 * 10**9}, 0),
        ({"max_age": 30 * 10**9}, 40),
    ],
)
def test_only_a_limit_that_is_reached_excuses_messages_that_are_gone(limits: dict[str, int], expected: int) -> None:
    assert lowest(CHANNEL, limits, 1, lasted=30.0) == expected


def test_a_channel_that_still_has_the_runs_first_message_has_to_have_all() -> None:
    assert lowest({**CHANNEL, "first_seq": 12}, {"max_msgs": 100}, 12, lasted=30.0) == 0
    assert lowest({}, {"max_msgs": 100}, 1, lasted=30.0) == 0
