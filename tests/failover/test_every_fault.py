"""Every fault of the drill once on the real cluster: nothing lost, never two actives, the right number of takeovers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playing import played
from stan_space import Space

from harness.cluster.kind import Cluster
from harness.local.compare import RECIPE, apply, manifests
from stanft import faults
from stanft.faults import Scene
from stanft.kube.objects import find

# Those with a test of their own elsewhere in this folder.
ELSEWHERE = {"kill", "delete", "roll", "kill-standby", "cut-peers", "kill-without-api", "soak", "kill-exporter"}
# Its outcome is the server's own luck: a record that the full volume cuts off keeps every server from starting again
# (docs/store.md has the remedy). `scripts/drill --fault volume-full` plays it.
BY_HAND = {"volume-full"}


@pytest.mark.parametrize("name", [name for name in faults.FAULTS if name not in ELSEWHERE | BY_HAND])
def test_nothing_is_lost_and_there_are_never_two_actives(name: str, scene: Scene) -> None:
    run = played(name, scene)
    assert run["two_actives"] == []
    assert run["recovered"]


@pytest.fixture
def with_exporter(cluster: Cluster) -> Iterator[Space]:
    """The recipe's servers with a container in the exporter's place, whose image a cluster without a registry lacks."""
    own = Space(cluster)
    own.create(restricted=False)
    try:
        objects = manifests(RECIPE, own.name)
        servers = find(objects, "StatefulSet")["spec"]["template"]["spec"]
        servers["containers"].append({"name": "metrics", "image": "busybox:1.35.0", "command": ["sleep", "86400"]})
        apply(cluster, own.name, objects)
        own.group.wait_whole()
        yield own
    finally:
        own.close()


def test_the_death_of_the_exporter_moves_nobody(with_exporter: Space, cluster: Cluster) -> None:
    scene = Scene(with_exporter.group, cluster, cluster.kubeconfig)
    before = scene.active().metadata.name
    run = played(replace(faults.find("kill-exporter"), lasts=2.0), scene)
    assert run["takeovers"] == 0
    assert scene.active().metadata.name == before
