"""What every command does alike: one clear message for an error of the user's, 130 for Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from harness.ground.paths import cache
from stanft.ground import shell
from stanft.ground.errors import UserError


def bytecode() -> dict[str, str]:
    """The variables with which pytest keeps compiled code in the cache, rewritten asserts too, to halve its start."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache() / "bytecode")}


def end_like_ctrl_c() -> None:
    """Make SIGTERM end this program in order, as Ctrl-C does (which a shell switches off in what it starts with &)."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def run(main: Callable[[], int | None]) -> None:
    """Run a command's main function and end the process with its exit code (1 for an error that it explains)."""
    try:
        sys.exit(main() or 0)
    except (UserError, shell.CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here when it is run again", file=sys.stderr)
        sys.exit(130)
