"""Upgrades of groups of other sizes, and of one whose store is encrypted: one takeover at most, and no key is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from stan_space import Space, opened

from harness.charts.render import layered
from harness.cluster.kind import Cluster
from stanft.ground.shell import CommandError

OTHER = {"config": {"streaming": {"store_limits": {"max_age": "3h"}}}}
ENCRYPTED = {"store": {"encryption": {"enabled": True, "existingSecret": "right"}}}
WRONG_KEY = {"store": {"acceptChanges": ["encryption"], "encryption": {"existingSecret": "wrong"}}}


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    """A namespace that takes only restricted pods, without a group."""
    with opened(cluster) as own:
        yield own


@pytest.mark.parametrize(("replicas", "takeovers"), [(1, 0), (2, 1), (5, 1)])
def test_a_group_of_any_size_is_restarted_with_one_activation_and_loses_nothing(
    space: Space, replicas: int, takeovers: int
) -> None:
    # The local cluster has three nodes for five servers.
    size = {
        "replicas": replicas,
        "allowSingleReplica": replicas == 1,
        "podTemplate": {"antiAffinity": {"preset": "soft"}},
    }
    space.deploy(size)
    space.group.wait_whole()
    before = {pod.metadata.uid for pod in space.group.pods()}
    with space.traffic() as traffic:
        at = traffic.mark("fault")
        said = space.deploy(size | OTHER)
        space.group.wait_whole()
        traffic.wait_recovered(time.monotonic())
    pods = space.group.pods()
    assert len(pods) == replicas
    assert before.isdisjoint(pod.metadata.uid for pod in pods)
    assert f"takeovers: {takeovers}" in said
    assert space.activations() == 1
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()


def test_another_key_than_the_stores_stops_before_the_first_standby_and_names_its_value(space: Space) -> None:
    for name, key in (("right", "mykey"), ("wrong", "another")):
        space.kubectl("create", "secret", "generic", name, f"--from-literal=encryption-key={key}")
    space.deploy(ENCRYPTED)
    space.group.wait_whole()
    before = {pod.metadata.uid for pod in space.group.pods()}
    with space.traffic() as traffic:
        at = traffic.mark("fault")
        with pytest.raises(CommandError, match=r"The value to look at: store\.encryption") as failure:
            space.deploy(layered(ENCRYPTED, WRONG_KEY))
        assert "Restarted so far: none. Nothing else was touched" in failure.value.output
        traffic.wait_recovered(time.monotonic())
    assert {pod.metadata.uid for pod in space.group.pods()} == before
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()
