"""Decides on each system call that the server asks about: "lock, then prove, then give".

Outside of the store everything passes. Inside, a file that is opened for writing is opened, locked and proven here, and
the server gets the descriptor that owns the lock: from then on the kernel itself refuses its writes once the lease was
lost. Names and sizes, which carry no lock, are changed only after a proof.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import seccomp
from lease import NO_LOCKS, NO_MORE_LOCKS, Lease, LostError
from seccomp import GoneError, Notification
from standby import Waiting

PROBE = b"/proc/stan-supervisor-probe"  # what a new child opens to find out whether all of this works here
ROOT_LOCK = b".rootdir.lck"  # the server's own lock, taken with fcntl(2): a flock of ours would keep it out on NFS
# Files that the server writes and does not sync (stores/filestore.go of 0.25.6), and those they are compacted into.
NEVER_SYNCED = re.compile(rb"(clients|server|subs)(\.dat|\d+)")
# What a channel's files begin with, without which no server starts: fileVersion in stores/filestore.go.
BEGINNING = (1).to_bytes(4, "little")
INDEX_RECORD = 32  # bytes of an index for each message
BEGUN = re.compile(rb"(?P<slice>msgs\.\d+)\.(?:dat|idx)|subs\.dat")
PATIENCE = 10.0  # seconds for the locks of a server that has just been killed: its kernel closes file by file
TELLS = 60.0  # seconds between two lines about locks that are not to be had
_LINKS = 40  # symbolic links in one path, as in the kernel


class Answers(Protocol):
    """How a question can be answered: seccomp.Listener."""

    def valid(self, notification: Notification) -> bool: ...  # noqa: D102
    def proceed(self, notification: Notification) -> None: ...  # noqa: D102
    def refuse(self, notification: Notification, number: int) -> None: ...  # noqa: D102
    def give(self, notification: Notification, descriptor: int, *, cloexec: bool) -> None: ...  # noqa: D102


@dataclass
class Tally:
    """Files of the store given out locked, given out without a lock, refused; changes of names; seconds of waiting."""

    locked: int = 0
    unguarded: int = 0
    refused: int = 0
    names: int = 0
    waited: float = 0.0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def count(self, name: str, by: float = 1) -> None:
        """Add to one of the numbers."""
        with self._lock:
            setattr(self, name, getattr(self, name) + by)


@dataclass(frozen=True)
class Place:
    """Where a path leads: a descriptor of its directory (to be closed), that directory's real path, the last name."""

    directory: int
    where: bytes
    name: bytes

    @property
    def path(self) -> bytes:
        """All of it."""
        return os.path.join(self.where, self.name)


