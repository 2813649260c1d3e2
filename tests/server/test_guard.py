"""The guard of charts/stan-ft on real servers: which descriptors it locks, and that it keeps none of them.

What such a lock is for needs an NFS server that takes it away: scripts/nfs-lab shows that.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import run

from harness.ground import system
from harness.ground.paths import CHARTS
from harness.loopback.server import ACTIVE, Group, Server
from stanft.ground import wait
from stanft.stan.client import Client

GUARD = CHARTS / "stan-ft" / "files" / "guard.pl"
PATIENCE = 20.0  # seconds for something that takes one look of the guard, on a busy machine
STRANGER = 10002  # a uid that nobody has
WRITES = re.compile(r"^flags:\s+\d*[12]$", re.MULTILINE)  # the access mode is the last octal digit: open(2)


def publish(group: Group, channel: str) -> None:
    """Store one message, which makes the channel's files if it is new."""

    async def work() -> None:
        async with await Client.connect(group.urls, client_id="writer") as client:
            await client.publish(channel, b"message")

    run(work())


def written(server: Server) -> dict[Path, str]:
    """The files that a server has open for writing below its store -> what the kernel says of the descriptor."""
    found = {}
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        path, info = link.readlink(), (link.parent.parent / "fdinfo" / link.name).read_text()
        if "store" in path.parts and WRITES.search(info):
            found[path] = info
    return found


def locked(server: Server) -> set[str]:
    """The names of the files, below the store, that are locked through one of the server's own descriptors."""
    return {
        path.name for path, info in written(server).items() if re.search(r"^lock:.*FLOCK.*WRITE", info, re.MULTILINE)
    }


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that the guard does at its next look."""
    wait.until(condition, PATIENCE, f"not within {PATIENCE:.0f} s: {what}", every=0.02)


@contextmanager
def guarding(*command: str) -> Iterator[subprocess.Popen[str]]:
    """The guard (or another command that runs it) with the rights of its container: root with one capability."""
    alone = ["setpriv", "--no-new-privs", "--bounding-set", "-all,+sys_ptrace", "--inh-caps", "-all"]
    words = system.as_root([*alone, "env", "GUARD_INTERVAL=0.05", *(command or ("perl", GUARD))])
    # In a session of its own: where root is reached through sudo, its children have to end too.
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as guard:
        try:
            yield guard
        finally:
            subprocess.run(system.as_root(["kill", "--", f"-{guard.pid}"]), check=False)


def test_every_file_that_the_active_writes_is_locked_through_its_own_descriptor(group: Group) -> None:
    active = group.wait_whole()
    publish(group, "first")
    with guarding():
        until(lambda: bool(locked(active)), "a lock")
        publish(group, "second")
        everything = {"server.dat", "clients.dat", "subs.dat", "msgs.1.dat", "msgs.1.idx"}
        until(lambda: locked(active) == everything, f"locks on {everything}")
        open_twice = [path for path in written(active) if path.name == "msgs.1.dat"]
        until(lambda: all("FLOCK" in written(active)[path] for path in open_twice), "locks in both channels")
        assert len(open_twice) == 2


def test_the_lock_of_the_group_stays_the_servers_own(group: Group) -> None:
    active = group.wait_whole()
    with guarding():
        until(lambda: bool(locked(active)), "a lock")
        others = [info for path, info in written(active).items() if path.suffix not in (".dat", ".idx")]
    assert others
    assert not any("FLOCK" in info for info in others)


def test_a_standby_takes_over_from_a_killed_active_and_is_guarded_in_its_turn(group: Group) -> None:
    active = group.wait_whole()
    publish(group, "channel")
    with guarding():
        until(lambda: bool(locked(active)), "a lock")
        active.kill()
        successor = group.wait_active(other_than=active)
        publish(group, "channel")
        # A descriptor that the guard kept would keep its lock, and the successor's files could not be locked.
        until(lambda: "msgs.1.dat" in locked(successor), "a lock on the successor's files")
        assert successor.state == ACTIVE


def test_the_locks_stay_when_the_guard_ends(group: Group) -> None:
    active = group.wait_whole()
    with guarding() as guard:
        until(lambda: "server.dat" in locked(active), "a lock")
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
    assert "server.dat" in locked(active)


@pytest.mark.skipif(os.geteuid() != 0, reason="the guard can be started as another user by root only")
def test_a_guard_without_its_capability_ends_and_says_what_it_needs(group: Group) -> None:
    group.wait_whole()
    command = ["setpriv", "--reuid", str(STRANGER), "--clear-groups", "--inh-caps", "-all", "perl", "-"]
    done = subprocess.run(
        command,
        input=GUARD.read_text(),
        env={**os.environ, "GUARD_INTERVAL": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "this container needs the capability SYS_PTRACE" in done.stderr


def test_a_store_that_gives_no_more_locks_is_told_once_and_left_alone_for_a_while(group: Group) -> None:
    active = group.wait_whole()
    count = "BEGIN { *CORE::GLOBAL::flock = sub (*$) { print STDERR qq(asked\\n); $! = 122; 0 } } do $ARGV[0] or die $@"
    asked = 0
    with guarding("perl", "-e", count, str(GUARD)) as guard:
        assert guard.stderr is not None
        for line in guard.stderr:
            asked += line == "asked\n"
            if "no lock for more files of the store (Disk quota exceeded)" in line:
                break
        time.sleep(1.0)  # twenty looks
        os.killpg(guard.pid, signal.SIGTERM)
        rest = guard.stderr.read()
    assert (asked, rest) == (1, ""), "each try is a request to the NFS server"
    assert active.alive
