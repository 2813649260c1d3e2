"""scripts/mutate: the mutants fit the charts, and the verdict over them is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import mutate
from harness.dev import mutation
from harness.dev.mutants import MUTANTS, Mutant
from harness.ground.paths import CHARTS

IDS = [f"{at}-{mutant.breaks}" for at, mutant in enumerate(MUTANTS)]


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_fits_the_chart_and_changes_it(mutant: Mutant) -> None:
    assert mutant.old in (CHARTS / mutant.chart / mutant.file).read_text()
    assert mutant.old != mutant.new


def test_there_are_enough_mutants_and_no_two_are_the_same() -> None:
    assert len(MUTANTS) >= 60
    assert len({(mutant.chart, mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


def test_the_list_names_every_mutant(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutate.main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [mutant.label for mutant in MUTANTS]


def test_a_text_that_describes_no_mutant_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutate.main(["--only", "no such break"]) == 2
    assert "no mutant is described by 'no such break'" in capsys.readouterr().err


def test_the_most_telling_tests_come_first_and_reviewed_renders_are_left_out() -> None:
    names = [Path(file).name for file in mutate.suite()]
    assert tuple(names[: len(mutate.FIRST)]) == mutate.FIRST
    assert "test_golden.py" not in names
    assert all(Path(file).is_file() for file in mutate.suite())


@pytest.mark.parametrize(("unseen", "code"), [(0, 0), (1, 0), (2, 1)])
def test_the_verdict_wants_95_per_cent_noticed(unseen: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    killers = [None] * unseen + ["test_x"] * (20 - unseen)
    results = [mutation.Result(mutant, killer, 1.0) for mutant, killer in zip(MUTANTS, killers, strict=False)]
    assert mutate._summary(results, 10.0) == code
    told = capsys.readouterr().out
    assert f"20 mutants, {20 - unseen} noticed" in told
    assert told.count("survived: ") == unseen
