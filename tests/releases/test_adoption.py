"""A cluster that runs the raw recipe is taken over by the chart: messages kept, one takeover at most."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from stan_space import BASE, Space

from harness.charts.render import layered
from harness.cluster.kind import Cluster
from harness.ground.paths import CHARTS, REPO
from harness.local.compare import RECIPE, apply, manifests

VALUES: dict[str, Any] = yaml.load((REPO / "docs/adopt-the-recipe.values.yaml").read_text(), yaml.CSafeLoader)
# The recipe's claim is used as it is; the image that changes the store's owner is one that the cluster surely has.
OWN_CLAIM = {"persistence": {"existingClaim": "efs"}}
OWNER_IMAGE = VALUES["podTemplate"]["extraContainers"][0]["image"].split(":")
CHOWN = {"persistence": {"volumePermissions": {"image": {"repository": OWNER_IMAGE[0], "tag": OWNER_IMAGE[1]}}}}

# As in docs/adopt-the-recipe.md: server-side apply would keep the old strategy's options, which the new one forbids.
ON_DELETE = '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}'


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    """The recipe's group, as kubectl made it."""
    own = Space(cluster)
    own.create(restricted=False)
    try:
        apply(cluster, own.name, manifests(RECIPE))
        own.group.wait_whole()
        yield own
    finally:
        own.close()


def adopt(space: Space, *layers: dict[str, Any]) -> str:
    """The command of docs/adopt-the-recipe.md."""
    return space.helm(
        "upgrade",
        "--install",
        "stan",
        CHARTS / "stan-ft",
        "--take-ownership",
        "--force-conflicts",
        values=layered(BASE, OWN_CLAIM, *layers),
    )


def owners(space: Space) -> set[str]:
    """The users that own files of the store."""
    mount = {"name": "efs", "mountPath": "/data/stan"}
    look = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "look"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "look",
                    "image": ":".join(OWNER_IMAGE),
                    "command": ["find", "/data/stan/store", "-exec", "stat", "-c", "%u", "{}", ";"],
                    "volumeMounts": [mount],
                }
            ],
            "volumes": [{"name": "efs", "persistentVolumeClaim": {"claimName": "efs"}}],
        },
    }
    space.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(look))
    space.kubectl("wait", "pod/look", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", timeout=70)
    found = set(space.kubectl("logs", "look").split())
    space.kubectl("delete", "pod", "look", "--wait=false")
    return found


def test_the_running_recipe_is_taken_over_with_its_messages_and_one_takeover(space: Space) -> None:
    assert owners(space) == {"0"}
    with space.traffic() as traffic:
        at = traffic.mark("fault")
        space.kubectl("delete", "statefulset", "stan", "--cascade=orphan")
        said = adopt(space, VALUES, CHOWN)
        space.group.wait_whole()
        traffic.wait_recovered(time.monotonic())
    verdict = traffic.ledger.verdict(at)
    assert verdict.passed, verdict.sentence()
    assert "takeovers: 1" in said, said
    assert space.activations() == 1
    assert owners(space) == {"10001"}
    live = space.group.stateful_set()
    assert live.spec.pod_management_policy == "Parallel"
    assert live.metadata.labels["app.kubernetes.io/managed-by"] == "Helm"
    # Then the next upgrade drops what only the takeover needed, and the pods pass the restricted standard again.
    space.cluster.kubectl("label", "namespace", space.name, "pod-security.kubernetes.io/enforce=restricted")
    said = space.helm("upgrade", "stan", CHARTS / "stan-ft", values=layered(BASE, OWN_CLAIM, {"adoptRecipe": True}))
    assert "takeovers: 1" in said, said
    space.group.wait_whole()


def test_the_statefulset_can_be_kept_where_its_fixed_fields_are_kept(space: Space) -> None:
    before = space.group.stateful_set().metadata.uid
    space.kubectl("patch", "statefulset", "stan", "--type=merge", "--patch", ON_DELETE)
    said = adopt(space, VALUES, CHOWN, {"statefulSet": {"podManagementPolicy": "OrderedReady"}})
    space.group.wait_whole()
    assert space.group.stateful_set().metadata.uid == before
    assert "takeovers: 1" in said, said
    assert space.activations() == 1
