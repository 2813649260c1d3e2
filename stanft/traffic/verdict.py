"""The rule by which every run is judged: lost > failed > unknown > void > ok; the worst that was found is its word."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class Word(enum.IntEnum):
    """What a run came to, from good to bad; a worse one is never hidden by a better one."""

    OK = 0
    VOID = 1  # nothing is known, by what was known before the fault: the run is made again
    UNKNOWN = 2  # something could not be found out after the fault: fails
    FAILED = 3  # the servers or the clients did what they must not
    LOST = 4  # messages did: lost, doubled, out of order, or a store that nobody can read

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def fails(self) -> bool:
        """Whether it makes the whole drill fail, whatever comes after it."""
        return self >= Word.UNKNOWN


@dataclass(frozen=True)
class Judgement:
    """Everything that a judge found, in words; void = why the run proves nothing, known before the fault."""

    lost: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    void: str = ""

    @property
    def word(self) -> Word:
        """The rule."""
        if self.lost:
            return Word.LOST
        if self.failed:
            return Word.FAILED
        if self.unknown:
            return Word.UNKNOWN
        return Word.VOID if self.void else Word.OK

    @property
    def problems(self) -> list[str]:
        """Every reason why the run did not pass, the worst first; empty if it did."""
        return [
            *self.lost,
            *self.failed,
            *(f"unknown: {why}" for why in self.unknown),
            *([f"void: {self.void}"] if self.void else []),
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable data."""
        return {
            "word": str(self.word),
            "lost": list(self.lost),
            "failed": list(self.failed),
            "unknown": list(self.unknown),
            "void": self.void,
        }


def too_many_or_few(takeovers: int, right: tuple[int, int]) -> tuple[str, ...]:
    """The failure of a run in which the active changed more or less often than the fault has right; () for none."""
    fewest, most = right
    if fewest <= takeovers <= most:
        return ()
    wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
    return (f"{takeovers} takeovers, where {wanted} would be right",)


def exit_code(runs: Iterable[Sequence[Word]]) -> int:
    """0 if every run came to ok, else 1; a run is the words of all its attempts, in order.

    The last attempt has to be ok, and what an earlier one found is not washed off by it: only a void one is made good.
    """
    return int(
        any(not attempts or attempts[-1] is not Word.OK or any(word.fails for word in attempts) for attempts in runs)
    )
