"""The ledger's verdict on histories that are known to be good or bad: each class of finding can fail a run."""

from __future__ import annotations

import json
import math
import zlib

import pytest

from stanft.stan.outcome import Outcome
from stanft.traffic.ledger import FATAL, NOTED, Ledger, Track, View, decode, encode

RATE = 1000  # messages per second of the made-up histories


class History:
    """A made-up run: one publisher, one subscription, a message each millisecond, from time 100 s on."""

    def __init__(self, messages: int = 20) -> None:
        self.ledger = Ledger("run")
        self.track: Track = self.ledger.track("channel", "pub")
        self.view: View = self.ledger.view("sub", "channel")
        for _ in range(messages):
            self.store()

    @property
    def now(self) -> float:
        """The time of the next message."""
        return 100 + len(self.track.sent) / RATE

    def send(self, outcome: Outcome | None) -> int:
        """Send a message that ends so at once (None: never); gives its number."""
        number = self.track.send(self.now)
        if outcome is not None:
            self.track.end(number, outcome, self.now)
        return number

    def store(self) -> int:
        """Send a message that is acknowledged."""
        return self.send(Outcome.STORED)

    def deliver(self, *numbers: int, sequence: int | None = None, marked: bool = False) -> None:
        """Deliver messages, under their number as sequence if no other is given."""
        for number in numbers:
            self.ledger.deliver(self.view, encode("run", "pub", number), sequence or number, marked, self.now)

    def found(self) -> dict[str, int]:
        """What the verdict found, without the classes of which there is nothing."""
        findings = self.ledger.verdict().findings
        return {kind: finding.count for kind, finding in findings.items() if finding.count}


def test_a_run_in_which_everything_arrives_once_and_in_order_is_valid() -> None:
    history = History(20)
    history.deliver(*range(1, 21))
    verdict = history.ledger.verdict()
    assert verdict.valid
    assert verdict.passed
    assert (verdict.attempted, verdict.acknowledged, verdict.delivered) == (20, 20, 20)
    assert history.found() == {}
    assert verdict.sentence() == ("20 acknowledged of 20 sent, 20 delivered: nothing lost, duplicated or out of order")


def test_an_acknowledged_message_that_never_arrives_is_lost() -> None:
    history = History(20)
    history.deliver(*(number for number in range(1, 21) if number != 7))
    verdict = history.ledger.verdict()
    assert history.found() == {"lost": 1}
    assert verdict.findings["lost"].examples == ("channel/pub/7 to sub",)
    assert not verdict.valid
    assert "1 lost (acknowledged, never delivered), such as channel/pub/7 to sub" in verdict.sentence()


@pytest.mark.parametrize(
    ("missing", "where"),
    [((1, 2), "prefix"), ((9,), "middle"), ((19, 20), "postfix")],
    ids=["prefix", "middle", "postfix"],
)
def test_losses_are_told_apart_by_their_place(missing: tuple[int, ...], where: str) -> None:
    history = History(20)
    history.deliver(*(number for number in range(1, 21) if number not in missing))
    assert history.ledger.verdict().lost_where == {"prefix": 0, "middle": 0, "postfix": 0, where: len(missing)}


def test_when_nothing_arrives_at_all_everything_is_lost() -> None:
    history = History(20)
    assert history.found() == {"lost": 20}


def test_a_loss_shows_even_if_only_one_of_two_subscriptions_misses_the_message() -> None:
    history = History(3)
    other = history.ledger.view("other", "channel")
    history.deliver(1, 2, 3)
    for number in (1, 3):
        history.ledger.deliver(other, encode("run", "pub", number), number, False, history.now)
    assert history.ledger.verdict().findings["lost"].examples == ("channel/pub/2 to other",)


def test_a_subscription_that_began_later_cannot_lose_what_came_before() -> None:
    history = History(3)
    history.deliver(1, 2, 3)
    history.ledger.view("late", "channel", complete=False)
    assert history.ledger.verdict().valid


def test_a_message_of_another_channel_is_no_loss() -> None:
    history = History(3)
    history.deliver(1, 2, 3)
    history.ledger.view("elsewhere", "other-channel")
    assert history.ledger.verdict().valid


def test_a_message_under_two_sequence_numbers_is_duplicated() -> None:
    history = History(3)
    history.deliver(1, 2, 3)
    history.deliver(2, sequence=4)
    assert history.found() == {"duplicated": 1}
    assert not history.ledger.verdict().valid


def test_a_redelivery_with_its_mark_is_allowed() -> None:
    history = History(3)
    history.deliver(1, 2, 3)
    history.deliver(2, marked=True)
    assert history.found() == {"redelivered": 1}
    assert history.ledger.verdict().valid


def test_a_redelivery_without_its_mark_is_noted() -> None:
    history = History(3)
    history.deliver(1, 2, 3, 2)
    assert history.found() == {"repeated": 1}
    assert history.ledger.verdict().valid


def test_a_first_delivery_after_a_later_message_is_reordered() -> None:
    history = History(4)
    history.deliver(1, 3)
    history.deliver(2)
    history.deliver(4)
    assert history.found() == {"reordered": 1}
    assert not history.ledger.verdict().valid


