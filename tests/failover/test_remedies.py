"""The guard and the fence beside the servers of a real cluster: they do their work and harm no takeover.

What they are for needs an NFS server that ends a lease: scripts/nfs-lab shows that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stan_space import Space

from harness.charts import render
from harness.cluster.kind import Cluster
from harness.local.up import load_images
from stanft.faults import Scene
from stanft.ground import wait
from stanft.kube import objects

REMEDIES: dict[str, Any] = {"fencing": {"guard": {"enabled": True}, "fence": {"enabled": True, "intervalSeconds": 0.5}}}
PATIENCE = 60.0  # seconds for something that takes two looks of a container, on a busy machine


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[Space]:
    """A group of its own with both containers beside each server."""
    pod = objects.pod_spec(objects.find(render.render("stan-ft", REMEDIES), "StatefulSet"))
    load_images(cluster, {each["image"] for each in pod["containers"] if each["name"] in REMEDIES["fencing"]})
    own = Space(cluster)
    # The guard is root with a capability, which only the standard "privileged" allows.
    own.create(restricted=False)
    try:
        own.deploy(REMEDIES)
        own.group.wait_whole()
        yield own
    finally:
        own.close()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a container does at its next look."""
    wait.until(condition, PATIENCE, f"not within {PATIENCE:.0f} s: {what}")


def active(space: Space) -> Any:
    """The pod of the active server."""
    found = space.group.active()
    assert found is not None
    return next(pod for pod in space.group.pods() if pod.metadata.name == found.pod)


def guarded(space: Space, pod: str) -> bool:
    """Whether the file of the server's clients, which only an active has open, is locked in the node's kernel."""
    in_fence = ("exec", pod, "-c", "fence", "--")
    inode = space.kubectl(*in_fence, "stat", "-c", "%i", "/data/stan/store/clients.dat").strip()
    locks = space.kubectl(*in_fence, "cat", "/proc/locks").splitlines()
    return any("FLOCK" in lock and f":{inode} " in lock for lock in locks)


def test_the_guard_locks_the_files_of_the_active_with_its_one_capability(space: Space) -> None:
    pod = active(space).metadata.name
    until(lambda: guarded(space, pod), "a lock on the active's files")
    assert "guards the store's files of process" in space.kubectl("logs", pod, "-c", "guard")


def test_the_fence_holds_its_own_lock_beside_each_server(space: Space) -> None:
    names = [pod.metadata.name for pod in space.group.pods()]
    until(
        lambda: all("fence: holds" in space.kubectl("logs", name, "-c", "fence") for name in names),
        "locks of the fences",
    )


def test_a_killed_active_is_replaced_and_nothing_is_lost_beside_the_guard_and_the_fence(space: Space) -> None:
    gone = active(space)
    with space.traffic() as traffic:
        at = traffic.mark("fault")
        Scene(space.group, space.cluster).signal(gone, signal.SIGKILL)
        traffic.wait_recovered(at, timeout=60.0)
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()
    space.group.wait_whole()
    successor = active(space).metadata.name
    assert successor != gone.metadata.name
    until(lambda: guarded(space, successor), "a lock on the successor's files")
    beside = [
        (pod.metadata.name, status.name, status.restart_count)
        for pod in space.group.pods()
        for status in pod.status.container_statuses
        if status.name in REMEDIES
    ]
    assert all(restarts == 0 for _, _, restarts in beside), f"restarts: {beside}"
