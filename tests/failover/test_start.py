"""The servers come up by themselves: on an empty cluster, all at once, and one by one, each reachable by clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from bounds import assert_most_within

from harness.charts import releases
from harness.cluster.kind import Cluster
from harness.local import proof
from harness.local.up import Deployment
from stanft import words
from stanft.ground import wait
from stanft.group.live import Group, ServerState

NAMESPACE = "first-start"
# From the request to one active and three Ready servers, with the images present: making the volume takes 3 to 5 s, a
# server that finds no heartbeat takes the lock after 1.4 s at most, and readiness is asked for every few seconds.
FIRST_START_LIMIT = 20.0  # seconds
# Times what pods that do nothing take with a new volume, measured beside each start: what a busy machine has.
PLAIN_SHARE = 2.5


@pytest.fixture
def empty_namespace(cluster: Cluster) -> Iterator[str]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    releases.uninstall("stan", kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=100s")


def test_three_servers_start_on_an_empty_store_within_twenty_seconds(
    deployment: Deployment, cluster: Cluster, group: Group, empty_namespace: str
) -> None:
    image = group.pods()[0].spec.containers[0].image
    values = dict(deployment.plan.values["stan-ft"])
    values["service"] = {"type": "ClusterIP"}
    values["rollout"] = {"onInstall": False}  # the Job would only wait for what is timed here
    values["persistence"] = {"existingClaim": "", "claim": {"storageClassName": "aws-efs", "keep": False}}

    def first_start() -> float:
        started = time.monotonic()
        releases.ensure("stan", "stan-ft", values, kubeconfig=cluster.kubeconfig, namespace=empty_namespace)
        servers = Group.connect(kubeconfig=cluster.kubeconfig, namespace=empty_namespace).wait_whole(
            60, lambda problem: print(f"after {time.monotonic() - started:.1f} s: {problem}")
        )
        took = time.monotonic() - started
        print("restarts:", *(server.restarts for server in servers))
        prove(servers)
        releases.uninstall("stan", kubeconfig=cluster.kubeconfig, namespace=empty_namespace)
        cluster.kubectl("-n", empty_namespace, "wait", "--for=delete", "pvc", "--all", "--timeout=60s")
        return took

    def limit() -> float:
        return max(FIRST_START_LIMIT, PLAIN_SHARE * plain_start(cluster, empty_namespace, image))

    assert_most_within(limit, first_start)


def plain_start(cluster: Cluster, namespace: str, image: str) -> float:
    """Seconds until three pods of this image that do nothing run with a new volume; they are taken away again."""
    meta = {"name": "plain", "labels": {"app": "plain"}}
    claim = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "aws-efs",
        "resources": {"requests": {"storage": "1Mi"}},
    }
    container = {
        "name": "plain",
        "image": image,
        "command": ["sleep", "600"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "plain"}}],
    }
    template = {"metadata": meta, "spec": pod}
    spec = {"replicas": 3, "selector": {"matchLabels": meta["labels"]}, "template": template}
    items = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
    ]
    started = time.monotonic()
    cluster.kubectl(
        *("-n", namespace, "apply", "-f", "-"), stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    cluster.wait_rollout("deployment/plain", namespace, 60)
    took = time.monotonic() - started
    cluster.kubectl("-n", namespace, "delete", "deployment,pvc", "plain", "--timeout=60s")
    print(f"three pods that do nothing: {took:.1f} s")
    return took


def test_the_servers_come_back_when_all_pods_are_deleted_at_once(cluster: Cluster, group: Group) -> None:
    before = {pod.metadata.uid for pod in group.pods()}
    cluster.kubectl("delete", "pods", "-l", "app=stan", "--wait=false")
    wait_replaced(group, before)
    prove(group.wait_whole(90))


@pytest.mark.parametrize("ordinal", [0, 1, 2])
def test_the_group_is_whole_again_when_one_server_is_deleted(cluster: Cluster, group: Group, ordinal: int) -> None:
    pod = next(pod for pod in group.pods() if pod.metadata.name == f"stan-{ordinal}")
    cluster.kubectl("delete", "pod", pod.metadata.name, "--wait=false")
    wait_replaced(group, {pod.metadata.uid})
    prove(group.wait_whole(90))


def test_the_active_stays_active_when_a_standby_is_deleted(cluster: Cluster, group: Group) -> None:
    active = group.active()
    assert active is not None
    standby = next(pod for pod in group.pods() if pod.metadata.name != active.pod)
    cluster.kubectl("delete", "pod", standby.metadata.name, "--wait=false")
    wait_replaced(group, {standby.metadata.uid})
    group.wait_whole(90)
    now_active = group.active()
    assert now_active is not None
    assert (now_active.pod, now_active.restarts) == (active.pod, active.restarts)


def wait_replaced(group: Group, uids: set[str], timeout: float = 90.0) -> None:
    """Wait until no pod with one of these uids is left; timeout in seconds."""
    wait.until(
        lambda: not uids & {pod.metadata.uid for pod in group.pods()},
        timeout,
        f"the old pods are still there after {timeout:.0f} s",
    )


def prove(servers: list[ServerState]) -> None:
    """A client of any of the servers publishes and receives."""
    asyncio.run(proof.prove([words.url(server.ip) for server in servers]))
