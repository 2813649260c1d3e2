"""Waiting: it ends with what was waited for, or says in time what did not happen; slow machines get more of it."""

from __future__ import annotations

import time

import pytest

from stanft.ground import bounds, wait
from stanft.ground.errors import UserError


def test_waiting_gives_what_it_waited_for() -> None:
    answers = iter(["", "", "there"])
    assert wait.until(lambda: next(answers), 10, "never", every=0) == "there"


def test_what_holds_already_is_not_waited_for() -> None:
    assert wait.until(lambda: True, 0, "never") is True


def test_what_did_not_happen_is_told_when_the_time_is_up() -> None:
    looks: list[float] = []
    began = time.monotonic()
    with pytest.raises(UserError, match="after 2 looks or more"):
        wait.until(
            lambda: looks.append(time.monotonic()), 0.2, lambda: f"after {min(len(looks), 2)} looks or more", every=0.05
        )
    assert looks[-1] - began >= 0.2, "the last look is taken when the time is up"


def test_another_error_can_be_asked_for() -> None:
    with pytest.raises(AssertionError, match="not there"):
        wait.until(lambda: False, 0, "not there", error=AssertionError)


def test_what_the_condition_raises_ends_the_waiting() -> None:
    with pytest.raises(KeyError):
        wait.until(lambda: {}["x"], 10, "never")


def test_a_wait_that_may_end_without_is_none_then() -> None:
    assert wait.happens(lambda: 0, 0.01, every=0.001) is None
    assert wait.happens(lambda: 7, 0.01) == 7


def test_a_slow_machine_gets_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAN_FT_PATIENCE", "2.5")
    assert bounds.patient(10) == 25


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "1000"])
def test_a_patience_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STAN_FT_PATIENCE", text)
    with pytest.raises(UserError, match="STAN_FT_PATIENCE is .*such as 3"):
        bounds.patience()
