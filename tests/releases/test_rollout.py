"""Upgrades of a live group: standbys first, the active last, one takeover, nothing lost."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from bounds import assert_most_within
from stan_space import Space, whole

from harness.cluster.kind import Cluster
from stanft.ground import wait
from stanft.ground.shell import CommandError
from stanft.group import rollout

# A standby waits 1.25 s + 10 % for a heartbeat, perhaps twice (server/ft.go), and the machine may be busy.
TAKEOVER_LIMIT = 2 * 1.375 + 2.0


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    """A group of a test's own."""
    with whole(cluster) as own:
        yield own


def identities(space: Space) -> dict[str, str]:
    """The uid of each pod by its name: another uid is another pod."""
    return {pod.metadata.name: pod.metadata.uid for pod in space.group.pods()}


def upgraded(space: Space, max_age: str) -> float:
    """Upgrade under traffic; the seconds without acknowledgement, when all else was right."""
    before = identities(space)
    active = space.group.active()
    assert active is not None
    with space.traffic() as traffic:
        at = traffic.mark("fault")
        said = space.deploy({"config": {"streaming": {"store_limits": {"max_age": max_age}}}})
        space.group.wait_whole()
        traffic.wait_recovered(time.monotonic())
    after = identities(space)
    assert all(before[name] != after[name] for name in before), "every pod is a new one"
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()
    restarted = re.search(r"restarted ([\w -]+); active is (\S+); takeovers: (\d)", said)
    assert restarted is not None, said
    assert restarted[1].split()[-1] == active.pod, "the active was restarted last"
    assert restarted[3] == "1"
    assert space.activations() == 1, "one of the restarted servers became active, once"
    assert space.kubectl("get", "job,serviceaccount,role,rolebinding,configmap", "-o", "name").count("rollout") == 0
    return traffic.ledger.outage(at).seconds


def test_an_upgrade_restarts_all_three_with_one_takeover_and_loses_nothing(space: Space) -> None:
    ages = (f"{hours}h" for hours in itertools.count(2))
    assert_most_within(TAKEOVER_LIMIT, lambda: upgraded(space, next(ages)))


def test_an_upgrade_that_changes_no_pod_restarts_none(space: Space) -> None:
    before = identities(space)
    said = space.deploy({"headlessService": {"merge": {"metadata": {"annotations": {"team": "messaging"}}}}})
    assert identities(space) == before
    assert "restarted none" in said


def test_an_upgrade_that_cannot_start_fails_and_leaves_the_others_at_work_and_the_next_one_mends_it(
    space: Space,
) -> None:
    before = identities(space)
    active = space.group.active()
    assert active is not None
    with pytest.raises(CommandError) as failure:
        space.deploy(
            {"image": {"tag": "no-such-tag", "pullPolicy": "Never"}, "rollout": {"timeoutSeconds": 20, "trial": False}}
        )
    first = max(name for name in before if name != active.pod)
    assert f"{first} does not start: ErrImageNeverPull" in failure.value.output
    assert f"Restarted so far: {first}." in failure.value.output
    left = {name: uid for name, uid in identities(space).items() if name != first}
    assert left.items() <= before.items(), "the other two were not touched"
    still = space.group.active()
    assert still is not None
    assert still.pod == active.pod
    said = space.deploy()
    assert f"restarting {first}" in said
    space.group.wait_whole()


def test_a_group_with_on_delete_is_restarted_from_outside(space: Space) -> None:
    space.deploy({"rollout": {"strategy": "OnDelete"}, "config": {"streaming": {"store_limits": {"max_age": "3h"}}}})
    before = identities(space)
    active = space.group.active()
    assert active is not None
    done = rollout.restart(space.name, kubeconfig=space.cluster.kubeconfig)
    assert sorted(done.restarted) == sorted(before)
    assert done.restarted[-1] == active.pod
    assert done.takeovers == 1
    assert space.activations() == 1
    again = rollout.restart(space.name, kubeconfig=space.cluster.kubeconfig)
    assert again.restarted == ()


def test_a_rollout_whose_pod_is_lost_goes_on_and_another_one_waits_for_it(space: Space) -> None:
    active = space.group.active()
    assert active is not None
    with ThreadPoolExecutor() as pool:
        upgrade = pool.submit(space.deploy, {"config": {"streaming": {"store_limits": {"max_age": "4h"}}}})
        wait.until(
            lambda: bool(space.kubectl("get", "lease", "--ignore-not-found", "-o", "name")), 60, "no Lease was taken"
        )
        said: list[str] = []
        other = pool.submit(rollout.restart, space.name, kubeconfig=space.cluster.kubeconfig, say=said.append)
        wait.until(lambda: any("is at work" in line for line in said), 60, lambda: "\n".join(said))
        space.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=rollout", "--wait=false")
        upgrade.result()
        other.result()
    space.group.wait_whole()
    assert space.activations() == 1
    assert rollout.restart(space.name, kubeconfig=space.cluster.kubeconfig).restarted == ()
