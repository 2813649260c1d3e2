"""scripts/bench supervisor, with few messages and channels: real servers, bare and supervised, and a true verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import bench_supervisor as bench
from harness.dev import rates
from harness.dev.presets import Measured

Told = tuple[int, dict[str, Any], Path]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The exit code, every figure, and the directory of a run that is as short as can be."""
    directory = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(rates, "MESSAGES", 400)
        changed.setattr(rates, "WAITING", 5)
        changed.setattr(bench, "CHANNELS", (20,))
        changed.setattr(bench, "ROUNDS", 2)
        changed.setattr(bench, "NEEDED", 0)
        file = directory / "figures" / "all.json"
        code = bench.main(["--seconds", "0.1", "--directory", str(directory), "--json", str(file)])
    return code, json.loads(file.read_text()), directory


def test_both_presets_are_measured_bare_and_supervised(told: Told) -> None:
    rows = told[1]["rows"]
    assert set(rows) == {f"{preset}, {how}" for preset in ("durable", "throughput") for how in ("bare", "supervised")}
    assert all(row["rounds"] == 3 and row["rate_lowest"] > 0 for row in rows.values())


def test_a_store_is_recovered_as_often_by_the_bare_server_as_by_the_supervised(told: Told) -> None:
    sides = told[1]["recoveries"]["20"]
    assert [len(sides[how]) for how in ("bare", "supervised")] == [2, 2]
    # Twenty channels are read within the hundredth of a second that the two clocks are apart.
    assert all(0 < recovered < active + 0.1 for rounds in sides.values() for recovered, active in rounds)


def test_the_exit_code_says_whether_every_goal_was_kept(told: Told) -> None:
    code, figures, _ = told
    medians = {name: cost["median"] for name, cost in figures["overheads"].items()}
    goals = {name: bench.RECOVERY_GOAL if "recovery" in name else bench.MESSAGE_GOAL for name in medians}
    assert code == int(any(medians[name] > goals[name] for name in medians))


def test_no_store_is_left(told: Told) -> None:
    assert [path.name for path in told[2].iterdir()] == ["figures"]


def test_a_supervised_server_that_is_slower_costs_by_its_share() -> None:
    bare, slow = Measured([100.0, 100.0], [[0.01], [0.01]]), Measured([90.0, 90.0], [[0.012], [0.012]])
    messages = {
        f"{preset}, {how}": side
        for preset in ("durable", "throughput")
        for how, side in (("bare", bare), ("supervised", slow))
    }
    found = bench.costs(messages, {"1000": {"bare": [(1.0, 2.0)] * 2, "supervised": [(1.2, 2.0)] * 2}})
    assert [round(cost.median) for _, cost, _ in found] == [10, 20, 10, 20, 20]
    assert not any(cost.median <= goal for _, cost, goal in found)
