"""scripts/bench presets, with few messages: five real servers, rounds in turn, a verdict that follows the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import bench_presets
from harness.dev import presets, rates
from stanft.ground.errors import UserError

Told = tuple[int, dict[str, dict[str, dict[str, Any]]], Path]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The exit code, every figure, and the directory of a run that is as short as can be."""
    directory = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(rates, "MESSAGES", 400)
        changed.setattr(rates, "WAITING", 5)
        changed.setattr(bench_presets, "NEEDED", 0)
        file = directory / "figures" / "all.json"
        code = bench_presets.main(["--seconds", "0.1", "--directory", str(directory), "--json", str(file)])
    return code, json.loads(file.read_text()), directory


def test_each_of_the_five_servers_is_measured_in_three_rounds_after_the_warm_up(
    told: Told,
) -> None:
    _, figures, _ = told
    assert set(figures["rows"]) == set(bench_presets.configurations())
    assert len(figures["rows"]) == 5
    for row in figures["rows"].values():
        assert (row["rounds"], row["acknowledgements"]) == (3, 3 * 5)
        assert row["rate_lowest"] > 0


def test_the_exit_code_is_0_only_if_both_presets_keep_the_goal(
    told: Told,
) -> None:
    code, figures, _ = told
    medians = [cost["median"] for costs in figures["overheads"].values() for cost in costs.values()]
    assert len(medians) == 2 * len(presets.PRESETS)
    assert (code == 0) == all(median <= presets.GOAL for median in medians)


def test_the_stores_are_taken_away_at_the_end(told: Told) -> None:
    assert [path.name for path in told[2].iterdir()] == ["figures"]


def test_no_time_for_a_round_is_refused() -> None:
    with pytest.raises(UserError, match="--seconds 0: give the time for all rounds, such as 200"):
        bench_presets.main(["--seconds", "0"])
