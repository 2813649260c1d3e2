"""Runs the streaming server and stands between it and its store: no file without a lock, no change without a proof.

Usage: supervisor.py --directory DIRECTORY [options] -- PROGRAM ARGUMENTS. The first process of the server's container,
which needs no privilege. The server ends with it, and it ends with the server, with the server's exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

import lease as leases
import seccomp
from gate import PROBE, Gate
from lease import Lease, LostError, Silence
from reread import Files
from standby import Waiting
from status import Activity, Server, Status

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT)
FORWARDED = (*_ENDING, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
HANDLED = {*FORWARDED, signal.SIGCHLD}
TICK = 0.2  # seconds between two looks at the lease
RENEWAL = 1.0  # seconds between two proofs
SKEW = 30.0  # seconds between the clocks of node and storage that are told
WORKERS = 256  # questions answered at once; the server recovers up to parallel_recovery (64) channels at a time
HANDSHAKE = 20.0  # seconds for a child to come up, on a busy machine
LEASES = 2.0  # leases for which a standby waits at the lock of an active that it does not hear: a dead one's is free
LAST_WORDS = 5.0  # seconds for a killed server to be gone
ACTS = 600.0  # seconds in which a silent store ends an active server once only
FENCED = 1  # exit code of a supervisor that ended its server, or could not start it


class CannotError(Exception):
    """Supervision is not possible here; the message says what is missing."""


def say(text: str) -> None:
    """One line to the container's log; one that takes no words (its reader died, its disk is full) stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(f"supervisor: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Options:
    """The command line; seconds are of the storage's lease, 0 asks the kernel."""

    directory: bytes
    mode: str
    seconds: float
    beyond_quota: str
    unsynced: bool
    monitor: str
    listen: str
    name: str
    memory: str
    reread: list[bytes]
    command: list[str]


def parsed(arguments: Sequence[str]) -> Options:
    """The options in these arguments; ends the process with a message when they are wrong."""
    parser = argparse.ArgumentParser(prog="supervisor.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directory", required=True, type=os.fsencode, help="the directory of the server's file store")
    parser.add_argument(
        "--mode", choices=("require", "prefer"), default="require", help="what to do where it cannot work"
    )
    parser.add_argument("--lease", type=float, default=0.0, dest="seconds", help="seconds; 0: what the kernel says")
    parser.add_argument("--beyond-quota", choices=("refuse", "prove"), default="refuse", help="a file without a lock")
    parser.add_argument(
        "--unsynced",
        action="store_true",
        help="what the storage never got is given up, as the server does not wait for it",
    )
    parser.add_argument("--monitor", default="", help="URL of the server's monitoring port")
    parser.add_argument("--listen", default="", help="ADDRESS:PORT for /metrics")
    parser.add_argument("--name", default=socket.gethostname(), help="whose lease file; the pod's name")
    parser.add_argument("--memory", default="", help="file that outlives this process: when it last acted on silence")
    parser.add_argument(
        "--reread",
        action="append",
        default=[],
        type=os.fsencode,
        metavar="FOLDER",
        help="tell the server to read its configuration again when a file in it changes; may be repeated",
    )
    parser.add_argument("command", nargs="+", help="the server and its arguments")
    return Options(**vars(parser.parse_args(arguments)))


# --- the child --------------------------------------------------------------------------------------------------------


@dataclass
class Child:
    """The server's process: started, held back until released."""

    pid: int
    pidfd: int | None  # None: a kernel that has none (Linux before 5.3)
    control: socket.socket
    listener: seccomp.Listener | None = None

    def release(self) -> None:
        """Let it become the server."""
        with contextlib.suppress(OSError):
            self.control.send(b"go")

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(OSError):
            if self.pidfd is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(self.pidfd, number)


def fork(command: Sequence[str], *, filtered: bool) -> Child:
    """A child that waits to become the command. Raises CannotError where the filter does not work."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _become(command, theirs, parent, filtered=filtered)
        except BaseException as error:  # whatever it is, the parent has to hear of it
            with contextlib.suppress(OSError):
                theirs.send(f"no {error}".encode()[:1000])
        finally:
            os._exit(127)
    theirs.close()
    ours.settimeout(HANDSHAKE)
    child = Child(pid, None, ours)
    with contextlib.suppress(OSError):
        child.pidfd = os.pidfd_open(pid)
    if filtered:
        try:
            child.listener = _handshake(ours)
        except (OSError, EOFError, CannotError) as error:
            child.kill()
            os.waitpid(pid, 0)
            raise CannotError(str(error)) from error
    return child


def _become(command: Sequence[str], control: socket.socket, parent: int, *, filtered: bool) -> None:
    seccomp.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)
    if filtered:
        listener = seccomp.install()
        socket.send_fds(control, [b"listener"], [listener])
        os.close(listener)
        os.close(os.open(PROBE, os.O_WRONLY))  # fails where any part of the mechanism is missing
        control.send(b"works")
    if control.recv(8) != b"go":
        os._exit(127)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a new program would inherit
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execvp(command[0], list(command))  # noqa: S606
    except OSError as error:
        say(f"cannot start {command[0]}: {error.strerror}")


def _handshake(control: socket.socket) -> seccomp.Listener:
    """The child's listener, once a first question was asked and answered through it. Raises what stood in the way."""
    word, descriptors, _, _ = socket.recv_fds(control, 1024, 1)
    if not descriptors:
        raise CannotError(f"seccomp gives no listener: {_said(word)}")
    listener = seccomp.Listener(descriptors[0])
    question = listener.receive(HANDSHAKE)
    if question is None:
        raise CannotError("seccomp does not report system calls")
    try:
        path = seccomp.read_path(question.pid, question.args[question.call.paths[0][1]])
    except OSError as error:
        listener.refuse(question, errno.EPERM)
        raise CannotError(
            f"a child's memory cannot be read ({error.strerror}); kernel.yama.ptrace_scope has to be 0 or 1"
        ) from error
    if path != PROBE:
        raise CannotError(f"a child asked for {path!r} first")
    with open(os.devnull, "wb") as null:
        listener.give(question, null.fileno(), cloexec=True)
    word = control.recv(1024)
    if word != b"works":
        raise CannotError(f"a child got no descriptor: {_said(word)}")
    return listener


