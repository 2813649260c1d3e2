"""Every fault of the drill once on the real cluster: nothing lost, never two actives, the right number of takeovers."""

from __future__ import annotations

import pytest
from playing import played

from stanft import faults
from stanft.faults import Scene

# Those with a test of their own.
ELSEWHERE = {"kill", "delete", "roll", "kill-standby", "cut-peers", "kill-without-api", "soak", "kill-exporter"}
# Its outcome is the server's own luck: a record that the full volume cuts off keeps every server from starting again
# (docs/store.md has the remedy). `scripts/drill --fault volume-full` plays it.
BY_HAND = {"volume-full"}


@pytest.mark.parametrize("name", [name for name in faults.FAULTS if name not in ELSEWHERE | BY_HAND])
def test_nothing_is_lost_and_there_are_never_two_actives(name: str, scene: Scene) -> None:
    run = played(name, scene)
    assert run["two_actives"] == []
    assert run["recovered"]
