"""What every command does alike, seen on a small command of the test's own."""

from __future__ import annotations

import signal
import subprocess
import sys

COMMAND = """
import signal, time
from harness.cli import common

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


def test_a_command_that_is_terminated_heals_what_it_broke_also_where_ctrl_c_is_switched_off() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and its children inherit that."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "working\n"
        command.send_signal(signal.SIGTERM)
        out, err = command.communicate(timeout=60)
    assert (out, command.returncode) == ("healed\n", 130)
    assert "interrupted" in err
