"""The one way to wait: for a condition, within a time, and with the reason told when the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from stanft.ground import bounds
from stanft.ground.errors import UserError

T = TypeVar("T")


def until(
    condition: Callable[[], T],
    within: float,
    why: str | Callable[[], str],
    *,
    every: float = 0.2,
    error: Callable[[str], BaseException] = UserError,
) -> T:
    """Wait until condition() gives something true, and give that.

    within and every are in seconds; within is stretched by STAN_FT_PATIENCE (see bounds). The condition is asked at
    least once, and once more when the time is up. why says what did not happen, as a text or as a function that is
    called then; it becomes error(why), by default a UserError. What condition() raises ends the waiting.
    """
    deadline = time.monotonic() + bounds.patient(within)
    while True:
        late = time.monotonic() >= deadline
        if found := condition():
            return found
        if late:
            raise error(why if isinstance(why, str) else why())
        time.sleep(min(every, max(0.0, deadline - time.monotonic())))


def happens(condition: Callable[[], T], within: float, *, every: float = 0.2) -> T | None:
    """As until(), but None when the time is up: for waits whose end is an answer too."""
    try:
        return until(condition, within, "", every=every, error=_LateError)
    except _LateError:
        return None


class _LateError(Exception):
    """The time of happens() is up."""
