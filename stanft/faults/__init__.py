"""Faults as data: each has a name, says what it needs, and heals itself when its block ends."""

from __future__ import annotations

from collections.abc import Iterable

from stanft.faults import pods, process, soak
from stanft.faults.model import Fault, Goal, Injection, Need
from stanft.faults.scene import Scene
from stanft.ground.errors import UserError

__all__ = ["FAULTS", "Fault", "Goal", "Injection", "Need", "Scene", "add", "find"]

FAULTS: dict[str, Fault] = {fault.name: fault for fault in (*process.FAULTS, *pods.FAULTS, *soak.FAULTS)}


def add(more: Iterable[Fault]) -> None:
    """Make more faults known, of whoever has nodes or volumes of its own to break."""
    FAULTS.update({fault.name: fault for fault in more})


def find(name: str) -> Fault:
    """The fault of that name; raises UserError that lists all names."""
    if name not in FAULTS:
        raise UserError(f"there is no fault {name!r}: choose one of {', '.join(FAULTS)} (stan-ft drill --list).")
    return FAULTS[name]
