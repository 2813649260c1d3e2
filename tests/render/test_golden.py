"""What each ci/ set of values renders to, as reviewed, byte for byte; --update-golden writes it anew.

A program that a ConfigMap carries over as it is stands there by the name of its file.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

import pytest

from harness.charts import render
from harness.ground.paths import CHARTS
from stanft.kube import objects

CASES = [(chart, name) for chart in render.RELEASES for name in render.ci_values(chart)]
IDS = [f"{chart}-{case}" for chart, case in CASES]


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_the_render_is_the_reviewed_one(chart: str, case: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{chart}/{case}.yaml", by_name(chart, render.render_text(chart, render.ci_values(chart)[case])))


def by_name(chart: str, text: str) -> str:
    """The rendered text with each program of the chart that it carries whole as (NAME)."""
    files = CHARTS / chart / "files"
    for file in sorted([*files.rglob("*.py"), *files.rglob("*.sh")]):
        carried = textwrap.indent(file.read_text().strip(), "    ", lambda _: True)
        text = text.replace(f"{carried}\n", f"    ({file.relative_to(files)})\n")
    return text


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_the_notes_are_the_reviewed_ones(chart: str, case: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{chart}/{case}.notes.txt", render.render_notes(chart, render.ci_values(chart)[case]))


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_the_output_is_tidy(chart: str, case: str) -> None:
    text = render.render_text(chart, render.ci_values(chart)[case])
    assert not re.search(r"\S[ \t]+$", text, re.MULTILINE), "white space at the end of a line"
    assert "\t" not in text, "a tab"
    assert not re.search(r"\n\n\n(?!---)", text), "two empty lines in a row inside an object"


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_no_object_carries_an_empty_map_list_or_null(chart: str, case: str) -> None:
    meant = {"emptyDir", "podSelector", "namespaceSelector", "ingress", "egress", "accessModes"}
    for item in render.render(chart, render.ci_values(chart)[case]):
        empty = [
            path
            for path, value in objects.leaves({key: value for key, value in item.items() if key != "data"})
            if value in ({}, [], None) and path[-1] not in meant
        ]
        assert empty == []


@pytest.mark.parametrize(("chart", "case"), CASES, ids=IDS)
def test_rendering_twice_gives_the_same(chart: str, case: str) -> None:
    wanted = render.request(chart, render.ci_values(chart)[case])
    answers = [render.engine().ask(wanted.payload()) for _ in range(2)]
    assert answers[0] == answers[1]


def test_no_golden_file_is_left_over() -> None:
    from tests.render.conftest import GOLDEN  # noqa: PLC0415 (the folder is known there)

    expected = {f"{chart}/{case}{suffix}" for chart, case in CASES for suffix in (".yaml", ".notes.txt")}
    expected |= {f"{chart}/effects.yaml" for chart in render.RELEASES}
    expected |= {
        f"{chart}/invariants/{name.replace('/', '-')}.yaml"
        for chart in render.RELEASES
        for name in render.shipped(chart)
    }
    found = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()}
    assert found - expected == set()
