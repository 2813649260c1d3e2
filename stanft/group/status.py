"""The state of the local cluster as text: servers, volume, how to connect, what to try next."""

from __future__ import annotations

from harness.cluster.kind import Cluster
from stanft.group.live import Group


def has_exporter(group: Group) -> bool:
    """Whether the servers' pods carry the metrics sidecar."""
    containers = group.stateful_set().spec.template.spec.containers
    return any(container.name == "metrics" for container in containers)


def show(cluster: Cluster, group: Group, *, has_exporter: bool, port: int) -> str:
    """A page of text for a person at a terminal."""
    lines = [f"{'SERVER':<10}{'STATE':<13}{'READY':<7}{'ROUTES':<8}{'RESTARTS':<10}NODE"]
    for server in group.servers():
        state = server.state or "no answer"
        ready = "yes" if server.ready else "no"
        routes = server.routes if server.meshed else "none"
        lines.append(f"{server.pod:<10}{state:<13}{ready:<7}{routes:<8}{server.restarts:<10}{server.node}")
    lines += ["", *_claims(group)]
    if not has_exporter:
        lines.append("metrics:    the exporter's image cannot be had without a container registry; the sidecar is off")
    lines += [
        "",
        f"connect:    nats://127.0.0.1:{port} from this machine, nats://stan-client:4222 in the cluster;"
        " cluster id test-cluster",
        f"publish:    scripts/tool stan-pub -s nats://127.0.0.1:{port} -c test-cluster -id me orders hello",
        f"receive:    scripts/tool stan-sub -s nats://127.0.0.1:{port} -c test-cluster -id you -all orders",
        f"kubectl:    scripts/tool kubectl --kubeconfig {cluster.kubeconfig} get pods",
        "next:       scripts/status again, scripts/test to prove it, scripts/down to take it away",
    ]
    return "\n".join(lines)


def _claims(group: Group) -> list[str]:
    volumes = group.stateful_set().spec.template.spec.volumes or []
    lines = []
    for volume in volumes:
        if volume.persistent_volume_claim:
            name = volume.persistent_volume_claim.claim_name
            claim = group.core.read_namespaced_persistent_volume_claim(name, group.namespace)
            modes = ", ".join(claim.status.access_modes or [])
            lines.append(
                f"claim:      {name}, {claim.status.phase}, {modes}, StorageClass {claim.spec.storage_class_name}"
            )
    return lines
