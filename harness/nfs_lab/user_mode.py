"""A machine that is Linux in user mode: the same kernel code as a process of this computer, at nearly full speed."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from harness.nfs_lab.computer import Computer, Spec, connected
from harness.nfs_lab.image import Image

COMMANDS = 7  # the port on which the agent listens, guest/init.sh
SHARED = Path("/dev/shm")  # noqa: S108 - where its memory is quickest
ROOM = 3 * 2**30  # bytes; in a container it is often too small for machines
ANSWER = 60.0  # seconds for it to take the connection, on a computer that has much else to do


class UserMode(Computer):
    """A machine of user-mode Linux. Its clocks are this computer's, so a machine that stood still sees them jump."""

    def __init__(self, spec: Spec, image: Image, options: Sequence[str]) -> None:
        self.log, end = socket.socketpair()
        # Without gro a frame may be no larger than the MTU, and the bridge hands over what it has not yet cut.
        network = f"transport=tap,ifname={spec.port},depth=128,gro=1,mac={spec.mac}"
        with end:
            super().__init__(
                spec,
                [
                    *(str(image.kernel), f"mem={spec.memory}M", f"initrd={image.initramfs}", *options),
                    *("con=null", "con0=null,fd:1", f"ssl0=fd:{end.fileno()}", f"vec0:{network}"),
                    *(f"uml_dir={spec.folder}/", f"umid={spec.name}"),
                    *([f"ubd0={spec.disk}"] if spec.disk else []),
                    *spec.words("/dev/ubda"),
                ],
                descriptors=[end.fileno()],
                environment={"TMPDIR": memory(spec.folder)},
            )

    @staticmethod
    def probe(image: Image, _options: Sequence[str], folder: Path) -> list[str]:
        """As Engine.probe."""
        return [str(image.kernel), "mem=64M", "con=null", "con0=null,fd:1", f"uml_dir={folder}/", "panic=-1"]

    def commands(self) -> socket.socket:
        """A connection to the agent over the network: the line of a terminal would lose what is long."""
        return connected((self.spec.address, COMMANDS), self, ANSWER)


def memory(folder: Path) -> str:
    """Where a machine keeps its memory, as a file that nobody else sees: in this computer's memory if there is room."""
    fits = SHARED.is_dir() and shutil.disk_usage(SHARED).free > ROOM
    return str(SHARED if fits else folder)
