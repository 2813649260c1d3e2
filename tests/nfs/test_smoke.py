"""A takeover after a kill and after a cut, on a real NFSv4.1 mount, as scripts/nfs-lab --smoke does it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.paths import REPO

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(900)]
LEASE = 20.0  # seconds, the lab's default
PATIENCE = 840.0  # seconds, against a lab that hangs; how long it takes says nothing


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The smoke runs, by fault."""
    if platform.machine() != "x86_64":
        pytest.skip(f"the lab's machines are x86-64, this computer is {platform.machine()}")
    if os.geteuid() != 0:
        pytest.skip("the lab makes network devices, and this user is not root")
    if not Path("/dev/net/tun").exists():
        pytest.skip("/dev/net/tun is missing: the machines would have no network")
    if not shutil.which("apt-get"):
        pytest.skip("the lab's machines are made from Debian packages, and there is no apt-get")
    output = tmp_path_factory.mktemp("nfs") / "results.json"
    command = [REPO / "scripts" / "nfs-lab", "--smoke", "--events", "--output", output]
    # The lab gets its own session, and a terminate at the end of our patience, so that it ends its machines.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as lab:
        try:
            log, _ = lab.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            lab.terminate()
            log, _ = lab.communicate(timeout=30)
            pytest.fail(f"the lab was not done after {PATIENCE:.0f} s:\n{log.decode()[-4000:]}")
    print(log.decode()[-8000:])
    assert output.exists(), f"the lab gave no results:\n{log.decode()[-4000:]}"
    # A void run was repeated, so the last of a fault counts.
    found = {each["fault"]: each for each in json.loads(output.read_text())}
    void = [f"{fault}: {each['void']}" for fault, each in found.items() if each["void"]]
    if void:
        pytest.skip(f"void twice, so nothing is known: {'; '.join(void)}")
    return found


@pytest.mark.parametrize("fault", ["kill", "cut-both"])
def test_no_acknowledged_message_is_lost(results: dict[str, dict[str, Any]], fault: str) -> None:
    """What was acknowledged is read back after a restart of all, and nothing twice under other numbers."""
    assert results[fault]["lost"] == 0
    assert results[fault]["harm"] == []


def test_a_killed_active_is_replaced_before_its_lease_could_run_out(results: dict[str, dict[str, Any]]) -> None:
    """A node that lives gives a dead process's lock back at once."""
    assert results["kill"]["takeover"] < LEASE


def test_a_cut_off_active_ends_before_another_one_begins(results: dict[str, dict[str, Any]]) -> None:
    """The fence ends it while its lease still keeps the others out; afterwards it acknowledges nothing."""
    cut = results["cut-both"]
    assert cut["fenced"] is not None
    assert cut["fenced"] < cut["takeover"]
    assert cut["acks_by_loser"] == 0


def test_a_cut_off_kernel_has_nothing_left_to_write(results: dict[str, dict[str, Any]]) -> None:
    """It drops the ended server's writes while the cut lasts, or the process would wait in it for the heal."""
    events = results["cut-both"]["events"]
    dropped = [when for when, _, text in events if "still there: none" in text]
    healed = next(when for when, _, text in events if text == "healed")
    assert dropped
    assert dropped[0] < healed
