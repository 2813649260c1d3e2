"""Faults as data: each has a name, says what it needs, and heals itself when its block ends."""

from __future__ import annotations

from harness.local import node_faults, volume_faults
from stanft.faults import pods, process, soak
from stanft.faults.model import Fault, Goal, Injection, Need
from stanft.faults.scene import Scene
from stanft.ground.errors import UserError

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (*process.FAULTS, *pods.FAULTS, *node_faults.FAULTS, *volume_faults.FAULTS, *soak.FAULTS)
}
__all__ = ["FAULTS", "Fault", "Goal", "Injection", "Need", "Scene", "find"]


def find(name: str) -> Fault:
    """The fault of that name; raises UserError that lists all names."""
    if name not in FAULTS:
        raise UserError(f"there is no fault {name!r}: choose one of {', '.join(FAULTS)} (scripts/drill --list).")
    return FAULTS[name]
