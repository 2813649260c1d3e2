"""One virtual machine: its power switch, its log as time-stamped lines, and commands that run in it."""

from __future__ import annotations

import base64
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.nfs_lab.computer import Computer, Engine, MachineError, Spec

COMMAND_TIMEOUT = 60.0  # seconds; a loaded host emulates slowly


@dataclass(frozen=True)
class Line:
    """One line of a machine's log and when it arrived, in seconds of the host's monotonic clock."""

    at: float
    text: str


@dataclass
class Machine:
    """A machine of the lab, off until start(); spec says what it is, engine how it is played."""

    spec: Spec
    engine: Engine
    lines: list[Line] = field(default_factory=list)
    on_line: Callable[[Machine, Line], None] | None = None

    def __post_init__(self) -> None:
        self._computer: Computer | None = None
        self._command_port: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, tuple[int, str]] = {}
        self._changed = threading.Condition()

    @property
    def name(self) -> str:
        """What it is called, by the lab and by itself."""
        return self.spec.name

    # ---- life ----

    def start(self) -> None:
        """Power on; returns at once (wait_ready() waits for the boot)."""
        self._computer = self.engine.power_on(self.spec)
        self._command_port = None
        threading.Thread(target=self._read_log, args=(self._computer.log,), daemon=True).start()

    def wait_ready(self, timeout: float = 300.0, since: float | None = None) -> None:
        """Wait until the machine takes commands; raises MachineError after timeout seconds."""
        self.wait_line("lab: ready", timeout, since)
        self._command_port = self._powered().commands()
        threading.Thread(target=self._read_answers, args=(self._command_port,), daemon=True).start()

    def power_off(self) -> None:
        """Cut the power: nothing in the machine gets a chance to write or to say goodbye."""
        if self._computer:
            self._computer.power_off()
        if self._command_port:
            self._command_port.close()
        self._computer = self._command_port = None

    def reset(self) -> None:
        """Off and on again: memory is lost, the disk stays, the machine boots."""
        self.power_off()
        self.start()

    def freeze(self) -> None:
        """Stop the machine's processor and clock; its network stays connected and silent."""
        self._powered().pause()

    def thaw(self) -> None:
        """Let a frozen machine go on as if no time had passed; harmless on one that runs or is off."""
        if self._computer:
            self._computer.resume()

    def stop(self) -> None:
        """Stop the process that plays the machine: other than with freeze(), its clocks jump when it goes on."""
        self._powered().stop()

    def go_on(self) -> None:
        """Let a stopped machine go on; harmless on one that runs or is off."""
        if self._computer:
            self._computer.go_on()

    @property
    def running(self) -> bool:
        """Whether the machine has power (a frozen one has)."""
        return self._computer is not None and self._computer.running

    def _powered(self) -> Computer:
        if self._computer is None:
            raise MachineError(f"{self.name} is off")
        return self._computer

    # ---- talking to it ----

    def run(self, command: str, *, timeout: float = COMMAND_TIMEOUT, check: bool = True) -> str:
        """Run a shell command as root in the machine and return what it printed (stdout and stderr together).

        Raises MachineError after timeout seconds without an answer, or on a non-zero exit code (unless check is False).
        """
        if self._command_port is None:
            raise MachineError(f"{self.name} takes no commands (yet): {command}")
        number, sent = next(self._numbers), command.encode()
        # With its length before it, so that the machine need not read it byte by byte.
        self._command_port.sendall(f"{number} {len(sent)}\n".encode() + sent)
        deadline = time.monotonic() + timeout
        with self._changed:
            while number not in self._answers:
                left = deadline - time.monotonic()
                if left <= 0 or not self.running:
                    raise MachineError(f"{self.name}: no answer in {timeout:.0f} s to: {command}{self._console_tail()}")
                self._changed.wait(min(left, 1.0))
            code, output = self._answers.pop(number)
        if check and code != 0:
            raise MachineError(f"{self.name}: exit code {code} of: {command}\n{output}")
        return output

    def write(self, path: str, content: str, mode: str = "644") -> None:
        """Write a text file in the machine."""
        text = base64.b64encode(content.encode()).decode()
        self.run(f"mkdir -p $(dirname {path}) && echo {text} | base64 -d >{path} && chmod {mode} {path}")

    def wait_line(self, text: str, timeout: float, since: float | None = None) -> Line:
        """The first log line that contains text, not older than since (monotonic seconds, default: any).

        Raises MachineError after timeout seconds.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines:
                    if text in line.text and (since is None or line.at >= since):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self.running:
                    why = f"no {text!r} in its log after {timeout:.0f} s{self._console_tail()}"
                    raise MachineError(f"{self.name}: {why}")
                self._changed.wait(min(left, 1.0))

    # ---- inside ----

    def _console_tail(self) -> str:
        return self._computer.console_tail() if self._computer else ""

    def _read_log(self, connection: socket.socket) -> None:
        for raw in _lines(connection):
            line = Line(time.monotonic(), raw)
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
            if self.on_line:
                self.on_line(self, line)

    def _read_answers(self, connection: socket.socket) -> None:
        for raw in _lines(connection):
            number, _, rest = raw.partition(" ")
            code, _, output = rest.partition(" ")
            if not (number.isdigit() and code.isdigit()):
                continue
            with self._changed:
                self._answers[int(number)] = (int(code), base64.b64decode(output).decode(errors="replace"))
                self._changed.notify_all()


def _lines(connection: socket.socket) -> Iterator[str]:
    rest = b""
    while True:
        try:
            part = connection.recv(65536)
        except OSError:
            return
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
