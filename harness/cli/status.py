"""scripts/status: who is active, where, and how to connect."""

from __future__ import annotations

import argparse

from harness.local import furnish
from harness.local.status import show
from stanft.cli import common
from stanft.ground.errors import UserError
from stanft.group import status
from stanft.group.live import Group


def main() -> int:
    """Print the state of the local cluster's group; exit code 1 if it is not whole."""
    argparse.ArgumentParser(
        prog="scripts/status",
        description="Shows the servers of the local cluster, the claim, and how to connect. "
        "For any other cluster: stan-ft status.",
    ).parse_args()
    cluster = furnish.local_cluster()
    if cluster is None:
        raise UserError("there is no local cluster: scripts/up makes one.")
    seen = status.look(Group.connect(kubeconfig=cluster.kubeconfig))
    print(show(cluster, seen))
    return 1 if seen.problem else 0


if __name__ == "__main__":
    common.run(main)
