"""Runs scripts/nfs-lab for the tests, and ends it with its machines when it hangs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.ground import system
from harness.ground.paths import REPO
from harness.nfs_lab import packages

PATIENCE = 840.0  # seconds, against a lab that hangs; how long it takes says nothing


def run(*words: str | Path) -> str:
    """What the lab printed with these words; skips the test where this machine can play none."""
    if reason := packages.unfit():
        pytest.skip(reason)
    command = [REPO / "scripts" / "nfs-lab", *words]
    # The lab gets its own session, and a terminate at the end of our patience, so that it ends its machines.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True, errors="replace"
    ) as lab:
        try:
            log, _ = lab.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            # A user's sudo belongs to root.
            subprocess.run(system.as_root(["sh", "-c", f"kill -TERM {lab.pid}"]), check=False)
            log, _ = lab.communicate(timeout=30)
            pytest.fail(f"the lab was not done after {PATIENCE:.0f} s:\n{log[-4000:]}")
    print(log[-8000:])
    return log
