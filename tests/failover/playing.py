"""A fault played once on the real cluster, where nothing may be wrong."""

from __future__ import annotations

from typing import Any

from stanft import faults
from stanft.drill import reach
from stanft.drill.run import Settings, play
from stanft.faults import Fault, Scene

TRIES = 3


def played(fault: str | Fault, scene: Scene, way: reach.Reach | None = None) -> dict[str, Any]:
    """One run that counts and shows nothing wrong; a run that is void (too little traffic before) is made again."""
    chosen = faults.find(fault) if isinstance(fault, str) else fault
    for _ in range(TRIES):
        found = play(chosen, scene, way or reach.Direct(), Settings())
        if not found["verdict"]["void"]:
            break
    assert found["problems"] == []
    assert found["verdict"]["findings"]["lost"]["count"] == 0
    return found
