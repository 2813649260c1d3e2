"""Every refusal helps: it names the value, says the rule in words, and shows no pattern of the schema."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from harness.charts.render import RenderError, at, chart_values, layered, render
from harness.ground.paths import CHARTS

TRIES = (
    60  # wrong values of each chart; every render is kept by its content, so only a change of the chart costs them anew
)
NEEDED: dict[str, Any] = {"stan-ft": {}, "efs-provisioner": {"fileSystem": {"id": "fs-0123456789abcdef0"}}}
# What people write: another type, a path, blanks, a login in a URL, days, capitals, a sign too many.
WRONG: list[Any] = [
    "a b",
    "/x",
    "7d",
    "",
    "-1",
    -1,
    "Upper_Case",
    "nats://u:p@h:1",
    "256 gb",
    [],
    {"x": 1},
    True,
    "a,b",
    "ä",
    "{{ .x",
]
_PATTERN = re.compile(r"does not match pattern|\[[^\]\n]*[A-Za-z]-[A-Za-z0-9][^\]\n]*\][*+{?]|\\\\?[sdw.][*+]|\(\?")


def leaves(values: Any, path: str = "") -> list[str]:
    """The dotted paths of the values that hold one thing each."""
    if isinstance(values, dict) and values:
        return [each for key, value in values.items() for each in leaves(value, f"{path}.{key}" if path else key)]
    return [path]


def tried(chart: str) -> list[tuple[str, Any]]:
    """A value of the chart and something wrong for it, the same ones in each run."""
    pick = random.Random(19)
    # Paths with a key that holds dots itself (kubernetes.io/os) cannot be written as a path.
    paths = [path for path in leaves(chart_values(chart)) if not path.startswith("global") and "/" not in path]
    return [(pick.choice(paths), pick.choice(WRONG)) for _ in range(TRIES)]


@pytest.mark.parametrize("chart", ["stan-ft", "efs-provisioner"])
def test_no_schema_has_a_pattern_since_helm_shows_it_instead_of_a_rule(chart: str) -> None:
    assert '"pattern"' not in json.dumps(json.loads((CHARTS / chart / "values.schema.json").read_text()))


@pytest.mark.parametrize("chart", ["stan-ft", "efs-provisioner"])
def test_a_refusal_names_the_value_and_shows_no_pattern(chart: str) -> None:
    refused = 0
    for path, value in tried(chart):
        try:
            render(chart, layered(NEEDED[chart], at(path, value)))
        except RenderError as error:
            refused += 1
            said = error.message
            assert not _PATTERN.search(said), (path, value, said)
            assert path in said or f"'/{path.replace('.', '/')}" in said or path.rpartition(".")[0] in said, (
                path,
                value,
                said,
            )
    assert refused > TRIES / 4
