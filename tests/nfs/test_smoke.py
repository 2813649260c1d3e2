"""A takeover after a kill, a cut and a freeze, on a real NFSv4.1 mount, as scripts/nfs-lab --smoke does it."""

from __future__ import annotations

import json
from typing import Any

import nfslab
import pytest

from harness.cli.nfs_lab import SMOKE

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(900)]
LEASE = 20.0  # seconds, the lab's default


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The smoke runs, by fault."""
    output = tmp_path_factory.mktemp("nfs") / "results.json"
    log = nfslab.run("--smoke", "--events", "--output", output)
    assert output.exists(), f"the lab gave no results:\n{log[-4000:]}"
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
