"""No fault at all: full traffic for a while, in which nothing may restart and nobody may take over."""

from __future__ import annotations

import contextlib
import time

from stanft.faults.model import Fault, Injection, Need
from stanft.faults.scene import Scene

LASTS = 60.0  # seconds


def _nothing(_scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    injection.at = time.monotonic()


FAULTS = (
    Fault(
        "soak",
        f"nothing is broken for {LASTS:.0f} s, or --lasts: traffic alone must restart nothing",
        Need.API,
        _nothing,
        takeovers=(0, 0),
        lasts=LASTS,
        spares_bystanders=True,
    ),
)
