"""The supervisor's decisions about single system calls, on real files, with a storage that can lose the lease."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gate import Gate
from lease import Lease
from seccomp import GoneError, Notification, calls
from standby import Waiting

PATIENCE = 0.3  # seconds for a lock that another holds, in these tests
CWD = 0xFFFFFF9C  # AT_FDCWD in a register
CALLS = {call.name: call for call in calls().values()}
LOST = OSError(errno.EIO, "lost")


class Play:
    """A caller with paths in its memory, the answers it gets, and a storage whose proofs can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.store.mkdir()
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.memory: dict[int, bytes] = {}
        self.answer: object = None
        self.proofs = 0
        self.pid = os.getpid()
        self.valid_for = 1000
        self.given: list[int] = []
        self.ended: list[str] = []
        self.told: list[str] = []
        self.failure: OSError | None = None
        self.at_proof: Callable[[], object] = lambda: None
        self.lease = Lease(-1, locked=True, write=self._write)
        self.gate = Gate(
            os.fsencode(self.store),
            self.lease,
            self,
            self.ended.append,
            Waiting(PATIENCE),
            umask=0o027,
            patience=PATIENCE,
            tell=self.told.append,
            read_path=lambda _, address: self.memory[address],
        )

    def _write(self, _: int) -> None:
        self.proofs += 1
        self.at_proof()
        if self.failure:
            raise self.failure

    # --- the kernel's part

    def valid(self, _: Notification) -> bool:
        self.valid_for -= 1
        return self.valid_for >= 0

    def proceed(self, _: Notification) -> None:
        self.answer = "proceed"

    def refuse(self, _: Notification, number: int) -> None:
        self.answer = number

    def give(self, _: Notification, descriptor: int, **__: bool) -> None:
        if self.valid_for <= 0:
            raise GoneError
        self.given.append(os.dup(descriptor))
        self.answer = "given"

    # --- the server's part

    def call(self, name: str, *args: int | bytes | Path) -> object:
        """Make a call whose paths are bytes or Path; the answer."""
        numbers = []
        for arg in args:
            if isinstance(arg, int):
                numbers.append(arg)
            else:
                self.memory[len(self.memory) + 1] = os.fsencode(arg)
                numbers.append(len(self.memory))
        self.answer = None
        self.gate.handle(Notification(1, self.pid, CALLS[name], tuple([*numbers, 0, 0, 0, 0][:6])))
        return self.answer

    def open(self, path: bytes | Path, flags: int = os.O_RDWR | os.O_CREAT | os.O_APPEND, mode: int = 0o666) -> object:
        """Open as the server does."""
        return self.call("openat", CWD, path, flags, mode)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """A store and its caller."""
    play = Play(tmp_path)
    yield play
    for descriptor in play.given:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some open description of the file owns a lock."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# --- lock, then prove, then give


def test_a_file_of_the_store_is_given_locked_and_proven_after_the_lock(play: Play) -> None:
    file = play.store / "msgs.1.dat"
    file.touch()
    seen: list[bool] = []
    play.at_proof = lambda: seen.append(is_locked(file))
    assert play.open(file) == "given"
    assert seen == [True]
    assert is_locked(file)


def test_the_given_descriptor_has_the_flags_of_the_call(play: Play) -> None:
    play.open(play.store / "msgs.1.dat")
    assert fcntl.fcntl(play.given[0], fcntl.F_GETFL) & (os.O_RDWR | os.O_APPEND | os.O_DSYNC) == os.O_RDWR | os.O_APPEND


@pytest.mark.parametrize("name", ["clients.dat", "server.dat", "subs.dat", "clients123", "subs4567"])
def test_files_that_the_server_never_syncs_are_written_through(play: Play, name: str) -> None:
    play.open(play.store / name)
    assert fcntl.fcntl(play.given[0], fcntl.F_GETFL) & os.O_DSYNC


def test_a_new_file_gets_the_mode_of_the_call_less_the_servers_umask(play: Play) -> None:
    previous = os.umask(0)  # as in the supervisor
    try:
        play.open(play.store / "msgs.1.dat", mode=0o666)
    finally:
        os.umask(previous)
    assert (play.store / "msgs.1.dat").stat().st_mode & 0o777 == 0o640