def test_redeliveries_have_no_order() -> None:
    history = History(4)
    history.deliver(1, 3)
    history.deliver(2, marked=True)
    history.deliver(4)
    assert history.ledger.verdict().valid


def test_members_of_a_queue_group_have_no_order_between_them() -> None:
    history = History(0)
    history.view.complete = False
    history.store(), history.store()
    shared = history.ledger.view("workers", "channel", ordered=False)
    for number in (2, 1):
        history.ledger.deliver(shared, encode("run", "pub", number), number, False, history.now)
    assert history.ledger.verdict().valid


def test_a_message_that_waited_in_a_hung_server_has_no_place_in_the_order() -> None:
    history = History(2)
    late = history.send(Outcome.UNKNOWN)
    history.store()
    history.track.end(late, Outcome.STORED, history.now)
    history.deliver(1, 2)
    history.deliver(4, sequence=3)
    history.deliver(late, sequence=4)
    assert history.ledger.verdict().valid


def test_two_messages_under_one_sequence_number_conflict() -> None:
    history = History(3)
    history.deliver(1, 2)
    history.deliver(3, sequence=2)
    assert history.found() == {"conflicting": 1}
    assert not history.ledger.verdict().valid


@pytest.mark.parametrize(
    "payload",
    [
        encode("another-run", "pub", 1),
        encode("run", "stranger", 1),
        encode("run", "pub", 99),
        encode("run", "pub", 1)[:-1],
        encode("run", "pub", 1).replace(b"pub", b"bup"),
        b"",
        b"12345678 too few",
    ],
    ids=["other run", "other publisher", "never sent", "cut short", "damaged", "empty", "not ours"],
)
def test_what_nobody_sent_is_unexpected(payload: bytes) -> None:
    history = History(1)
    history.deliver(1)
    history.ledger.deliver(history.view, payload, 2, False, history.now)
    assert history.found() == {"unexpected": 1}
    assert not history.ledger.verdict().valid


@pytest.mark.parametrize("outcome", [Outcome.NOT_STORED, Outcome.REFUSED])
def test_a_delivered_message_that_was_surely_not_stored_is_contradicted(outcome: Outcome) -> None:
    history = History(1)
    number = history.send(outcome)
    history.deliver(1, number)
    assert history.found() == {"contradicted": 1}
    assert not history.ledger.verdict().valid


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, None], ids=["unknown", "pending"])
def test_a_delivered_message_without_an_acknowledgement_is_recovered(outcome: Outcome | None) -> None:
    history = History(1)
    number = history.send(outcome)
    history.deliver(1, number)
    assert history.found() == {"recovered": 1}
    assert history.ledger.verdict().valid


def test_an_unacknowledged_message_that_never_arrives_is_no_loss() -> None:
    history = History(1)
    for outcome in (Outcome.UNKNOWN, Outcome.NOT_STORED, Outcome.REFUSED, None):
        history.send(outcome)
    history.deliver(1)
    verdict = history.ledger.verdict()
    assert verdict.valid
    assert (verdict.unknown, verdict.not_stored, verdict.refused) == (2, 1, 1)


def test_a_message_acknowledged_after_all_must_arrive() -> None:
    history = History(1)
    number = history.send(Outcome.UNKNOWN)
    history.track.end(number, Outcome.STORED, history.now)
    history.deliver(1)
    assert history.found() == {"lost": 1}


def test_a_last_value_older_than_what_was_delivered_is_stale() -> None:
    history = History(3)
    history.deliver(1, 2, 3)
    history.ledger.last_value("channel", 3)
    history.ledger.last_value("other-channel", 1)
    assert history.ledger.verdict().valid
    history.ledger.last_value("channel", 2)
    assert history.found() == {"stale": 1}
    assert not history.ledger.verdict().valid


def test_every_class_of_finding_is_explained_and_counted() -> None:
    verdict = History(1).ledger.verdict()
    assert set(verdict.findings) == set(FATAL) | set(NOTED)


def test_a_resend_is_a_new_attempt_that_names_the_old_one() -> None:
    history = History(1)
    lost = history.send(Outcome.NOT_STORED)
    again = history.track.send(history.now, retry_of=lost)
    assert again == lost + 1
    assert history.track.retries == {again: lost}


# --- what the store holds afterwards, and readings that did not end ---------------------------------------------------


def test_what_the_last_read_holds_and_a_subscription_misses_was_skipped_and_what_neither_has_is_lost() -> None:
    history = History(3)
    history.deliver(1)
    store = history.ledger.view("last read", "channel", last=True)
    for number in (1, 2):
        history.ledger.deliver(store, encode("run", "pub", number), number, False, history.now)
    assert history.found() == {"skipped": 1, "lost": 2}, "3 is lost to both"


def test_another_channels_store_or_one_that_was_not_read_to_its_end_says_nothing_of_this_one() -> None:
    history = History(2)
    history.deliver(1)
    for channel, why in (("channel", "cut off"), ("other", "")):
        view = history.ledger.view("last read", channel, complete=False, last=True)
        history.ledger.deliver(view, encode("run", "pub", 2), 2, False, history.now)
        view.unfinished = why
    history.ledger.views[2].seen[0] = bytearray([0, 1, 1])
    assert history.found()["lost"] == 1


