"""A fault played once on the real cluster, where nothing may be wrong."""

from __future__ import annotations

from typing import Any

from stanft import faults
from stanft.drill import reach
from stanft.drill.judge import RESTART
from stanft.drill.run import Settings, play
from stanft.faults import Fault, Scene
from stanft.traffic.verdict import Word

TRIES = 3


def played(fault: str | Fault, scene: Scene, way: reach.Reach | None = None) -> dict[str, Any]:
    """One run that is ok; one that is void (too little traffic before the fault) is made again, and no other."""
    chosen = faults.find(fault) if isinstance(fault, str) else fault
    for _ in range(TRIES):
        found = play(chosen, scene, way or reach.Direct(), Settings(last_read=RESTART))
        if found["judgement"]["word"] != str(Word.VOID):
            break
    # Spelled out, as pytest rewrites the asserts of test files only.
    assert found["problems"] == [], f"{chosen.name}: {found['problems']}, {found['timeline']}"
    return found
