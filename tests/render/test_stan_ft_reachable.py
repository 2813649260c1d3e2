"""Who reaches which port of the servers under the chart's NetworkPolicies, by Kubernetes' own rules for these."""

from __future__ import annotations

from typing import Any

import pytest
from reachable import End, allowed

from harness.charts.render import render
from stanft.kube import objects
from stanft.kube.objects import Object

CLIENT, ROUTE, MONITOR, METRICS, FENCING, DNS = 4222, 6222, 8222, 7777, 8223, 53
OPEN = {CLIENT, MONITOR, METRICS, FENCING}
EVERY = {*OPEN, ROUTE}
STRANGER = End({"app": "shop"})
ELSEWHERE = End({"app": "shop"}, "shop", {"team": "shop"})
PROMETHEUS = End({"app.kubernetes.io/name": "prometheus"}, "monitoring", {"kubernetes.io/metadata.name": "monitoring"})
NODE = End(address="172.18.0.3")  # where the kubelet's probes come from
NAMES = End({"k8s-app": "kube-dns"}, "kube-system", {"kubernetes.io/metadata.name": "kube-system"})
DENY_ALL: Object = {
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "default"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


class Cluster:
    """A rendered release, and its pods by what they are."""

    def __init__(self, values: dict[str, Any] | None = None, *more: Object, namespace: str = "default") -> None:
        items = render("stan-ft", values, namespace=namespace)
        self.policies = [*objects.find_all(items, "NetworkPolicy"), *more]
        self.pods: dict[str, End] = {}
        for item in objects.workloads(items):
            metadata = (objects.pod_template(item) or {})["metadata"]
            self.pods[objects.name(item)] = End(metadata["labels"], namespace)

    @property
    def server(self) -> End:
        """A pod of the StatefulSet."""
        return self.pods["stan"]

    @property
    def hooks(self) -> list[End]:
        """The pods of the upgrade Job and of helm test."""
        return [pod for name, pod in self.pods.items() if name != "stan"]

    def ports(self, source: End) -> set[int]:
        """Which ports of a server it reaches."""
        return {port for port in EVERY if allowed(self.policies, source, self.server, port)}


@pytest.mark.parametrize("source", [STRANGER, ELSEWHERE, PROMETHEUS, NODE])
def test_by_default_everybody_reaches_everything_but_the_routes(source: End) -> None:
    assert Cluster().ports(source) == OPEN


def test_servers_reach_each_other_on_every_port() -> None:
    own = Cluster()
    assert own.ports(own.server) == EVERY


def test_a_second_release_in_the_namespace_is_a_stranger_on_the_route_port() -> None:
    other = End({**Cluster().server.labels, "app.kubernetes.io/instance": "other"})
    assert Cluster().ports(other) == OPEN


def test_a_server_of_the_same_names_in_another_namespace_is_a_stranger_too() -> None:
    assert Cluster().ports(End(Cluster().server.labels, "shop")) == OPEN


def test_without_the_policy_the_routes_are_open() -> None:
    assert Cluster({"networkPolicy": {"enabled": False}}).ports(ELSEWHERE) == EVERY


def test_named_peers_are_let_in_and_nobody_else_and_the_releases_own_tests_still() -> None:
    peer = [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]
    scraper = [{"namespaceSelector": {"matchLabels": PROMETHEUS.namespace_labels}}]
    own = Cluster({"networkPolicy": {"clients": peer, "monitoring": scraper, "metrics": scraper}})
    assert own.ports(ELSEWHERE) == {CLIENT}
    assert own.ports(PROMETHEUS) == {MONITOR, METRICS, FENCING}
    assert own.ports(STRANGER) == set()
    assert len(own.hooks) == 3
    assert all({CLIENT, MONITOR} <= own.ports(pod) for pod in own.hooks)


def test_the_tests_pods_reach_the_supervisors_port_where_metrics_are_closed() -> None:
    own = Cluster({"networkPolicy": {"metrics": [{"podSelector": {"matchLabels": {"app": "x"}}}]}})
    assert all(FENCING in own.ports(pod) for pod in own.hooks), "helm test asks it whether the store is guarded"


def test_in_a_namespace_that_denies_everything_restricted_egress_opens_what_the_group_needs() -> None:
    own = Cluster({"networkPolicy": {"restrictEgress": True}}, DENY_ALL)
    assert own.ports(own.server) == EVERY
    assert all(allowed(own.policies, own.server, NAMES, DNS, protocol) for protocol in ("TCP", "UDP"))
    assert all(own.ports(pod) >= OPEN for pod in own.hooks), "the Job and the tests"
    assert not allowed(own.policies, own.server, ELSEWHERE, 443)


def test_in_such_a_namespace_servers_without_it_find_nobody() -> None:
    own = Cluster({}, DENY_ALL)
    assert ROUTE not in own.ports(own.server)
