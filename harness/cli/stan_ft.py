"""scripts/check, drill, report, rollout: the command stan-ft, given the pinned programs and the local cluster."""

from __future__ import annotations

from harness.local import furnish
from stanft.cli import main

if __name__ == "__main__":
    furnish.everything()
    main.entry()
