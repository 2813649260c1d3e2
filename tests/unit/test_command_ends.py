"""How every command ends: Ctrl-C and SIGTERM alike, and errors in one line."""

from __future__ import annotations

import signal
import subprocess
import sys

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


@pytest.mark.parametrize(("number", "first"), [("INT", ""), ("TERM", "common.end_like_ctrl_c(); ")])
def test_an_interrupted_command_ends_with_130_and_says_how_to_go_on(number: str, first: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS.format(first)], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "on\n"
        subprocess.run(["kill", f"-{number}", str(command.pid)], check=True)
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
