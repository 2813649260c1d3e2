"""scripts/status: who is active, where, and how to connect."""

from __future__ import annotations

import argparse

from harness.cluster import engine, kind
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.group import status
from stanft.group.live import Group


def main() -> int:
    """Print the state of the local cluster's group; exit code 1 if it is not whole."""
    argparse.ArgumentParser(
        prog="scripts/status", description="Shows the servers of the local cluster, the claim, and how to connect."
    ).parse_args()
    found = engine.find()
    if found is None or not kind.Cluster(found).kubeconfig.exists():
        raise UserError("there is no local cluster: scripts/up makes one.")
    cluster = kind.Cluster(found)
    group = Group.connect(kubeconfig=cluster.kubeconfig)
    print(status.show(cluster, group, has_exporter=status.has_exporter(group), port=kind.client_port()))
    return 1 if group.problem() else 0


if __name__ == "__main__":
    common.run(main)
