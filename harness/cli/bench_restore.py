"""scripts/bench restore: backs up a group under traffic on the local cluster, restores it, and says what is there."""

from __future__ import annotations

import argparse

from harness.charts import releases
from harness.ground import system
from harness.local import furnish, namespaces, restore_drill
from harness.local.compare import SECOND_GROUP
from harness.local.up import up
from stanft.cli import common
from stanft.faults.scene import Scene
from stanft.ground.errors import UserError
from stanft.group.live import Group

NAMESPACE = "restore-drill"


def main(arguments: list[str] | None = None) -> int:
    """Play it once in a namespace of its own, print what came of it, and return 0 if nothing is missing."""
    made = argparse.ArgumentParser(prog="scripts/bench restore", description=__doc__)
    made.add_argument("--messages", type=int, default=100_000, help="acknowledged before it (default: %(default)s)")
    options = made.parse_args(arguments)
    if options.messages < 100:
        raise UserError(f"--messages {options.messages}: give 100 or more.")
    furnish.everything()
    cluster = up().cluster
    with namespaces.own(cluster, NAMESPACE):
        releases.ensure("stan", "stan-ft", SECOND_GROUP, kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)
        group = Group.connect(kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)
        group.wait_whole(180)
        found = restore_drill.play(Scene(group, cluster, cluster.kubeconfig), options.messages)
    return _told(found)


def _told(found: restore_drill.Drilled) -> int:
    print(f"acknowledged before the backup began: {found.before}, missing after the restore: {len(found.missing())}")
    print(
        f"in the backup: {found.stored} messages, {found.size / 2**20:.1f} MiB; published after it, gone: {found.lost}"
    )
    moved = sum(number != sequence for number, sequence in found.sequences.items())
    print(f"messages under another sequence number: {moved}; the first new one got {found.later}")
    left = 0
    for durable in found.durables:
        out = len(found.left_out(durable))
        left += out
        print(f"durable {durable.name}: {len(durable.acked)} acknowledged; got again: {durable.again}; left out: {out}")
    print("seconds: " + ", ".join(f"{step} {taken:g}" for step, taken in found.seconds.items()))
    print(system.load())
    return 1 if found.missing() or moved or left or found.later != found.stored + 1 else 0


if __name__ == "__main__":
    common.run(main)
