"""The supervisor's own lock in the store, and the proof that it was held all the time: "no other server is let in".

An NFS 4 lock lasts as long as the lease of the node's NFS client. Once that was lost, every write through the locked
descriptor fails with EIO, even under the next lease (fcntl(2), "Lost locks"): the one token that the storage checks.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = b".lease."
DEFAULT_SECONDS = 90.0  # the lease of Linux's NFS server, where the kernel names none
NO_LOCKS = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY)
NO_MORE_LOCKS = (errno.EDQUOT, errno.ENOLCK, errno.ENOSPC, errno.ENOMEM)
# The storage looks at the lock before it looks for room, so these answers prove the lock as well as a success does.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

STAMP = 0.02  # seconds by which a file system's own stamp may lag behind its clock: a tick of the kernel, or two

# File systems of this machine alone: while it runs, nobody can take a lock away.
LOCAL = ("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs")


class LostError(Exception):
    """The lock was lost at some time, or the store answers with an error that no longer lets anybody be sure of it."""


def now() -> float:
    """Seconds on a clock that also runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def overwrite(descriptor: int) -> None:
    """Write one byte over an existing one and wait until the storage has it. Raises OSError."""
    os.pwrite(descriptor, b"\n", 0)
    os.fdatasync(descriptor)


def reread(descriptor: int) -> None:
    """Read one byte past the node's memory. Raises OSError.

    The storage looks at the lock as for a write, but has nothing to put on a disk.
    """
    os.pread(descriptor, 1, 0)


class Lease:
    """A locked file of the store. locked: the file system granted the lock; local: it is one that nobody shares.

    write renews it, ask (by default the same) is the question of a proof; both return when the storage has answered.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        locked: bool,
        local: bool = False,
        write: Callable[[int], None] = overwrite,
        ask: Callable[[int], None] | None = None,
    ) -> None:
        self.locked, self.local = locked, local
        self.good = now()  # when the last proof that succeeded was sent
        self.skew = 0.0  # seconds by which this node's clock is at least ahead of the storage's; negative: behind
        self._descriptor, self._write, self._question = descriptor, write, ask or write
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._lost = ""

    @property
    def lost(self) -> str:
        """Why the lease is no longer held; empty while it is."""
        return self._lost

    def prove(self) -> None:
        """Return when the storage has confirmed the lock after this call began. Raises LostError, then for ever.

        Callers at the same time share an answer: a question that was sent before a caller came is none of its own.
        """
        with self._changed:
            wanted = self._begun + 1
            while self._done < wanted and not self.local and not self._lost:
                if self._begun > self._done:
                    self._changed.wait()
                else:
                    self._begun += 1
                    self._ask(self._question)
                    self._done += 1
            if self._lost:
                raise LostError(self._lost)

    def renew(self) -> None:
        """Write, and wait until the storage has it. Raises LostError."""
        with self._changed:
            self._ask(self._write)
            if self._lost:
                raise LostError(self._lost)

    def compare(self, began: float) -> None:
        """Set skew, from a write of the lease file that was sent after began (time.time()) and has been answered.

        The storage stamps the file with its own clock, at a moment between began and now: what lies outside is skew.
        """
        with contextlib.suppress(OSError):  # the next proof finds out more about it
            stamped = os.fstat(self._descriptor).st_mtime
            self.skew = max(0.0, began - STAMP - stamped) + min(0.0, time.time() - stamped)

    def _ask(self, question: Callable[[int], None]) -> None:
        sent, failure = now(), ""
        self._changed.release()
        try:
            question(self._descriptor)
        except OSError as error:
            failure = "" if error.errno in _NO_ROOM else os.strerror(error.errno or 0)
        finally:
            self._changed.acquire()
        if failure:
            self._lost = self._lost or failure
        else:
            self.good = max(self.good, sent)
        self._changed.notify_all()


def hold(store: bytes, owner: str, *, attempts: int = 100) -> Lease:
    """Lock a lease file of this owner (the pod's name) in the store, which is made if it is missing. Raises OSError.

    A file whose lock an earlier process of the same name still holds, say on a node that died, is left alone.
    """
    os.makedirs(store, exist_ok=True)
    for number in range(attempts):
        name = PREFIX + os.fsencode(owner) + (b".%d" % number if number else b"")
        descriptor = os.open(os.path.join(store, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            locked = _lock(descriptor)
            if os.fstat(descriptor).st_size == 0:
                os.pwrite(descriptor, b"\n", 0)
            os.fsync(descriptor)
            kind = file_system(store)
            ask = reread if kind == "nfs4" and _past_memory(descriptor) else None
            return Lease(descriptor, locked=locked, local=kind in LOCAL, ask=ask)
        except BlockingIOError:
            os.close(descriptor)
        except OSError:
            os.close(descriptor)
            raise
    raise OSError(errno.EAGAIN, f"other processes hold {attempts} lease files of {owner}", os.fsdecode(store))


def _past_memory(descriptor: int) -> bool:
    """Whether what is read and written goes to the storage at once from now on."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)
    except OSError:
        return False
    return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (*NO_LOCKS, errno.ENOLCK):
            return False
        raise
    return True


def file_system(store: bytes, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds the store, as in nfs4, ext4."""
    found, length = "", -1
    for line in mountinfo.read_bytes().splitlines():
        before, _, after = line.partition(b" - ")
        point = _unescaped(before.split()[4])
        if _holds(point, store) and len(point) >= length:  # later mounts cover earlier ones
            found, length = after.split()[0].decode(), len(point)
    return found


def lease_seconds(store: bytes, mountstats: Path = Path("/proc/self/mountstats")) -> float | None:
    """The lease that the NFS server granted, as the kernel says it for the mount of the store; None if it does not."""
    found, length, best = None, -1, False
    if not mountstats.exists():  # a kernel without NFS
        return None
    for line in mountstats.read_bytes().splitlines():
        if match := re.match(rb"device \S+ mounted on (\S+) with fstype", line):
            point = _unescaped(match[1])
            if best := _holds(point, store) and len(point) >= length:
                found, length = None, len(point)
        elif best and (match := re.search(rb"lease_time=(\d+)", line)):
            found = float(match[1])
    return found


def _unescaped(point: bytes) -> bytes:
    return re.sub(rb"\\(\d{3})", lambda match: bytes([int(match[1], 8)]), point)


def _holds(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


class Silence:
    """For how long the storage has answered nothing while this process was able to ask.

    Time in which this process itself stood still (a frozen node, no processor) says nothing about the storage.
    """

    PAUSE = 1.0  # seconds between two looks above which this process stood still

    def __init__(self, began: float) -> None:
        self._looked = self._good = began
        self._excused = 0.0
        self.slept = 0.0  # seconds between the last two looks

    def look(self, at: float, good: float) -> float:
        """Seconds of silence at this time, good being when the last proof that succeeded was sent."""
        if good != self._good:
            self._good, self._excused = good, 0.0
        self.slept, self._looked = at - self._looked, at
        if self.slept > self.PAUSE:
            self._excused += self.slept
        return max(0.0, at - good - self._excused)