def test_what_a_reading_that_did_not_end_misses_is_a_doubt_and_no_loss() -> None:
    history = History(5)
    history.deliver(1, 2, 3)
    history.view.unfinished = "it was cut off"
    verdict = history.ledger.verdict()
    assert verdict.doubts == ("sub misses 2 acknowledged messages, and its reading did not end: it was cut off",)
    assert (verdict.valid, verdict.passed) == (True, False)
    assert verdict.sentence().endswith("unknown: " + verdict.doubts[0])
    assert verdict.lost_where == {"prefix": 0, "middle": 0, "postfix": 0}


def test_a_subscription_that_ended_early_and_misses_nothing_leaves_no_doubt_but_a_last_read_does() -> None:
    history = History(2)
    history.deliver(1, 2)
    history.view.unfinished = "it was cut off"
    assert history.ledger.verdict().passed
    history.view.last = True
    assert not history.ledger.verdict().passed


def test_a_reading_that_was_made_again_leaves_no_doubt() -> None:
    history = History(2)
    history.deliver(1, 2)
    first = history.ledger.view("last read", "channel", complete=False, last=True)
    first.unfinished = "its session was lost"
    assert history.ledger.verdict().passed


def test_an_older_message_that_the_limits_may_have_dropped_is_told_apart() -> None:
    history = History(4)
    history.deliver(1, 2, 3, 4)
    store = history.ledger.view("last read", "channel", last=True)
    for number in (3, 4):
        history.ledger.deliver(store, encode("run", "pub", number), number, False, history.now)
    store.first = 3
    assert history.found() == {"dropped": 2}
    store.first = 2
    assert history.found() == {"dropped": 1, "lost": 1}


def limited(seen: range, kept: range, *, messages: int = 10) -> History:
    """A channel whose limits dropped what is older than kept; a subscription that may miss something has seen."""
    history = History(messages)
    history.view.complete = False
    history.deliver(*seen)
    read_store(history, kept)
    return history


def keep(history: History, store: View, *places: tuple[int, int]) -> None:
    """The last read gave these messages, as (number, sequence)."""
    for number, sequence in places:
        history.ledger.deliver(store, encode("run", "pub", number), sequence, False, history.now)


def store_of(history: History, *places: tuple[int, int], first: int) -> View:
    """A last read that gave these messages; first is the lowest sequence that the limits may have left."""
    store = history.ledger.view("last read", "channel", last=True)
    keep(history, store, *places)
    store.first = first
    return store


def read_store(history: History, kept: range, *, shift: int = 0) -> View:
    """The last read of what is kept, each under its number and shift."""
    return store_of(history, *((number, number + shift) for number in kept), first=kept.start + shift)


def unanswered() -> History:
    """The first two of ten messages were read, the fourth had no answer."""
    history = History(3)
    history.view.complete = False
    history.send(Outcome.UNKNOWN)
    for _ in range(6):
        history.store()
    history.deliver(1, 2)
    return history


def test_what_nobody_read_and_the_limits_dropped_was_stored_if_its_sequences_are_all_there() -> None:
    history = limited(range(1, 4), range(7, 11))
    assert history.found() == {"dropped": 6}
    assert history.ledger.verdict().passed


def test_more_unread_messages_than_dropped_sequences_are_lost() -> None:
    """Ten are acknowledged, and the store has counted nine: 6 fell out before the limits came to it."""
    history = History(10)
    history.view.complete = False
    history.deliver(1, 2, 3)
    read_store(history, range(7, 11), shift=-1)
    assert history.found() == {"dropped": 5, "lost": 1}


def test_a_message_after_one_that_is_kept_is_lost_whatever_the_limits_dropped() -> None:
    history = History(11)
    history.view.complete = False
    store = read_store(history, range(7, 9))
    for number in (9, 10):
        history.ledger.deliver(store, encode("run", "pub", number + 1), number, False, history.now)
    verdict = history.ledger.verdict()
    assert verdict.findings["lost"].examples == ("channel/pub/9 to last read",)
    assert not verdict.valid


def test_whether_an_unread_message_was_stored_is_not_known_where_one_without_an_answer_may_have_its_place() -> None:
    history = unanswered()
    read_store(history, range(8, 11), shift=-1)
    verdict = history.ledger.verdict()
    assert (verdict.valid, verdict.passed) == (True, False)
    assert verdict.doubts == (
        "4 acknowledged messages of channel were seen by nobody, and neither was what its limits have dropped, "
        "so nobody knows whether they were stored",
    )


def test_an_unanswered_message_leaves_no_doubt_where_the_sequences_have_a_place_for_it() -> None:
    history = unanswered()
    read_store(history, range(8, 11))
    assert history.ledger.verdict().passed


def test_of_more_unread_messages_than_dropped_sequences_the_youngest_are_lost() -> None:
    """Two publishers take turns, none of whose last three messages is in the store."""
    history = History(0)
    other = history.ledger.track("channel", "other")
    history.view.complete = False
    store = history.ledger.view("last read", "channel", last=True)
    for number in range(1, 5):
        other.end(other.send(100 + number / 10), Outcome.STORED, 100 + number / 10)
        history.track.end(history.track.send(100.05 + number / 10), Outcome.STORED, 100.05 + number / 10)
    store.first = 6
    found = history.ledger.verdict().findings
    assert found["lost"].examples == (
        "channel/pub/3 to last read",
        "channel/pub/4 to last read",
        "channel/other/4 to last read",
    )
    assert found["dropped"].count == 5


