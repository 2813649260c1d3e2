"""What can be wrong with a store, and what it does to a server that is started on it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Harm(enum.Enum):
    """What a finding means."""

    NOTHING = "note"  # a server mends it by itself
    LOSES = "loses"  # a server starts and messages are lost, hidden, or delivered wrongly, without a word
    STOPS = "stops"  # no server starts


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; where is a file of the store."""

    where: str
    kind: str
    text: str
    harm: Harm

    def line(self) -> str:
        """For people."""
        return f"{self.harm.value}: {self.where}: {self.kind}: {self.text}"
