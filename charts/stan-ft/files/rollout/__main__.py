"""The Job's program. Exit code 1 is its own verdict, which fails the Job; any other end is tried again."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from .api import ACCOUNT, InCluster
from .ends import StopError
from .monitors import directly
from .run import Run, stamped
from .settings import from_environment


def _say(line: str) -> None:
    print(line, flush=True)


def main(account: Path = ACCOUNT) -> int:
    """Restart the servers as the environment says, with the account's token; gives the exit code."""
    # Ends the rollout in order: its Lease is given back, and the trial beside it goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        settings = from_environment(os.environ)
        Run(settings, InCluster(account), directly(settings.answer), _say).run()
    except StopError as error:
        _say(stamped(f"error: {error}"))
        return 1
    except Exception:
        traceback.print_exc()
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