def test_a_message_of_another_channel_takes_no_place_in_this_one() -> None:
    history = limited(range(1, 4), range(7, 11))
    elsewhere = history.ledger.track("elsewhere", "pub")
    for outcome in (Outcome.STORED, Outcome.UNKNOWN):
        elsewhere.end(elsewhere.send(99.0), outcome, 99.0)
    assert history.found() == {"dropped": 6}
    assert history.ledger.verdict().passed


def test_a_message_without_an_answer_that_was_sent_after_one_that_is_kept_had_no_place_below_it() -> None:
    history = History(10)
    history.view.complete = False
    history.send(Outcome.UNKNOWN)
    read_store(history, range(4, 11))
    assert history.found() == {"dropped": 3}
    assert history.ledger.verdict().passed


def test_a_message_that_a_hung_server_stored_late_says_nothing_of_those_sent_after_it() -> None:
    history = History(2)
    history.view.complete = False
    late = history.send(Outcome.UNKNOWN)
    history.track.end(late, Outcome.STORED, history.now)
    history.store()
    store = history.ledger.view("last read", "channel", last=True)
    history.ledger.deliver(store, encode("run", "pub", late), 4, False, history.now)
    store.first = 4
    assert history.found() == {"dropped": 3}


def test_the_store_that_was_read_furthest_back_says_where_the_run_begins() -> None:
    history = History(10)
    history.view.complete = False
    for begins in (101, 104):
        read_store(history, range(8, 11), shift=100).begins = begins
    assert history.found() == {"dropped": 14}


def test_sequences_from_before_the_run_are_no_places_for_its_messages() -> None:
    history = History(10)
    history.view.complete = False
    store = read_store(history, range(8, 11), shift=100)
    store.begins = 101
    assert history.found() == {"dropped": 7}
    store.begins = 102
    assert history.found() == {"dropped": 6, "lost": 1}


def test_a_subscription_that_must_see_everything_may_have_skipped_what_nobody_read() -> None:
    history = limited(range(1, 4), range(7, 11))
    history.view.complete = True
    history.deliver(*range(7, 11))
    assert history.ledger.verdict().doubts == (
        "sub misses 3 acknowledged messages that the channel's limits have dropped, "
        "so nobody knows whether it skipped them",
    )


@pytest.mark.parametrize(
    ("sequence", "marked", "kind"),
    [(9, False, "rewound"), (10, False, "repeated"), (9, True, "redelivered")],
)
def test_a_durable_position_may_go_back_by_what_can_be_unacknowledged(sequence: int, marked: bool, kind: str) -> None:
    history = History(20)
    history.view.window = 10
    history.deliver(*range(1, 21))
    history.deliver(sequence, marked=marked)
    assert history.found() == {kind: 1}


def test_where_the_position_does_not_matter_nothing_goes_back() -> None:
    history = History(20)
    history.deliver(*range(1, 21))
    history.deliver(1)
    assert history.found() == {"repeated": 1}


def test_one_sequence_that_held_two_messages_is_found_across_subscriptions_of_a_channel() -> None:
    history = History(2)
    history.deliver(1, 2)
    other = history.ledger.view("other", "channel", complete=False)
    elsewhere = history.ledger.view("elsewhere", "other-channel", complete=False)
    history.ledger.deliver(other, encode("run", "pub", 2), 1, False, history.now)
    assert history.found() == {"conflicting": 1}
    history.ledger.deliver(elsewhere, encode("run", "pub", 2), 1, False, history.now)
    assert history.found() == {"conflicting": 1, "unexpected": 1}


# --- outage -------------------------------------------------------------------------------------------------------


def acknowledged(*times: float, until: float | None = None) -> Ledger:
    """A run whose acknowledgements came at these times, and that sent its last message at until."""
    ledger = Ledger("run")
    track = ledger.track("channel", "pub")
    for at in times:
        track.end(track.send(at - 0.001), Outcome.STORED, at)
    if until is not None:
        track.send(until)
    return ledger


@pytest.mark.parametrize(("others_until", "recovered"), [(152.4, True), (152.6, False)])
def test_who_sends_rarely_may_end_three_of_its_pauses_before_the_others(others_until: float, recovered: bool) -> None:
    """Four messages in 30 s: it may be silent for 22.5 s after the last one."""
    ledger = acknowledged(100.001, 110.001, 120.001, 130.001)
    busy = ledger.track("channel", "busy")
    busy.end(busy.send(others_until), Outcome.STORED, others_until)
    assert ledger.outage(115.0, tracks=[ledger.tracks[0]]).recovered is recovered


def test_an_acknowledgement_at_the_end_of_what_is_looked_at_ends_the_outage() -> None:
    ledger = acknowledged(1.0, 3.0, until=99.0)
    assert ledger.outage(2.0, 3.0).recovered
    assert not ledger.outage(2.0, 3.5).recovered


