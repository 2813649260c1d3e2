"""scripts/test never passes where the failover tests did not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli import test as command
from harness.ground.paths import REPO

FAILOVER = next(suite for suite in command.SUITES if command.MUST_RUN in suite.folders)
UNIT = next(suite for suite in command.SUITES if "unit" in suite.folders)


def test_a_run_whose_tests_all_passed_has_no_problem() -> None:
    assert command.judge(FAILOVER, command.Count(passed=3), 0) == []


def test_a_skipped_failover_test_fails_the_run() -> None:
    assert "1 skipped" in command.judge(FAILOVER, command.Count(passed=3, skipped=1), 0)[0]


def test_a_failover_suite_in_which_nothing_ran_fails_the_run() -> None:
    assert "no test ran" in command.judge(FAILOVER, command.Count(), 5)[0]


def test_a_failed_test_fails_the_run() -> None:
    assert "2 failed" in command.judge(UNIT, command.Count(passed=1, failed=2), 1)[0]


def test_a_crash_before_the_first_test_fails_the_run() -> None:
    assert "exit code 4" in command.judge(UNIT, command.Count(), 4)[0]


def test_a_choice_by_name_may_match_nothing() -> None:
    assert command.judge(FAILOVER, command.Count(), 5, by_name=True) == []


def test_the_junit_file_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase/><testcase><failure/></testcase>"
        "<testcase><skipped/></testcase><testcase><error/></testcase></testsuite></testsuites>"
    )
    assert command._count(report) == command.Count(passed=1, failed=2, skipped=1)
    assert command._count(tmp_path / "missing.xml") == command.Count()


def test_an_unknown_suite_is_answered_with_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.test", "failures"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no suite failures: choose from lint, unit, render, server, nfs, failover" in done.stderr


SCRIPTS = sorted(file.name for file in (REPO / "scripts").iterdir() if file.is_file() and file.name != "tool")


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_does(script: str) -> None:
    done = subprocess.run(
        [REPO / "scripts" / script, "--help"], cwd=REPO, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_tests_chosen_by_name_are_run_counted_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "REPORTS", tmp_path)
    monkeypatch.setattr(command, "SUITES", (command.Suite("small", ("unit/test_presets.py",)),))
    monkeypatch.setattr(sys, "argv", ["scripts/test", "unit/test_presets.py", "-k", "block"])
    assert command.main() == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"
    assert "==> suite small" in told.err
    cases = ElementTree.parse(tmp_path / "small.xml").iter("testcase")
    assert all("block" in case.attrib["name"] for case in cases)
