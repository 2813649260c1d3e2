"""scripts/test --coverage counts what runs in any process, and adds the suites up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.dev import linecover

SHORT = "from stanft.ground.progress import say; say('a')"
OTHER = "from stanft.ground import errors"


def ran(program: str, suite: str, data: Path) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **linecover.begin(suite, data)})


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    ran(SHORT, "unit render", tmp_path)
    ran(OTHER, "server", tmp_path)
    return tmp_path


def test_a_program_that_a_test_starts_is_measured(measured: Path) -> None:
    found = linecover.report(measured)
    assert 0 < found.total < linecover.WANTED
    assert found.below["harness/charts/render.py"] == 0
    assert found.below.get("stanft/ground/progress.py", 100) > 0


def test_the_suites_add_up_and_a_later_run_replaces_its_own(measured: Path) -> None:
    assert linecover.report(measured).suites == ["server", "unit-render"]
    assert "stanft/ground/errors.py" not in linecover.report(measured).below
    ran("pass", "server", measured)
    ran("pass", "unit render", measured)
    assert linecover.report(measured).total == 0


def test_the_report_names_the_files_that_lack_most_first(measured: Path) -> None:
    lines = linecover.report(measured).lines()
    assert "server, unit-render" in lines[0]
    assert lines[1] == "below 90 %:"
    assert lines[2].strip().startswith("0.0 %")
