"""The page that scripts/up and scripts/status end with: the group, how to connect to it, what to try next."""

from __future__ import annotations

from harness.cluster import kind
from harness.cluster.kind import Cluster
from stanft import words
from stanft.group import status
from stanft.group.status import Status


def show(cluster: Cluster, seen: Status) -> str:
    """A page of text for a person at a terminal."""
    here = f"nats://127.0.0.1:{kind.client_port()}"
    lines = [status.show(seen)]
    if not seen.has_exporter:
        lines.append("metrics:    the exporter's image cannot be had without a container registry; the sidecar is off")
    lines += [
        "",
        f"connect:    {here} from this machine, {words.url('stan-client')} in the cluster;"
        f" cluster id {words.CLUSTER_ID}",
        f"publish:    scripts/tool stan-pub -s {here} -c {words.CLUSTER_ID} -id me orders hello",
        f"receive:    scripts/tool stan-sub -s {here} -c {words.CLUSTER_ID} -id you -all orders",
        f"kubectl:    scripts/tool kubectl --kubeconfig {cluster.kubeconfig} get pods",
        "next:       scripts/status again, scripts/test to prove it, scripts/down to take it away",
    ]
    return "\n".join(lines)
