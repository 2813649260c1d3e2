"""Upgrades while nodes are drained, or die with the Job that restarts the servers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from stan_space import Space, whole

from harness.cluster import network
from harness.cluster.kind import Cluster
from harness.local.up import Deployment
from stanft.ground import wait
from stanft.group import rollout

AGES = (f"{hours}h" for hours in itertools.count(2))  # each makes other pods


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[Space]:
    """A group of this file's own, whole again after each test."""
    with whole(cluster) as own:
        yield own


def other() -> dict[str, Any]:
    """Values that restart every server."""
    return {"config": {"streaming": {"store_limits": {"max_age": next(AGES)}}}}


def under_way(space: Space, upgrade: Future[str]) -> None:
    """Wait until the first server was taken away."""
    before = {pod.metadata.uid for pod in space.group.pods()}
    wait.until(
        lambda: upgrade.done() or any(pod.metadata.uid not in before for pod in space.group.pods()),
        90,
        "no server was restarted",
        every=0.1,
    )
    assert not upgrade.done()


def test_a_drain_in_the_middle_of_an_upgrade_is_waited_for_and_loses_nothing(
    space: Space, deployment: Deployment
) -> None:
    active = space.group.active()
    assert active is not None
    with space.traffic() as traffic, ThreadPoolExecutor() as pool:
        at = traffic.mark("fault")
        upgrade = pool.submit(space.deploy, other())
        try:
            under_way(space, upgrade)
            # The group of every other test has a server there, which is drained with it.
            space.cluster.kubectl("cordon", active.node)
            space.cluster.kubectl(
                "drain",
                active.node,
                "--pod-selector=app=stan",
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                "--timeout=90s",
            )
        finally:
            space.cluster.kubectl("uncordon", active.node)
        upgrade.result()
        space.group.wait_whole()
        traffic.wait_recovered(time.monotonic())
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()
    assert rollout.restart(space.name, kubeconfig=space.cluster.kubeconfig).restarted == ()
    deployment.group.wait_whole(180)


def test_an_upgrade_whose_jobs_node_dies_goes_on_when_it_is_back_and_loses_nothing(
    space: Space, deployment: Deployment
) -> None:
    cluster = space.cluster
    with space.traffic() as traffic, ThreadPoolExecutor() as pool:
        at = traffic.mark("fault")
        upgrade = pool.submit(space.deploy, other())
        under_way(space, upgrade)
        node = space.kubectl(
            "get", "pod", "-l", "app.kubernetes.io/component=rollout", "-o", "jsonpath={.items[0].spec.nodeName}"
        )
        cluster.engine.docker("kill", node)
        try:
            time.sleep(10)
        finally:
            cluster.engine.docker("start", node)
        cluster.wait_ready()
        network.ensure_routes(cluster)
        upgrade.result()
        space.group.wait_whole()
        traffic.wait_recovered(time.monotonic())
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()
    assert rollout.restart(space.name, kubeconfig=cluster.kubeconfig).restarted == ()
    deployment.group.wait_whole(180)