def test_nothing_is_made_in_the_store_once_the_lease_was_lost(play: Play) -> None:
    play.failure = LOST
    assert play.open(play.store / "msgs.1.dat") == errno.EIO
    assert list(play.store.iterdir()) == []
    assert play.ended


def test_nothing_is_cut_once_the_lease_was_lost(play: Play) -> None:
    (play.store / "server.dat").write_text("content")
    play.failure = LOST
    assert play.open(play.store / "server.dat", os.O_RDWR | os.O_TRUNC) == errno.EIO
    assert (play.store / "server.dat").read_text() == "content"


def test_a_cut_that_is_asked_for_is_done_once_proven(play: Play) -> None:
    (play.store / "server.dat").write_text("content")
    assert play.open(play.store / "server.dat", os.O_RDWR | os.O_TRUNC) == "given"
    assert (play.store / "server.dat").read_text() == ""


def test_an_open_that_fails_fails_with_the_kernels_own_error(play: Play) -> None:
    assert play.open(play.store / "no/such", os.O_RDWR) == errno.ENOENT
    assert play.open(play.store, os.O_RDWR) == errno.EISDIR
    assert play.open(play.store / ".", os.O_RDWR) == errno.EISDIR
    (play.store / "there").touch()
    assert play.open(play.store / "there", os.O_CREAT | os.O_EXCL | os.O_RDWR) == errno.EEXIST
    assert play.open(b"", os.O_RDWR) == errno.ENOENT
    assert play.open(play.store / ("x" * 300)) == errno.ENAMETOOLONG


# --- files that were made and never begun


BEGINNING = b"\x01\x00\x00\x00"  # as a server begins them


@pytest.fixture
def channel(play: Play) -> Path:
    """The folder of a channel."""
    folder = play.store / "orders"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["msgs.1.dat", "msgs.12.dat", "msgs.1.idx", "subs.dat"])
def test_a_channels_file_that_was_made_and_never_begun_is_begun_and_told(play: Play, channel: Path, name: str) -> None:
    (channel / name).touch()
    assert play.open(channel / name) == "given"
    assert (channel / name).read_bytes() == BEGINNING
    assert play.told == [f"{channel / name} was empty and is begun: what was to be in it never reached the storage"]
    assert os.read(play.given[0], 4) == BEGINNING, "the server reads it from the first byte on"


def test_a_file_whose_messages_the_index_tells_stays_empty_for_somebody_to_see(play: Play, channel: Path) -> None:
    (channel / "msgs.2.dat").touch()
    (channel / "msgs.2.idx").write_bytes(BEGINNING + b"x" * 32)
    assert play.open(channel / "msgs.2.dat") == "given"
    assert (channel / "msgs.2.dat").read_bytes() == b""
    assert play.told == []


def test_what_the_storage_never_got_is_given_up_and_told_where_the_server_does_not_wait_for_it(
    play: Play, channel: Path
) -> None:
    play.gate.unsynced = True
    (channel / "msgs.2.dat").touch()
    (channel / "msgs.2.idx").write_bytes(BEGINNING + b"x" * 32 * 16)
    assert play.open(channel / "msgs.2.dat") == "given"
    assert (channel / "msgs.2.dat").read_bytes() == BEGINNING
    assert play.told[0].endswith("never reached the storage, of 16 messages by its index")


def test_a_file_whose_index_holds_no_more_than_its_beginning_is_begun(play: Play, channel: Path) -> None:
    (channel / "msgs.2.dat").touch()
    (channel / "msgs.2.idx").write_bytes(BEGINNING + b"x" * 31)
    play.open(channel / "msgs.2.dat")
    assert (channel / "msgs.2.dat").read_bytes() == BEGINNING


def test_the_index_of_a_file_that_has_messages_is_begun_as_the_server_makes_it_anew(play: Play, channel: Path) -> None:
    (channel / "msgs.2.dat").write_bytes(BEGINNING + b"message")
    (channel / "msgs.2.idx").touch()
    play.open(channel / "msgs.2.idx")
    assert (channel / "msgs.2.idx").read_bytes() == BEGINNING


