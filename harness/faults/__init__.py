"""Faults as data: each has a name, says what it needs, and heals itself when its block ends."""

from __future__ import annotations

from harness.errors import UserError
from harness.faults import nodes, pods, process, soak, volume
from harness.faults.model import Fault, Goal, Injection, Need
from harness.faults.scene import Scene

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*process.FAULTS, *pods.FAULTS, *nodes.FAULTS, *volume.FAULTS, *soak.FAULTS)
}
__all__ = ["FAULTS", "Fault", "Goal", "Injection", "Need", "Scene", "find"]


def find(name: str) -> Fault:
    """The fault of that name; raises UserError that lists all names."""
    if name not in FAULTS:
        raise UserError(f"there is no fault {name!r}: choose one of {', '.join(FAULTS)} (scripts/drill --list).")
    return FAULTS[name]
