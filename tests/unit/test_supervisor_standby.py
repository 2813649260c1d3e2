"""How long a standby that hears no active waits at the server's lock, which another process holds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import standby
from standby import Waiting

LONGEST = 20.0  # seconds that no test waits for
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process with the lock that the server takes."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout
        self.process.stdout.readline()

    def end(self) -> None:
        """Let go."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """An active whose lock is held."""
    holder = Holder(tmp_path / ".rootdir.lck")
    yield holder
    holder.end()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """A descriptor of the store."""
    descriptor = os.open(tmp_path, os.O_PATH)
    yield descriptor
    os.close(descriptor)


def tried(waiting: Waiting, directory: int, still: Callable[[], bool] = lambda: True) -> float:
    """Seconds that one try waited."""
    began = time.monotonic()
    waiting.until_free(directory, b".rootdir.lck", still)
    return time.monotonic() - began


def test_the_first_try_does_not_wait(holder: Holder, directory: int) -> None:
    assert tried(Waiting(LONGEST), directory) < standby.LOOK


def test_the_second_waits_until_the_lock_is_free(holder: Holder, directory: int) -> None:
    waiting = Waiting(LONGEST)
    tried(waiting, directory)
    threading.Timer(5 * standby.LOOK, holder.end).start()
    assert 5 * standby.LOOK <= tried(waiting, directory) < LONGEST / 2


def test_a_lock_that_is_free_is_not_waited_for(holder: Holder, directory: int) -> None:
    waiting = Waiting(LONGEST)
    tried(waiting, directory)
    holder.end()
    assert tried(waiting, directory) < standby.LOOK


def test_one_series_of_tries_waits_for_so_long_in_all(holder: Holder, directory: int) -> None:
    waiting = Waiting(5 * standby.LOOK)
    took = [tried(waiting, directory) for _ in range(4)]
    assert 5 * standby.LOOK <= sum(took) < LONGEST / 2
    assert max(took[2:]) < standby.LOOK, "what comes later is tried as the server itself does"


def test_a_try_that_comes_long_after_the_last_begins_a_new_series(
    holder: Holder, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "AGAIN", 3 * standby.LOOK)
    waiting = Waiting(5 * standby.LOOK)
    tried(waiting, directory)
    time.sleep(4 * standby.LOOK)  # an active was heard meanwhile
    assert tried(waiting, directory) < standby.LOOK
    assert tried(waiting, directory) >= 4 * standby.LOOK


def test_a_call_that_waits_no_more_ends_the_wait(holder: Holder, directory: int) -> None:
    waiting = Waiting(LONGEST)
    tried(waiting, directory)
    assert tried(waiting, directory, still=lambda: False) < standby.LOOK


def test_a_server_that_is_asked_to_end_waits_no_more(holder: Holder, directory: int) -> None:
    waiting = Waiting(LONGEST)
    tried(waiting, directory)
    threading.Timer(3 * standby.LOOK, waiting.leave).start()
    assert tried(waiting, directory) < LONGEST / 2
    assert tried(waiting, directory) < 2 * standby.LOOK


def test_a_store_in_which_no_lock_was_taken_yet_makes_nobody_wait(directory: int) -> None:
    waiting = Waiting(LONGEST)
    assert max(tried(waiting, directory) for _ in range(3)) < standby.LOOK


def test_a_file_system_without_such_locks_makes_nobody_wait(
    holder: Holder, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks")

    monkeypatch.setattr("fcntl.fcntl", refuse)
    waiting = Waiting(LONGEST)
    assert max(tried(waiting, directory) for _ in range(3)) < standby.LOOK
