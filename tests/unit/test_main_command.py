"""stan-ft itself: its words, its help, its completion, and drills beside each other."""

from __future__ import annotations

import copy
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code
from test_report import drill

from harness.ground.paths import REPO
from stanft.cli import compare, completion, main


def test_without_a_word_it_lists_its_commands_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(main.main) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in main.COMMANDS)
    assert "examples:\n  stan-ft check" in shown


def test_every_file_of_the_commands_can_be_called() -> None:
    others = {"__init__", "common", "exit_sides", "main", "where"}
    files = {file.stem for file in (REPO / "stanft" / "cli").glob("*.py")} - others
    assert files == set(main.COMMANDS)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_every_option_and_gives_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([name, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"usage: stan-ft {name}" in shown
    assert shown.count(f"stan-ft {name}") >= 2, "the usage, and an example"
    assert all(action.help or action.choices for action in main.command(name).parser()._actions)


def test_a_word_that_is_no_command_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(main.main, "chek") == 2
    assert capsys.readouterr().err == (
        f"error: there is no command 'chek': choose one of {', '.join(main.COMMANDS)} (stan-ft --help).\n"
    )


def test_the_commands_are_loaded_only_when_they_are_called() -> None:
    program = "import sys; from stanft.cli import main; main.parser(); print('kubernetes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def completed(*words: str) -> list[str]:
    """What bash offers after these words."""
    script = (
        completion.bash() + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stan_ft; printf \'%s\\n\' "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=REPO, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("stan-ft", "ch"), ["check"]),
        (("stan-ft", "status", "--name"), ["--namespace", "--name"]),
        (("stan-ft", "check", "--format", "j"), ["json", "junit"]),
        (("stan-ft", "completion", "z"), ["zsh"]),
        (("stan-ft", "check", "READ"), ["README.md"]),
    ],
)
def test_bash_completes_commands_options_choices_and_files(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_is_told_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(completion.main, shell) == 0
    printed = capsys.readouterr().out
    mark = "-l " if shell == "fish" else "--"
    assert all(name in printed for name in main.COMMANDS)
    assert all(f"{mark}{option}" in printed for option in ("kubeconfig", "namespace", "fault", "strict"))


def kept(folder: Path, name: str, data: dict[str, Any]) -> str:
    """A drill's file."""
    (folder / name).write_text(json.dumps(data))
    return str(folder / name)


STEADY = (0.5, 0.6, 0.7, 0.8, 1.1)


@pytest.mark.parametrize(
    ("outages", "code", "said"),
    [
        (STEADY, 0, "not worse"),
        ((0.7, 0.8, 1.04, 1.05, 1.3), 0, "not worse"),
        ((0.9, 1.0, 1.2, 1.3, 1.4), 1, "worse: median 1.20 s (n = 5), before it was 0.70 s (n = 5)"),
        ((0.5, 0.6), 0, "not worse (chance has its say below 5 runs)"),
    ],
)
def test_a_drill_with_a_longer_median_is_worse_beyond_the_ratio(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outages: tuple[float, ...], code: int, said: str
) -> None:
    before, after = kept(tmp_path, "a", drill(outages=STEADY)), kept(tmp_path, "b", drill(outages=outages))
    assert exit_code(compare.main, before, after) == code
    assert said in capsys.readouterr().out


def test_a_drill_that_loses_a_message_is_worse_however_quick_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lossy = copy.deepcopy(drill(outages=STEADY))
    lossy["series"][0]["runs"][2]["verdict"]["findings"]["lost"]["count"] = 3
    files = kept(tmp_path, "a", drill(outages=STEADY)), kept(tmp_path, "b", lossy)
    assert exit_code(compare.main, *files, "--format", "json") == 1
    [change] = json.loads(capsys.readouterr().out)
    assert (change["fault"], change["worse"]) == ("kill", "3 lost, 0 before")


def test_drills_of_different_faults_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = drill()
    other["series"][0]["fault"] = "hang"
    assert exit_code(compare.main, kept(tmp_path, "a", drill()), kept(tmp_path, "b", other)) == 2
    assert "no fault in common: kill before, hang after" in capsys.readouterr().err


def test_the_wheel_names_the_command() -> None:
    scripts = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["stan-ft"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
