"""The lab's own network: a nameless namespace that vanishes with the process, one bridge, a tap device per machine.

Cuts are bridge rules that drop frames without a sound between two ports, as a broken network does: nobody's link
goes down, no connection is refused, and what the host itself sends through the bridge (the clients) is not touched.
"""

from __future__ import annotations

import ctypes
import os

from stanft.ground import shell
from stanft.ground.errors import UserError

CLONE_NEWNET = 0x40000000
PREFIX = "10.99.0"
CLIENTS = f"{PREFIX}.254"  # where the publisher and the subscribers are
BRIDGE = "lab"


def enter() -> None:
    """Move this process into a network namespace of its own, with the bridge up. Call it before any thread starts.

    Nothing needs to be cleaned up: the kernel removes the namespace when the last process in it ends.
    Raises UserError if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise UserError(f"this process may not make a network namespace ({reason}): run the NFS lab as root.")
    for command in (
        "ip link set lo up",
        f"ip link add {BRIDGE} type bridge forward_delay 0 stp_state 0",
        f"ip address add {CLIENTS}/24 dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
        "nft add table bridge lab",
        "nft add chain bridge lab cut { type filter hook forward priority 0 ; policy accept ; }",
    ):
        shell.run(command.split())


def add_port(machine: str) -> str:
    """Make the machine's tap device on the bridge and return its name."""
    name = f"tap-{machine}"
    shell.run(["ip", "tuntap", "add", "dev", name, "mode", "tap"])
    shell.run(["ip", "link", "set", name, "master", BRIDGE, "up"])
    return name


def cut(machine: str, others: list[str]) -> None:
    """Drop every frame between the machine and the others, both ways, until heal()."""
    rules = []
    for other in others:
        for one, two in ((machine, other), (other, machine)):
            rules.append(f"add rule bridge lab cut iifname tap-{one} oifname tap-{two} drop")
    shell.run(["nft", "-f", "-"], stdin="\n".join(rules) + "\n")


def heal() -> None:
    """Undo every cut; harmless when there is none."""
    shell.run(["nft", "flush", "chain", "bridge", "lab", "cut"])


def remove_port(machine: str) -> None:
    """Remove the machine's tap device, if it is there."""
    shell.run(["ip", "link", "del", f"tap-{machine}"], check=False)
