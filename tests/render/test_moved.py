"""Values and manifests of public repositories, as values of stan-ft: rendered, and judged by the check."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.charts.render import render
from harness.ground.paths import REPO
from stanft import invariants
from stanft.invariants import Severity
from stanft.kube import objects

MOVED = sorted((Path(__file__).parent.parent / "fixtures" / "moved").glob("*.yaml"))
PAGE = (REPO / "docs" / "move-in.md").read_text()


@pytest.mark.parametrize("file", MOVED, ids=[file.stem for file in MOVED])
def test_what_became_of_it_has_no_error(file: Path) -> None:
    values = objects.values(file.read_text())
    found = invariants.findings(invariants.check(render("stan-ft", values), namespace="default"))
    told = {each.invariant for each in found if each.severity is Severity.ERROR and not each.unseen}
    assert told == ({"standby-exists"} if values.get("replicas") == 1 else set())


def test_the_page_has_a_row_for_each() -> None:
    table = PAGE.partition("## What was tried")[2]
    assert table.count("\n| ") == len(MOVED) + 1
