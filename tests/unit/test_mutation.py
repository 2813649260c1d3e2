"""scripts/mutate on real charts with a suite of a few short tests: what each break is noticed by, and what stops it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.dev.mutants import MUTANTS
from harness.ground import content
from harness.ground.paths import CHARTS, REPO

SEEN = next(mutant for mutant in MUTANTS if mutant.chart == "stan-ft")
UNSEEN = next(mutant for mutant in MUTANTS if mutant.file != SEEN.file and mutant.chart == "stan-ft")
OTHER = next(mutant for mutant in MUTANTS if mutant.chart == "efs-provisioner")
# A test that notices SEEN, one that would notice OTHER but is about another chart alone, and one that notices nothing.
SUITE = f"""
from harness.ground import paths

def text(name):
    return (paths.CHARTS / name).read_text()

def test_stan_ft_has_its_line():
    assert {SEEN.old!r} in text({SEEN.chart + "/" + SEEN.file!r})

def test_stan_ft_reads_the_other_chart():
    assert {OTHER.old!r} in text({OTHER.chart + "/" + OTHER.file!r})

def test_a_chart_has_a_name():
    assert "name: " in text("stan-ft/Chart.yaml") and "name: " in text("efs-provisioner/Chart.yaml")
"""
PROGRAM = """
import sys
from harness.cli import mutate
from harness.dev.mutants import MUTANTS, Mutant

mutate.suite = lambda: sys.argv[1:2]
mutate.MUTANTS = [
    next((mutant for mutant in MUTANTS if mutant.label == label), Mutant("stan-ft", "values.yaml", label, "", label))
    for label in sys.argv[2:]
]
sys.exit(mutate.main([]))
"""


def mutate(directory: Path, suite: str, *labels: str) -> subprocess.CompletedProcess[str]:
    """scripts/mutate with this text as its only test file, and these mutants."""
    file = directory / "test_short.py"
    file.write_text(suite)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), *labels],
        cwd=REPO,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p tests.conftest"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A run of three breaks, of which one is noticed."""
    return mutate(tmp_path_factory.mktemp("run"), SUITE, SEEN.label, UNSEEN.label, OTHER.label)


def line(done: subprocess.CompletedProcess[str], label: str) -> str:
    """What the run says of the mutant."""
    [found] = [each for each in done.stderr.splitlines() if label in each]
    return found


def test_a_noticed_break_is_told_with_the_test_that_noticed_it(done: subprocess.CompletedProcess[str]) -> None:
    assert line(done, SEEN.label).startswith("noticed ")
    assert line(done, SEEN.label).endswith("::test_stan_ft_has_its_line")


def test_the_tests_pass_first_for_the_charts_as_they_are(done: subprocess.CompletedProcess[str]) -> None:
    assert done.stderr.splitlines()[0].startswith("passed ")
    assert done.stderr.splitlines()[0].rstrip().endswith("the charts as they are")


def test_a_break_that_no_test_notices_fails_the_run_and_is_shown(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, done.stderr
    assert line(done, UNSEEN.label).startswith("NOT SEEN")
    assert "3 mutants, 1 noticed (33.3 %)" in done.stdout
    assert f"survived: {UNSEEN.label}\n    {UNSEEN.old!r} -> {UNSEEN.new!r}" in done.stdout


def test_a_test_of_the_other_chart_alone_is_left_out(done: subprocess.CompletedProcess[str]) -> None:
    assert line(done, OTHER.label).startswith("NOT SEEN")


def test_a_suite_that_fails_without_a_break_proves_nothing(tmp_path: Path) -> None:
    before = content.digest(CHARTS)
    failed = mutate(tmp_path, SUITE + "\ndef test_x():\n    assert False\n", SEEN.label)
    assert failed.returncode == 2
    assert "fails for the charts as they are (" in failed.stderr
    assert "::test_x): make it pass first." in failed.stderr
    assert SEEN.label not in failed.stderr
    assert content.digest(CHARTS) == before, "the charts themselves are never touched"


def test_a_mutant_that_fits_no_more_is_named_with_its_file(tmp_path: Path) -> None:
    failed = mutate(tmp_path, SUITE, "text that no chart holds")
    assert failed.returncode == 2
    said = failed.stdout + failed.stderr
    assert "'text that no chart holds' is not there any more; correct harness/dev/mutants.py" in said
    assert "fails for the charts as they are" not in said


def test_a_test_that_breaks_down_is_no_verdict(tmp_path: Path) -> None:
    failed = mutate(tmp_path, "import os\n\ndef test_x():\n    os._exit(3)\n", SEEN.label)
    assert failed.returncode == 2
    assert "the tests broke down for the charts" in failed.stdout + failed.stderr
    assert "mutants, " not in failed.stdout
