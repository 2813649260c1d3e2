"""What plays a machine, whichever way: a process of this computer, its power switch, its log and its command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.nfs_lab.image import Image


class MachineError(RuntimeError):
    """A machine did not do what the lab asked of it (no answer in time, or a command that failed in it)."""


@dataclass(frozen=True)
class Spec:
    """One machine: its name (also its host name), address, tap device, a folder for its files, memory in MiB, disk."""

    name: str
    address: str
    port: str
    folder: Path
    memory: int = 256
    disk: Path | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)

    @property
    def mac(self) -> str:
        """The address of its network card."""
        return f"52:54:00:99:00:{int(self.address.rsplit('.', 1)[1]):02x}"

    @property
    def console(self) -> Path:
        """Where what its kernel prints goes."""
        return self.folder / f"{self.name}.console"

    def words(self, disk: str) -> list[str]:
        """The kernel's command line as guest/init.sh reads it; disk is what the machine calls its disk."""
        hosts = ",".join(f"{name}={address}" for name, address in self.hosts.items())
        own = [f"lab.name={self.name}", f"lab.address={self.address}/24", f"lab.hosts={hosts}", f"lab.disk={disk}"]
        return ["panic=-1", "quiet", "loglevel=5", *own]


class Computer(ABC):
    """A machine that has power. log is the connection on which its log comes, from the start on."""

    log: socket.socket

    def __init__(
        self,
        spec: Spec,
        command: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.spec = spec
        with spec.console.open("ab") as output:
            # A lab that is killed leaves no machines behind; Ctrl-C reaches only the lab, which ends them in order.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=descriptors,
                env={**os.environ, **(environment or {})},
            )

    @abstractmethod
    def commands(self) -> socket.socket:
        """A connection to the agent of a machine that has booted; raises MachineError if there is none."""

    def pause(self) -> None:
        """Stop processor and clocks; raises MachineError where the clocks cannot be stopped."""
        raise MachineError(f"{self.spec.name}: the clocks of such a machine cannot be stopped")

    def resume(self) -> None:
        """Let a paused machine go on as if no time had passed; harmless on one that runs."""
        self.go_on()

    @property
    def running(self) -> bool:
        """Whether it has power (a paused one has)."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Stop the process: other than with pause(), the machine's clocks have jumped when it goes on."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped process go on; harmless on one that runs."""
        os.kill(self.process.pid, signal.SIGCONT)

    def power_off(self) -> None:
        """Cut the power: nothing in the machine gets a chance to write or to say goodbye."""
        # The process leads a session of its own, and some machines are several processes.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def console_tail(self) -> str:
        """The last lines that its kernel printed."""
        return "\n" + "\n".join(self.spec.console.read_text(errors="replace").splitlines()[-8:])


@dataclass(frozen=True)
class Engine:
    """One way to play machines: the class of its computers, what they boot, and whether pause() works on them.

    probe gives the command that boots a kernel without a disk in a folder, and so ends with its panic.
    """

    name: str
    title: str
    image: Image
    computer: Callable[[Spec, Image, Sequence[str]], Computer]
    probe: Callable[[Image, Sequence[str], Path], list[str]]
    pauses: bool = True
    options: tuple[str, ...] = ()

    def power_on(self, spec: Spec) -> Computer:
        """A computer that boots; raises UserError if it cannot be started here."""
        return self.computer(spec, self.image, self.options)


def connected(address: str | tuple[str, int], computer: Computer, patience: float) -> socket.socket:
    """A connection to a socket's path or to (host, port), tried for patience seconds while the computer has power.

    Raises MachineError if it never comes.
    """
    deadline = time.monotonic() + patience
    while True:
        connection = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        try:
            connection.settimeout(1.0)
            connection.connect(address)
        except OSError as error:
            connection.close()
            if time.monotonic() > deadline or not computer.running:
                raise MachineError(f"{computer.spec.name}: no connection: {error}{computer.console_tail()}") from error
            time.sleep(0.02)
        else:
            connection.settimeout(None)
            return connection
