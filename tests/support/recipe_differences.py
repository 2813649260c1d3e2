"""What the chart's default render has otherwise than the reference recipe, leaf by leaf, and as cells of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.charts.render import render, stan_conf
from stanft.conf import parse as conf
from stanft.kube import objects

RECIPE = Path(__file__).parents[1] / "fixtures" / "recipe" / "original" / "stan.yaml"
CONFIGURATION = "stan.conf"
OBJECT = "an object"
HOOKS = "objects of helm's hooks"
LONG = 60  # characters of a value that a cell shows
SHOWN = 4  # leaves that a cell shows

Difference = tuple[Any, Any]  # what the recipe has, what the chart has; None for nothing


def differences() -> dict[str, Difference]:
    """Place -> what is there in the recipe and in the chart, where these differ."""
    recipe, chart = objects.parse(RECIPE.read_text()), render("stan-ft")
    texts = (str(objects.find(recipe, "ConfigMap", "stan-config")["data"][CONFIGURATION]), stan_conf(chart))
    ours, theirs = (_leaves(conf.parse(text), CONFIGURATION, " ") for text in reversed(texts))
    found = _compared(dict(theirs), dict(ours))
    hooks = [item for item in chart if "helm.sh/hook" in objects.dig(item, "metadata.annotations", {})]
    found[HOOKS] = (None, OBJECT)
    names = [{(item["kind"], objects.name(item)) for item in items if item not in hooks} for items in (recipe, chart)]
    for kind, name in sorted(names[0] | names[1]):
        where = f"{kind} {name}"
        if (kind, name) in names[0] & names[1]:
            both = [dict(_leaves(objects.find(items, kind, name), where, " ")) for items in (recipe, chart)]
            found |= _compared(*both)
        else:
            found[where] = tuple(OBJECT if (kind, name) in one else None for one in names)  # type: ignore[assignment]
    return found


def belongs(place: str, row: str) -> bool:
    """Whether a place is the row's, or within it."""
    return place == row or (place.startswith(row) and place[len(row)] in " .[")


def cells(found: Mapping[str, Difference], row: str) -> tuple[str, str]:
    """What the table shows of the recipe and of the chart for a row: the places within it that differ."""
    within = {place[len(row) :].lstrip(" ."): pair for place, pair in found.items() if belongs(place, row)}
    return tuple(_cell({place: pair[side] for place, pair in within.items()}) for side in (0, 1))  # type: ignore[return-value]


def _cell(values: Mapping[str, Any]) -> str:
    texts = [_text(place, value) for place, value in values.items() if value is not None]
    more = f", {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more if texts else "none"


def _text(place: str, value: Any) -> str:
    if value == OBJECT:
        return OBJECT
    place = place.removesuffix(f"[{value}]")  # of a list of plain texts
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = f"${value.name}" if isinstance(value, conf.Variable) else text
    text = "..." if len(text) > LONG or "\n" in text else text
    return "`" + (f"{place}: {text}" if place else text).replace("|", "\\|").replace("`", "'") + "`"


def _compared(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Difference]:
    places = [*theirs, *(place for place in ours if place not in theirs)]
    return {place: (theirs.get(place), ours.get(place)) for place in places if theirs.get(place) != ours.get(place)}


def _leaves(value: Any, place: str, joint: str = ".") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{place}{joint}{key}")
    elif isinstance(value, list) and value:
        scalars = not any(isinstance(each, dict | list) for each in value)
        for number, each in enumerate(value):
            # Plain texts are told by what they say, so that one more in the middle is one difference.
            key = each if scalars else each.get("mountPath", each.get("name", number))
            yield from _leaves(each, f"{place}[{key}]")
    else:
        yield place, value
