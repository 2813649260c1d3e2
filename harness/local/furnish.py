"""What the workshop gives to stanft: pinned programs, the local cluster, and the faults that need its nodes."""

from __future__ import annotations

from harness.cluster import engine, kind
from harness.ground import toolchain
from harness.local import node_faults, volume_faults
from stanft import faults
from stanft.cli import where
from stanft.ground import programs


def everything() -> None:
    """Make all of it known in this process."""
    programs.provided_by(toolchain.ensure)
    where.own_cluster(local_cluster)
    add_faults()


def add_faults() -> None:
    """Make the faults known that need the local cluster's nodes."""
    faults.add((*node_faults.FAULTS, *volume_faults.FAULTS))


def local_cluster() -> kind.Cluster | None:
    """The local cluster, None where it is not there."""
    found = engine.find()
    cluster = kind.Cluster(found) if found is not None else None
    return cluster if cluster is not None and cluster.kubeconfig.exists() else None
