"""Namespaces of one's own on the local cluster: made, and taken away with the volumes that their claims leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster.kind import Cluster

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
GONE_WITHIN = 120  # seconds


def create(cluster: Cluster, name: str, *, restricted: bool = True) -> None:
    """Make the namespace; restricted: it takes only pods of the Pod Security Standard "restricted"."""
    cluster.kubectl("create", "namespace", name)
    if restricted:
        cluster.kubectl("label", "namespace", name, RESTRICTED)


def remove(cluster: Cluster, name: str) -> None:
    """Remove the namespace with all that is in it, and its claims' volumes; does nothing where there is none."""
    claims = json.loads(cluster.kubectl("-n", name, "get", "pvc", "-o", "json"))["items"]
    cluster.kubectl(
        "delete", "namespace", name, "--ignore-not-found", f"--timeout={GONE_WITHIN}s", timeout=GONE_WITHIN + 10
    )
    for claim in claims:
        if volume := claim["spec"].get("volumeName"):
            cluster.kubectl("delete", "pv", volume, "--ignore-not-found", "--wait=false")


@contextmanager
def own(cluster: Cluster, name: str, *, restricted: bool = True) -> Iterator[None]:
    """A new namespace, removed afterwards; also first, as one that was interrupted leaves its own."""
    remove(cluster, name)
    create(cluster, name, restricted=restricted)
    try:
        yield
    finally:
        remove(cluster, name)
