"""One virtual machine: its QEMU process, its log as time-stamped lines, and commands that run in it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.nfs_lab import network
from harness.nfs_lab.image import Image
from stanft.ground.errors import UserError

COMMAND_TIMEOUT = 60.0  # seconds; a loaded host emulates slowly


class MachineError(RuntimeError):
    """A machine did not do what the lab asked of it (no answer in time, or a command that failed in it)."""


@dataclass(frozen=True)
class Line:
    """One line of a machine's log and when it arrived, in seconds of the host's monotonic clock."""

    at: float
    text: str


@dataclass
class Machine:
    """A machine of the lab, off until start(); name is also its host name and the end of its tap device's name."""

    name: str
    address: str
    image: Image
    folder: Path
    accelerator: str
    memory: int = 256  # MiB
    disk: Path | None = None
    hosts: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    on_line: Callable[[Machine, Line], None] | None = None

    def __post_init__(self) -> None:
        self._port = network.add_port(self.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: list[socket.socket] = []
        self._numbers = itertools.count(1)
        self._answers: dict[int, tuple[int, str]] = {}
        self._changed = threading.Condition()
        self._monitor: socket.socket | None = None

    # ---- life ----

    def start(self) -> None:
        """Power on; returns at once (wait_ready() waits for the boot)."""
        for path in ("log", "command", "monitor"):
            (self.folder / f"{self.name}.{path}").unlink(missing_ok=True)
        errors = (self.folder / f"{self.name}.qemu").open("ab")
        # A lab that is killed leaves no machines behind; Ctrl-C reaches the lab only, which then ends them in order.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self._qemu()],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
        threads = {"log": self._read_log, "command": self._read_answers}
        self._sockets = []
        for port, reader in threads.items():
            connection = self._connect(port)
            self._sockets.append(connection)
            threading.Thread(target=reader, args=(connection,), daemon=True).start()
        self._command_port = self._sockets[1]
        self._monitor = self._connect("monitor")
        self._monitor_file = self._monitor.makefile("rb")
        self._monitor_file.readline()
        self._qmp("qmp_capabilities")

    def wait_ready(self, timeout: float = 300.0, since: float | None = None) -> None:
        """Wait until the machine takes commands; raises MachineError after timeout seconds."""
        self.wait_line("lab: ready", timeout, since)

    def power_off(self) -> None:
        """Cut the power: nothing in the machine gets a chance to write or to say goodbye."""
        if self._process:
            self._process.kill()
            self._process.wait()
        for connection in (*self._sockets, self._monitor):
            if connection:
                connection.close()
        self._process, self._sockets, self._monitor = None, [], None

    def reset(self) -> None:
        """Press the reset button: memory is lost, the disk stays, the machine boots again."""
        self._qmp("system_reset")

    def freeze(self) -> None:
        """Stop the machine's processor and clock; its network stays connected and silent."""
        self._qmp("stop")

    def thaw(self) -> None:
        """Let a frozen machine go on as if no time had passed; harmless on one that runs."""
        if self._process:
            self._qmp("cont")

    def stop(self) -> None:
        """Stop the process that plays the machine: other than with freeze(), its clocks jump when it goes on."""
        assert self._process is not None, f"{self.name} is off"
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped machine go on; harmless on one that runs."""
        if self._process:
            os.kill(self._process.pid, signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether the machine has power (a frozen one has)."""
        return self._process is not None and self._process.poll() is None

    # ---- talking to it ----

    def run(self, command: str, *, timeout: float = COMMAND_TIMEOUT, check: bool = True) -> str:
        """Run a shell command as root in the machine and return what it printed (stdout and stderr together).

        Raises MachineError after timeout seconds without an answer, or on a non-zero exit code (unless check is False).
        """
        number = next(self._numbers)
        text = base64.b64encode(command.encode()).decode()
        self._command_port.sendall(f"{number} {text}\n".encode())
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

    def _qemu(self) -> list[str]:
        number = self.address.rsplit(".", 1)[1]
        hosts = ",".join(f"{name}={address}" for name, address in self.hosts.items())
        append = (
            "console=ttyS0 panic=-1 quiet loglevel=5 tsc=unstable "
            f"lab.name={self.name} lab.address={self.address}/24 lab.hosts={hosts}"
        )
        ports = []
        for port in ("log", "command"):
            path = self.folder / f"{self.name}.{port}"
            ports += ["-chardev", f"socket,id={port},path={path},server=on,wait=off"]
            ports += ["-device", f"virtserialport,chardev={port},name={port}"]
        drive = f"if=virtio,format=raw,file={self.disk},cache=writeback"
        return [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"),
            *("-accel", self.accelerator, "-cpu", "max", "-smp", "1", "-m", str(self.memory)),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initramfs), "-append", append),
            *("-netdev", f"tap,id=net,ifname={self._port},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=net,mac=52:54:00:99:00:{int(number):02x},romfile="),
            *("-device", "virtio-serial-pci", *ports),
            *("-chardev", f"file,id=console,path={self._console},append=on", "-serial", "chardev:console"),
            *("-qmp", f"unix:{self.folder / f'{self.name}.monitor'},server=on,wait=off"),
            *(("-drive", drive) if self.disk else ()),
        ]

    @property
    def _console(self) -> Path:
        return self.folder / f"{self.name}.console"

    def _console_tail(self) -> str:
        if not self._console.exists():
            return ""
        return "\n" + "\n".join(self._console.read_text(errors="replace").splitlines()[-8:])

    def _connect(self, port: str) -> socket.socket:
        deadline = time.monotonic() + 20
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.folder / f"{self.name}.{port}"))
                return connection
            except OSError as error:
                connection.close()
                if time.monotonic() > deadline or not self.running:
                    errors = (self.folder / f"{self.name}.qemu").read_text(errors="replace")[-500:]
                    raise UserError(f"QEMU did not start for {self.name}: {errors or error}") from error
                time.sleep(0.02)

    def _qmp(self, command: str) -> None:
        assert self._monitor is not None, f"{self.name} is off"
        self._monitor.sendall(json.dumps({"execute": command}).encode() + b"\n")
        while True:
            answer = json.loads(self._monitor_file.readline() or b'{"error": {"desc": "no answer"}}')
            if "error" in answer:
                raise MachineError(f"{self.name}: QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return

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
