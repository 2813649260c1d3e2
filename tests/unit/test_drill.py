"""A drill's own reasoning: two actives and the time with none, parts of a takeover, figures, what is asked for."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import exit_code
from hypothesis import given
from hypothesis import strategies as st

from stanft import drill, faults
from stanft.cli import drill as cli
from stanft.drill import server_log
from stanft.drill.reach import Place
from stanft.drill.run import Settings
from stanft.drill.statistics import figures, missed, outages, percentile
from stanft.drill.watch import Reign, Watch, two_actives, without_active
from stanft.ground import wait
from stanft.ground.errors import UserError
from stanft.ground.textfile import write
from stanft.words import ACTIVE, STANDBY

NOWHERE: Any = None


def watch() -> Watch:
    """A watch that nothing feeds but the test."""
    return Watch(NOWHERE, NOWHERE)


def reign(server: str, first: float, last: float) -> Reign:
    """A process that was provably active from first to last."""
    return Reign(server, f"pod-{server}", first, last)


def test_two_servers_that_claim_to_be_active_in_turns_were_active_at_once() -> None:
    seen = watch()
    for second, (pod, server) in enumerate([("stan-0", "A"), ("stan-1", "B"), ("stan-0", "A"), ("stan-1", "B")]):
        seen.note(pod, ACTIVE, server, asked=second, answered=second + 0.1)
    [(one, other, seconds)] = two_actives(seen.ordered())
    assert {one, other} == {"stan-0", "stan-1"}
    assert seconds == pytest.approx(0.9), "from B's first answer to A's last question"


def test_a_takeover_there_and_back_is_no_case_of_two_actives() -> None:
    seen = watch()
    for second, (pod, server) in enumerate([("stan-0", "A"), ("stan-1", "B"), ("stan-0", "A restarted")]):
        seen.note(pod, ACTIVE, server, asked=second, answered=second + 0.1)
    assert two_actives(seen.ordered()) == []
    assert [one.pod for one in seen.ordered()] == ["stan-0", "stan-1", "stan-0"]


def test_an_answer_that_was_slow_to_come_does_not_prove_two_actives() -> None:
    seen = watch()
    seen.note("stan-0", ACTIVE, "A", asked=0, answered=0.1)
    seen.note("stan-0", ACTIVE, "A", asked=1, answered=5)  # asked before B, answered after: A may have died at 1.1
    seen.note("stan-1", ACTIVE, "B", asked=2, answered=2.1)
    assert two_actives(seen.ordered()) == []


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted), min_size=2, max_size=5),
)
def test_two_actives_are_found_exactly_where_stretches_overlap(stretches: list[list[float]]) -> None:
    reigns = [reign(str(number), first, last) for number, (first, last) in enumerate(stretches)]
    expected = sum(
        max(one[0], other[0]) < min(one[1], other[1])
        for number, one in enumerate(stretches)
        for other in stretches[number + 1 :]
    )
    assert len(two_actives(reigns)) == expected


def test_the_time_without_an_active_is_what_lies_between_reigns() -> None:
    assert without_active([reign("B", 12.5, 20), reign("A", 0, 10), reign("C", 21, 30)]) == pytest.approx(3.5)
    assert without_active([reign("A", 0, 10), reign("B", 5, 20)]) == 0


def test_a_server_that_changes_its_answer_is_noted_once_per_change() -> None:
    seen = watch()
    for second, state in enumerate([STANDBY, STANDBY, ACTIVE, ACTIVE, ""]):
        seen.note("stan-0", state, "A", asked=second, answered=second)
    assert [(change.at, change.state) for change in seen.changes] == [(0, STANDBY), (2, ACTIVE), (4, "")]


def test_a_watch_follows_a_pod_to_its_new_address_and_tells_the_clients() -> None:
    where = [Place("stan-0", "10.0.0.1")]
    moves: list[list[Place]] = []
    moved_twice = threading.Event()

    class Answers:
        description = "a play"
        period = 0.01

        def monitor(self, place: Place, _path: str, _timeout: float) -> dict[str, Any]:
            return {"state": ACTIVE, "server_id": place.ip}

    def moved(found: list[Place]) -> None:
        moves.append(list(found))
        if len(moves) == 2:
            moved_twice.set()

    answers: Any = Answers()
    with Watch(NOWHERE, answers, find=lambda: list(where), moved=moved) as seen:
        where[:] = [Place("stan-0", "10.0.0.2")]
        assert moved_twice.wait(10)
        assert seen.wait_successor(1, 10) is not None
    assert [one.server for one in seen.ordered()] == ["10.0.0.1", "10.0.0.2"]
    assert moves == [[Place("stan-0", "10.0.0.1")], [Place("stan-0", "10.0.0.2")]]


def test_a_watch_asks_a_server_again_that_did_not_answer_and_nobody_under_an_address_that_was_left() -> None:
    where = [Place("stan-0", "10.0.0.1")]
    answers: dict[str, Any] = {"10.0.0.1": None}
    asked: list[str] = []
    moved = threading.Event()

    def monitor(place: Place, _path: str, _timeout: float) -> dict[str, Any] | None:
        asked.append(place.ip)
        return answers[place.ip]

    way: Any = SimpleNamespace(period=0.01, monitor=monitor)
    with Watch(NOWHERE, way, find=lambda: list(where), moved=lambda found: found == where and moved.set()) as seen:
        assert wait.happens(lambda: seen.changes, 10)
        answers |= {"10.0.0.1": {"state": ACTIVE, "server_id": "A"}, "10.0.0.2": {"state": STANDBY, "server_id": "B"}}
        assert seen.wait_successor(0, 10) is not None
        moved.clear()
        where[:] = [Place("stan-0", "10.0.0.2")]
        assert moved.wait(10)
        assert wait.happens(lambda: asked[-5:] == ["10.0.0.2"] * 5, 10)
    assert [one.state for one in seen.changes[:2]] == ["", ACTIVE]


def test_a_watch_asks_a_server_once_in_its_period() -> None:
    asked: list[str] = []

    def monitor(place: Place, _path: str, _timeout: float) -> dict[str, Any]:
        asked.append(place.ip)
        return {"state": ACTIVE, "server_id": "A"}

    way: Any = SimpleNamespace(period=60.0, monitor=monitor)
    with Watch(NOWHERE, way, find=lambda: [Place("stan-0", "10.0.0.1")]) as seen:
        assert seen.wait_successor(0, 10) is not None
        time.sleep(0.2)
    assert asked == ["10.0.0.1"]


def test_a_watch_waits_for_the_rest_of_a_period_after_a_slow_answer() -> None:
    asked: list[float] = []

    def monitor(_place: Place, _path: str, _timeout: float) -> dict[str, Any]:
        asked.append(time.monotonic())
        time.sleep(0.2)
        return {"state": ACTIVE, "server_id": "A"}

    way: Any = SimpleNamespace(period=0.3, monitor=monitor)
    with Watch(NOWHERE, way, find=lambda: [Place("stan-0", "10.0.0.1")]):
        assert wait.happens(lambda: len(asked) > 5, 30)
    # A busy machine makes some of them longer, none of them shorter.
    shortest = min(after - before for before, after in itertools.pairwise(asked))
    assert 0.29 < shortest < 0.45


def test_a_watch_that_is_over_has_ended_what_it_asked_and_looks_for_no_pods_any_more() -> None:
    """What an answer that is still on its way says is part of what was seen."""
    begun, looked = threading.Event(), threading.Event()
    places = [Place("stan-0", "10.0.0.1")]

    def monitor(_place: Place, _path: str, _timeout: float) -> dict[str, Any]:
        begun.set()
        time.sleep(0.5)
        return {"state": ACTIVE, "server_id": "A"}

    def find() -> list[Place]:
        if begun.is_set():
            looked.set()
            time.sleep(1.0)
        return places

    before = set(threading.enumerate())
    way: Any = SimpleNamespace(period=60.0, monitor=monitor)
    with Watch(NOWHERE, way, find=find) as seen:
        assert begun.wait(10)
    assert [one.server for one in seen.ordered()] == ["A"]
    with Watch(NOWHERE, way, find=find):
        assert looked.wait(10)
    assert set(threading.enumerate()) <= before


def test_a_watch_asks_the_api_for_the_pods_that_have_an_address_and_leaves_no_thread_behind() -> None:
    pods = [
        SimpleNamespace(metadata=SimpleNamespace(name=name), status=SimpleNamespace(pod_ip=ip))
        for name, ip in (("stan-0", "10.0.0.1"), ("stan-1", None))
    ]
    asked: set[str] = set()

    def monitor(place: Place, _path: str, _timeout: float) -> dict[str, Any]:
        asked.add(place.pod)
        return {"state": ACTIVE, "server_id": place.ip}

    group: Any = SimpleNamespace(pods=lambda: pods)
    way: Any = SimpleNamespace(period=0.01, monitor=monitor)
    before = set(threading.enumerate())
    with Watch(group, way) as seen:
        assert seen.wait_successor(0, 10) is not None
    assert asked == {"stan-0"}
    assert set(threading.enumerate()) <= before


LOG = """\
2026-11-23T12:43:28.000000001Z [1] 2026/11/23 12:43:28.000000 [INF] STREAM: Starting in standby mode
2026-11-23T12:43:29.250000000Z [1] 2026/11/23 12:43:29.250000 [INF] STREAM: Server is active
2026-11-23T12:43:29.300000000Z [1] 2026/11/23 12:43:29.300000 [INF] STREAM: Streaming Server is ready
a line of something else
"""


def test_the_log_tells_when_a_server_had_the_lock_and_when_it_was_ready() -> None:
    lines = server_log.parse(LOG, offset=0)
    found = server_log.takeover(lines)
    assert found.lock is not None
    assert found.ready is not None
    assert found.ready - found.lock == pytest.approx(0.05, abs=1e-4)
    assert len(lines) == 3, "what has no time stamp is left out"
    assert server_log.two_actives(lines) == []


def test_a_server_that_says_that_another_is_active_is_believed() -> None:
    line = '2026-11-23T12:43:29Z [1] [FTL] STREAM: ft: serverID "x" claims to be active, aborting\n'
    assert len(server_log.two_actives(server_log.parse(line, 0))) == 1


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_p99_of_few_runs_is_the_longest_of_them() -> None:
    found = figures([0.5, 0.7, 3.0])
    assert found is not None
    assert (found.n, found.median, found.p99) == (3, 0.7, 3.0)


def test_a_goal_is_missed_by_the_part_that_is_above_it() -> None:
    runs = [{"outage": value, "total_gap": value, "verdict": {"void": ""}} for value in (0.5, 0.6, 2.0)]
    assert missed({"runs": runs, "goal": {"median": 0.9, "p99": 1.5, "worst": None}}) == ["p99 2.00 s is above 1.5 s"]


def test_of_a_rolling_upgrade_only_the_gaps_at_a_change_of_the_active_count() -> None:
    run = {
        "outage": 0.9,
        "gaps": [[1.0, 0.2], [9.9, 0.9], [20.0, 0.3], [29.5, 0.8]],
        "reigns": [{"first": -5, "last": 10.0}, {"first": 10.6, "last": 29.6}, {"first": 30.2, "last": 40}],
        "verdict": {"void": ""},
    }
    assert outages({"runs": [run], "sum_gaps": True}) == [pytest.approx(1.7)]


def test_a_void_run_counts_for_nothing() -> None:
    runs = [{"outage": 9.0, "total_gap": 9.0, "verdict": {"void": "too quiet"}}]
    assert missed({"runs": runs, "goal": {"worst": 1.0}}) == []


class Play:
    """Runs of a drill with outcomes that a test chooses: a problem, "" for none, or an error that prevents the run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcomes: list[str | UserError]) -> None:
        self.outcomes = list(outcomes)
        monkeypatch.setattr(drill, "play", self)
        monkeypatch.setattr(drill, "refresh", lambda *_: None)
        monkeypatch.setattr(drill.environment, "describe", lambda _: {})

    def __call__(self, _fault: Any, _scene: Any, _reach: Any, _settings: Any, number: int) -> dict[str, Any]:
        """Have the next outcome."""
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, UserError):
            raise outcome
        problems = [outcome] if outcome else []
        verdict = {"acknowledged": 9}
        return {"number": number, "problems": problems, "outage": 1, "takeovers": 1, "load": 1, "verdict": verdict}

    def drill(self, **options: Any) -> dict[str, Any]:
        """Play as many runs as there are outcomes."""
        scene: Any = faults.Scene(NOWHERE)
        way: Any = type("Way", (), {"description": "a play"})()
        return drill.drill([(faults.find("delete"), len(self.outcomes))], scene, way, Settings(), label="x", **options)


