"""Each path of both charts' values set to null, to wrong types and to empty: valid objects, or a refusal in words.

What a path's schema does not take is refused by Helm with the path and the wanted type. What it takes is rendered: the
switches one at a time, other paths of one depth together, halved until the one is found whose render breaks down.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import jsonschema
import pytest

from harness.charts import render

Path = tuple[str | int, ...]
WRONG: Final[dict[str, Any]] = {
    "null": None,
    "empty text": "",
    "empty list": [],
    "empty map": {},
    "text": "some text",
    "number": 7,
    "list of null": [None],
    "list of a map": [{}],
    "map of null": {"a": None},
}
# With what everything is on that goes together.
BASES: Final = {"stan-ft": ("ci/full",), "efs-provisioner": ("ci/efs-provisioner",)}
PAIRS: Final = 15  # of two wrong values at once, out of millions; another seed tries others
SEED: Final = 1
CASES: Final = [(chart, base, wrong) for chart, bases in BASES.items() for base in bases for wrong in WRONG]
REFUSED: Final = re.compile(r"These values cannot work:\n  - \S+: .+|- at '/[^']+': ")
# What a template says that breaks down, inside of a refusal too.
BREAKDOWN: Final = re.compile(r"nil pointer|error calling (?!include|fail)|can't evaluate|wrong type|reflect|%!")


@cache
def schema(chart: str) -> dict[str, Any]:
    """The chart's schema, without references."""
    return render.chart_schema(chart)


@cache
def at(chart: str, path: Path) -> jsonschema.Draft7Validator:
    """What checks a value of one path."""
    here: Any = schema(chart)
    for part in path:
        known = here.get("properties") or {}
        here = (here.get("items") or {}) if part == 0 else known.get(part, here.get("additionalProperties"))
        if not isinstance(here, dict):
            return jsonschema.Draft7Validator({})
    return jsonschema.Draft7Validator(here)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path of values but the root: keys of maps, and the first element of lists."""
    below: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        below = list(value.items())
    elif isinstance(value, list) and value:
        below = [(0, value[0])]
    for part, each in below:
        yield (*path, part)
        yield from paths(each, (*path, part))


def put(values: Any, path: Path, wrong: Any) -> Any:
    """Values with something else at one path."""
    if not path:
        return wrong
    if isinstance(values, list):
        return [put(values[0], path[1:], wrong), *values[1:]]
    return {**values, path[0]: put(values[path[0]], path[1:], wrong)}


@cache
def everything(chart: str, base: str) -> dict[str, Any]:
    """The defaults with a shipped set of values over them."""
    return render.layered(render.chart_values(chart), render.shipped(chart)[base])


def outcome(chart: str, values: dict[str, Any]) -> str:
    """What helm said of values that give no objects; nothing where all have apiVersion, kind and a name."""
    try:
        made = render.render(chart, values, namespace="messaging")
    except render.RenderError as refusal:
        return refusal.message
    nameless = [each for each in made if not each["metadata"].get("name")]
    return f"nameless: {nameless}" if nameless else ""


def broken(said: str) -> bool:
    """Whether what helm said is no refusal in words."""
    return bool(said) and (not REFUSED.search(said) or BREAKDOWN.search(said) is not None)


def spelled(path: Path) -> str:
    """A path as refusals write it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def culprits(chart: str, values: dict[str, Any], wrong: Any, tried: list[Path]) -> Iterator[tuple[str, str]]:
    """The paths at which the value makes a render break down, and what helm said then."""
    while tried:
        changed: Any = values
        for path in tried:
            changed = put(changed, path, wrong)
        said = outcome(chart, changed)
        if not said:
            return
        if broken(said):
            if len(tried) == 1:
                yield spelled(tried[0]), said
                return
            half = len(tried) // 2
            yield from culprits(chart, values, wrong, tried[:half])
            yield from culprits(chart, values, wrong, tried[half:])
            return
        # Refused in words: what it names is done, the rest is tried without it.
        rest = [path for path in tried if f"- {spelled(path)}" not in said and spelled(path) not in said]
        if len(rest) == len(tried):
            if len(tried) == 1:
                return
            half = len(tried) // 2
            yield from culprits(chart, values, wrong, tried[:half])
            yield from culprits(chart, values, wrong, tried[half:])
            return
        tried = rest


def together(chart: str, base: str, wrong: Any) -> Iterator[list[Path]]:
    """What is tried in one render: paths that the schema lets through, of one depth, none of them a switch."""
    levels: dict[int, list[Path]] = {}
    for path in paths(everything(chart, base)):
        check = at(chart, path)
        if not check.is_valid(wrong):
            continue
        kinds = check.schema.get("type", []) if isinstance(check.schema, dict) else []
        if "boolean" in kinds or "enum" in check.schema or len(path) == 1:
            yield [path]
        else:
            levels.setdefault(len(path), []).append(path)
    yield from levels.values()


@pytest.mark.parametrize(("chart", "base", "wrong"), CASES, ids=[" ".join(case) for case in CASES])
def test_a_value_of_a_wrong_kind_gives_valid_objects_or_is_refused_in_words(chart: str, base: str, wrong: str) -> None:
    found: dict[str, str] = {}
    for tried in together(chart, base, WRONG[wrong]):
        found |= dict(culprits(chart, everything(chart, base), WRONG[wrong], tried))
    assert not found, json.dumps(found, indent=1)


def pairs(chart: str, base: str, count: int, seed: int) -> Iterator[tuple[Path, str, Path, str]]:
    """So many pairs of paths, neither within the other, with wrong values that the schema lets through at each."""
    values = everything(chart, base)
    passing = [(path, wrong) for path in paths(values) for wrong in WRONG if at(chart, path).is_valid(WRONG[wrong])]
    chance = random.Random(seed)
    while count:
        (one, wrong), (two, other) = chance.sample(passing, 2)
        shorter = min(len(one), len(two))
        if one[:shorter] != two[:shorter]:
            count -= 1
            yield one, wrong, two, other


@pytest.mark.parametrize(("chart", "base"), [(chart, base) for chart, bases in BASES.items() for base in bases])
def test_two_values_of_wrong_kinds_give_valid_objects_or_are_refused_in_words(chart: str, base: str) -> None:
    found = {}
    for one, wrong, two, other in pairs(chart, base, PAIRS, SEED):
        said = outcome(chart, put(put(everything(chart, base), one, WRONG[wrong]), two, WRONG[other]))
        if broken(said):
            found[f"{spelled(one)}: {wrong}, {spelled(two)}: {other}"] = said
    assert not found, json.dumps(found, indent=1)
