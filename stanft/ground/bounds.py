"""How long things may take, in seconds: one table, and one multiplier (STAN_FT_PATIENCE) for machines that are slow.

These are limits after which something is given up, never goals: what a takeover may take is said with the faults
(stanft/faults). A limit is long enough for a busy machine of two cores and short enough to be watched by a person.
"""

from __future__ import annotations

import math
import os
from typing import Final

from stanft.ground.errors import UserError

WHOLE: Final = 120.0  # a group of three, from nothing scheduled to one active, two standing by, all routes
ROLLED: Final = 240.0  # all servers restarted one after the other
POD_GONE: Final = 60.0  # a deleted pod: 30 s of grace are Kubernetes' default
TAKEN_OVER: Final = 60.0  # a standby shows itself as active: detection takes 1.4 s, a large store's recovery the rest
FORWARD_UP: Final = 15.0  # a forwarded port takes connections
API_CALL: Final = 15.0  # one call of the Kubernetes API
API_READ: Final = 30.0  # one listing of the Kubernetes API
API_AWAY: Final = 30.0  # the API server stays away after its manifest is gone


def patience() -> float:
    """The multiplier of every wait: $STAN_FT_PATIENCE, 1 where it is not set; raises UserError if it is no number."""
    text = os.environ.get("STAN_FT_PATIENCE") or "1"
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0.1 <= found <= 100:
        raise UserError(f"STAN_FT_PATIENCE is {text!r}: set it to a number from 0.1 to 100 such as 3, or unset it.")
    return found


def patient(seconds: float) -> float:
    """So many seconds, stretched by patience()."""
    return seconds * patience()
