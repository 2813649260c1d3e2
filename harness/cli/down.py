"""scripts/down: takes the local cluster away, and the container engine if scripts/up started one."""

from __future__ import annotations

import argparse

from harness.local.down import down
from stanft.cli import common


def main() -> int:
    """Take everything away that scripts/up made; what was built stays in the cache unless --cache is given."""
    parser = argparse.ArgumentParser(
        prog="scripts/down",
        description="Takes away the local cluster with its volume, and stops the container engine if scripts/up "
        "started it. An engine that ran before keeps running.",
    )
    parser.add_argument("--cache", action="store_true", help="also remove what was built and downloaded")
    arguments = parser.parse_args()
    down(everything=arguments.cache)
    return 0


if __name__ == "__main__":
    common.run(main)