def _said(word: bytes) -> str:
    return word.decode(errors="replace").removeprefix("no ") or "the child has ended"


# --- the supervisor ---------------------------------------------------------------------------------------------------


class Supervisor:
    """One server from its start to its end."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.store = os.path.realpath(options.directory)
        seconds = options.seconds or leases.lease_seconds(self.store) or leases.DEFAULT_SECONDS
        file_system = leases.file_system(self.store)
        self.status = Status(os.fsdecode(self.store), file_system, limit=seconds / 2)
        self.reason = ""  # why the server was ended, once it was
        self.code: int | None = None  # its exit code, once it has ended
        self._ended, self._told = threading.Event(), threading.Event()
        self._waiting = Waiting(LEASES * seconds)
        self._mutex = threading.Lock()
        self._held_back = 0.0  # since when the server stands still until a proof, 0 while it runs

    def run(self) -> int:
        """Start the server, supervise it, and return the exit code for its container."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        for number in FORWARDED:  # one that the starter ignores (nohup) would never come, and the server inherit that
            signal.signal(number, signal.SIG_DFL)
        address, _, port = self.options.listen.rpartition(":")
        try:
            server = Server(address.strip("[]"), int(port), self.status) if port else None
        except (OSError, OverflowError, ValueError) as error:
            say(f"the server is not started: {self.options.listen} cannot be listened on: {error}. Set fencing.port")
            return FENCED
        try:
            self.child = self._start()
        except CannotError:
            return FENCED
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
        threading.stack_size(256 * 1024)
        threading.excepthook = _fatal
        if server:
            server.serve()
        threading.Thread(target=self._supervise, name="lease", daemon=True).start()
        return self._wait()

    def end(self, reason: str) -> None:
        """End the server at once; the first reason is told."""
        with self._mutex:
            first, self.reason = not self.reason, self.reason or reason
        self.child.kill()  # before a word is said: a log whose reader hangs takes none
        self._ended.set()
        if first:
            say(f"ends the server: {reason}")
            self._told.set()

    def _start(self) -> Child:
        try:
            return fork(self.options.command, filtered=True)
        except CannotError as error:
            if self.options.mode == "require":
                say(
                    f"the server is not started, because its store cannot be guarded here: {error}. Use another node, "
                    "or set fencing.mode=prefer to run unguarded: a server that was cut off can write late then"
                )
                raise
            say(f"THE STORE IS NOT GUARDED: {error}. A server that was cut off or frozen can write into it afterwards")
            self.status.unguarded = str(error)
            return fork(self.options.command, filtered=False)

    def _supervise(self) -> None:
        """Lock the lease file, let the server start, answer its questions until nobody asks any more."""
        try:
            held = leases.hold(self.store, self.options.name)
        except OSError as error:
            self.end(f"no lease file in the store: {error.strerror} ({os.fsdecode(error.filename or self.store)})")
            return
        umask = os.umask(0)  # from here on each file gets the mode that is asked for
        self._tell(held)
        if not held.locked and self.options.mode == "require":
            self.end(
                f"the file system of the store ({self.status.file_system}) knows no locks: use one that does, or set "
                "fencing.mode=prefer to run unguarded: a second active server would not be kept out then"
            )
            return
        self._activity = Activity(self.options.monitor, self.status.tally)
        self.status.lease = held
        threading.Thread(target=self._renew, args=(held,), name="renewal", daemon=True).start()
        self.child.release()
        if self.child.listener is not None:
            self._answer(self.child.listener, held, umask)

    def _answer(self, listener: seccomp.Listener, held: Lease, umask: int) -> None:
        prove = self.options.beyond_quota == "prove"
        gate = Gate(
            self.store,
            held,
            listener,
            self.end,
            self._waiting,
            umask=umask,
            beyond_quota_prove=prove,
            unsynced=self.options.unsynced,
            tally=self.status.tally,
            tell=say,
        )
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="answer") as pool:
            pool.submit(int).result()  # so that there is one worker at least
            while True:
                try:
                    question = listener.receive()
                except EOFError:
                    return
                if question is not None:
                    with contextlib.suppress(RuntimeError):  # no more threads are to be had: those there are take it
                        pool.submit(self._handle, gate, question)

    def _handle(self, gate: Gate, question: seccomp.Notification) -> None:
        try:
            gate.handle(question)
        except BaseException:
            _fatal()

    def _renew(self, held: Lease) -> None:
        told = False
        while True:
            began, clock = leases.now(), time.time()
            try:
                held.renew()
            except LostError as error:
                self.end(f"the lease of the store was lost ({error}): another server may be let in")
                return
            held.compare(clock)
            if told != (abs(held.skew) > SKEW):
                told = not told
                self._tell_clocks(held.skew)
            time.sleep(max(0.0, RENEWAL - (leases.now() - began)))

    def _tell(self, held: Lease) -> None:
        kind, limit = self.status.file_system, self.status.limit
        if not held.locked:
            self.status.unguarded = self.status.unguarded or f"{kind} knows no locks"
            say(f"THE STORE IS NOT GUARDED: {kind} knows no locks. A second active server would not be kept out")
        elif kind != "nfs4":
            say(f"the store is on {kind}: only NFS 4 itself refuses a late write of a server that was cut off")
        does = "watches" if self.status.unguarded else "guards"
        say(f"{does} {os.fsdecode(self.store)} ({kind}); an active server is ended after {limit:g} s of silence")

    def _tell_clocks(self, skew: float) -> None:
        if abs(skew) > SKEW:
            say(
                f"THE CLOCK OF THIS NODE IS {abs(skew):.0f} S {'AHEAD OF' if skew > 0 else 'BEHIND'} THE STORAGE'S: an "
                "active server ages messages by its node's clock, and one that is ahead drops them too early (max_age)"
            )
        else:
            say("the clocks of node and storage agree again")

    # --- the main thread: signals, the server's end, silence ---

    def _wait(self) -> int:
        silence, killed, files = Silence(leases.now()), 0.0, Files(self.options.reread)
        while True:
            received = signal.sigtimedwait(HANDLED, TICK)
            if received is not None and received.si_signo in FORWARDED:
                self._forward(received.si_signo)
            self._reap()
            if self.code is not None:
                return self._last_words()
            if self._ended.is_set():
                killed = killed or time.monotonic()
                if time.monotonic() - killed > LAST_WORDS:
                    return FENCED
            elif self.status.lease is not None:
                at = leases.now()
                silent = silence.look(at, self.status.lease.good)
                self._hold_back(at, silence.slept, self.status.lease)
                if silent > self.status.limit and self._activity.active and self._may_act():
                    self.end(f"the store has been silent for {silent:.1f} s")
                elif folder := files.changed(time.monotonic()):
                    say(f"{os.fsdecode(folder)} has changed: the server reads its configuration again")
                    self._forward(signal.SIGHUP)
            else:
                silence = Silence(leases.now())

    def _hold_back(self, at: float, slept: float, held: Lease) -> None:
        """Stop an active server that may have slept through its lease, until a later proof says that it has not.

        It would at once tell the others that it is active, and the one that took over, the younger of the two, would
        end itself (nats-streaming-server server/ft.go, ftSendHBLoop).
        """
        if slept > self.status.limit and not held.local and self._activity.active:
            self._held_back = at
            self.child.signal(signal.SIGSTOP)
            say(f"stood still for {slept:.1f} s: the server waits for a proof of its lease")
        if self._held_back and held.good >= self._held_back:
            self._held_back = 0.0
            self.child.signal(signal.SIGCONT)

    def _forward(self, number: int) -> None:
        if number in _ENDING:
            self._waiting.leave()
        if self.status.lease is not None:
            self.child.signal(number)
        elif number in _ENDING:
            self.end("asked to end before the store answered")

    def _reap(self) -> None:
        """Take the exit codes of the server and, as the first process of a container, of orphans."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child.pid:
                    code = os.waitstatus_to_exitcode(status)
                    self.code = code if code >= 0 else 128 - code

    def _last_words(self) -> int:
        if self.reason:
            self._told.wait(1.0)
            say(f"ended the server: {self.reason}")
            return FENCED
        return self.code or 0

    def _may_act(self) -> bool:
        """Whether silence may end the server: once in a while only, for a store that is silent for everybody."""
        if not self.options.memory:
            return True
        try:
            if 0 <= time.time() - os.stat(self.options.memory).st_mtime < ACTS:
                return False
        except OSError:
            pass
        with contextlib.suppress(OSError), open(self.options.memory, "wb"):
            pass
        return True


def _fatal(*_: object) -> NoReturn:
    """An error of the supervisor itself ends everything: the server dies with its parent."""
    try:
        traceback.print_exc()
        say("an error of its own: ends with the server")
    finally:
        os._exit(FENCED)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run, then end at once: threads that wait for a silent store wait for nothing any more."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    try:
        code = Supervisor(options).run()
    except BaseException:  # not an exit that first waits for the other threads
        _fatal()
    os._exit(code)


if __name__ == "__main__":
    main()
