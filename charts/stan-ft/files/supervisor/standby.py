"""Lets a standby that hears no active wait at the server's own lock, instead of trying it every 1.25 s.

A standby tries the lock when it has heard no heartbeat for 1.125 to 1.375 s, and listens again when it gets none
(nats-streaming-server server/ft.go, ftStart). The lock of a dead node is free at some time between two tries.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable

AGAIN = 5.0  # seconds within which the server tries a second time if it heard nobody, on a slow computer too
LOOK = 0.1  # seconds between two looks at the lock
_FLOCK = "hhqqi0q"  # struct flock of 64-bit Linux: type, whence, start, length, process
_WHOLE = (os.SEEK_SET, 0, 0, 0)


class Waiting:
    """Where a standby's tries at the lock wait; longest: seconds that one series of tries may wait in all."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._began = self._tried = -AGAIN
        self._over = threading.Event()

    def leave(self) -> None:
        """Let those that wait go on, and nobody wait any more: the server is asked to end."""
        self._over.set()

    def until_free(self, directory: int, name: bytes, still: Callable[[], bool]) -> None:
        """Return when the lock of this file seems to be free, or the series has waited long enough.

        The first try of a series does not wait: an active may have been heard just before. still says whether the
        server's call still waits; the wait ends when it does not. Never raises: the server's own try finds out why.
        """
        at = time.monotonic()
        if at - self._tried >= AGAIN:
            self._began = self._tried = at
            return
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        except OSError:
            return
        try:
            while time.monotonic() - self._began < self._longest and still() and _taken(descriptor):
                if self._over.wait(LOOK):
                    return
        finally:
            os.close(descriptor)
            self._tried = time.monotonic()


def _taken(descriptor: int) -> bool:
    """Whether another process holds a lock (fcntl(2), as the server takes it) that would be in the server's way."""
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, *_WHOLE))
    except OSError:
        return False
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)
