"""What is going on while a fault is played: channels, consumers, limits, mount options, and what happened before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.charts import environments
from harness.charts.render import render
from harness.nfs_lab.lab import Lab
from harness.nfs_lab.machine import Machine

HOUR = 3600  # seconds
KEPT = 300  # messages of a channel in the scene with limits
ENVIRONMENTS = ("eks-csi", "eks-legacy", "nfs")  # those on NFS, whose volumes charts/efs-provisioner mounts


@dataclass(frozen=True)
class Scene:
    """One situation as data.

    faults are those that can hurt in it. values are laid over the chart's for the lab. quiet channels get a message
    through each node at the start, none until the fault, and some from then on. consumers are durable subscribers of
    the busy channel, each beside a node, that acknowledge acks_after seconds late. before is done with the active once
    traffic flows and before the fault. keeps is how many messages a channel may hold (0: all); the consumer beside
    the active may be away for longer than they last, and miss some. environment: the volume
    is mounted as that one mounts it. memory is each node's, in MiB.
    """

    name: str
    title: str
    faults: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    quiet: tuple[str, ...] = ()
    consumers: int = 0
    acks_after: float = 0.0
    before: Callable[[Lab, Machine], None] | None = None
    keeps: int = 0
    nodes: int = 2
    environment: str = ""
    memory: int = 256

    def oldest(self, newest: int) -> int:
        """The lowest sequence that a channel with this newest one may still have, 0 if it has to have all."""
        return max(0, newest - self.keeps + 1) if self.keeps else 0


def mount_options(environment: str) -> tuple[str, ...]:
    """How an environment's StorageClass has its volumes mounted."""
    objects = render("efs-provisioner", environments.values(environment, "efs-provisioner"))
    return tuple(next(each["mountOptions"] for each in objects if each["kind"] == "StorageClass"))


def _take_over(lab: Lab, active: Machine) -> None:
    """Let another server recover the store: it closes the files of every channel and opens those that are used."""
    lab.kill_server(active)
    lab.wait_active(other_than=active)
    time.sleep(2)


def _put_clock_ahead(lab: Lab, active: Machine) -> None:
    """One node's clock is an hour ahead: that of a standby, which looks at it when it takes over."""
    other = next(node for node in lab.nodes if node is not active)
    other.run(f"date -s @$(($(date +%s) + {HOUR}))")
    lab.note(other.name, "its clock is an hour ahead")


SCENES = {
    scene.name: scene
    for scene in (
        Scene("plain", "one busy channel", ()),
        Scene(
            "quiet",
            "two channels that are quiet since the takeover, with a message waiting at the thaw",
            ("freeze-stop", "cut-both"),
            quiet=("lab.quiet-1", "lab.quiet-2"),
            before=_take_over,
        ),
        Scene(
            "consumers",
            "durable consumers with acknowledgements in flight",
            ("kill", "freeze-stop", "cut-both"),
            consumers=2,
            acks_after=0.5,
        ),
        Scene(
            "inactivity",
            "max_inactivity deletes at the old active a channel that is used at the new one",
            ("cut-both", "cut-store"),
            values={"config": {"streaming": {"store_limits": {"max_inactivity": "20s"}}}},
            quiet=("lab.quiet-1",),
        ),
        Scene(
            "limits",
            "slices that roll, and a limit that drops the oldest messages",
            ("freeze-stop", "cut-both"),
            values={
                "config": {"streaming": {"store_limits": {"max_msgs": KEPT}, "file_options": {"slice_max_msgs": 50}}}
            },
            consumers=2,
            keeps=KEPT,
        ),
        Scene(
            "compaction",
            "clients.dat and subs.dat compacted all the time",
            ("freeze-stop", "cut-both"),
            values={
                "config": {
                    "streaming": {
                        "file_options": {"compact_interval": 1, "compact_min_size": "1kb", "compact_fragmentation": 5}
                    }
                }
            },
            consumers=2,
        ),
        Scene("failback", "back to the first node within the time for which it keeps names", ("failback",)),
        Scene("reclaim", "a short restart of the NFS server, locks reclaimed in the grace period", ("nfs-reclaim",)),
        Scene("three", "three nodes, as by default", ("kill", "freeze-stop", "cut-both"), nodes=3),
        Scene(
            "channels",
            "90 channels, each used before the fault and after it",
            ("kill", "freeze-stop"),
            values={"config": {"streaming": {"store_limits": {"max_channels": 100}}}},
            quiet=tuple(f"lab.many-{number}" for number in range(89)),
            memory=1024,  # each channel has buffers
        ),
        Scene(
            "throughput",
            "the preset throughput, which may lose the last 10 s at a loss of power",
            ("kill", "power-off", "freeze-stop"),
            values={"store": {"durability": "throughput"}},
        ),
        Scene("clock", "one node's clock an hour ahead, with max_age an hour", ("kill",), before=_put_clock_ahead),
        *(
            Scene(
                f"as-{name}", f"the mount options of environments/{name}", ("power-off", "cut-both"), environment=name
            )
            for name in ENVIRONMENTS
        ),
    )
}
