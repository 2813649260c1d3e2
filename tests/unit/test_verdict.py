"""The rule: lost > failed > unknown > void > ok, and an exit code that a retry cannot wash."""

from __future__ import annotations

import itertools

import pytest

from stanft.traffic.verdict import Judgement, Word, exit_code, too_many_or_few

PARTS = {
    Word.LOST: {"lost": ("1 lost",)},
    Word.FAILED: {"failed": ("two actives",)},
    Word.UNKNOWN: {"unknown": ("the reading did not end",)},
    Word.VOID: {"void": "too quiet"},
}
ORDER = (Word.LOST, Word.FAILED, Word.UNKNOWN, Word.VOID, Word.OK)


@pytest.mark.parametrize("found", [each for n in range(5) for each in itertools.combinations(PARTS, n)])
def test_the_worst_that_was_found_is_the_word(found: tuple[Word, ...]) -> None:
    parts = {key: value for word in found for key, value in PARTS[word].items()}
    judgement = Judgement(**parts)  # type: ignore[arg-type]
    assert judgement.word is next((word for word in ORDER if word in found), Word.OK)
    assert len(judgement.problems) == len(found), "nothing that was found is left out, also not of a void run"


def test_problems_say_what_is_only_unknown_and_what_is_void() -> None:
    judgement = Judgement(lost=("1 lost",), unknown=("the log is gone",), void="too quiet")
    assert judgement.problems == ["1 lost", "unknown: the log is gone", "void: too quiet"]
    assert judgement.to_dict() == {
        "word": "lost",
        "lost": ["1 lost"],
        "failed": [],
        "unknown": ["the log is gone"],
        "void": "too quiet",
    }


@pytest.mark.parametrize(
    ("attempts", "code"),
    [
        ([Word.OK], 0),
        ([Word.VOID, Word.OK], 0),
        ([Word.VOID], 1),
        ([Word.OK, Word.VOID], 1),
        ([Word.LOST, Word.OK], 1),
        ([Word.FAILED, Word.OK], 1),
        ([Word.UNKNOWN, Word.OK], 1),
        ([Word.UNKNOWN], 1),
        ([], 1),
    ],
)
def test_only_a_void_attempt_can_be_made_good_by_another(attempts: list[Word], code: int) -> None:
    assert exit_code([[Word.OK], attempts, [Word.OK]]) == code


def test_no_run_that_failed_is_no_failure() -> None:
    assert exit_code([]) == 0


@pytest.mark.parametrize("takeovers", [1, 2])
def test_as_many_takeovers_as_are_right_are_no_failure(takeovers: int) -> None:
    assert too_many_or_few(takeovers, (1, 2)) == ()


@pytest.mark.parametrize(
    ("takeovers", "right", "told"),
    [
        (0, (1, 2), "0 takeovers, where 1 to 2 would be right"),
        (3, (1, 2), "3 takeovers, where 1 to 2 would be right"),
        (2, (1, 1), "2 takeovers, where 1 would be right"),
    ],
)
def test_more_or_fewer_takeovers_than_are_right_are_told(takeovers: int, right: tuple[int, int], told: str) -> None:
    assert too_many_or_few(takeovers, right) == (told,)