@pytest.mark.parametrize(
    "name", ["server.dat", "clients.dat", "msgs.1.dat", "orders/msgs.1.dat.bak", "orders/a/subs.dat"]
)
def test_other_empty_files_stay_so(play: Play, channel: Path, name: str) -> None:
    """An empty server.dat is a store of which nothing is known: no server may go on as if it were a new one."""
    (channel / "a").mkdir()
    (play.store / name).touch()
    assert play.open(play.store / name) == "given"
    assert (play.store / name).read_bytes() == b""


def test_nothing_is_begun_that_the_server_makes_cuts_or_only_reads(play: Play, channel: Path) -> None:
    assert play.open(channel / "subs.dat") == "given"
    (channel / "msgs.1.dat").touch()
    assert play.open(channel / "msgs.1.dat", os.O_RDWR | os.O_TRUNC) == "given"
    assert play.open(channel / "msgs.1.dat", os.O_RDONLY) == "given"
    assert [each.read_bytes() for each in sorted(channel.iterdir())] == [b"", b""]


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits for its lock", "as it is given"])
def test_a_file_that_was_made_for_a_call_that_is_made_again_is_begun_by_the_server_alone(
    play: Play, channel: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """A signal interrupts a call before Linux 5.19; the server has looked before, and writes the beginning itself."""
    file = channel / "msgs.1.dat"
    made = play.gate._opened

    with ExitStack() as held, monkeypatch.context() as patched:

        def locked_by_another(*words: Any) -> tuple[int, bool]:
            found = made(*words)
            fcntl.flock(held.enter_context(file.open("rb")), fcntl.LOCK_EX)
            return found

        if waits:
            patched.setattr(play.gate, "_opened", locked_by_another)
        play.valid_for = 1
        play.open(file)
    assert (play.given, file.read_bytes()) == ([], b"")
    play.valid_for = 1000
    assert play.open(file) == "given"
    assert file.read_bytes() == b""


def test_nothing_is_begun_without_the_lease(play: Play, channel: Path) -> None:
    (channel / "msgs.1.dat").touch()
    play.failure = LOST
    assert play.open(channel / "msgs.1.dat") == errno.EIO
    assert (channel / "msgs.1.dat").read_bytes() == b""


# --- the server's own lock


def test_a_standby_that_waited_at_the_lock_gets_it_after_a_proof(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(play.gate.waiting, "until_free", lambda *_: order.append("waited"))
    play.at_proof = lambda: order.append("proven")
    assert play.open(play.store / ".rootdir.lck", os.O_RDWR | os.O_CREAT | os.O_TRUNC) == "proceed"
    assert order == ["waited", "proven"]


# --- locks that are not there


def test_a_lock_that_a_dying_server_still_holds_is_waited_for(play: Play) -> None:
    file = play.store / "msgs.1.dat"
    holder = os.open(file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    threading.Timer(PATIENCE / 3, os.close, [holder]).start()
    assert play.open(file) == "given"
    assert play.gate.tally.waited > 0


def test_a_lock_that_stays_anothers_ends_the_server(play: Play) -> None:
    file = play.store / "msgs.1.dat"
    with file.open("wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert play.open(file) == errno.EAGAIN
    assert play.ended == [f"another server holds the lock of {file}"]


def no_lock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every lock fail."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)


def test_a_new_file_that_is_refused_leaves_no_empty_one_with_which_no_server_starts(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    (play.store / "subs.dat").touch()
    no_lock(monkeypatch, errno.ENOLCK)
    assert play.open(play.store / "msgs.1.dat") == errno.ENOLCK
    assert play.open(play.store / "subs.dat") == errno.ENOLCK
    assert [path.name for path in play.store.iterdir()] == ["subs.dat"], "what was there before stays"


def test_a_new_file_for_which_the_server_has_no_descriptor_is_not_left_behind(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "full")

    monkeypatch.setattr(play, "give", full)
    assert play.open(play.store / "msgs.2.dat") == errno.EMFILE
    assert list(play.store.iterdir()) == []


def test_a_new_file_that_is_refused_stays_once_the_lease_was_lost(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        play.failure = LOST  # while the answer was under way: by now the file may be another server's
        raise OSError(errno.EMFILE, "full")

    monkeypatch.setattr(play, "give", lost)
    play.open(play.store / "msgs.2.dat")
    assert [path.name for path in play.store.iterdir()] == ["msgs.2.dat"]
    assert play.ended


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EDQUOT])
def test_beyond_the_lock_quota_a_file_is_refused(play: Play, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    no_lock(monkeypatch, number)
    assert play.open(play.store / "msgs.1.dat") == number
    assert play.open(play.store / "msgs.1.idx") == number
    assert (play.gate.tally.refused, play.ended) == (2, [])
    assert play.told == [f"no lock for {play.store}/msgs.1.dat ({os.strerror(number)}); such files are refused"]


def test_beyond_the_lock_quota_a_file_is_proven_if_so_wanted(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    no_lock(monkeypatch, errno.ENOLCK)
    play.gate.beyond_quota_prove = True
    assert play.open(play.store / "msgs.1.dat") == "given"
    assert (play.gate.tally.unguarded, play.gate.tally.locked) == (1, 0)
    assert play.proofs > 0
    assert "such files are WRITTEN WITHOUT ONE" in play.told[0]


def test_an_interrupted_call_leaves_no_file_that_its_repetition_would_stumble_over(play: Play) -> None:
    play.valid_for = 1
    play.open(play.store / "subs123", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    assert list(play.store.iterdir()) == []


def test_an_ended_caller_is_not_waited_for(play: Play) -> None:
    file = play.store / "msgs.1.dat"
    with file.open("wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        play.valid_for = 2
        began = time.monotonic()
        play.open(file)
    assert time.monotonic() - began < PATIENCE
    assert play.ended == []


# --- what is inside of the store, and what is not


def test_outside_of_the_store_everything_passes_untouched(play: Play) -> None:
    assert play.open(play.outside / "log") == "proceed"
    assert play.call("unlinkat", CWD, play.outside / "log", 0) == "proceed"
    assert play.proofs == 0


def test_a_folder_whose_name_only_begins_like_the_stores_is_outside(play: Play) -> None:
    Path(f"{play.store}2").mkdir()
    assert play.open(Path(f"{play.store}2") / "file") == "proceed"


def test_a_link_into_the_store_leads_into_it(play: Play) -> None:
    (play.outside / "way").symlink_to(play.store)
    (play.outside / "file").symlink_to(play.store / "msgs.1.dat")
    assert play.open(play.outside / "way/msgs.1.dat") == "given"
    os.close(play.given.pop())
    assert play.open(play.outside / "file") == "given"


def test_a_link_out_of_the_store_leads_out_of_it(play: Play) -> None:
    (play.store / "way").symlink_to(play.outside)
    (play.store / "file").symlink_to("../outside/file")
    assert play.open(play.store / "way/file") == "proceed"
    assert play.open(play.store / "file") == "proceed"


def test_links_that_lead_in_a_circle_end(play: Play) -> None:
    (play.store / "a").symlink_to("b")
    (play.store / "b").symlink_to("a")
    assert play.open(play.store / "a") == errno.ELOOP


def test_dots_lead_where_the_kernel_lets_them(play: Play) -> None:
    (play.store / "channel").mkdir()
    assert play.open(play.outside / ".." / "store" / "channel" / ".." / "server.dat") == "given"
    assert play.open(play.store / ".." / "outside" / "file") == "proceed"


def test_relative_paths_are_the_callers(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(play.store)
    assert play.open(b"server.dat") == "given"
    monkeypatch.chdir(play.outside)
    assert play.open(b"server.dat") == "proceed"
    folder = os.open(play.store, os.O_PATH)
    assert play.call("openat", folder, b"clients.dat", os.O_RDWR | os.O_CREAT, 0o600) == "given"
    os.close(folder)


@pytest.mark.parametrize("way", ["/proc/self/fd", "/proc/thread-self/fd", "/dev/fd"])
def test_a_path_through_the_callers_own_descriptors_is_not_the_supervisors(tmp_path: Path, way: str) -> None:
    play = Play(tmp_path)
    (play.store / "server.dat").touch()
    with subprocess.Popen(["sleep", "60"], stdin=(play.store / "server.dat").open("rb")) as caller:
        play.pid = caller.pid
        assert play.open(f"{way}/0".encode(), os.O_RDWR) == "given"
        caller.kill()
    os.close(play.given.pop())


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b" ", b"%s", "ä".encode(), b"-rf", b"..."])
def test_names_of_any_bytes_are_kept(play: Play, name: bytes) -> None:
    assert play.open(os.fsencode(play.store) + b"/" + name) == "given"
    assert [os.fsencode(path.name) for path in play.store.iterdir()] == [name]


def test_the_servers_own_lock_stays_its_own(play: Play) -> None:
    assert play.open(play.store / ".rootdir.lck", os.O_RDWR | os.O_CREAT | os.O_TRUNC) == "proceed"
    assert play.proofs == 1
    assert play.given == []


def test_a_server_with_another_store_is_ended(play: Play) -> None:
    assert play.open(play.outside / ".rootdir.lck") == errno.EPERM
    assert play.ended == [f"the server's store is {play.outside}, but {play.store} is guarded"]


# --- names and sizes

NAMES: list[tuple[str, Callable[[Path], tuple[int | bytes | Path, ...]]]] = [
    ("unlinkat", lambda path: (CWD, path, 0)),
    ("mkdirat", lambda path: (CWD, path, 0o777)),
    ("mknodat", lambda path: (CWD, path, 0o600, 0)),
    ("renameat", lambda path: (CWD, path, CWD, path.parent.parent / "elsewhere")),
    ("renameat2", lambda path: (CWD, path.parent.parent / "elsewhere", CWD, path, 0)),
    ("linkat", lambda path: (CWD, path.parent.parent / "elsewhere", CWD, path, 0)),
    ("symlinkat", lambda path: (b"target", CWD, path)),
    ("truncate", lambda path: (path, 0)),
    *(
        [
            ("unlink", lambda path: (path,)),
            ("rmdir", lambda path: (path,)),
            ("mkdir", lambda path: (path, 0o777)),
            ("rename", lambda path: (path, path.parent.parent / "elsewhere")),
            ("link", lambda path: (path.parent.parent / "elsewhere", path)),
            ("symlink", lambda path: (b"target", path)),
            ("mknod", lambda path: (path, 0o600, 0)),
        ]
        if "unlink" in CALLS
        else []
    ),
]


@pytest.mark.parametrize(("name", "args"), NAMES, ids=[name for name, _ in NAMES])
def test_a_name_is_changed_after_a_proof(
    play: Play, name: str, args: Callable[[Path], tuple[int | bytes | Path, ...]]
) -> None:
    assert play.call(name, *args(play.store / "name")) == "proceed"
    assert play.proofs == 1


@pytest.mark.parametrize(("name", "args"), NAMES, ids=[name for name, _ in NAMES])
def test_no_name_is_changed_once_the_lease_was_lost(
    play: Play, name: str, args: Callable[[Path], tuple[int | bytes | Path, ...]]
) -> None:
    play.failure = LOST
    assert play.call(name, *args(play.store / "name")) == errno.EIO
    assert play.ended == ["the lease of the store was lost (Input/output error): another server may be let in"]


def test_each_call_that_is_asked_about_is_among_these_tests() -> None:
    others = {"", "open", "openat", "creat", "ftruncate", "fallocate"}
    assert {call.name for call in calls().values()} - others == {name for name, _ in NAMES}


@pytest.mark.parametrize("name", ["ftruncate", "fallocate"])
def test_the_size_of_an_open_file_is_changed_after_a_proof(play: Play, name: str) -> None:
    (play.store / "server.dat").touch()
    (play.outside / "log").touch()
    inside, outside = (os.open(path, os.O_RDWR) for path in (play.store / "server.dat", play.outside / "log"))
    assert play.call(name, outside, 4) == "proceed"
    assert play.proofs == 0
    assert play.call(name, inside, 4) == "proceed"
    assert play.proofs == 1
    play.failure = LOST
    assert play.call(name, inside, 4) == errno.EIO
    os.close(inside)
    os.close(outside)


def test_a_call_of_a_process_that_ended_meanwhile_is_not_answered(play: Play) -> None:
    play.valid_for = 0
    assert play.open(play.store / "server.dat") is None
    assert list(play.store.iterdir()) == []
