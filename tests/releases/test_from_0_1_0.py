"""A release of chart 0.1.0 is upgraded to this chart: old keys refused, messages kept, one takeover."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from charts_before import PACKAGES, new_names, translated
from stan_space import Space

from harness.charts.render import layered
from harness.cluster.kind import Cluster
from harness.ground.paths import CHARTS
from harness.local.plan import images_in
from harness.local.up import load_images
from stanft.ground.shell import CommandError
from stanft.kube import objects

# As somebody wrote them for 0.1.0, for the local cluster.
OLD: Final[dict[str, Any]] = {
    "store": {"limits": {"maxChannels": 1000, "maxInactivity": "10m"}},
    "persistence": {"existingClaim": ""},
    "clientService": {"annotations": {"team": "messaging"}},
    "nats": {"limits": {"maxPayload": 2097152}},
    "metrics": {"enabled": False},
    "podLabels": {"team": "messaging"},
    "podDisruptionBudget": {"maxUnavailable": 1},
    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    "goMemoryLimit": "900MiB",
}
# With the one value that docs/upgrade.md asks for besides.
NEW: Final = layered(translated("stan-ft", OLD), {"adoptRecipe": True})


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    """A whole group of chart 0.1.0."""
    own = Space(cluster)
    own.create()
    try:
        package = PACKAGES["stan-ft"]
        images = images_in(objects.parse(own.helm("template", "stan", package, values=OLD)))
        # The image of its upgrades' Job, which does not run here, cannot be built.
        load_images(cluster, [image for image in images if "kubectl" not in image])
        own.helm("install", "stan", package, values=OLD)
        own.group.wait_whole()
        yield own
    finally:
        own.close()


def upgraded(space: Space, values: dict[str, Any]) -> str:
    """What helm prints when the release gets this chart with these values alone."""
    return space.helm("upgrade", "stan", CHARTS / "stan-ft", values=values)


def refused(space: Space, values: dict[str, Any]) -> str:
    """What helm prints when it refuses them."""
    with pytest.raises(CommandError) as refusal:
        upgraded(space, values)
    return refusal.value.output


def test_a_release_of_0_1_0_comes_here_with_its_messages_and_one_takeover(space: Space) -> None:
    told = refused(space, OLD)
    names = new_names("stan-ft")
    for old in ("store.limits.maxChannels", "nats.limits.maxPayload", "metrics.enabled", "podLabels", "resources"):
        assert f"{old}: " in told
        assert names[old] in told
    assert "Set adoptRecipe=true" in refused(space, {**NEW, "adoptRecipe": False})
    before = space.group.stateful_set().metadata.uid
    with space.traffic() as traffic:
        began = traffic.mark("fault")
        said = upgraded(space, NEW)
        space.group.wait_whole()
        traffic.wait_recovered(time.monotonic())
        assert "takeovers: 1" in said, said
        assert space.activations() == 1
        assert space.group.stateful_set().metadata.uid == before
        verdict = traffic.ledger.verdict(began)
        assert verdict.passed, verdict.sentence()
