"""What the supervisor needs of the kernel: a filter that asks its parent about a system call, and the answers to it.

Numbers are those of Linux's uapi headers (linux/seccomp.h, linux/filter.h, asm/unistd.h), for x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import struct
from dataclasses import dataclass

WRITES = os.O_WRONLY | os.O_RDWR
# An open with none of these changes nothing in the store and passes without a question.
ASKED_FLAGS = WRITES | os.O_CREAT | os.O_TRUNC
_ALWAYS, _FLAGS, _REFUSED = "always", "flags", "refused"


@dataclass(frozen=True)
class Call:
    """One system call that is asked about: where its arguments say which paths, flags, mode and descriptor it means.

    paths are pairs (argument with the directory's descriptor or None, argument with the path's address).
    """

    name: str
    paths: tuple[tuple[int | None, int], ...] = ()
    flags: int | None = None
    mode: int | None = None
    descriptor: int | None = None
    rule: str = _ALWAYS


def _both(name: str) -> Call:
    return Call(name, ((0, 1), (2, 3)))


_OPENAT = Call("openat", ((0, 1),), flags=2, mode=3, rule=_FLAGS)
_REFUSE = Call("", rule=_REFUSED)  # other ways to the same files, which the server does not use: "not implemented"
# What exists on both; x86-64 has older forms beside them.
_CALLS = {
    "x86_64": {
        2: Call("open", ((None, 0),), flags=1, mode=2, rule=_FLAGS),
        76: Call("truncate", ((None, 0),)),
        77: Call("ftruncate", descriptor=0),
        82: Call("rename", ((None, 0), (None, 1))),
        83: Call("mkdir", ((None, 0),)),
        84: Call("rmdir", ((None, 0),)),
        85: Call("creat", ((None, 0),), mode=1),
        86: Call("link", ((None, 0), (None, 1))),
        87: Call("unlink", ((None, 0),)),
        88: Call("symlink", ((None, 1),)),
        133: Call("mknod", ((None, 0),)),
        257: _OPENAT,
        258: Call("mkdirat", ((0, 1),)),
        259: Call("mknodat", ((0, 1),)),
        263: Call("unlinkat", ((0, 1),)),
        264: _both("renameat"),
        265: _both("linkat"),
        266: Call("symlinkat", ((1, 2),)),
        285: Call("fallocate", descriptor=0),
        304: _REFUSE,  # open_by_handle_at
        316: _both("renameat2"),
        425: _REFUSE,  # io_uring_setup
        437: _REFUSE,  # openat2
    },
    "aarch64": {
        33: Call("mknodat", ((0, 1),)),
        34: Call("mkdirat", ((0, 1),)),
        35: Call("unlinkat", ((0, 1),)),
        36: Call("symlinkat", ((1, 2),)),
        37: _both("linkat"),
        38: _both("renameat"),
        45: Call("truncate", ((None, 0),)),
        46: Call("ftruncate", descriptor=0),
        47: Call("fallocate", descriptor=0),
        56: _OPENAT,
        265: _REFUSE,  # open_by_handle_at
        276: _both("renameat2"),
        425: _REFUSE,  # io_uring_setup
        437: _REFUSE,  # openat2
    },
}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NR_SECCOMP = {"x86_64": 317, "aarch64": 277}
_X32 = 0x40000000  # the bit of x86-64's second set of system calls

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE_RECV = 1, 1 << 3, 1 << 5
_RET_NOTIFY, _RET_ALLOW, _RET_ERRNO = 0x7FC00000, 0x7FFF0000, 0x00050000
_CONTINUE, _ADDFD_SEND = 1, 2
_NOTIF, _DATA, _RESPONSE, _ADDFD = "=QII", "=iIQ6Q", "=QqiI", "=QIIII"
_SIZE = struct.calcsize(_NOTIF) + struct.calcsize(_DATA)
_IOC_RECV, _IOC_SEND, _IOC_VALID, _IOC_ADDFD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103

_libc = ctypes.CDLL(None, use_errno=True)


class GoneError(Exception):
    """The call that was asked about waits no more: its process ended, or a signal interrupted it and it asks again."""


@dataclass(frozen=True)
class Notification:
    """A system call that waits for an answer: pid is the thread's that made it."""

    id: int
    pid: int
    call: Call
    args: tuple[int, ...]


def calls() -> dict[int, Call]:
    """System call number -> what is asked about it, on this machine. Raises OSError (ENOSYS) on other processors."""
    if platform.machine() not in _CALLS:
        raise OSError(errno.ENOSYS, f"no supervision on a processor {platform.machine()}")
    return _CALLS[platform.machine()]


