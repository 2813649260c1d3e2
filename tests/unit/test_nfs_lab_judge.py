"""The judge of the NFS lab: a run with nothing wrong passes, and each thing that can be wrong with it convicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.nfs_lab.judge import FENCED, FROZEN, POWERED_OFF, THAWED, Seen, judge, measure, void
from stanft.stan.outcome import Outcome
from stanft.traffic.ledger import Ledger, encode
from stanft.traffic.verdict import Word

AT = 110.0
ACTIVE = "[INF] STREAM: Server is active"
ENDED = "lab: server ended, exit code 137"
EVENTS = (
    (90.0, "stan-0", ACTIVE),
    (AT, "lab", "fault: killed"),
    (110.5, "stan-0", ENDED),
    (112.0, "stan-1", ACTIVE),
    (130.0, "lab", "all servers restarted"),
    (132.0, "stan-1", ACTIVE),
)


def story(*, out: dict[str, tuple[float, float]] | None = None, missing: int = 0, read: bool = True) -> Ledger:
    """Two publishers from 100 s to 120 s, one message each 50 ms, out as told; and the last read without so many."""
    ledger = Ledger("run")
    tracks = [ledger.track("lab", f"beside-stan-{number}") for number in range(2)]
    stored = []
    for step in range(400):
        for track in tracks:
            at = 100 + step * 0.05
            start, end = (out or {}).get(track.publisher, (AT, 112.1))
            number = track.send(at)
            if start <= at < end:
                track.end(number, Outcome.UNKNOWN, at + 5)
            else:
                track.end(number, Outcome.STORED, at + 0.01)
                stored.append((track.publisher, number))
    if read:
        view = ledger.view("last read", "lab", last=True)
        for sequence, (name, number) in enumerate(stored[missing:], missing + 1):
            ledger.deliver(view, encode("run", name, number), sequence, False, 135.0)
    return ledger


def seen(ledger: Ledger | None = None, **changes: Any) -> Seen:
    """Everything about a run, with changes."""
    plain = Seen(
        fault="kill",
        lease=10,
        nodes=["stan-0", "stan-1"],
        active="stan-0",
        at=AT,
        stopped=120.0,
        restarted=130.0,
        ledger=ledger or story(),
        publishers={"stan-0": 0, "stan-1": 1},
        events=EVENTS,
    )
    return replace(plain, **changes)


def convicted(found: Seen) -> tuple[Word, list[str]]:
    """The word and the problems."""
    judgement = judge(found)
    return judgement.word, judgement.problems


def test_a_run_with_nothing_wrong_is_ok() -> None:
    assert convicted(seen()) == (Word.OK, [])


def test_an_acknowledged_message_that_the_last_read_misses_is_lost() -> None:
    word, [problem] = convicted(seen(story(missing=4)))
    assert (word, problem[:6]) == (Word.LOST, "4 lost")


@pytest.mark.parametrize("text", ['[FTL] STREAM: error reading file "clients.dat": EOF', "panic: runtime error"])
def test_a_server_that_does_not_start_again_on_its_store_is_damage(text: str) -> None:
    word, [problem] = convicted(seen(events=(*EVENTS, (131.0, "stan-0", text))))
    assert (word, problem) == (Word.LOST, f"store damaged: {text}")


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (129.0, "panic: claims to be active"),
        (130.0, "panic: claims to be active"),
        (131.0, "[FTL] STREAM: dial tcp 10.99.0.1: i/o timeout"),
        (131.0, "[FTL] STREAM: read tcp 10.99.0.1: i/o timeout"),
        (131.0, "[FTL] STREAM: unable to start a NATS Server on 0.0.0.0:4222"),
        (131.0, "[INF] STREAM: recovering the state"),
    ],
)
def test_what_a_server_says_before_the_restart_or_of_a_slow_computer_is_no_damage(when: float, text: str) -> None:
    assert convicted(seen(events=(*EVENTS, (when, "stan-0", text))))[0] is Word.OK


def test_service_that_does_not_come_back_by_itself_fails_the_run() -> None:
    assert convicted(seen(flowing=False)) == (Word.FAILED, ["service did not come back by itself"])


def test_an_active_that_changes_more_often_or_less_often_than_the_fault_has_right_fails_the_run() -> None:
    again = (*EVENTS, (115.0, "stan-0", ACTIVE))
    assert convicted(seen(events=again)) == (Word.FAILED, ["2 takeovers, where 1 would be right"])
    assert convicted(seen(events=again, right=(2, 2)))[0] is Word.OK
    assert convicted(seen(right=(0, 0))) == (Word.FAILED, ["1 takeovers, where 0 would be right"])
    assert convicted(seen(right=(2, 3))) == (Word.FAILED, ["1 takeovers, where 2 to 3 would be right"])


def test_a_node_without_memory_leaves_a_doubt() -> None:
    killed = "Out of memory: Killed process 87 (nats-streaming)"
    problems = [f"unknown: stan-1 has too little memory for this scene: {killed}"]
    assert convicted(seen(events=(*EVENTS, (115.0, "stan-1", killed)))) == (Word.UNKNOWN, problems)


def test_who_becomes_active_as_the_traffic_ends_is_a_takeover() -> None:
    assert seen(events=(*EVENTS, (120.0, "stan-0", ACTIVE))).takeovers == 2


@pytest.mark.parametrize("when", [AT, 120.5])
def test_who_became_active_before_the_fault_or_for_the_last_read_is_no_takeover(when: float) -> None:
    found = seen(events=(*EVENTS, (when, "stan-0", ACTIVE)))
    assert found.takeovers == 1


def test_a_publisher_that_never_comes_back_fails_the_run() -> None:
    ledger = story(out={"beside-stan-0": (AT, 999.0)})
    assert convicted(seen(ledger)) == (Word.FAILED, ["lab/beside-stan-0 never came back"])


LATE = {"acks": ((112.5, "stan-0", "guid"),)}


def test_what_the_old_active_acknowledges_after_the_takeover_fails_the_run() -> None:
    found = seen(**LATE, sent={"guid": 111.0})
    assert convicted(found) == (Word.FAILED, ["1 messages acknowledged by the old active after the takeover"])
    assert (measure(found)["acks_by_loser"], measure(found)["late_acks"]) == (1, 0)


def test_the_late_acknowledgement_of_a_message_sent_before_the_fault_is_no_harm_if_it_is_not_lost() -> None:
    found = seen(**LATE, sent={"guid": 109.0})
    assert convicted(found) == (Word.OK, [])
    assert (measure(found)["acks_by_loser"], measure(found)["late_acks"]) == (0, 1)


def test_an_acknowledgement_whose_sending_nobody_knows_is_the_losers() -> None:
    assert convicted(seen(**LATE))[0] is Word.FAILED


@pytest.mark.parametrize(
    "ack",
    [
        (111.9, "stan-0", "guid"),
        (112.5, "stan-1", "guid"),
        (120.5, "stan-0", "guid"),
        (109.0, "stan-0", "guid"),
        (AT, "stan-1", "guid"),
    ],
    ids=["before the takeover", "by the new active", "when all was over", "before the fault", "at the fault"],
)
def test_every_other_acknowledgement_is_lawful(ack: tuple[float, str, str]) -> None:
    assert convicted(seen(acks=(ack,), sent={"guid": 111.0}))[0] is Word.OK


def test_the_last_moment_of_the_traffic_and_the_first_of_the_fault_count() -> None:
    found = seen(acks=((120.0, "stan-0", "guid"),), sent={"guid": AT})
    assert convicted(found)[0] is Word.FAILED
    assert (measure(found)["acks_by_loser"], measure(found)["late_acks"]) == (1, 0)


def test_without_a_takeover_there_is_no_loser() -> None:
    events = tuple(event for event in EVENTS if event[:2] != (112.0, "stan-1") and event[0] < 130)
    assert convicted(seen(**LATE, sent={"guid": 111.0}, events=events, right=(0, 1)))[0] is Word.OK


@pytest.mark.parametrize(
    ("when", "outdated"), [(80.0, False), (92.0, False), (112.0, True), (113.0, True), (133.0, True), (141.0, False)]
)
def test_an_acknowledgement_is_the_losers_while_another_became_active_last(when: float, outdated: bool) -> None:
    found = seen(events=((91.0, "stan-1", "lab: server starts"), *EVENTS, (140.0, "stan-0", ACTIVE)))
    assert found.outdated("stan-0", when) is outdated


@pytest.mark.parametrize(("number", "others"), [(10, ""), (12, " and 2 others")])
def test_of_many_publishers_that_never_came_back_some_are_named(number: int, others: str) -> None:
    ledger = story()
    for which in range(number):
        track = ledger.track("lab", f"many-{which}")
        track.end(track.send(100.0), Outcome.STORED, 100.0)
        sequence = max(ledger.views[0].sequences) + 1
        ledger.deliver(ledger.views[0], encode("run", track.publisher, 1), sequence, False, 135.0)
    [problem] = convicted(seen(ledger))[1]
    assert problem == f"{', '.join(f'lab/many-{which}' for which in range(10))}{others} never came back"


def test_what_the_lab_could_not_do_after_the_fault_makes_the_run_unknown() -> None:
    assert convicted(seen(broken=["stan-1: no answer"])) == (Word.UNKNOWN, ["unknown: stan-1: no answer"])


def test_a_reading_that_did_not_end_is_unknown_and_its_missing_messages_are_not_lost() -> None:
    ledger = story(missing=4)
    ledger.views[0].unfinished = "nothing came for 25 s"
    word, [problem] = convicted(seen(ledger))
    assert word is Word.UNKNOWN
    assert problem == (
        "unknown: last read misses 4 acknowledged messages, and its reading did not end: nothing came for 25 s"
    )


def test_the_kept_disk_convicts_where_the_last_read_did_not_end() -> None:
    ledger = story(missing=4)
    ledger.views[0].unfinished = "nothing came for 25 s"
    alone = ledger.view("kept disk", "lab", last=True)
    for number in range(5, 10):
        ledger.deliver(alone, encode("run", "beside-stan-0", number), number, False, 200.0)
    word, problems = convicted(seen(ledger))
    assert word is Word.LOST
    assert " lost (" in problems[0]


def test_without_a_last_read_nobody_knows_what_the_store_holds() -> None:
    word, [problem] = convicted(seen(story(read=False)))
    assert (word, "not read again" in problem) == (Word.UNKNOWN, True)


def test_of_a_run_of_which_nothing_was_seen_nothing_is_known() -> None:
    word, [problem] = convicted(seen(Ledger("run"), publishers={}))
    assert (word, "not read again" in problem) == (Word.UNKNOWN, True)


def test_with_one_channel_of_two_read_again_nobody_knows_what_the_other_holds() -> None:
    ledger = story()
    quiet = ledger.track("quiet", "beside-stan-0")
    for at in (100.0, 119.5):
        quiet.end(quiet.send(at), Outcome.STORED, at)
    word, [problem] = convicted(seen(ledger))
    assert (word, "the channel quiet was not read again" in problem) == (Word.UNKNOWN, True)


def test_a_stall_after_the_fault_makes_a_slow_run_that_counts() -> None:
    found = seen(stall=("stan-1", 9.0))
    assert convicted(found)[0] is Word.OK
    assert measure(found)["slow"] == "stan-1 stood still for 9.0 s after the fault"
    assert measure(seen(stall=("stan-1", 3.0), lease=9))["slow"] == ""


@pytest.mark.parametrize(
    ("now", "stall", "why"),
    [
        (110.0, 3.0, ""),
        (110.0, 3.4, "too slow before the fault: stan-0 stood still for 3.4 s"),
        (99.0, 1.0, "no message was acknowledged before the fault"),
    ],
)
def test_a_fault_that_would_prove_nothing_is_known_before_it(now: float, stall: float, why: str) -> None:
    found = void(story(), now, ("stan-0", stall), lease=9)
    assert found == why or (why and why in found)


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        ((111.0, "stan-0", ACTIVE), 2.0),
        ((111.0, "stan-1", "[INF] STREAM: Starting in standby mode"), 2.0),
        ((AT, "stan-1", ACTIVE), 2.0),
        ((110.2, "stan-1", ACTIVE), 0.2),
    ],
    ids=["the old active again", "no active", "before the fault had begun", "a server"],
)
def test_a_takeover_is_when_another_server_becomes_active_after_the_fault(
    event: tuple[float, str, str], seconds: float
) -> None:
    assert measure(seen(events=(*EVENTS, event)))["takeover"] == seconds


@pytest.mark.parametrize(("when", "ended"), [(AT, 0.5), (109.0, 0.5), (110.25, 0.25)])
def test_the_end_of_the_old_active_is_the_first_one_after_the_fault(when: float, ended: float) -> None:
    assert measure(seen(events=(*EVENTS, (when, "stan-0", ENDED), (110.1, "stan-1", ENDED))))["ended"] == ended


def test_the_figures_of_a_run_are_told_from_the_fault_on() -> None:
    ledger = story(out={"beside-stan-0": (AT, 117.0)})
    found = measure(seen(ledger))
    assert found["takeover"] == 2.0
    assert found["ended"] == 0.5
    assert found["fenced"] is None
    assert found["outage"] == pytest.approx(7.05, abs=0.1)
    assert found["outage_rest"] == pytest.approx(2.15, abs=0.1)
    assert found["outage_merged"] == pytest.approx(2.15, abs=0.1)
    assert found["two_actives"] == 0
    assert found["events"][1] == (0.0, "lab", "fault: killed")
    assert found["lost_where"] == {"prefix": 0, "middle": 0, "postfix": 0}


def test_the_figures_of_a_run_are_told_to_the_hundredth() -> None:
    events = [(112.004, name, text) if when == 112.0 else (when, name, text) for when, name, text in EVENTS]
    found = measure(seen(events=(*events, (113.0006, "stan-1", "x")), stall=("stan-1", 1.04)))
    assert (found["takeover"], found["stall"]) == (2.0, 1.0)
    assert (3.001, "stan-1", "x") in found["events"]


def test_the_outage_of_the_rest_is_that_of_the_worst_publisher_beside_another_server() -> None:
    ledger = story(out={"beside-stan-1": (AT, 115.0)})
    third = ledger.track("lab", "beside-stan-2")
    for step in range(200):
        third.end(third.send(100 + step * 0.1), Outcome.STORED, 100 + step * 0.1)
    found = measure(seen(ledger, publishers={"stan-0": 0, "stan-1": 1, "stan-2": 2}))
    assert found["outage_rest"] == pytest.approx(5.05, abs=0.1)
    assert measure(seen(publishers={"stan-0": 0}))["outage_rest"] == 0.0


def test_a_standby_that_was_thawed_is_no_active() -> None:
    nodes = ["stan-0", "stan-1", "stan-2"]
    assert measure(seen(nodes=nodes, events=(*EVENTS, (113.0, "stan-2", THAWED))))["two_actives"] == 0.0
    events = (*EVENTS, (115.0, "stan-2", ACTIVE), (116.0, "stan-2", ENDED))
    assert measure(seen(nodes=nodes, events=events))["two_actives"] == 1.0


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ([(115.0, "stan-0", ENDED)], 3.0),
        ([(115.0, "stan-0", POWERED_OFF)], 3.0),
        ([(115.0, "stan-0", f"{FENCED}: silent")], 3.0),
        ([], 8.0),
        ([(111.0, "stan-0", FROZEN), (116.0, "stan-0", THAWED), (117.0, "stan-0", ENDED)], 1.0),
        ([(111.0, "stan-0", FROZEN), (116.0, "stan-0", THAWED)], 4.0),
        ([(111.0, "stan-0", FROZEN), (113.0, "stan-0", ENDED), (116.0, "stan-0", THAWED)], 0.0),
        ([(111.0, "stan-0", THAWED), (115.0, "stan-0", ENDED)], 3.0),
        ([(111.0, "stan-1", THAWED), (115.0, "stan-0", ENDED)], 3.0),
        (
            [(111.0, "stan-0", FROZEN), (113.0, "stan-0", THAWED), (116.0, "stan-0", THAWED), (117.0, "stan-0", ENDED)],
            4.0,
        ),
    ],
)
def test_two_actives_are_the_time_in_which_both_could_act(after: list[tuple[float, str, str]], seconds: float) -> None:
    events = [event for event in EVENTS if event[2] != ENDED]
    assert measure(seen(events=(*events, *after)))["two_actives"] == seconds