def test_a_gap_as_long_as_the_shortest_that_is_listed_is_listed() -> None:
    assert acknowledged(1.0, 1.5, 1.75).outage(1.0, threshold=0.5).gaps == ((1.0, 0.5),)


def test_traffic_that_began_late_is_measured_from_its_beginning() -> None:
    ledger = acknowledged(*(9.0 + number / 600 for number in range(600)))
    assert ledger.too_quiet(10.0) == ""


def test_as_much_traffic_as_is_needed_is_enough() -> None:
    ledger = acknowledged(*(number / 2 for number in range(20)))
    assert ledger.too_quiet(10.0, minimum=2.0) == ""
    assert (
        ledger.too_quiet(10.0, minimum=2.1)
        == "2 acknowledged messages per second before the fault, at least 2 are needed"
    )


def test_of_a_run_without_traffic_the_store_is_what_nobody_read() -> None:
    ledger = Ledger("run")
    assert ledger.unread() == ["the store was not read again, so nobody knows what the store holds"]
    ledger.view("last read", "channel", last=True)
    assert ledger.unread() == []
    assert acknowledged(1.0).unread() == [
        "the channel channel was not read again, so nobody knows what the store holds"
    ]


def test_the_outage_is_the_longest_gap_after_the_fault() -> None:
    outage = acknowledged(1.0, 3.0, 3.1, 3.2, 4.4, 4.5, 4.7).outage(3.2)
    assert outage.seconds == pytest.approx(1.2)
    assert (outage.last_ack, outage.first_ack, outage.recovered) == (3.2, 4.4, True)


def test_acknowledgements_still_on_their_way_at_the_fault_end_before_the_outage_begins() -> None:
    outage = acknowledged(2.9, 3.0, 3.05, 4.0).outage(3.0)
    assert outage.seconds == pytest.approx(0.95)
    assert outage.last_ack == 3.05


def test_each_notable_gap_is_listed_and_summed_up() -> None:
    outage = acknowledged(1.0, 1.1, 2.0, 2.05, 2.6, 2.61).outage(1.1)
    assert [start for start, _ in outage.gaps] == [1.1, 2.05]
    assert outage.total == pytest.approx(0.9 + 0.55)


def test_the_outage_of_one_fault_ends_where_the_next_begins() -> None:
    ledger = acknowledged(1.0, 1.5, 1.6, 4.6)
    assert ledger.outage(1.0, until=1.55).seconds == pytest.approx(0.5)
    assert ledger.outage(1.55).seconds == pytest.approx(3.0)


def test_publishing_that_never_goes_on_is_an_outage_to_the_end_of_the_run() -> None:
    outage = acknowledged(1.0, 2.0, until=9.0).outage(2.0)
    assert not outage.recovered
    assert outage.first_ack is None
    assert outage.seconds == pytest.approx(7.0)


def test_acknowledgements_just_after_the_fault_do_not_hide_that_publishing_never_went_on() -> None:
    outage = acknowledged(1.0, 2.0, 2.01, until=5.0).outage(2.0)
    assert not outage.recovered
    assert (outage.last_ack, outage.first_ack) == (2.01, None)
    assert outage.seconds == pytest.approx(2.99)


def test_a_last_message_without_its_answer_is_no_outage() -> None:
    assert acknowledged(1.0, 2.0, 3.0, until=3.01).outage(2.0).recovered


def test_an_answer_may_be_on_its_way_for_two_seconds_at_the_end() -> None:
    assert acknowledged(1.0, 2.0, 3.0, until=5.0).outage(2.0).recovered
    assert not acknowledged(1.0, 2.0, 3.0, until=5.01).outage(2.0).recovered


def test_an_outage_after_the_next_fault_does_not_count_for_this_one() -> None:
    outage = acknowledged(1.0, 1.5, 2.0, 2.5, until=9.0).outage(1.0, until=2.0)
    assert outage.recovered
    assert outage.seconds == pytest.approx(0.5)


@pytest.mark.parametrize(("sent", "ends"), [(1.9, False), (2.0, False), (2.1, True)])
def test_only_a_message_sent_after_the_fault_ends_an_outage(sent: float, ends: bool) -> None:
    ledger = acknowledged(1.0, 2.0)
    track = ledger.tracks[0]
    track.end(track.send(sent), Outcome.STORED, 4.0)
    track.end(track.send(8.0), Outcome.STORED, 9.0)
    assert ledger.outage(2.0).seconds == pytest.approx(5.0 if ends else 7.0)


def test_each_publisher_has_an_outage_of_its_own() -> None:
    ledger = acknowledged(1.0, 4.0)
    busy = ledger.track("channel", "busy")
    for at in (1.0, 2.0, 3.0, 4.0):
        busy.end(busy.send(at - 0.001), Outcome.STORED, at)
    found = {name: outage.seconds for name, outage in ledger.outages(1.0).items()}
    assert found == {"channel/pub": pytest.approx(3.0), "channel/busy": pytest.approx(1.0)}


def test_a_run_without_any_acknowledgement_is_an_outage_from_the_fault_on() -> None:
    outage = acknowledged(until=6.0).outage(2.0)
    assert not outage.recovered
    assert outage.seconds == pytest.approx(4.0)


