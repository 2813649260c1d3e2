"""Other programs: the workshop's where there is one, else those on PATH, else one line that says what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import exit_code

from stanft.cli import check
from stanft.ground import programs


@pytest.fixture(autouse=True)
def _no_workshop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where stan-ft was installed alone."""
    monkeypatch.setattr(programs, "_providers", [])
    return


def test_a_program_on_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helm").write_text("#!/bin/sh\n")
    (tmp_path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.find("helm") == tmp_path / "helm"


def test_whoever_built_programs_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    programs.provided_by(lambda name: Path("/built") / name)
    assert programs.find("helm") == Path("/built/helm")


def test_a_chart_without_helm_is_answered_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert exit_code(check.main, "charts/stan-ft") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: the program helm is not on PATH: it renders charts; install it")
    assert told.count("\n") == 1
