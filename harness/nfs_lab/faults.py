"""The faults as data: what is done to the active's machine, its network or the NFS server, and how it is undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.nfs_lab import network
from harness.nfs_lab.judge import FROZEN, POWERED_OFF, THAWED
from harness.nfs_lab.lab import Lab
from harness.nfs_lab.machine import Machine

FAIL_BACK_AFTER = 10.0  # seconds
Act = Callable[[Lab, Machine], None]


@dataclass(frozen=True)
class Fault:
    """One fault. inject and heal get the lab and the node that was active; hold gives seconds from the lease time.

    takeovers is how many it has right, at least and at most: more of them are outages that nobody needed. pauses: it
    stops a machine's clocks with its processor, which not every engine can.
    """

    name: str
    title: str
    inject: Act
    heal: Act
    hold: Callable[[int], float]
    takeovers: tuple[int, int] = (1, 1)
    pauses: bool = False


def _others(lab: Lab, active: Machine) -> list[str]:
    return [node.name for node in lab.nodes if node is not active]


def _nothing(_lab: Lab, _active: Machine) -> None:
    """Kubernetes' part (a new container) is done by the node itself."""


def _heal_network(_lab: Lab, _active: Machine) -> None:
    network.heal()


def _kill(lab: Lab, active: Machine) -> None:
    lab.kill_server(active)


def _power_off(lab: Lab, active: Machine) -> None:
    active.power_off()
    lab.note(active.name, POWERED_OFF)


def _power_on(lab: Lab, active: Machine) -> None:
    started = time.monotonic()
    active.start()
    active.wait_ready(since=started)
    lab.start_node(active)


def _freeze(lab: Lab, active: Machine) -> None:
    active.freeze()
    lab.note(active.name, FROZEN)


def _thaw(lab: Lab, active: Machine) -> None:
    lab.note(active.name, THAWED)
    active.thaw()


def _stop(lab: Lab, active: Machine) -> None:
    active.stop()
    lab.note(active.name, FROZEN)


def _go_on(lab: Lab, active: Machine) -> None:
    lab.note(active.name, THAWED)
    active.go_on()


def _fail_back(lab: Lab, active: Machine) -> None:
    """A takeover there and back, well within the 30 s for which an NFS client keeps names (acdirmin)."""
    lab.kill_server(active)
    other = lab.wait_active(other_than=active)
    time.sleep(FAIL_BACK_AFTER)
    lab.kill_server(other)


def _restart_nfs(lab: Lab, _active: Machine) -> None:
    lab.note(lab.nfs.name, "its NFS service restarted")
    # Two seconds, as a fail-over takes: clients find it again, and reclaim their locks in the grace period.
    lab.nfs.run("rpc.nfsd 0; sleep 2; rpc.nfsd --no-nfs-version 3 8", timeout=120)


def _reset_nfs(lab: Lab, _active: Machine) -> None:
    started = lab.note(lab.nfs.name, "reset")
    lab.nfs.reset()
    lab.nfs.wait_ready(since=started)
    lab.start_nfs()


def _fill(lab: Lab, _active: Machine) -> None:
    # Blocks first, then what is left in small pieces: the next message finds no room.
    for name, block in (("filler", "1M"), ("filler2", "1k")):
        lab.nfs.run(f"dd if=/dev/zero of=/disk/export/{name} bs={block} conv=fsync", check=False)


def _empty(lab: Lab, _active: Machine) -> None:
    lab.nfs.run("rm -f /disk/export/filler /disk/export/filler2; sync")


def _at_once(_lease: int) -> float:
    return 0.0


def _ten_seconds(_lease: int) -> float:
    return 10.0


def _beyond_lease(lease: int) -> float:
    # knfsd looks for expired leases in rounds, so a lease may live longer than its time.
    return lease * 1.2 + 24.0


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill", "server process killed", _kill, _nothing, _at_once),
        Fault("power-off", "active's node loses power", _power_off, _power_on, _beyond_lease),
        Fault(
            "freeze",
            "active's node frozen for longer than the lease, then thawed",
            _freeze,
            _thaw,
            _beyond_lease,
            pauses=True,
        ),
        Fault(
            "freeze-stop",
            "the same, its clocks jump at the thaw (SIGSTOP)",
            _stop,
            _go_on,
            _beyond_lease,
        ),
        Fault(
            "freeze-short",
            "active's node frozen for half the lease, then thawed",
            _freeze,
            _thaw,
            lambda lease: lease / 2,
            (0, 0),
            pauses=True,
        ),
        Fault(
            "cut-store",
            "active cut off from the NFS server",
            lambda lab, active: network.cut(active.name, [lab.nfs.name]),
            _heal_network,
            _beyond_lease,
        ),
        Fault(
            "cut-peers",
            "active cut off from the other servers",
            lambda lab, active: network.cut(active.name, _others(lab, active)),
            _heal_network,
            _beyond_lease,
            (0, 0),
        ),
        Fault(
            "cut-both",
            "active cut off from the NFS server and the other servers, not from its clients",
            lambda lab, active: network.cut(active.name, [lab.nfs.name, *_others(lab, active)]),
            _heal_network,
            _beyond_lease,
        ),
        Fault("nfs-restart", "NFS server restarted (grace period)", _reset_nfs, _nothing, _at_once, (0, 1)),
        Fault(
            "nfs-reclaim", "NFS service away for 2 s (locks reclaimed)", _restart_nfs, _nothing, _ten_seconds, (0, 0)
        ),
        Fault("failback", "server killed, and the next one 10 s later", _fail_back, _nothing, _ten_seconds, (2, 2)),
        Fault(
            "nfs-hang",
            "NFS server silent for longer than the lease",
            lambda lab, _: _freeze(lab, lab.nfs),
            lambda lab, _: _thaw(lab, lab.nfs),
            _beyond_lease,
            (0, 1),
            pauses=True,
        ),
        Fault("disk-full", "file system full, then freed", _fill, _empty, _ten_seconds, (0, 2)),
    )
}
