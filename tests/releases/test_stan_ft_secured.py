"""The strictest installation on the real cluster: restricted namespace, TLS, users, route login, encryption at rest."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bounds import assert_most_within
from certificates import Authority

from harness.charts import releases
from harness.charts.render import environment, layered
from harness.cluster.kind import Cluster
from stanft import words
from stanft.faults import Scene
from stanft.group.live import Group
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError
from stanft.stan.options import ConnectOptions, Start

HUNG_LIMIT = 8.0  # seconds from the stop of the active to the first message that is stored again
USERS = 'users = [ { user: app, password: "1234" }, { user: server, password: "77" } ]'
VALUES: dict[str, Any] = {
    "persistence": {"existingClaim": "", "claim": {"keep": False}},
    "promExporter": {"enabled": False},
    "service": {"type": "ClusterIP", "nodePort": None},
    "store": {"encryption": {"enabled": True, "existingSecret": "encryption"}},
    "auth": {
        "server": {"method": "password", "existingSecret": "login"},
        "mode": "users",
        "existingSecret": "users",
        "routes": {"existingSecret": "routes"},
    },
    "tls": {
        "client": {"enabled": True, "existingSecret": "certificate"},
        "routes": {"enabled": True, "existingSecret": "certificate"},
    },
    "networkPolicy": {"enabled": True},
}


@dataclass(frozen=True)
class Secured:
    """The installed release, and how its clients connect."""

    group: Group
    authority: Authority
    namespace: str

    def urls(self) -> list[str]:
        """The address of each server's pod."""
        return [words.url(server.ip) for server in self.group.servers() if server.ip]

    def options(self, password: str = "1234") -> ConnectOptions:
        """How the application's user connects."""
        host = f"stan-client.{self.namespace}.svc.cluster.local"
        return ConnectOptions(user="app", password=password, tls=self.authority.context(), tls_hostname=host)


@pytest.fixture(scope="module")
def secured(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A release in a namespace that enforces the Pod Security Standard "restricted"; all of it goes afterwards."""
    namespace = f"secured-{secrets.token_hex(3)}"
    folder: Path = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    domain = f"{namespace}.svc.cluster.local"
    certificate = authority.sign("stan", f"DNS:stan-client.{domain},DNS:*.stan.{domain},IP:127.0.0.1")
    holds = {
        "certificate": certificate,
        "encryption": {"encryption-key": "mykey"},
        "login": {"username": "server", "password": "77"},
        "routes": {"username": "route", "password": "4711"},
        "users": {"auth.conf": USERS},
    }
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    ]
    for name, texts in holds.items():
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        metadata = {"name": name, "namespace": namespace}
        items.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    try:
        values = layered(environment("kind", "stan-ft"), VALUES)
        releases.ensure("stan", "stan-ft", values, kubeconfig=cluster.kubeconfig, namespace=namespace)
        group = Group.connect(kubeconfig=cluster.kubeconfig, context=cluster.context, namespace=namespace)
        group.wait_whole(180)
        yield Secured(group, authority, namespace)
    finally:
        volume = cluster.kubectl(
            "-n", namespace, "get", "pvc", "stan", "-o", "jsonpath={.spec.volumeName}", check=False
        ).strip()
        cluster.kubectl("delete", "namespace", namespace, "--wait=true", "--timeout=120s", check=False)
        if volume:
            cluster.kubectl("delete", "pv", volume, "--wait=false", check=False)


def test_every_server_takes_clients_with_the_right_password_over_tls(secured: Secured) -> None:
    async def work() -> list[bytes]:
        urls = secured.urls()
        for number, url in enumerate(urls):
            async with await Client.connect([url], client_id=f"c-{number}", options=secured.options()) as client:
                await client.publish("orders", f"through {number}".encode())
        async with await Client.connect(urls, client_id="reader", options=secured.options()) as client:
            subscription = await client.subscribe("orders", start=Start.first())
            return [(await subscription.next(10)).data for _ in urls]

    assert asyncio.run(work()) == [b"through 0", b"through 1", b"through 2"]


def test_nobody_gets_in_with_a_wrong_password(secured: Secured) -> None:
    async def work() -> None:
        await Client.connect(secured.urls(), client_id="wrong", options=secured.options("4321"), wait=5)

    with pytest.raises(ConnectError):
        asyncio.run(work())


def test_a_hung_active_is_replaced_in_time_by_the_probe_alone(secured: Secured, cluster: Cluster) -> None:
    async def from_stop_to_stored(pod: Any, others: list[str]) -> float:
        async with await Client.connect(others, client_id="steady", options=secured.options()) as client:
            await client.publish("orders", b"before")
            began = time.monotonic()
            Scene(secured.group, cluster).signal(pod, signal.SIGSTOP)
            while True:
                try:
                    await client.publish("orders", b"after", timeout=0.3)
                    return time.monotonic() - began
                except Exception:
                    assert time.monotonic() - began < 60, "no server stores messages again"
                    await asyncio.sleep(0.05)

    def once() -> float:
        secured.group.wait_whole(60)
        active = secured.group.active()
        assert active is not None
        pod = next(pod for pod in secured.group.pods() if pod.metadata.name == active.pod)
        others = [words.url(server.ip) for server in secured.group.servers() if server.pod != active.pod]
        seconds = asyncio.run(from_stop_to_stored(pod, others))
        secured.group.wait_whole(60)
        now = secured.group.active()
        assert now is not None
        assert now.pod != active.pod
        return seconds

    assert_most_within(HUNG_LIMIT, once)
