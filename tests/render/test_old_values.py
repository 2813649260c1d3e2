"""Each value of version 0.1.0: today's chart takes it with the same meaning, or refuses it with its name of today."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import charts_before
import jsonschema
import pytest

from harness.charts import render


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Dotted path and default of every leaf."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    else:
        yield ".".join(path), value


OLD = {chart: dict(leaves(charts_before.values(chart))) for chart in render.RELEASES}
NOW = {chart: render.chart_values(chart) for chart in render.RELEASES}
WORDS = {chart: charts_before.new_names(chart) for chart in render.RELEASES}
# A base in which nothing else is refused.
BASE = {"stan-ft": {}, "efs-provisioner": render.environment("kind", "efs-provisioner")}
PATHS = [(chart, path) for chart in render.RELEASES for path in OLD[chart]]


def renamed(chart: str, path: str) -> str:
    """The entry of old-keys.yaml that covers a path, "" for none."""
    parts = path.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in WORDS[chart]), "")


@pytest.mark.parametrize(("chart", "path"), PATHS, ids=[f"{chart} {path}" for chart, path in PATHS])
def test_a_value_of_before_has_a_place_or_a_new_name(chart: str, path: str) -> None:
    old = renamed(chart, path)
    here: Any = render.chart_schema(chart)
    for part in path.split("."):
        here = here.get("properties", {}).get(part) or here.get("additionalProperties") or {}
    if old:
        assert WORDS[chart][old], old
    else:
        assert here.get("type"), f"{path} is no value any more, and nothing says what it is called now"
        jsonschema.Draft7Validator(here).validate(OLD[chart][path])


@pytest.mark.parametrize("chart", render.RELEASES)
def test_all_old_names_are_refused_at_once_with_those_of_today(chart: str) -> None:
    old = sorted({name for path in OLD[chart] if (name := renamed(chart, path))})
    values: dict[str, Any] = BASE[chart]
    for name in old:
        kept = OLD[chart].get(name, {"a": "b"})
        values = render.layered(values, render.at(name, kept if kept not in (None, {}) else "x"))
    with pytest.raises(render.RenderError) as refused:
        render.render(chart, values)
    told = refused.value.message
    untold = [name for name in old if f"- {name}: " not in told and f"/{name.replace('.', '/')}'" not in told]
    assert untold == []


def test_a_name_that_means_another_service_now_is_never_taken_in_silence() -> None:
    with pytest.raises(render.RenderError, match=r"- service\.annotations: .* headlessService\.merge\.metadata\.annot"):
        render.render("stan-ft", {"service": {"annotations": {"a": "b"}}})