def test_the_outage_of_one_publisher_is_not_hidden_by_another() -> None:
    ledger = acknowledged(1.0, 4.0)
    busy = ledger.track("channel", "busy")
    for at in (1.0, 2.0, 3.0, 4.0):
        busy.end(busy.send(at), Outcome.STORED, at)
    assert ledger.outage(1.0).seconds == pytest.approx(1.0)
    assert ledger.outage(1.0, tracks=[ledger.tracks[0]]).seconds == pytest.approx(3.0)


# --- figures ---------------------------------------------------------------------------------------------------


def test_a_rate_counts_from_its_start_to_just_before_its_end() -> None:
    assert acknowledged(1.0, 2.0, 3.0, 3.5, 4.0, 5.0).rate(2.0, 4.0) == pytest.approx(1.5)


def test_the_course_of_a_run_begins_with_its_first_acknowledgement() -> None:
    course = acknowledged(1.0, 1.0625, 1.3125).throughput(width=0.125)
    assert course == [(1.0, 16.0), (1.125, 0.0), (1.25, 8.0)]
    assert acknowledged().throughput() == []


def test_a_latency_is_that_of_the_acknowledged_messages_sent_in_its_time() -> None:
    ledger = Ledger("run")
    track = ledger.track("channel", "pub")
    for sent, took, outcome in (
        (0.5, 50.0, Outcome.STORED),  # too early
        (1.0, 1.0, Outcome.STORED),
        (2.0, 3.0, Outcome.STORED),
        (3.0, 2.0, Outcome.STORED),
        (3.5, 40.0, Outcome.UNKNOWN),
        (4.0, 60.0, Outcome.STORED),  # too late
    ):
        track.end(track.send(sent), outcome, sent + took)
    assert ledger.latency(1.0, 4.0) == {"p50": 2.0, "p99": 3.0, "max": 3.0}
    assert ledger.latency(10.0, 11.0) == {}


def test_of_many_latencies_p99_is_not_the_longest() -> None:
    ledger = Ledger("run")
    track = ledger.track("channel", "pub")
    for took in range(1, 201):
        track.end(track.send(0.0), Outcome.STORED, float(took))
    assert ledger.latency() == {"p50": 101.0, "p99": 199.0, "max": 200.0}


# --- enough traffic -----------------------------------------------------------------------------------------------


def test_a_run_with_too_little_traffic_before_the_fault_is_void() -> None:
    ledger = acknowledged(*(10 + number / 100 for number in range(500)))
    verdict = ledger.verdict(fault=15.0)
    assert verdict.void == "100 acknowledged messages per second before the fault, at least 500 are needed"
    assert not verdict.passed
    assert "void: 100 acknowledged messages per second" in verdict.sentence()


def test_a_run_with_enough_traffic_before_the_fault_counts() -> None:
    ledger = acknowledged(*(10 + number / 600 for number in range(3000)))
    assert ledger.verdict(fault=15.0).void == ""
    assert ledger.verdict(fault=15.0, minimum_rate=700).void != ""


def test_a_run_with_no_acknowledgement_before_the_fault_is_void() -> None:
    assert acknowledged(5.0).verdict(fault=5.0).void == "no message was acknowledged before the fault"
    assert acknowledged(5.0).verdict(fault=4.0).void == "no message was acknowledged before the fault"


# --- figures ------------------------------------------------------------------------------------------------------


def test_throughput_shows_the_hole_that_a_fault_makes() -> None:
    times = [1 + number / 100 for number in range(50)] + [3 + number / 100 for number in range(50)]
    rates = dict(acknowledged(*times).throughput(width=0.5))
    assert list(rates.values()) == pytest.approx([100, 0, 0, 0, 100], abs=3)


def test_throughput_of_an_empty_run_is_empty() -> None:
    assert Ledger("run").throughput() == []


def test_latency_is_from_sending_to_acknowledgement() -> None:
    ledger = Ledger("run")
    assert ledger.latency() == {}
    track = ledger.track("channel", "pub")
    for number in range(1, 101):
        track.end(track.send(10.0), Outcome.STORED, 10 + number / 1000)
    latency = ledger.latency()
    assert latency == {"p50": pytest.approx(0.051), "p99": pytest.approx(0.1), "max": pytest.approx(0.1)}
    assert ledger.latency(end=10.0) == {}


def test_missing_counts_down_to_nothing_as_deliveries_come() -> None:
    history = History(5)
    history.deliver(1, 2, 3)
    assert history.ledger.missing(history.view) == 2
    history.deliver(4, 5)
    assert history.ledger.missing(history.view) == 0


def test_only_what_was_acknowledged_is_missing_however_far_the_deliveries_are_behind() -> None:
    history = History(1025)
    history.deliver(1)
    assert history.ledger.missing(history.view) == 1024
    history.deliver(1025)
    history.send(Outcome.UNKNOWN)
    assert history.ledger.missing(history.view) == 1023


# --- keeping ------------------------------------------------------------------------------------------------------


