"""The cluster's own ground: names are answered at once, and the pod network comes back with a node."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from harness.cluster import network
from harness.cluster.kind import Cluster
from harness.local.proof import prove
from harness.local.up import Deployment
from stanft import words
from stanft.group.live import Group

PROBE = "dns-test"
SERVICE = "stan-0.stan.default.svc.cluster.local"


@pytest.fixture(params=[False, True], ids=["pod", "host-network pod"])
def probe(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PROBE, "namespace": "shared-storage"},
        "spec": {
            "hostNetwork": request.param,
            "dnsPolicy": "ClusterFirstWithHostNet",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "probe", "image": "busybox:1.35.0", "command": ["sleep", "600"]}],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("-n", "shared-storage", "wait", "--for=condition=Ready", "--timeout=60s", f"pod/{PROBE}")
    yield PROBE
    cluster.kubectl("-n", "shared-storage", "delete", "pod", PROBE, "--wait=true", "--timeout=60s")


def test_a_server_name_resolves_in_a_pod(cluster: Cluster, group: Group, probe: str) -> None:
    cluster.kubectl("-n", "shared-storage", "exec", probe, "--", "nslookup", SERVICE)


def test_an_unknown_name_is_refused_as_fast_as_a_known_one_is_found(cluster: Cluster, group: Group, probe: str) -> None:
    known, unknown = (timed(cluster, probe, name) for name in (SERVICE, "no-such-name.invalid"))
    # A missing resolver makes an unknown name wait for whole seconds.
    assert unknown < known + 1.0, f"known {known:.2f} s, unknown {unknown:.2f} s"


def timed(cluster: Cluster, probe: str, name: str) -> float:
    """Seconds until a lookup in the probe pod is answered, found or not."""
    started = time.monotonic()
    cluster.kubectl("-n", "shared-storage", "exec", probe, "--", "sh", "-c", f"nslookup {name} || true")
    return time.monotonic() - started


def test_pods_and_routes_come_back_when_a_stopped_node_starts_again(
    deployment: Deployment, cluster: Cluster, group: Group
) -> None:
    active = group.active()
    assert active is not None
    node = next(server.node for server in group.servers() if server.pod != active.pod)
    cluster.engine.docker("stop", "--time", "20", node)
    try:
        asyncio.run(prove([words.url(server.ip) for server in group.servers() if server.node != node]))
    finally:
        cluster.engine.docker("start", node)
    cluster.wait_ready()
    network.ensure_routes(cluster)
    servers = group.wait_whole(180)
    assert node in {server.node for server in servers}
    asyncio.run(prove([words.url(server.ip) for server in servers]))
