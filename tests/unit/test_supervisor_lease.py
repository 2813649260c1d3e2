"""The supervisor's lease: what proves it, what loses it, and when silence counts."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import supervisor
from lease import PREFIX, Lease, LostError, Silence, _past_memory, file_system, hold, lease_seconds

PATIENCE = 10.0


def answering(*errors: int | None) -> tuple[Lease, list[int]]:
    """A lease whose storage answers with these errors in turn (None: well), and the writes that reached it."""
    asked: list[int] = []

    def write(descriptor: int) -> None:
        number = errors[min(len(asked), len(errors) - 1)]
        asked.append(descriptor)
        if number:
            raise OSError(number, os.strerror(number))

    return Lease(7, locked=True, write=write), asked


def test_a_refused_write_loses_the_lease_for_ever() -> None:
    lease, asked = answering(errno.EIO, None)
    for _ in range(2):
        with pytest.raises(LostError, match="Input/output error"):
            lease.prove()
    assert len(asked) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_store_proves_as_well_as_one_with_room(number: int) -> None:
    lease, _ = answering(number)
    before = lease.good
    time.sleep(0.01)
    lease.prove()
    assert lease.good > before


def test_a_proof_that_began_before_a_caller_came_proves_nothing_for_it() -> None:
    inside, release, writes = threading.Event(), threading.Event(), []

    def write(descriptor: int) -> None:
        writes.append(descriptor)
        inside.set()
        release.wait(PATIENCE)

    lease = Lease(7, locked=True, write=write)
    first = threading.Thread(target=lease.prove)
    first.start()
    inside.wait(PATIENCE)
    later = [threading.Thread(target=lease.prove) for _ in range(20)]
    for thread in later:
        thread.start()
    time.sleep(0.05)
    release.set()
    for thread in [first, *later]:
        thread.join(PATIENCE)
    assert 2 <= len(writes) <= 3, "one for the first, one more shared by all who came during it"


def test_age_is_counted_from_the_sending() -> None:
    def slow(_: int) -> None:
        time.sleep(0.05)

    lease = Lease(7, locked=True, write=slow)
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    lease.prove()
    assert lease.good - began < 0.05


def test_the_lease_file_is_made_in_a_store_that_does_not_exist_yet(tmp_path: Path) -> None:
    lease = hold(os.fsencode(tmp_path / "stan" / "store"), "stan-0")
    lease.prove()
    assert lease.locked
    assert (tmp_path / "stan/store" / f"{PREFIX.decode()}stan-0").stat().st_size == 1


def stamped(path: Path, ahead: float) -> Lease:
    """A lease whose storage stamps each write with a clock that this node's is so many seconds ahead of."""

    def write(_: int) -> None:
        at = time.time() - ahead
        os.utime(path, (at, at))

    path.write_bytes(b"\n")
    return Lease(os.open(path, os.O_RDWR), locked=True, write=write)


@pytest.mark.parametrize("ahead", [7200.0, -7200.0])
def test_a_clock_that_is_not_the_storages_is_measured(tmp_path: Path, ahead: float) -> None:
    lease = stamped(tmp_path / "lease", ahead)
    began = time.time()
    lease.renew()
    lease.compare(began)
    assert lease.skew == pytest.approx(ahead, abs=PATIENCE)
    assert abs(lease.skew) <= 7200.0, "never more than there is"


def test_a_storage_that_is_slow_is_no_clock_that_is_wrong(tmp_path: Path) -> None:
    lease = hold(os.fsencode(tmp_path), "stan-0")
    began = time.time() - 60.0  # the question was under way for a minute
    lease.renew()
    lease.compare(began)
    assert lease.skew == 0.0


def test_two_clocks_that_are_one_agree_at_once(tmp_path: Path) -> None:
    lease = hold(os.fsencode(tmp_path), "stan-0")
    for _ in range(20):
        began = time.time()
        lease.renew()
        lease.compare(began)
        assert lease.skew == 0.0


def test_a_clock_that_is_wrong_is_told_once_and_again_when_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    skews = [0.0, 29.0, 7200.0, 7201.0, 3.0, -40.0]

    class Storage(Lease):
        def renew(self) -> None:
            if not skews:
                raise LostError("the end of the test")

        def compare(self, began: float) -> None:  # noqa: ARG002 (as the lease has it)
            self.skew = skews.pop(0)

    monkeypatch.setattr(supervisor, "RENEWAL", 0.0)
    own = supervisor.Supervisor(supervisor.parsed(["--directory", str(tmp_path), "--", "true"]))
    own.child = SimpleNamespace(kill=lambda: None)
    own._renew(Storage(7, locked=True))
    told = [line for line in capsys.readouterr().err.splitlines() if "clock" in line.lower()]
    assert ["7200 S AHEAD" in told[0], "agree again" in told[1], "40 S BEHIND" in told[2]] == [True] * 3
    assert len(told) == 3


def test_on_a_disk_of_this_machine_alone_only_the_renewal_asks() -> None:
    asked: list[int] = []
    lease = Lease(7, locked=True, local=True, write=asked.append)
    lease.prove()
    assert asked == []
    lease.renew()
    assert asked == [7]