def test_a_kept_ledger_is_judged_the_same_again() -> None:
    history = History(30)
    history.track.send(history.now)
    late = history.send(Outcome.UNKNOWN)
    history.track.end(late, Outcome.STORED, history.now)
    history.track.end(history.track.send(history.now, retry_of=2), Outcome.REFUSED, history.now, "no room")
    history.deliver(*range(1, 20))
    history.deliver(5, marked=True)
    history.ledger.deliver(history.view, b"junk", 40, False, history.now)
    history.ledger.mark("fault", 100.01)
    history.ledger.last_value("channel", 19)

    store = history.ledger.view("last read", "channel", complete=False, ordered=False, window=7, last=True)
    store.unfinished, store.begins, store.first = "it was cut off", 2, 3

    copy = Ledger.from_dict(json.loads(json.dumps(history.ledger.to_dict())))

    kept = copy.views[1]
    assert (kept.complete, kept.ordered, kept.window, kept.last) == (False, False, 7, True)
    assert (kept.unfinished, kept.begins, kept.first) == ("it was cut off", 2, 3)

    assert copy.verdict() == history.ledger.verdict()
    assert copy.to_dict() == history.ledger.to_dict()
    assert copy.marks == [("fault", 100.01)]
    assert copy.outage(100.01).seconds == pytest.approx(history.ledger.outage(100.01).seconds, abs=1e-5)


def test_a_run_that_was_kept_before_its_beginning_was_told_began_with_the_channel() -> None:
    data = History(1).ledger.to_dict()
    del data["views"][0]["begins"]
    assert Ledger.from_dict(data).views[0].begins == 1


def test_verdict_and_outage_are_plain_data() -> None:
    history = History(3)
    history.deliver(1, 2)
    verdict = json.loads(json.dumps(history.ledger.verdict().to_dict()))
    assert verdict["findings"]["lost"] == {"count": 1, "examples": ["channel/pub/3 to sub"]}
    assert (verdict["valid"], verdict["passed"]) == (False, False)
    assert json.loads(json.dumps(history.ledger.outage(100.0).to_dict()))["recovered"] is True


@pytest.mark.parametrize("size", [0, 40, 128, 1024])
def test_a_payload_tells_who_sent_it_and_has_the_size_asked_for(size: int) -> None:
    payload = encode("run-1", "pub-3", 42, size)
    assert decode(payload) == ("run-1", "pub-3", 42)
    assert len(payload) == max(size, len(encode("run-1", "pub-3", 42)))


def test_times_stay_apart_to_the_microsecond() -> None:
    ledger = acknowledged(1.0000001, 1.0000021)
    ended = ledger.to_dict()["tracks"][0]["ended"]
    assert ended == [1.0, 1.000002]
    assert not any(math.isnan(at) for at in ended)


@pytest.mark.parametrize("body", [b"run", b"run pub 1", b"run pub 1 . .", b""])
def test_a_payload_of_other_parts_is_none_of_ours_though_its_checksum_is_right(body: bytes) -> None:
    assert decode(b"%08x " % zlib.crc32(body) + body) is None


def test_each_error_is_counted_with_the_attempts_that_it_ended() -> None:
    track = Track("channel", "pub")
    for error in ("no responders", "", "no responders", "connection lost"):
        track.end(track.send(1.0), Outcome.UNKNOWN, 2.0, error)
    assert track.errors == {"no responders": 2, "connection lost": 1}


def test_a_message_without_an_answer_is_recovered_if_one_of_several_subscriptions_had_it() -> None:
    history = History(0)
    history.view.complete = False
    history.send(Outcome.UNKNOWN)
    history.deliver(1)
    history.ledger.view("other", "channel", complete=False)
    assert history.found() == {"recovered": 1}


def test_the_last_value_is_compared_with_the_newest_that_any_subscription_of_the_channel_had() -> None:
    history = History(20)
    history.deliver(*range(1, 21))
    other = history.ledger.view("other", "channel", complete=False)
    history.ledger.deliver(other, encode("run", "pub", 1), 1, False, history.now)
    history.ledger.view("elsewhere", "other-channel", complete=False)
    history.ledger.last_value("channel", 20)
    history.ledger.last_value("other-channel", 0)
    assert history.found() == {}
    history.ledger.last_value("channel", 19)
    assert history.found() == {"stale": 1}


def test_what_was_delivered_is_what_the_subscription_got_that_got_most() -> None:
    assert Ledger("run").verdict().delivered == 0
    history = History(5)
    history.deliver(*range(1, 6))
    history.ledger.view("other", "channel", complete=False)
    assert history.ledger.verdict().delivered == 5


# --- edges that only a store and a subscription together show


def test_what_is_none_of_ours_conflicts_with_nothing() -> None:
    history = History(2)
    history.ledger.deliver(history.view, b"somebody else's", 1, False, history.now)
    history.deliver(1, 2)
    assert history.found() == {"unexpected": 1}


def test_what_came_again_from_the_newest_message_back_is_counted_from_the_newest_on() -> None:
    history = History(20)
    history.view.window = 1
    history.deliver(*range(1, 21))
    history.deliver(20, 19, 18, marked=True)
    assert history.found() == {"redelivered": 2, "rewound": 1}


def test_a_hole_at_an_acknowledged_message_is_a_loss_and_nothing_else() -> None:
    history = History(3)
    history.send(Outcome.UNKNOWN)
    history.deliver(1, 2, 3, 4)
    store_of(history, (1, 1), (3, 3), (4, 4), first=0)
    assert history.found() == {"lost": 1, "recovered": 1}


