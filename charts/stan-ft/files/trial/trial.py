"""Tries a new server on a copy of the store before a running one is touched: whether it becomes active on it.

A container of the rollout's Job, with the program, the user and the memory of a server. Nothing of the group sees it:
the configuration has the streaming part alone, on loopback, without routes. It waits until the rollout wants it, and
leaves its verdict in a file of three lines: "passed" or "failed", the chart's key that is to blame (or -), the words.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import part
import reader

TRIES = 3  # the store is written while it is copied, and what was torn is not torn the next time
CHANNELS = 3  # of which a message is read where the store is encrypted
# What the server's last words mean; the first that is found counts (nats-streaming-server v0.25.6).
BLAME = (
    (r"cluster ID .* does not match", "config.streaming.id"),
    (r"permission denied", "podTemplate.securityContext.runAsUser"),
    (r"message authentication failed|trying to decrypt", "store.encryption.existingSecret"),
    (r"flag provided but not defined|flag needs an argument|invalid value .* for flag", "container.args"),
    (r"exec format error|No such file or directory: .*nats-streaming-server", "image"),
    (r"out of memory|cannot allocate memory", "container.resources.limits.memory"),
    (r"EOF|CRC|corrupt|unable to recover|Verification of last message", "the store itself (docs/runbook.md)"),
)
TORN = re.compile(r"EOF|CRC|corrupt|unable to recover|Verification of last message|no such file")
READY = "STREAM: Streaming Server is ready"
UNREADABLE = "Error looking up message"
LINE = re.compile(r"^\[\d+\] [\d/]+ [\d:.]+ \[(\w+)\] (?:STREAM: )?")


class FailedError(Exception):
    """The server did not become active; value is the chart's key to look at, - where none is known."""

    def __init__(self, words: str, value: str = "") -> None:
        super().__init__(words)
        self.value = value or next((key for pattern, key in BLAME if re.search(pattern, words)), "config or image")


class Server:
    """The program under trial, and what it says."""

    def __init__(self, command: list[str]) -> None:
        self.lines: deque[str] = deque(maxlen=500)
        self.ready = False  # noticed at once: a thousand lines on messages that are to be sent again may follow
        self.unreadable = ""  # the first line on a message that cannot be read
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            raise FailedError(str(error)) from error
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            self.ready = self.ready or READY in line
            self.unreadable = self.unreadable or (line if UNREADABLE in line else "")

    def words(self) -> str:
        """Its last fatal line, else its last error, else its first line (help comes after it)."""
        said = list(self.lines)
        for mark in (r"\[FTL\]|^panic:|^fatal error:", r"\[ERR\]"):
            for line in reversed(said):
                if re.search(mark, line):
                    return LINE.sub("", line)
        return next((LINE.sub("", line) for line in said if line), "it said nothing")

    def active(self) -> bool:
        """Whether it has become active. Raises FailedError if it has ended."""
        code = self._process.poll()
        if code is not None:
            self._listener.join(5)
            if code == -9:
                raise FailedError("it was killed, most likely for want of memory", "container.resources.limits.memory")
            raise FailedError(f"{self.words()} (exit code {code})")
        # Not what its monitor says: that calls itself active too when it is just about to end.
        return self.ready

    def end(self) -> int:
        """Kill it; gives the most memory that it took, in bytes."""
        self._process.kill()
        self._process.wait()
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def once(options: argparse.Namespace, until: float) -> str:
    """Copy, start, wait; gives what there is to say. Raises FailedError, part.RefusedError."""
    copy = options.copy
    shutil.rmtree(copy, ignore_errors=True)
    began = time.monotonic()
    try:
        taken = part.take(options.store, copy, os.getuid())
    except OSError as error:
        raise FailedError(f"the store cannot be copied: {error}") from error
    copied = time.monotonic()
    server = Server([str(options.program), "-sc", str(options.config), *options.arguments])
    try:
        while not server.active():
            if time.monotonic() > until:
                raise FailedError(
                    f"it was not active after {options.limit:.0f} s (of which the copy took {copied - began:.0f} s); "
                    f"its last words: {server.words()}",
                    "rollout.timeoutSeconds (twice the time that a trial may take)",
                )
            time.sleep(0.1)
        ready = time.monotonic()
        if options.key:
            for channel in part.newest(taken, CHANNELS):
                _readable(server, options, channel)
    finally:
        memory = server.end()
        shutil.rmtree(copy, ignore_errors=True)
    if options.memory is not None and memory > options.memory:
        raise FailedError(
            f"it took {memory >> 20} MiB of memory to become active, "
            f"and its limit leaves it {options.memory >> 20} MiB beside what runs with it",
            "container.resources.limits.memory",
        )
    return (
        f"a new server became active on a copy of the store in {ready - copied:.1f} s "
        f"with {memory >> 20} MiB of memory; "
        f"{taken.channels} channels, {taken.messages} messages, {taken.copied >> 20} of {taken.size >> 20} MiB copied"
    )


