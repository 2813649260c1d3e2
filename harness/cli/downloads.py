"""scripts/lock --downloads: fills in the checksums of released tools that have none yet."""

from __future__ import annotations

from harness.ground import downloads
from stanft.cli import common

if __name__ == "__main__":
    common.run(downloads.pin)