@dataclass
class Gate:
    """The decisions for one server and one store (its real path).

    end is called with a sentence when the server must not go on, tell with one for the log; beyond_quota_prove lets a
    file that gets no lock any more be written after a proof alone, instead of refusing it; unsynced gives up messages
    that the index tells of and the storage never got.
    """

    store: bytes
    lease: Lease
    answers: Answers
    end: Callable[[str], None]
    waiting: Waiting
    umask: int = 0o022
    beyond_quota_prove: bool = False
    unsynced: bool = False
    patience: float = PATIENCE
    read_path: Callable[[int, int], bytes] = seccomp.read_path
    tally: Tally = field(default_factory=Tally)
    tell: Callable[[str], None] = lambda _text: None
    _told: float = -TELLS
    _made: set[tuple[int, int]] = field(default_factory=set)

    def handle(self, notification: Notification) -> None:
        """Answer one question. Never raises for anything that the server or the storage does."""
        try:
            try:
                self._decide(notification)
            except LostError as error:
                self.tally.count("refused")
                self.end(f"the lease of the store was lost ({error}): another server may be let in")
                self.answers.refuse(notification, errno.EIO)
            except OSError as error:
                self.answers.refuse(notification, error.errno or errno.EIO)
        except GoneError:
            pass

    # --- what it is about -------------------------------------------------------------------------------------

    def _decide(self, notification: Notification) -> None:
        call = notification.call
        if call.descriptor is not None:
            number = seccomp.signed(notification.args[call.descriptor])
            try:
                inside = self._inside(_real(f"/proc/{notification.pid}/fd/{number}"))
            except FileNotFoundError:  # no such descriptor: the kernel says so itself
                inside = False
            self._change(notification) if inside else self.answers.proceed(notification)
        elif call.flags is not None or call.name == "creat":
            self._open(notification)
        elif any(self._names(notification, *path) for path in call.paths):
            self._change(notification)
        else:
            self.answers.proceed(notification)

    def _change(self, notification: Notification) -> None:
        self.lease.prove()
        self.tally.count("names")
        self.answers.proceed(notification)

    def _names(self, notification: Notification, directory: int | None, path: int) -> bool:
        try:
            place = self._place(notification, directory, path)
            if notification.call.name == "truncate":
                place = self._followed(notification.pid, place)
        except OSError:
            return True  # it leads nowhere: the kernel says why, after a proof, as it may lead into the store by then
        os.close(place.directory)
        return self._inside(place.path)

    def _inside(self, where: bytes) -> bool:
        return where == self.store or where.startswith(self.store + b"/")

    def _place(self, notification: Notification, directory: int | None, path: int) -> Place:
        text = self.read_path(notification.pid, notification.args[path])
        number = _AT_FDCWD if directory is None else seccomp.signed(notification.args[directory])
        if not self.answers.valid(notification):  # what was read may have been another process's
            raise GoneError
        return _resolved(notification.pid, number, text)

    def _followed(self, pid: int, place: Place) -> Place:
        """Where the last name leads if it is a symbolic link."""
        for _ in range(_LINKS):
            try:
                target = os.readlink(place.name, dir_fd=place.directory)
            except OSError:
                return place
            os.close(place.directory)
            place = _resolved(pid, _AT_FDCWD, os.path.join(place.where, target))
        os.close(place.directory)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    # --- files ------------------------------------------------------------------------------------------------

    def _open(self, notification: Notification) -> None:
        call, args = notification.call, notification.args
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC if call.flags is None else args[call.flags] & 0xFFFFFFFF
        place = self._place(notification, *call.paths[0])
        if flags & os.O_CREAT and place.name.endswith(b"/"):  # the kernel follows no link there, it says so at once
            os.close(place.directory)
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (flags & os.O_NOFOLLOW or (flags & os.O_CREAT and flags & os.O_EXCL)):
            place = self._followed(notification.pid, place)
        try:
            if place.name == ROOT_LOCK and place.where != self.store:
                self.end(f"the server's store is {os.fsdecode(place.where)}, but {os.fsdecode(self.store)} is guarded")
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            if not self._inside(place.path) or flags & os.O_PATH:
                self.answers.proceed(notification)
            elif place.name == ROOT_LOCK:
                self._try_root_lock(notification, place)
            else:
                mode = args[call.mode] & 0o7777 & ~self.umask if call.mode is not None else 0
                self._give(notification, place, flags, mode)
        finally:
            os.close(place.directory)

    def _try_root_lock(self, notification: Notification, place: Place) -> None:
        self.waiting.until_free(place.directory, place.name, lambda: self.answers.valid(notification))
        self._change(notification)

    def _give(self, notification: Notification, place: Place, flags: int, mode: int) -> None:
        descriptor, made = self._opened(place, flags, mode)
        try:
            if made and BEGUN.fullmatch(place.name):
                self._made.add(_identity(descriptor))
            found = os.fstat(descriptor)  # once, as the storage is asked again after a lock
            # A directory can be opened, but neither made nor cut so.
            if flags & (os.O_CREAT | os.O_TRUNC) and stat.S_ISDIR(found.st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            # What is no regular file holds nothing of the store, and a lock needs a descriptor that writes.
            regular = stat.S_ISREG(found.st_mode)
            guarded = bool(flags & seccomp.WRITES) and regular
            locked = guarded and self._lock(notification, descriptor, place)
            self.lease.prove()
            if flags & os.O_TRUNC and regular:
                os.truncate(f"/proc/self/fd/{descriptor}", 0)  # the call may ask for it without asking to write
            elif guarded and not made and not found.st_size:
                self._begin(descriptor, place)
            self.tally.count("locked" if locked else "unguarded", int(guarded))
            self.answers.give(notification, descriptor, cloexec=bool(flags & os.O_CLOEXEC))
        except GoneError:
            if made and flags & os.O_EXCL:  # the interrupted call is made again, and would find its own file
                os.unlink(place.name, dir_fd=place.directory)
            raise
        except BlockingIOError:  # another server's, also where this one seemed to have made it
            raise
        except OSError:
            if made and os.fstat(descriptor).st_size == 0:  # no server starts on a store with an empty file in it
                self.lease.prove()
                os.unlink(place.name, dir_fd=place.directory)
            raise
        finally:
            os.close(descriptor)

    def _begin(self, descriptor: int, place: Place) -> None:
        """Begin a channel's file that was made and, as its node lost its power, never begun.

        Not one of whose messages the index tells, unless nobody waited for the storage: it had some, and somebody has
        to know.
        """
        name = BEGUN.fullmatch(place.name)
        if not name or os.path.dirname(place.where) != self.store or os.fstat(descriptor).st_size:
            return
        if _identity(descriptor) in self._made:  # for a call that was interrupted then: the server begins it itself
            return
        told = 0
        if place.name.endswith(b".dat") and name["slice"]:
            with contextlib.suppress(FileNotFoundError):
                index = os.stat(name["slice"] + b".idx", dir_fd=place.directory).st_size
                told = max(0, index - len(BEGINNING)) // INDEX_RECORD
        if told and not self.unsynced:
            return
        os.pwrite(descriptor, BEGINNING, 0)
        os.fsync(descriptor)
        lost = f", of {told} messages by its index" if told else ""
        self.tell(
            f"{os.fsdecode(place.path)} was empty and is begun: what was to be in it never reached the storage{lost}"
        )

    def _opened(self, place: Place, flags: int, mode: int) -> tuple[int, bool]:
        """The file's descriptor, and whether this made it. Nothing is made or cut before a proof."""
        plain = flags & ~os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        if NEVER_SYNCED.fullmatch(place.name) and flags & seccomp.WRITES:
            plain |= os.O_DSYNC
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL
        if not exclusive:
            try:
                return os.open(place.name, plain & ~os.O_CREAT, dir_fd=place.directory), False
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
        self.lease.prove()
        return os.open(place.name, plain, mode, dir_fd=place.directory), True

    def _lock(self, notification: Notification, descriptor: int, place: Place) -> bool:
        """Whether the descriptor owns a lock now. Raises OSError when it gets none and must not be given out."""
        if not self.lease.locked:
            return False
        began, pause = time.monotonic(), 0.001
        name = os.fsdecode(place.path)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if not self.answers.valid(notification):
                    raise GoneError from None
                self.tally.count("waited", pause)
                if time.monotonic() - began > self.patience:
                    self.tally.count("refused")
                    self.end(f"another server holds the lock of {name}")
                    raise
            except OSError as error:
                if error.errno not in (*NO_MORE_LOCKS, *NO_LOCKS):
                    raise
                self._tell_no_lock(name, error)
                if self.beyond_quota_prove:
                    return False
                self.tally.count("refused")
                raise
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _tell_no_lock(self, name: str, error: OSError) -> None:
        if time.monotonic() - self._told > TELLS:
            self._told = time.monotonic()
            becomes = (
                "WRITTEN WITHOUT ONE, and a woken server may still write into it"
                if self.beyond_quota_prove
                else "refused"
            )
            self.tell(f"no lock for {name} ({error.strerror}); such files are {becomes}")


_AT_FDCWD = -100


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _real(link: str) -> bytes:
    return os.readlink(os.fsencode(link))


def _resolved(pid: int, directory: int, path: bytes) -> Place:
    """The place of a process's path, relative to one of its descriptors or to its working directory. Raises OSError."""
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not path.startswith(b"/"):
        path = b"/proc/%d/%s/%s" % (pid, b"cwd" if directory == _AT_FDCWD else b"fd/%d" % directory, path)
    for own, its in ((b"/proc/self/", b""), (b"/proc/thread-self/", b""), (b"/dev/fd/", b"fd/")):  # not this process's
        if path.startswith(own):
            path = b"/proc/%d/" % pid + its + path[len(own) :]
    bare = path.rstrip(b"/")
    head, _, name = bare.rpartition(b"/")
    if name in (b"", b".", b".."):
        head, name = path, b"."
    else:
        name += path[len(bare) :]
    parent = os.open(head or b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Place(parent, _real(f"/proc/self/fd/{parent}"), name)
    except OSError:
        os.close(parent)
        raise