def _readable(server: Server, options: argparse.Namespace, channel: str) -> None:
    """Have the last message of a channel delivered, which is when a server finds out that its key is another one."""
    try:
        delivered = reader.last(options.client, options.discover, channel, seconds=3)
    except (OSError, ValueError) as error:
        raise FailedError(f"the last message of {channel} could not be asked for: {error}; {server.words()}") from error
    if not delivered and server.unreadable:
        raise FailedError(
            f"it cannot read the last message of {channel} with its key: {LINE.sub('', server.unreadable)}",
            f"store.encryption.existingSecret ({options.key})",
        )


def attempt(options: argparse.Namespace) -> str:
    """The verdict, after as many tries as a store under way deserves."""
    until = time.monotonic() + options.limit
    for number in range(1, TRIES + 1):
        try:
            return f"passed\n-\n{once(options, until)}"
        except (FailedError, part.RefusedError) as error:
            words = " ".join(str(error).split())
            if isinstance(error, part.RefusedError) or number == TRIES or not TORN.search(words):
                return f"failed\n{error.value}\n{words}"
    raise AssertionError


def wait_for(condition: Callable[[], bool], until: float) -> bool:
    """Whether the condition came to hold in time."""
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def breathe(file: Path) -> None:
    """Show in a file's time that this lives: a container that is killed as a whole has no last words."""
    while True:
        file.touch()
        time.sleep(1)


def main(words: list[str]) -> int:
    """Wait until the trial is wanted, make it, write the verdict. The exit code says nothing: the rollout decides."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--meeting", "--store", "--copy", "--program", "--config"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--client", type=int, default=0, help="port for clients")
    parser.add_argument("--discover", default="", help="subject on which clients are welcomed")
    parser.add_argument("--memory", type=int, help="bytes that the limit leaves a server; without it there is no limit")
    parser.add_argument("--key", default="", help="Secret of the store's key; empty where it is not encrypted")
    parser.add_argument("--limit", type=float, required=True, help="seconds for the trial")
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args(words)
    meeting: Path = options.meeting
    threading.Thread(target=breathe, args=(meeting / "alive",), daemon=True).start()
    over = meeting / "over"
    if not wait_for(lambda: over.exists() or (meeting / "wanted").exists(), time.monotonic() + 2 * options.limit):
        return 0
    if over.exists():
        return 0
    if wait_for(options.program.exists, time.monotonic() + options.limit):
        verdict = attempt(options)
    else:
        verdict = (
            f"failed\nimage\nthe server's program did not come within {options.limit:.0f} s: its image is not there"
        )
    print(verdict, flush=True)
    (meeting / "verdict.part").write_text(f"{verdict}\n")
    (meeting / "verdict.part").replace(meeting / "verdict")
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # At once: a thread that wakes while Python ends its interpreter can abort the process, and with it fail the Job.
    os._exit(code)
