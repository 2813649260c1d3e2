"""The page on EFS says which remedies are on, and where: what it says is what the charts render."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from harness.charts import environments
from harness.charts.render import render, stan_conf
from harness.ground.paths import REPO
from stanft.conf import edit
from stanft.kube.charts import layered
from stanft.kube.objects import Object

PAGE = REPO / "docs" / "what-to-expect-on-efs.md"
HEAD = "| remedy | against |"
STATIC = "static volume"
VOLUME = {"enabled": True, "driver": "nfs", "nfs": {"server": "nfs.example.com"}}


def rows() -> dict[str, dict[str, bool]]:
    """The page's table: remedy -> where -> on."""
    lines = PAGE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(HEAD))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    head, _, *body = table
    return {
        row[0]: {where: {"on": True, "off": False}[word] for where, word in zip(head[2:], row[2:], strict=True)}
        for row in body
    }


def objects(where: str) -> list[Object]:
    """Everything that both charts make there."""
    if where == STATIC:
        return render("stan-ft", {"persistence": {"existingClaim": "", "staticVolume": VOLUME}})
    made = [render(chart, environments.values(where, chart)) for chart in ("stan-ft", "efs-provisioner")]
    return [each for chart in made for each in chart]


def containers(found: list[Object]) -> list[dict[str, Any]]:
    """Those of the servers' pods."""
    return [
        one for each in found if each["kind"] == "StatefulSet" for one in each["spec"]["template"]["spec"]["containers"]
    ]


def read_ahead(found: list[Object]) -> str | None:
    """The server's read_buffer_size."""
    return edit.find(stan_conf(found), "streaming", "file_options", "read_buffer_size")


IS_ON: dict[str, Callable[[list[Object]], bool]] = {
    "no read-ahead": lambda found: read_ahead(found) == "0",
    "the supervisor": lambda found: any(
        "/opt/stan/supervisor.py" in one.get("command", ()) for one in containers(found)
    ),
}


def test_the_table_names_the_remedies_and_every_environment_on_nfs() -> None:
    table = rows()
    assert set(table) == set(IS_ON)
    assert {where for row in table.values() for where in row} == {STATIC, "eks-csi", "eks-legacy", "nfs"}


@pytest.mark.parametrize("remedy", IS_ON)
def test_a_remedy_is_on_where_the_page_says_so_and_nowhere_else(remedy: str) -> None:
    told = rows()[remedy]
    assert {where: IS_ON[remedy](objects(where)) for where in told} == told


@pytest.mark.parametrize(
    ("remedy", "values"),
    [
        ("no read-ahead", {"config": {"streaming": {"file_options": {"read_buffer_size": "2mb"}}}}),
        ("the supervisor", {"fencing": {"mode": "off"}}),
    ],
)
def test_the_test_would_see_a_change(remedy: str, values: dict[str, Any]) -> None:
    static = {"persistence": {"existingClaim": "", "staticVolume": VOLUME}}
    assert IS_ON[remedy](render("stan-ft", layered(static, values))) is not IS_ON[remedy](objects(STATIC))


def test_no_page_says_more_than_was_seen() -> None:
    pages = [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").glob("*.md"))]
    untrue = (
        "lose nothing any more",
        "enabled` closes it",
        "both are defaults",
        "seen within a minute",
        "active for longer and stop",
        "volume, consistently",
    )
    found = [
        f"{page.name}: {words}" for page in pages for words in untrue if words in re.sub(r"\s+", " ", page.read_text())
    ]
    assert found == []
