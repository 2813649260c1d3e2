"""How every command ends: Ctrl-C and SIGTERM alike, and errors in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ground.paths import REPO

WAITS = "import time; from stanft.cli import common; {}common.run(lambda: print('on', flush=True) or time.sleep(60))"
HEALS = """
import signal, time
from stanft.cli import common

signal.signal(signal.SIGINT, signal.SIG_IGN)
common.end_like_ctrl_c()

def main():
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("healed", flush=True)

common.run(main)
"""


@pytest.mark.parametrize(("number", "first"), [(signal.SIGINT, ""), (signal.SIGTERM, "common.end_like_ctrl_c(); ")])
def test_an_interrupted_command_ends_with_130_and_says_how_to_go_on(number: signal.Signals, first: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS.format(first)], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "on\n"
        command.send_signal(number)
        _, said = command.communicate(timeout=60)
    assert command.returncode == 130
    assert said == "\ninterrupted; the same command goes on from here when it is run again\n"


def test_a_command_that_is_terminated_heals_what_it_broke_also_where_ctrl_c_is_switched_off() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and its children inherit that."""
    with subprocess.Popen(
        [sys.executable, "-c", HEALS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "working\n"
        command.send_signal(signal.SIGTERM)
        out, err = command.communicate(timeout=60)
    assert (out, command.returncode) == ("healed\n", 130)
    assert "interrupted" in err


def test_a_program_that_fails_under_a_command_is_told_without_a_traceback() -> None:
    program = "from stanft.ground import shell; from stanft.cli import common; common.run(lambda: shell.run(['false']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (2, "error: false ended with exit code 1")


def ends(program: str, *imports: str) -> tuple[int, str]:
    """How a command ends whose main function is this expression: its exit code, and what it says."""
    lines = ["from stanft.cli import common", *imports, f"common.run(lambda: {program})"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


FORESEEABLE = {
    "a program that hangs": (
        "subprocess.run(['sleep', '60'], timeout=0.1)",
        "sleep 60 gave no answer within 0 s: see whether what it asks is alive",
    ),
    "a missing program": (
        "subprocess.run(['sysctl-of-another-system'])",
        "the program sysctl-of-another-system is not there: install it (on Debian, apt-get install sysctl-of",
    ),
    "a full disk": ("pathlib.Path('/dev/full').write_text('x')", "the disk is full"),
    "a file of another": ("throw(PermissionError(13, 'no', '/root/x'))", "this user may not use it: /root/x."),
    "a missing file": ("pathlib.Path('/no/x').write_text('')", "there is no such file or directory: /no/x"),
    "a byte that is no text": ("b'\\xff'.decode()", "a byte that is not UTF-8 (at 0)"),
    "YAML with a mistake": ("yaml.safe_load('a: [')", "this is no YAML: <unicode string>, line 1, column 5: expected"),
    "JSON with a mistake": ("json.loads('{')", "this is no JSON: Expecting property name"),
    "an API that is down": (
        "kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(kubernetes.client.Configuration("
        "host='http://127.0.0.1:1'))).list_namespace()",
        "no answer from 127.0.0.1: ",
    ),
    "an API that refuses": (
        "throw(kubernetes.client.ApiException(403, 'Forbidden'))",
        "the Kubernetes API refused a request: 403 Forbidden",
    ),
    "an address that is none": ("socket.create_connection(('127.0.0.1', 1))", "no connection (Connection refused)"),
    "a session that is not made": ("throw(stanft.stan.errors.ConnectError('no active server'))", "no active server"),
    "several at once": ("throw(ExceptionGroup('two', [OSError(28, 'No space', '/x'), OSError()]))", "full: /x"),
}


@pytest.mark.parametrize("trouble", FORESEEABLE)
def test_what_can_be_foreseen_is_said_without_a_traceback(trouble: str) -> None:
    program, words = FORESEEABLE[trouble]
    imports = ("import json, kubernetes, pathlib, socket, subprocess, yaml, stanft.stan.errors",)
    code, said = ends(program, *imports, "def throw(error): raise error")
    assert code == 2
    assert said.splitlines()[-1].startswith("error: ") or said.startswith("error: ") or "\nerror: " in said
    assert words in said


def test_a_mistake_in_the_program_itself_is_shown_whole() -> None:
    program = "from stanft.cli import common; common.run(lambda: {}['key'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KeyError: 'key'" in done.stderr


def test_the_origin_of_an_explained_error_can_be_asked_for() -> None:
    program = "from stanft.cli import common; common.run(lambda: open('/no/x'))"
    variables = {**os.environ, "STAN_FT_TRACEBACK": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPO, env=variables, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = "from stanft.cli import common; common.run(lambda: print('x' * 10**6))"
    command = ["bash", "-c", '"$0" -c "$1" | head -c 1', sys.executable, program]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("x", "")


def test_every_command_ends_in_this_one_way() -> None:
    others = [
        str(file.relative_to(REPO))
        for folder in ("harness", "stanft")
        for file in (REPO / folder).rglob("*.py")
        if "__main__" in (text := file.read_text())
        and "common.run(" not in text
        and file.name not in ("main.py", "stan_ft.py")
    ]
    assert others == []


@pytest.mark.parametrize("what", ["bad.yaml", "latin.yaml", "list.yaml", "missing.yaml"])
def test_values_that_cannot_be_read_are_one_line_with_the_file(tmp_path: Path, what: str) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "latin.yaml").write_bytes("a: ü".encode("latin-1"))
    (tmp_path / "list.yaml").write_text("- a\n")
    command = [sys.executable, "-m", "harness.cli.stan_ft", "check", "charts/stan-ft", "-f", tmp_path / what]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / what} ")
    assert "Traceback" not in done.stderr
