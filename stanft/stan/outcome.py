"""How a publication can end."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Outcome(enum.Enum):
    """What became of a published message, as far as its publisher can know."""

    STORED = "stored"
    NOT_STORED = "not stored"  # nobody was there to take it
    REFUSED = "refused"  # the active answered with an error
    UNKNOWN = "unknown"  # no answer in time, or the connection broke before one came


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The end of one publication; late = the answer came after it had been told to be unknown."""

    guid: str
    outcome: Outcome
    error: str = ""
    late: bool = False
