"""A program that runs beside other work, which may wait for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stanft.ground.progress import say, step


@contextmanager
def beside(command: Sequence[str], log: Path, what: str) -> Iterator[Callable[[], None]]:
    """Run command while the body runs, its output into log: gives a function that waits for its end.

    what says what is done, as in "the images are built". A command that still runs when the body ends is ended; how it
    ends is not judged here.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"==> {what} beside this ({log})")
    with log.open("wb") as file:
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)

    def wait() -> None:
        if running.poll() is None:
            with step(f"waiting until {what}"):
                running.wait()

    try:
        yield wait
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()
