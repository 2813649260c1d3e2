"""Bad changes to a live group: each stops before a server is touched and names the value to mend."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from stan_space import Space, whole

from harness.cluster.kind import Cluster
from stanft.ground.shell import CommandError

BAD = {
    "a cluster id that is not the store's": (
        {"config": {"streaming": {"id": "other"}}, "store": {"acceptChanges": ["id"]}},
        r"cluster ID .{1,2}other.{1,2} does not match .*config\.streaming\.id",
    ),
    "a user whose store it is not": (
        {"podTemplate": {"securityContext": {"runAsUser": 10009}}, "store": {"acceptChanges": ["user"]}},
        r"user 10009 may not write .*podTemplate\.securityContext\.runAsUser",
    ),
    "an argument that the server does not know": (
        {"container": {"args": ["--no_such_flag"]}},
        r"no_such_flag.*The value to look at: container\.args",
    ),
    "less memory than the recovery of the store needs": (
        {"container": {"resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "40Mi"}}}},
        r"it took \d+ MiB of memory .* its limit leaves it 16 MiB .*to look at: container\.resources\.limits\.memory",
    ),
    "an image that cannot be pulled": (
        {"image": {"tag": "no-such-tag"}, "rollout": {"timeoutSeconds": 20}},
        r"its image is not there\. The value to look at: image",
    ),
}
REFUSED = {
    "id": {"config": {"streaming": {"id": "other"}}},
    "dir": {"config": {"streaming": {"dir": "/data/stan/elsewhere"}}},
    "claim": {"persistence": {"existingClaim": "another"}},
    "subPath": {"persistence": {"subPath": "below"}},
}


@pytest.fixture(scope="module")
def unchanged(cluster: Cluster) -> Iterator[Space]:
    """A group that is after each test as it was."""
    with whole(cluster) as own:
        yield own


def lives(space: Space) -> dict[str, tuple[str, str]]:
    """The uid of each pod, and since when its server runs, by its name."""
    return {
        pod.metadata.name: (
            pod.metadata.uid,
            next(str(one.state.running.started_at) for one in pod.status.container_statuses if one.name == "stan"),
        )
        for pod in space.group.pods()
    }


def test_a_bad_change_stops_before_the_first_standby_and_names_its_value(unchanged: Space) -> None:
    with unchanged.traffic() as traffic:
        before = lives(unchanged)
        at = traffic.mark("fault")
        for name, (values, words) in BAD.items():
            with pytest.raises(CommandError) as failure:
                unchanged.deploy(values)
            assert re.search(words, failure.value.output), f"{name}: {failure.value.output}"
            assert "Restarted so far: none. Nothing else was touched" in failure.value.output
            assert "helm rollback stan --namespace" in failure.value.output
            unchanged.helm("rollback", "stan", "1")
            assert lives(unchanged) == before, name
        traffic.wait_recovered(time.monotonic())
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()


def test_another_store_is_refused_before_anything_changes(unchanged: Space) -> None:
    before, history = lives(unchanged), unchanged.helm("history", "stan")
    for name, values in REFUSED.items():
        with pytest.raises(CommandError, match=rf"store\.acceptChanges=\[{name}\]"):
            unchanged.deploy(values)
    assert unchanged.helm("history", "stan") == history
    assert lives(unchanged) == before


def test_helm_takes_a_bad_change_back_by_itself_with_every_server_as_it_was(unchanged: Space) -> None:
    before = lives(unchanged)
    with pytest.raises(CommandError, match="container.args"):
        unchanged.deploy({"container": {"args": ["--no_such_flag"]}}, "--rollback-on-failure")
    assert lives(unchanged) == before
    assert "Rollback to " in unchanged.helm("history", "stan").strip().splitlines()[-1]
