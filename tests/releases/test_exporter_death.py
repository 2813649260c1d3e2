"""A crash of the metrics exporter is nobody else's."""

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