def test_of_a_reading_that_did_not_end_what_limits_dropped_is_not_missing() -> None:
    history = History(4)
    history.deliver(1, 2, 3, 4)
    store_of(history, (4, 4), first=3).unfinished = "it was cut off"
    verdict = history.ledger.verdict()
    assert verdict.findings["dropped"].count == 2
    assert verdict.doubts == ("last read misses 1 acknowledged messages, and its reading did not end: it was cut off",)


def test_each_store_owes_what_lies_above_its_own_lowest_sequence() -> None:
    history = History(6)
    history.deliver(*range(1, 7))
    store_of(history, (3, 3), (5, 5), (6, 6), first=3)
    store_of(history, (5, 5), (6, 6), first=5)
    assert history.found() == {"dropped": 6, "lost": 1}


def test_a_subscription_may_have_missed_what_any_of_the_stores_had_dropped() -> None:
    history = History(6)
    history.deliver(1, 2, 3, 5, 6)
    for first in (3, 5):
        store_of(history, *((number, number) for number in range(5, 7)), first=first)
    other = history.ledger.view("other", "channel", complete=False)
    keep(history, other, (4, 4))
    assert history.ledger.verdict().doubts[0].startswith("sub misses 1 acknowledged messages that the channel's limits")


def test_the_lowest_sequence_that_limits_left_is_owed_to_store_and_subscription() -> None:
    history = History(4)
    history.deliver(1, 2, 4)
    other = history.ledger.view("other", "channel", complete=False)
    keep(history, other, (3, 3))
    store_of(history, (4, 4), first=3)
    assert history.found() == {"dropped": 2, "lost": 2}


def test_an_unread_message_without_a_place_is_lost_to_store_and_subscription() -> None:
    history = History(10)
    history.deliver(1, 2, 3)
    store_of(history, *((number, number - 1) for number in range(7, 11)), first=6)
    history.deliver(*range(7, 11), sequence=None)
    assert history.found()["lost"] == 2


def test_a_message_that_two_readings_miss_is_one_lost_message() -> None:
    history = History(4)
    history.view.complete = False
    for _ in range(2):
        store_of(history, (1, 1), (2, 2), (4, 4), first=0)
    verdict = history.ledger.verdict()
    assert (verdict.findings["lost"].count, verdict.lost) == (2, 1)


def test_where_nothing_came_at_all_everything_is_lost_from_the_beginning() -> None:
    history = History(3)
    assert history.ledger.verdict().lost_where == {"prefix": 3, "middle": 0, "postfix": 0}


def test_what_was_sent_after_the_oldest_that_is_kept_has_no_place_below_it() -> None:
    history = History(2)
    history.view.complete = False
    history.send(Outcome.UNKNOWN)
    for _ in range(5):
        history.store()
    store_of(history, (7, 7), first=7)
    verdict = history.ledger.verdict()
    assert verdict.findings["dropped"].count == 5
    assert verdict.findings["lost"].examples == ("channel/pub/8 to last read",)


def test_the_first_message_of_a_channel_may_be_what_the_limits_dropped() -> None:
    history = History(4)
    history.deliver(2, 3, 4)
    keep(history, history.ledger.view("other", "channel", complete=False), (1, 1))
    store_of(history, (3, 3), (4, 4), first=3)
    verdict = history.ledger.verdict()
    assert (verdict.valid, len(verdict.doubts)) == (True, 1)


def test_a_place_that_was_somebody_elses_leaves_no_doubt_where_nothing_of_ours_is_missing() -> None:
    history = History(3)
    history.view.complete = False
    history.deliver(1, 2)
    store_of(history, (3, 4), first=4)
    assert history.ledger.verdict().passed


def test_a_message_beyond_what_was_ever_delivered_is_missing() -> None:
    history = History(1100)
    history.deliver(1)
    assert history.found() == {"lost": 1099}


def test_the_rate_counts_from_the_first_acknowledgement_on() -> None:
    assert acknowledged(9.0, 9.9).too_quiet(10.0, minimum=3.0).startswith("2 acknowledged messages per second")


@pytest.mark.parametrize("cut", ["marks", "numbers"])
def test_a_kept_run_of_which_a_part_is_missing_is_not_judged(cut: str) -> None:
    history = History(3)
    history.deliver(1, 2, 3)
    data = history.ledger.to_dict()
    data["views"][0][cut].pop()
    with pytest.raises(ValueError, match="zip"):
        Ledger.from_dict(data).verdict()


def test_a_message_without_an_answer_that_is_kept_says_nothing_of_those_sent_after_it() -> None:
    history = History(2)
    history.view.complete = False
    kept = history.send(Outcome.UNKNOWN)
    history.store()
    store_of(history, (kept, 8), first=4)
    assert history.found() == {"dropped": 3, "recovered": 1}


def test_a_message_without_an_answer_that_was_seen_has_its_place() -> None:
    history = History(1)
    history.view.complete = False
    history.send(Outcome.UNKNOWN)
    history.store()
    history.store()
    history.deliver(2)
    store_of(history, (4, 4), first=4)
    assert history.found() == {"dropped": 2, "recovered": 1}
    assert history.ledger.verdict().passed
