"""The group under test, on whatever cluster --kubeconfig leads to: fixtures over those of pytest-helm-charts.

What else has to be said goes into --test_extra_info, as name=value pairs with commas between them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_helm_charts.clusters import Cluster

from harness.ground import toolchain
from stanft import words
from stanft.drill import reach
from stanft.drill.reach import Reach
from stanft.faults import Scene
from stanft.ground import programs
from stanft.group.live import Group

programs.provided_by(lambda name: Path(shutil.which(name) or toolchain.ensure(name)))  # the user's own come first

# What may be said, and what holds where it is not said.
EXTRA = {
    "namespace": "default",
    "name": words.NAME,  # of the StatefulSet
    "release": "stan",  # of helm
    "cluster_id": words.CLUSTER_ID,
    "within": "5",  # seconds that clients may be without acknowledgement when the active is deleted
}


@pytest.fixture(scope="module")
def extra(test_extra_info: dict[str, str]) -> dict[str, str]:
    """The settings of this run."""
    unknown = sorted(test_extra_info.keys() - EXTRA.keys())
    assert not unknown, f"--test_extra_info has no {', '.join(unknown)}: it may say {', '.join(EXTRA)}."
    return {**EXTRA, **test_extra_info}


@pytest.fixture(scope="module")
def kubeconfig(kube_config: str) -> Path:
    """The kubeconfig that was given."""
    return Path(kube_config).expanduser()


@pytest.fixture(scope="module")
def group(kube_cluster: Cluster, kubeconfig: Path, extra: dict[str, str]) -> Group:
    """The servers; the cluster answers."""
    assert kube_cluster.kube_client is not None
    return Group.connect(kubeconfig=kubeconfig, name=extra["name"], namespace=extra["namespace"])


@pytest.fixture(scope="module")
def scene(group: Group, kubeconfig: Path) -> Scene:
    """The servers as faults see them; their nodes are nobody's."""
    return Scene(group, kubeconfig=kubeconfig)


@pytest.fixture(scope="module")
def way(group: Group, kubeconfig: Path) -> Iterator[Reach]:
    """How this machine gets to the servers: directly where there is a route, else through forwarded ports."""
    found = reach.choose(group, [], kubeconfig, None)
    yield found
    found.close()


@pytest.fixture(scope="module")
def urls(group: Group, way: Reach) -> list[str]:
    """One address per server."""
    found = way.urls(reach.places(group.pods()))
    assert len(found) == group.replicas()
    return found
