"""Objects of any shape are judged or said to be misshapen, never the end of the check."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from goodgroup import GOOD

from stanft import invariants
from stanft.invariants import Manifests, State
from stanft.kube import objects

ODD: tuple[Any, ...] = (
    *(None, "", "text", "80", "$(X)", 0, -1, 1.5, True),
    *([], {}, ["a"], [None], [{}], {"a": None}, {"a": "b"}),
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in members:
        yield from _places(each, (*place, key))


def test_an_odd_value_anywhere_is_survived() -> None:
    pick = random.Random(3)
    good = objects.parse(GOOD)
    places = [place for place in _places(good) if len(place) > 1]
    misshapen = 0
    for _ in range(150):
        items = copy.deepcopy(good)
        place = pick.choice(places)
        holder: Any = items
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = copy.deepcopy(pick.choice(ODD))
        outcomes = {each.invariant.name: each.state for each in invariants.check(items, namespace="messaging")}
        assert len(Manifests(items).servers) <= 1
        misshapen += outcomes["served"] is State.VIOLATED
    assert misshapen > 50, "the odd values are not odd"
