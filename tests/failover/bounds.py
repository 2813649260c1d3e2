"""A bound in time on a machine that may be busy: one of a few runs must keep it, and each must be right."""

from __future__ import annotations

from collections.abc import Callable

TRIES = 3


def assert_one_of_a_few_within(limit: float, run: Callable[[], float]) -> None:
    """Run until a run takes at most limit seconds, at most TRIES times; run gives its seconds and checks the rest.

    What the software cannot do it misses every time; what a busy machine delayed it does not.
    """
    took: list[float] = []
    while not took or (took[-1] > limit and len(took) < TRIES):
        took.append(run())
        print(f"run {len(took)}: {took[-1]:.2f} s, at most {limit:g} s wanted")
    assert min(took) <= limit, f"none of {len(took)} runs took {limit:g} s or less: {took}"
