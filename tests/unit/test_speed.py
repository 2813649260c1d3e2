"""A regression of speed is noticed: against a kept drill by ratio, and in bounds that most runs have to keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bounds import assert_most_within

from harness.ground.paths import REPO
from stanft.cli import compare as cli
from stanft.drill.statistics import outages, slower

KEPT = REPO / "docs" / "reports" / "failover" / "chart.json"


@pytest.mark.parametrize(("took", "runs"), [([1, 1], 2), ([1, 9, 1], 3), ([9, 1, 1], 3)])
def test_a_bound_is_kept_by_two_runs_of_at_most_three(took: Sequence[float], runs: int) -> None:
    left = list(took)
    assert_most_within(5.0, lambda: left.pop(0))
    assert len(took) - len(left) == runs


@pytest.mark.parametrize("took", [[9, 9, 1], [9, 1, 9], [1, 9, 9], [5.01, 5.01]])
def test_a_build_in_which_two_of_three_runs_are_slow_fails(took: Sequence[float]) -> None:
    left = list(took)
    with pytest.raises(AssertionError, match="2 of"):
        assert_most_within(5.0, lambda: left.pop(0))


def drill(*outages: float, merged: float | None = None, fault: str = "kill", void: str = "") -> dict[str, Any]:
    """A drill of one fault; merged as by the present version, which keeps the worst publisher's as outage."""
    own = {} if merged is None else {"merged": merged}
    runs = [{"outage": outage, "verdict": {"void": void}, **own} for outage in outages]
    return {"format": 1, "series": [{"fault": fault, "runs": runs}]}


def test_a_fault_that_takes_longer_at_the_median_is_named() -> None:
    assert slower(drill(1.0, 1.0, 1.0), drill(0.6, 0.6, 1.2), 1.5) == [
        "kill: median 1.00 s (n = 3), before it was 0.60 s (n = 3)"
    ]


def test_a_fault_whose_longest_run_takes_longer_is_named() -> None:
    assert slower(drill(0.6, 0.6, 4.0), drill(0.6, 0.6, 1.2), 1.5) == [
        "kill: longest 4.00 s (n = 3), before it was 1.20 s (n = 3)"
    ]


def test_what_takes_as_long_as_before_by_the_ratio_is_fine() -> None:
    assert slower(drill(1.5), drill(1.0), 1.5) == []
    assert slower(drill(0.2), drill(0.6), 1.5) == []


def test_the_same_thing_is_compared_also_with_drills_that_kept_no_worst_publisher() -> None:
    assert slower(drill(40.0, merged=0.6), drill(0.6), 1.5) == []
    assert slower(drill(0.6, merged=40.0), drill(0.6), 1.5) != []


def test_a_series_in_which_no_run_counts_is_not_as_quick_as_before() -> None:
    assert slower(drill(0.6, void="too quiet"), drill(0.6), 1.5) == [
        "kill: no run counts, so nobody knows whether it is slower"
    ]
    assert slower(drill(9.0), drill(0.6, void="too quiet"), 1.5) == []
    assert slower(drill(9.0, fault="hang"), drill(0.6), 1.5) == []


def test_of_a_rolling_upgrade_the_gaps_at_its_takeovers_are_compared() -> None:
    reigns = [{"first": -5, "last": 10.0}, {"first": 10.6, "last": 40.0}]
    run = {"outage": 9.0, "gaps": [[1.0, 9.0], [9.9, 0.9]], "reigns": reigns, "verdict": {"void": ""}}
    now = {"series": [{"fault": "roll", "sum_gaps": True, "runs": [run]}]}
    assert slower(now, now, 0.5) == [
        "roll: median 0.90 s (n = 1), before it was 0.90 s (n = 1)",
        "roll: longest 0.90 s (n = 1), before it was 0.90 s (n = 1)",
    ]


def test_the_outage_of_a_rolling_upgrade_is_that_of_the_publisher_with_the_longest_gaps() -> None:
    reigns = [{"first": -5, "last": 10.0}, {"first": 10.6, "last": 40.0}]
    publishers = {"a": {"gaps": [[9.9, 0.9]]}, "b": {"gaps": [[9.9, 3.0], [30.0, 5.0]]}}
    run = {"outage": 5.0, "gaps": [[9.9, 0.8]], "publishers": publishers, "reigns": reigns, "verdict": {"void": ""}}
    assert outages({"sum_gaps": True, "runs": [run]}) == [3.0]


def test_the_command_ends_with_1_where_a_fault_takes_longer_than_the_kept_drill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads(KEPT.read_text())
    same, slow = tmp_path / "same.json", tmp_path / "slow.json"
    same.write_text(json.dumps(kept))
    for series in kept["series"]:
        for run in series["runs"]:
            run["outage"] *= 4
    slow.write_text(json.dumps(kept))
    assert cli.main([str(KEPT), str(same)]) == 0
    assert cli.main([str(KEPT), str(slow)]) == 1
    assert "worse: median 2.6" in capsys.readouterr().out
    assert cli.main([str(KEPT), str(slow), "--slower", "5"]) == 0
