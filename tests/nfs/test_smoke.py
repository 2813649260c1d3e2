"""A takeover after a kill, a cut and a freeze, on a real NFSv4.1 mount, as scripts/nfs-lab --smoke does it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from harness.cli.nfs_lab import SMOKE
from harness.ground import system
from harness.ground.paths import REPO
from harness.nfs_lab import packages

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(900)]
LEASE = 20.0  # seconds, the lab's default
PATIENCE = 840.0  # seconds, against a lab that hangs; how long it takes says nothing


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The smoke runs, by fault."""
    if reason := packages.unfit():
        pytest.skip(reason)
    output = tmp_path_factory.mktemp("nfs") / "results.json"
    command = [REPO / "scripts" / "nfs-lab", "--smoke", "--events", "--output", output]
    # The lab gets its own session, and a terminate at the end of our patience, so that it ends its machines.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as lab:
        try:
            log, _ = lab.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            # A user's sudo belongs to root.
            subprocess.run(system.as_root(["sh", "-c", f"kill -TERM {lab.pid}"]), check=False)
            log, _ = lab.communicate(timeout=30)
            pytest.fail(f"the lab was not done after {PATIENCE:.0f} s:\n{log.decode()[-4000:]}")
    print(log.decode()[-8000:])
    assert output.exists(), f"the lab gave no results:\n{log.decode()[-4000:]}"
    attempts = json.loads(output.read_text())
    bad = [each for each in attempts if each["harm"] or each["doubts"]]
    assert not bad, (
        f"no attempt is washed off by another: {[(each['fault'], each['harm'], each['doubts']) for each in bad]}"
    )
    # A void run, of which that was known before its fault, was repeated.
    found = {each["fault"]: each for each in attempts}
    void = [f"{fault}: {each['void']}" for fault, each in found.items() if each["word"] == "void"]
    if void:
        pytest.skip(f"void twice, so nothing is known: {'; '.join(void)}")
    return found


@pytest.mark.parametrize("fault", SMOKE)
def test_no_acknowledged_message_is_lost(results: dict[str, dict[str, Any]], fault: str) -> None:
    """What was acknowledged is read back after a restart of all, and nothing twice under other numbers."""
    assert results[fault]["lost"] == 0
    assert results[fault]["harm"] == []


def test_a_killed_active_is_replaced_before_its_lease_could_run_out(results: dict[str, dict[str, Any]]) -> None:
    """A node that lives gives a dead process's lock back at once."""
    assert results["kill"]["takeover"] < LEASE


def test_a_cut_off_active_ends_before_another_one_begins(results: dict[str, dict[str, Any]]) -> None:
    """Its supervisor ends it while its lease still keeps the others out; afterwards it acknowledges nothing."""
    cut = results["cut-both"]
    assert cut["fenced"] is not None
    assert cut["fenced"] < cut["takeover"]
    assert cut["acks_by_loser"] == 0


def test_the_store_was_guarded_before_each_fault(results: dict[str, dict[str, Any]]) -> None:
    """By every supervisor, before the server of the one that is hit later became active."""
    for result in results.values():
        guards = {name for when, name, text in result["events"] if when < 0 and "supervisor: guards" in text}
        assert result["active"] in guards


def test_a_woken_active_takes_no_message_of_the_next_ones(results: dict[str, dict[str, Any]]) -> None:
    """Nothing on a frozen node can act before its server does, so it is the kernel that has to."""
    frozen = results["freeze"]
    assert frozen["takeover"] is not None
    assert frozen["acks_by_loser"] == 0
