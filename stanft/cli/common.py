"""What every command does alike: one clear message for an error of the user's, 130 for Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from stanft.ground import shell
from stanft.ground.errors import UserError


def end_like_ctrl_c() -> None:
    """Make SIGTERM end this program in order, as Ctrl-C does (which a shell switches off in what it starts with &)."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def run(main: Callable[[], int | None]) -> None:
    """Run a command's main function and end the process with its exit code (2 for an error that it explains)."""
    try:
        sys.exit(main() or 0)
    except (UserError, shell.CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here when it is run again", file=sys.stderr)
        sys.exit(130)