def test_a_renewal_writes_and_a_proof_only_asks() -> None:
    told: list[str] = []
    lease = Lease(7, locked=True, write=lambda _: told.append("written"), ask=lambda _: told.append("asked"))
    lease.renew()
    lease.prove()
    assert told == ["written", "asked"]


@pytest.mark.parametrize(
    ("kind", "past", "written"), [("nfs4", True, False), ("nfs4", False, True), ("ceph", True, True)]
)
def test_a_proof_is_a_read_where_it_reaches_the_storage_past_the_nodes_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, past: bool, written: bool
) -> None:
    monkeypatch.setattr("lease.file_system", lambda _: kind)
    monkeypatch.setattr("lease._past_memory", lambda _: past)
    lease = hold(os.fsencode(tmp_path), "stan-0")
    file = tmp_path / f"{PREFIX.decode()}stan-0"
    os.utime(file, (1, 1))
    lease.prove()
    assert (file.stat().st_mtime != 1) == written
    lease.renew()
    assert file.stat().st_mtime != 1


def test_a_descriptor_that_cannot_go_past_the_nodes_memory_says_so() -> None:
    one, other = os.pipe()
    os.close(other)
    os.close(one)
    assert not _past_memory(one)


def test_what_is_asked_past_the_nodes_memory_stays_so_for_the_descriptor(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert _past_memory(descriptor)
    assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT
    os.close(descriptor)


def test_an_older_answer_that_comes_late_does_not_age_the_lease() -> None:
    inside, release = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        inside.set()
        release.wait(PATIENCE)

    lease = Lease(7, locked=True, write=slow, ask=lambda _: None)
    renewal = threading.Thread(target=lease.renew)
    renewal.start()
    assert inside.wait(PATIENCE)
    lease.prove()
    newer = lease.good
    release.set()
    renewal.join()
    assert lease.good == newer


def test_a_lease_that_a_renewal_found_lost_is_lost_to_all() -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "lost")

    lease = Lease(7, locked=True, local=True, write=refuse)
    with pytest.raises(LostError):
        lease.renew()
    with pytest.raises(LostError):
        lease.prove()


def test_a_lease_file_that_another_holds_is_left_alone(tmp_path: Path) -> None:
    first, second = (hold(os.fsencode(tmp_path), "stan-0") for _ in range(2))
    first.prove()
    second.prove()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lease.stan-0", ".lease.stan-0.1"]


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    lease = hold(os.fsencode(tmp_path), "stan-0")
    lease.prove()
    assert not lease.locked


MOUNTS = """\
21 1 254:0 / / rw - ext4 /dev/vda rw
30 21 0:40 / /data/stan\\040x rw,relatime - nfs4 10.0.0.1:/ rw,vers=4.1
31 30 0:41 / /data/stan\\040x/store rw - tmpfs tmpfs rw
"""
STATS = """\
device rootfs mounted on / with fstype ext4
device 10.0.0.1:/ mounted on /data/stan with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.1
\tnfsv4:\tbm0=0xfdffbfff,acl=0x0,sessions,pnfs=not configured,lease_time=15,lease_expired=0
device 10.0.0.2:/ mounted on /data/other with fstype nfs4 statvers=1.1
\tnfsv4:\tlease_time=99
"""


@pytest.mark.parametrize(
    ("store", "kind"),
    [
        (b"/data/stan x", "nfs4"),
        (b"/data/stan x/a", "nfs4"),
        (b"/data/stan x/store/b", "tmpfs"),
        (b"/data/stan xy", "ext4"),
    ],
)
def test_the_file_system_is_the_one_of_the_innermost_mount(tmp_path: Path, store: bytes, kind: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert file_system(store, tmp_path / "mountinfo") == kind


@pytest.mark.parametrize(
    ("store", "seconds"), [(b"/data/stan/store", 15), (b"/data/other", 99), (b"/srv", None), (b"/data/stanx", None)]
)
def test_the_lease_is_the_one_that_the_kernel_names_for_the_stores_mount(
    tmp_path: Path, store: bytes, seconds: float | None
) -> None:
    (tmp_path / "mountstats").write_text(STATS)
    assert lease_seconds(store, tmp_path / "mountstats") == seconds


def looks(silence: Silence, times: Callable[[], list[float]], good: float) -> float:
    """The last of several looks."""
    return [silence.look(at, good) for at in times()][-1]


def test_silence_grows_while_nothing_is_answered() -> None:
    assert looks(Silence(0.0), lambda: [n / 5 for n in range(1, 26)], 0.0) == pytest.approx(5.0)


def test_time_in_which_the_supervisor_itself_stood_still_is_no_silence_of_the_storage() -> None:
    silence = Silence(0.0)
    silence.look(0.2, 0.0)
    assert silence.look(60.0, 0.0) == pytest.approx(0.2)
    assert silence.look(60.2, 0.0) == pytest.approx(0.4)


def test_an_answer_ends_the_silence_and_what_was_excused_before_it() -> None:
    silence = Silence(0.0)
    silence.look(60.0, 0.0)
    silence.look(60.2, 60.1)
    assert looks(silence, lambda: [60.2 + n / 5 for n in range(1, 11)], 60.1) == pytest.approx(2.1)
