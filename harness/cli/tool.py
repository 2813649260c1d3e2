"""scripts/tool NAME [ARGUMENTS]: runs a pinned tool, built first if need be; --build NAME ... only builds."""

from __future__ import annotations

import os
import sys

from harness.ground import toolchain
from stanft.cli import common


def main() -> None:
    """Replace this process by the tool, or build what --build names; prints the known names for any other."""
    known = toolchain.names()
    only_build = sys.argv[1:2] == ["--build"]
    names = sys.argv[2:] if only_build else sys.argv[1:2]
    if not names or not set(names) <= set(known):
        print(
            "usage: scripts/tool NAME [ARGUMENTS] runs it, scripts/tool --build NAME ... only builds; "
            f"NAME one of: {', '.join(known)}",
            file=sys.stderr,
        )
        sys.exit(2)
    paths = toolchain.ensure_all(names)
    if not only_build:
        path = paths[names[0]]
        os.execv(path, [str(path), *sys.argv[2:]])  # noqa: S606 (this process becomes the tool)


if __name__ == "__main__":
    common.run(main)
