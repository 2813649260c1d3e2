"""A backup of a live group and its restore into an emptied store: nothing that was acknowledged before is missing."""

from __future__ import annotations

from stan_space import Space

from harness.cluster.kind import Cluster
from harness.local import restore_drill
from stanft.faults import Scene

MESSAGES = 3000  # the figures of 100,000 are in docs/store.md: scripts/bench restore


def test_what_was_acknowledged_before_a_backup_is_there_after_a_restore_and_durables_go_on(cluster: Cluster) -> None:
    space = Space(cluster)
    space.create()
    try:
        space.deploy({"replicas": 2, "rollout": {"onInstall": False}})
        group = space.group
        group.wait_whole()
        found = restore_drill.play(Scene(group, cluster, cluster.kubeconfig), MESSAGES)
    finally:
        space.close()
    print(found.seconds)
    assert found.before >= MESSAGES
    assert found.missing() == []
    assert found.sequences == {number: number for number in range(1, found.stored + 1)}, "under their numbers"
    assert found.later == found.stored + 1, "numbers of what came after the backup are given again"
    assert {durable.name: found.left_out(durable) for durable in found.durables} == {"done": [], "half": [], "open": []}
