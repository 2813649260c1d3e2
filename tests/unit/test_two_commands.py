"""The README's two commands are what it promises: they are there, a shell takes them, and CI runs the second."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.ground.paths import REPO


def commands() -> list[list[str]]:
    """The commands of the README's first block, as a shell splits them, without comments."""
    _, section = (REPO / "README.md").read_text().split("## Try it: two commands\n", 1)
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found
    return [words for line in found[1].splitlines() if (words := shlex.split(line, comments=True))]


def test_there_are_two_each_a_script_without_any_argument() -> None:
    assert commands() == [["scripts/up"], ["scripts/test"]]


@pytest.mark.parametrize("command", ["scripts/up", "scripts/test", ".ci/run"])
def test_a_clone_can_start_it_and_bash_can_read_it(command: str) -> None:
    mode, *_ = subprocess.run(
        ["git", "ls-files", "--stage", command], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.split()
    assert mode == "100755"
    subprocess.run(["bash", "-n", REPO / command], check=True)


@pytest.mark.parametrize("code", [0, 3])
def test_ci_runs_the_second_as_it_stands_wherever_it_is_called_and_ends_as_it_ends(tmp_path: Path, code: int) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(REPO / ".ci" / "run", tmp_path / ".ci")
    second = tmp_path / commands()[1][0]
    second.parent.mkdir()
    second.write_text(f'#!/bin/sh\nprintf "%s " "called with" "$@"\nexit {code}\n')
    second.chmod(0o755)
    done = subprocess.run(["bash", tmp_path / ".ci" / "run"], cwd=os.sep, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "called with ", "")
