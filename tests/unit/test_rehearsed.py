"""What the rehearsal has played on the same Python is not played again; what it skipped is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import test as command
from harness.dev import rehearsed

UNIT = next(suite for suite in command.SUITES if "unit" in suite.folders)
LAB = next(suite for suite in command.SUITES if "nfs" in suite.folders)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean clone with three tests, two of which a rehearsal played: one passed, one was skipped."""
    files = {
        "tests/unit/test_it.py": "import pytest\n"
        "@pytest.mark.parametrize('at', ['a/b.c d', 'é'])\n"
        "def test_root(at):\n    pass\n"
        "def test_user():\n    pass\n",
        "tests/render/.keep": "",
        "pytest.ini": "[pytest]\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".gitignore").write_text("build\n__pycache__\n.pytest_cache\n")
    for words in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(rehearsed, "REPO", tmp_path)
    monkeypatch.setattr(rehearsed, "REPORT", tmp_path / "build" / "rehearsed.xml")
    return tmp_path


def play(clone: Path, *more: str) -> None:
    """A rehearsal, in which test_root is skipped; more are further lines for its conftest.py."""
    (clone / "conftest.py").write_text(
        "import pytest\ndef pytest_runtest_setup(item):\n"
        "    if 'root' in item.name: pytest.skip('needs root')\n" + "\n".join(more)
    )
    arguments = [f"--junitxml={rehearsed.REPORT}", f"--override-ini=junit_suite_name={rehearsed.python()}"]
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], cwd=clone, check=False)
    (clone / "conftest.py").unlink()


SKIPPED = ["tests/unit/test_it.py::test_root[a/b.c d]", "tests/unit/test_it.py::test_root[\\xe9]"]


def test_what_the_rehearsal_skipped_is_left_and_pytest_finds_it_by_that_name(clone: Path) -> None:
    play(clone)
    left = rehearsed.left()
    assert left == SKIPPED
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *left], cwd=clone, capture_output=True, text=True, check=False
    )
    assert "2 passed" in done.stdout


def test_everything_is_left_without_a_rehearsal(clone: Path) -> None:
    assert rehearsed.left() is None


def test_everything_is_left_after_a_rehearsal_in_which_a_test_failed(clone: Path) -> None:
    play(clone, "    if 'user' in item.name: raise OSError('no')")
    assert rehearsed.left() is None


def test_everything_is_left_where_python_is_another_one(clone: Path) -> None:
    play(clone)
    rehearsed.REPORT.write_text(rehearsed.REPORT.read_text().replace(rehearsed.python(), "Python 3.9"))
    assert rehearsed.left() is None


def test_everything_is_left_where_a_change_is_not_committed(clone: Path) -> None:
    play(clone)
    (clone / "tests" / "unit" / "test_new.py").touch()
    assert rehearsed.left() is None


WHOLE = [["prepare nfs"], ["prepare unit and render"], SKIPPED, ["prepare nfs"], ["tests/nfs"]]  # the rest may need it


@pytest.mark.parametrize(
    ("suites", "played"),
    [((), WHOLE), (("unit", "render"), [["prepare unit and render"], ["tests/unit", "tests/render"]])],
)
def test_only_a_run_that_rehearses_plays_no_more_than_the_rest_and_counts_all(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    suites: tuple[str, ...], played: list[list[str]],
) -> None:  # fmt: skip
    ran: list[list[str]] = []

    def stream(argv: list[str], *, log: Path | None = None, **_: object) -> bool | int:
        if "pytest" not in argv:
            if "harness.cli.rehearse" in argv:
                play(clone)
            return False
        ran.append([word for word in argv if word.startswith("tests/")])
        report = next(Path(word.partition("=")[2]) for word in argv if word.startswith("--junitxml="))
        report.write_text('<testsuites><testsuite><testcase classname="a" name="b"/></testsuite></testsuites>')
        return False

    play(clone)  # an earlier one, which says nothing of this one
    monkeypatch.setattr(command, "SUITES", (UNIT, LAB))
    monkeypatch.setattr(command, "REPO", clone)
    monkeypatch.setattr(command, "REPORTS", clone / "build")
    monkeypatch.setattr(command, "_prepare", lambda suite: ran.append([f"prepare {suite.name}"]))
    monkeypatch.setattr(command, "_ahead", lambda _: command.nullcontext(lambda: None))
    monkeypatch.setattr(command.shell, "stream", stream)
    (clone / "build" / "lint.log").touch()
    monkeypatch.setattr(sys, "argv", ["scripts/test", *suites])
    assert command.main() == 0
    assert ran == played
    assert capsys.readouterr().out.startswith(f"{1 if suites else 3} passed, 0 failed, 0 skipped")