def program() -> bytes:
    """The filter, as BPF instructions: writing opens, changes of names and sizes are asked about, all else passes."""
    machine, asked = platform.machine(), calls()
    ahead = [
        _op(0x20, 4),  # load the architecture
        _op(0x15, _AUDIT_ARCH[machine], 1, 0),
        _op(0x06, _RET_ERRNO | errno.ENOSYS),
        _op(0x20, 0),  # load the call's number
    ]
    if machine == "x86_64":
        ahead += [_op(0x35, _X32, 0, 1), _op(0x06, _RET_ERRNO | errno.ENOSYS)]
    for number, call in asked.items():
        block = _block(call)
        ahead += [_op(0x15, number, 0, len(block)), *block]
    return b"".join([*ahead, _op(0x06, _RET_ALLOW)])


def _block(call: Call) -> list[bytes]:
    if call.rule == _REFUSED:
        return [_op(0x06, _RET_ERRNO | errno.ENOSYS)]
    if call.flags is None or call.rule == _ALWAYS:
        return [_op(0x06, _RET_NOTIFY)]
    load = _op(0x20, 16 + 8 * call.flags)  # the low half of the argument
    return [load, _op(0x45, ASKED_FLAGS, 0, 1), _op(0x06, _RET_NOTIFY), _op(0x06, _RET_ALLOW)]


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def die_with_parent(signal: int) -> None:
    """Let the kernel send this process a signal when its parent ends. Raises OSError."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def install() -> int:
    """Put this process, and what it starts, under the filter; returns the listener's descriptor. Raises OSError."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    code = program()
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(head, len(head))
    failed = 0
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE_RECV, _NEW_LISTENER):  # the first since Linux 5.19
        number = ctypes.c_long(_NR_SECCOMP[platform.machine()])
        found = int(_libc.syscall(number, ctypes.c_long(_SET_MODE_FILTER), ctypes.c_long(flags), pointer))
        if found >= 0:
            return found
        failed = ctypes.get_errno()
    raise OSError(failed, os.strerror(failed))


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Listener:
    """The supervisor's end: receives what is asked and answers it; any number of threads may answer at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._calls = calls()
        self._atomic = True  # ADDFD_FLAG_SEND, since Linux 5.14

    def receive(self, timeout: float | None = None) -> Notification | None:
        """The next question; None after timeout seconds without one. Raises EOFError when nobody is left to ask."""
        while True:
            events = self._poll.poll(None if timeout is None else timeout * 1000)
            if not events:
                return None
            if not events[0][1] & select.POLLIN:
                raise EOFError("every supervised process has ended")
            buffer = bytearray(_SIZE)
            try:
                fcntl.ioctl(self._descriptor, _IOC_RECV, buffer)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):  # it ended, or was interrupted, before it was read
                    continue
                raise
            number, pid, _ = struct.unpack_from(_NOTIF, buffer)
            data = struct.unpack_from(_DATA, buffer, struct.calcsize(_NOTIF))
            return Notification(number, pid, self._calls[data[0]], data[3:])

    def valid(self, notification: Notification) -> bool:
        """Whether the call still waits; so what was read of its process's memory and descriptors was its own."""
        try:
            fcntl.ioctl(self._descriptor, _IOC_VALID, struct.pack("=Q", notification.id))
        except OSError:
            return False
        return True

    def proceed(self, notification: Notification) -> None:
        """Let the kernel do the call as it was made. Raises GoneError."""
        self._answer(notification, 0, 0, _CONTINUE)

    def refuse(self, notification: Notification, number: int) -> None:
        """Let the call fail with this errno. Raises GoneError."""
        self._answer(notification, 0, -number, 0)

    def give(self, notification: Notification, descriptor: int, *, cloexec: bool) -> None:
        """Let the call return a duplicate of this descriptor. Raises GoneError, or OSError such as EMFILE."""
        flags = os.O_CLOEXEC if cloexec else 0
        if self._atomic:
            try:
                self._ioctl(
                    _IOC_ADDFD, bytearray(struct.pack(_ADDFD, notification.id, _ADDFD_SEND, descriptor, 0, flags))
                )
                return
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            self._atomic = False
        request = bytearray(struct.pack(_ADDFD, notification.id, 0, descriptor, 0, flags))
        self._answer(notification, self._ioctl(_IOC_ADDFD, request), 0, 0)

    def _answer(self, notification: Notification, value: int, error: int, flags: int) -> None:
        self._ioctl(_IOC_SEND, bytearray(struct.pack(_RESPONSE, notification.id, value, error, flags)))

    def _ioctl(self, request: int, argument: bytearray) -> int:
        try:
            return int(fcntl.ioctl(self._descriptor, request, argument))
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise GoneError from None
            raise


def read_path(pid: int, address: int, limit: int = 4096) -> bytes:
    """The text at this address of a process, as a path. Raises OSError: EFAULT, ENAMETOOLONG, or why it is closed."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        text = os.pread(memory, limit, address)
    except (OSError, OverflowError):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
    finally:
        os.close(memory)
    end = text.find(b"\0")
    if end < 0:
        number = errno.ENAMETOOLONG if len(text) == limit else errno.EFAULT
        raise OSError(number, os.strerror(number))
    return text[:end]


def signed(value: int) -> int:
    """A descriptor from a register: AT_FDCWD is -100."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low
