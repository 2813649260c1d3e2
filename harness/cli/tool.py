"""scripts/tool NAME [ARGUMENTS]: runs a pinned tool, built first if need be."""

from __future__ import annotations

import os
import sys

from harness.ground import toolchain
from stanft.cli import common


def main() -> None:
    """Replace this process by the tool; prints the known names when the first argument is not one of them."""
    known = sorted(name for module in toolchain.MODULES.values() for name in module.packages)
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        print(f"usage: scripts/tool NAME [ARGUMENTS], NAME one of: {', '.join(known)}", file=sys.stderr)
        sys.exit(2)
    path = toolchain.ensure(sys.argv[1])
    os.execv(path, [str(path), *sys.argv[2:]])  # noqa: S606 (this process becomes the tool)


if __name__ == "__main__":
    common.run(main)