def test_a_drill_ends_with_the_first_run_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    [series] = Play(monkeypatch, ["", "lost one", ""]).drill()["series"]
    assert [run["problems"] for run in series["runs"]] == [[], ["lost one"]]


def test_a_drill_that_keeps_going_plays_all_runs_and_names_those_it_could_not_make(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = ["lost one", UserError("too thin"), ""]
    [series] = Play(monkeypatch, outcomes).drill(keep_going=True)["series"]
    assert [run["number"] for run in series["runs"]] == [1, 3]
    assert series["skipped"] == ["too thin"]


def test_a_drill_that_cannot_be_made_gives_up_and_leaves_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    play = Play(monkeypatch, ["", *(UserError("too thin") for _ in range(5))])
    with pytest.raises(UserError, match="too thin"):
        play.drill(keep_going=True, keep=lambda data: kept.append(len(data["series"][0]["runs"])))
    assert kept == [1]
    assert len(play.outcomes) == 2, "three in a row are enough"


def test_faults_are_asked_for_by_name_with_or_without_a_number_of_runs() -> None:
    assert drill.wanted(["kill=30", "delete"], 5) == [("kill", 30), ("delete", 5)]


@pytest.mark.parametrize("word", ["kill=0", "kill=-1", "kill=many", "kill=501", "kill=\u00b2", "kill=1e2"])
def test_a_number_of_runs_that_makes_no_sense_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(UserError, match="such as kill=10"):
        drill.wanted([word], 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no fault chosen"),
        (["--fault", "no-such"], "there is no fault 'no-such'"),
        (["--fault", "kill", "--rate", "100"], "every run would be void"),
        (["--fault", "kill", "--rate", "90000"], "messages per second"),
        (["--fault", "kill", "--size", "3"], "--size must be from 64"),
        (["--fault", "kill", "--preload", "1GB"], "such as 100000x512"),
        (["--fault", "kill", "--preload", "9999999x99999"], "up to 4 GiB"),
        (["--fault", "kill", "--preload", "10x10x11"], "such as 100000x512x100"),
        (["--fault", "kill", "--lasts", "60"], "--lasts is for --fault soak"),
        (["--fault", "soak", "--lasts", "0"], "--lasts must be from 1 to 86400 seconds"),
        (["--fault", "kill", "--kubeconfig", "/no/such/file"], "no usable kubeconfig"),
        (["--fault", "kill", "--rate", "nan"], "messages per second"),
        (["--fault", "kill", "--minimum-rate", "nan"], "--minimum-rate nan: give a number from 0 on"),
        (["--fault", "kill", "--max-outage", "-1"], "--max-outage -1: give a number from 0 on"),
        (["--fault", "kill", "--publishers", "20000", "--rate", "1"], "--publishers must be from 1 to 200"),
        (["--fault", "soak", "--lasts", "nan"], "--lasts must be from 1 to 86400 seconds"),
        (["--fault", "kill", "--channel", ""], "name one such as stan-ft-drill"),
        (["--fault", "kill", "--channel", "a.*"], "is no NATS subject"),
        (["--fault", "kill", "--channel", "../a"], "--channel '../a' is"),
        (["--fault", "kill", "--channel", "a/b"], "--channel 'a/b' is a path"),
        (["--fault", "kill", "--cluster-id", "a b"], "--cluster-id 'a b': letters, digits"),
        (["--fault", "kill", "--nats", ""], "such as nats://10.0.0.5:4222"),
        (["--fault", "kill", "--nats", "http://10.0.0.5"], "such as nats://10.0.0.5:4222"),
        (["--fault", "kill", "--nats", "nats://[::1:4222"], "a bracket of its host is missing"),
        (["--fault", "kill", "--json", "/"], "/ is a folder: name a file in it"),
        (["--fault", "kill", "--html", "/dev/null/a.html"], "/dev/null/a.html cannot be written"),
    ],
)
def test_the_command_explains_what_is_wrong_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(cli.main, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


@pytest.mark.parametrize("port", ["0", "-1", "65536", "x", "\uff14\uff14"])
def test_a_port_that_no_server_has_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(cli.main, "--fault", "kill", "--monitor-port", port) == 2
    assert "give a number from 1 to 65535, such as 8222" in capsys.readouterr().err


@pytest.mark.parametrize("text", [b"- a", b"hello", b"a: [", b"\xff\xfe", b"clusters: 3\ncontexts: 3\nusers: 3", None])
def test_a_file_that_is_no_kubeconfig_is_named(
    text: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config"
    if text is None:
        file.mkdir()
    else:
        file.write_bytes(text)
    assert exit_code(cli.main, "--fault", "delete", "--dry-run", "--kubeconfig", str(file)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(file) in error
    assert "--kubeconfig" in error


def test_the_command_lists_every_fault_with_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    listing = capsys.readouterr().out
    assert "SIGKILL of the active server" in listing
    assert "goal: median <= 0.9 s, p99 <= 1.5 s" in listing


def test_what_is_written_to_a_pipe_or_through_a_link_leaves_both_what_they_are(tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "told")
    assert os.read(reading, 9) == b"told"
    os.close(reading)
    link.symlink_to(target)
    write(link, "told")
    assert (pipe.is_fifo(), link.is_symlink(), target.read_text()) == (True, True, "told")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "target"]


def test_what_is_kept_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "drill.json"
    write(target, json.dumps({"a": 1}))
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in target.parent.iterdir()] == ["drill.json"]
