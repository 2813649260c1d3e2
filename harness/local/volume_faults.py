"""Faults of the shared volume on the local cluster: full, hanging, and slow.

The real volume is a directory of this machine, which must not fill up. So the servers are moved onto a small file
system of their own first: one image, mounted by all nodes, which one kernel serves with common files and locks.
"""

from __future__ import annotations

import contextlib
import time

from harness.cluster.kind import Cluster
from harness.local.node_faults import local
from stanft.faults.model import Fault, Injection, Need
from stanft.faults.scene import Scene
from stanft.ground.errors import UserError

SIZE = 512 * 2**20  # bytes of the small file system; sparse, so it costs what is written
LASTS = 10.0
# A slow volume takes writes for a fifth of the time: each pause is a write that lasts as long as a bad one on EFS.
PAUSE, BETWEEN = 0.2, 0.05  # seconds
IMAGE = "drill-volume.img"
FILLER = "drill-filler"
AFTER_CRASHES = 180.0  # patience: Kubernetes waits longer and longer before it starts a server again that ended


def store_directory(scene: Scene) -> str:
    """The directory of the nodes behind the servers' shared claim; raises UserError if it is none."""
    pod = next(iter(scene.pods().values()))
    claims = [volume.persistent_volume_claim for volume in pod.spec.volumes if volume.persistent_volume_claim]
    if claims:
        claim = scene.group.core.read_namespaced_persistent_volume_claim(claims[0].claim_name, scene.group.namespace)
        volume = scene.group.core.read_persistent_volume(claim.spec.volume_name)
        for source in (volume.spec.host_path, volume.spec.local):
            if source is not None:
                return str(source.path)
    raise UserError("the servers' claim is no directory of the local cluster's nodes, so its volume cannot be broken.")


def scale(scene: Scene, replicas: int) -> None:
    """Set the number of servers and wait until all are up, or until all are gone."""
    pods = list(scene.pods().values())
    scene.group.apps.patch_namespaced_stateful_set_scale(
        scene.group.name, scene.group.namespace, {"spec": {"replicas": replicas}}
    )
    if replicas:
        scene.group.wait_whole(180)
    else:
        for pod in pods:
            scene.wait_gone(pod)


def _remove_image(cluster: Cluster, node: str, image: str) -> None:
    script = f"for d in $(losetup -j {image} -O NAME -n); do losetup -d $d; done; rm -f {image}"
    cluster.node_exec(node, "sh", "-c", script)


def _prepare(scene: Scene, undo: contextlib.ExitStack) -> None:
    """Move the servers onto the small file system; the undoing moves them back to their own store."""
    cluster, directory = local(scene), store_directory(scene)
    image, first = f"{directory.rsplit('/', 1)[0]}/{IMAGE}", cluster.workers()[0]
    undo.callback(scale, scene, scene.group.replicas())
    replicas = scene.group.replicas()
    scale(scene, 0)
    undo.callback(_remove_image, cluster, first, image)
    device = cluster.node_exec(
        first,
        "sh",
        "-ec",
        f"truncate -s {SIZE} {image}; mkfs.ext4 -q -m 0 {image}; losetup -f --show {image}",
    )
    for node in cluster.workers():
        undo.callback(
            cluster.node_exec, node, "sh", "-c", f"mountpoint -q {directory} && umount {directory}", check=False
        )
        number = device.removeprefix("/dev/loop")
        cluster.node_exec(
            node,
            "sh",
            "-ec",
            f"test -e {device} || mknod {device} b 7 {number}; mount {device} {directory}; chmod 777 {directory}",
        )
    undo.callback(scale, scene, 0)
    scale(scene, replicas)


def _fill(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod, directory = scene.active(), store_directory(scene)
    node, filler = pod.spec.node_name, f"{directory}/{FILLER}"
    undo.callback(scene.nodes.node_exec, node, "rm", "-f", filler)
    injection.victims.append(directory.rsplit("/", 1)[1])
    injection.at = time.monotonic()
    # What fallocate leaves over, dd takes; it ends with "no space left", as is wanted.
    script = (
        f"fallocate -l $(df --output=avail -B1 {directory} | tail -n 1) {filler} || true; "
        f"dd if=/dev/zero of={filler} bs=4096 oflag=append conv=notrunc 2>/dev/null || true"
    )
    scene.nodes.node_exec(node, "sh", "-c", script)


def _freeze(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod, directory = scene.active(), store_directory(scene)
    undo.callback(scene.nodes.node_exec, pod.spec.node_name, "fsfreeze", "--unfreeze", directory, check=False)
    injection.victims.append(directory.rsplit("/", 1)[1])
    injection.at = time.monotonic()
    scene.nodes.node_exec(pod.spec.node_name, "fsfreeze", "--freeze", directory)


def _slow(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod, directory = scene.active(), store_directory(scene)
    node, rounds = pod.spec.node_name, int(LASTS / (PAUSE + BETWEEN))
    script = (
        f"for i in $(seq {rounds}); do "
        f"fsfreeze --freeze {directory}; sleep {PAUSE}; fsfreeze --unfreeze {directory}; sleep {BETWEEN}; done"
    )
    undo.callback(scene.nodes.node_exec, node, "fsfreeze", "--unfreeze", directory, check=False)
    injection.victims.append(directory.rsplit("/", 1)[1])
    injection.at = time.monotonic()
    process = scene.nodes.node_exec(node, "sh", "-c", f"setsid sh -c '{script}' >/dev/null 2>&1 & echo $!")
    undo.callback(scene.nodes.node_exec, node, "sh", "-c", f"kill -- -{process} || kill {process}", check=False)


FAULTS = (
    Fault(
        "volume-full",
        f"the shared volume full for {LASTS:.0f} s",
        Need.NODES,
        _fill,
        takeovers=(0, 10),
        lasts=LASTS,
        prepare=_prepare,
        patience=AFTER_CRASHES,
    ),
    Fault(
        "volume-hang",
        f"the shared volume takes no writes for {LASTS:.0f} s",
        Need.NODES,
        _freeze,
        takeovers=(0, 1),
        lasts=LASTS,
        prepare=_prepare,
        patience=AFTER_CRASHES,
    ),
    Fault(
        "volume-slow",
        f"every write to the shared volume takes up to {PAUSE:g} s, for {LASTS:.0f} s",
        Need.NODES,
        _slow,
        takeovers=(0, 0),
        lasts=LASTS,
        prepare=_prepare,
        patience=AFTER_CRASHES,
        spares_bystanders=True,
    ),
)
