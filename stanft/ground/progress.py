"""Tells the user which step runs and how long it took: one line at its start, one a while, one at its end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT = 15.0  # seconds between two signs of life of a long step
_lock = threading.Lock()


def say(line: str) -> None:
    """Print one line to stderr at once (steps run in threads, so lines are never mixed)."""
    with _lock:
        print(line, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show title, then every HEARTBEAT seconds how long it runs, then its time in seconds or that it failed."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            say(f"    {title}: {time.monotonic() - started:.0f} s so far")

    say(f"==> {title}")
    ticker = threading.Thread(target=beat, daemon=True)
    ticker.start()
    try:
        yield
    except BaseException:
        say(f"    {title}: failed after {time.monotonic() - started:.1f} s")
        raise
    else:
        say(f"    {title}: {time.monotonic() - started:.1f} s")
    finally:
        done.set()
        ticker.join()
