"""The page of differences from the recipe names all that there are, with what is on either side, and no other."""

from __future__ import annotations

import re

import pytest
from recipe_differences import belongs, cells, differences

from harness.ground.paths import REPO

PAGE = REPO / "docs" / "differences-from-the-recipe.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.*) \| (.*) \| ([^|]+) \|$")
FOUND = differences()


def rows() -> dict[str, tuple[str, str, str]]:
    """Place -> the recipe's cell, the chart's, the reason."""
    found = [match.groups() for line in PAGE.read_text().splitlines() if (match := ROW.match(line))]
    assert len({place for place, *_ in found}) == len(found), "a place has two rows"
    return {place: (theirs, ours, why) for place, theirs, ours, why in found}


def test_every_difference_has_a_row() -> None:
    bare = [place for place in FOUND if not any(belongs(place, row) for row in rows())]
    assert bare == []


def test_no_row_lies_within_another() -> None:
    assert [(one, two) for one in rows() for two in rows() if one != two and belongs(one, two)] == []


@pytest.mark.parametrize("place", rows())
def test_a_row_shows_what_is_there_and_why(place: str, request: pytest.FixtureRequest) -> None:
    theirs, ours, why = rows()[place]
    expected = cells(FOUND, place)
    assert expected != ("none", "none"), "there is no such difference any more"
    if request.config.getoption("--update-golden"):
        before, after = (f"| `{place}` | {one} | {two} | {why} |" for one, two in ((theirs, ours), expected))
        PAGE.write_text(PAGE.read_text().replace(before, after))
        return
    assert (theirs, ours) == expected
    assert len(why) > 10
