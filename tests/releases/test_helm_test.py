"""`helm test` on a live group: it passes when all is well, and names what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stan_space import Space, whole

from harness.cluster.kind import Cluster
from stanft.ground.shell import CommandError


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[Space]:
    """A whole group in a namespace that takes only restricted pods, with the failover test switched on."""
    with whole(cluster, {"tests": {"timeoutSeconds": 20}}) as own:
        yield own


def test_all_tests_pass_on_a_whole_group(space: Space) -> None:
    said = space.helm("test", "stan", "--logs")
    assert "ok: active is " in said
    assert "ok: received from helm-test" in said
    assert space.kubectl("get", "role,rolebinding,serviceaccount", "-o", "name").count("stan-test") == 0


def test_the_state_test_names_a_server_that_is_missing(space: Space) -> None:
    space.kubectl("scale", "statefulset", "stan", "--replicas=2")
    try:
        with pytest.raises(CommandError):
            space.helm("test", "stan", "--filter", "name=stan-test-state,name=stan-test")
        assert "error: after 20 s: " in space.kubectl("logs", "stan-test-state")
        assert "stan-2" in space.kubectl("logs", "stan-test-state")
    finally:
        space.kubectl("scale", "statefulset", "stan", "--replicas=3")
        space.group.wait_whole()
