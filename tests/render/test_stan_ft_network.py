"""Services, ports, IP families and network policy of stan-ft."""

from __future__ import annotations

from typing import Any

from harness.charts.render import at, render, stan_conf
from stanft.kube import objects
from stanft.kube.objects import Object, dig, find

PORTS = {"client": 4222, "cluster": 6222, "monitor": 8222, "metrics": 7777, "fencing": 8223}
OTHER = {"client": 5222, "cluster": 7222, "monitor": 9222, "metrics": 7778, "fencing": 9223}

SELECTOR = {
    "app.kubernetes.io/name": "stan-ft",
    "app.kubernetes.io/instance": "stan",
    "app.kubernetes.io/component": "server",
}


def headless(values: dict[str, Any] | None = None) -> Object:
    return find(render("stan-ft", values), "Service", "stan")


def client(values: dict[str, Any] | None = None) -> Object:
    return find(render("stan-ft", values), "Service", "stan-client")


def policy(values: dict[str, Any]) -> Object:
    return find(render("stan-ft", {"networkPolicy": values}), "NetworkPolicy", "stan")


def test_the_headless_service_names_servers_that_are_not_ready_yet() -> None:
    spec = headless()["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert objects.ports(headless()) == PORTS
    assert {each["appProtocol"] for each in spec["ports"]} == {"tcp", "http"}
    assert all(each["targetPort"] == each["name"] for each in spec["ports"])


def test_one_map_of_ports_drives_everything() -> None:
    items = render(
        "stan-ft",
        {
            "config": {"port": OTHER["client"], "cluster": {"port": OTHER["cluster"]}, "http": OTHER["monitor"]},
            "promExporter": {"port": OTHER["metrics"]},
            "fencing": {"port": OTHER["fencing"]},
        },
    )
    assert objects.ports(find(items, "Service", "stan")) == OTHER
    item = find(items, "StatefulSet")
    declared = {k: v for each in objects.containers(item) for k, v in objects.ports(each).items()}
    assert declared == OTHER
    config = stan_conf(items)
    assert all(f": {OTHER[name]}" in config for name in ("client", "cluster", "monitor"))
    assert f"http://localhost:{OTHER['monitor']}" in objects.container(item, "metrics")["args"]


def test_the_client_service_shows_the_client_port_alone() -> None:
    assert objects.ports(client()) == {"client": 4222}
    assert client()["spec"]["type"] == "ClusterIP"
    assert client()["spec"]["selector"] == SELECTOR


def test_the_client_service_can_be_a_load_balancer_with_everything_that_has() -> None:
    own = {"type": "LoadBalancer", "port": 14222, "nodePort": 30422}
    values = {
        "clusterIP": "10.96.0.9",
        "loadBalancerClass": "x/y",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local",
        "trafficDistribution": "PreferClose",
    }
    spec = client({"service": {**own, "merge": {"spec": values}}})["spec"]
    [port] = spec["ports"]
    assert (port["port"], port["nodePort"], port["targetPort"]) == (14222, 30422, "client")
    assert spec["type"] == "LoadBalancer"
    assert {key: spec[key] for key in values} == values


def test_the_client_service_can_be_left_out() -> None:
    items = render("stan-ft", at("service.enabled", False))
    assert [objects.name(each) for each in objects.find_all(items, "Service")] == ["stan"]


def test_both_services_take_the_ip_families() -> None:
    values = {
        "service": {"merge": {"spec": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}}},
        "headlessService": {"merge": {"spec": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}}},
    }
    for service in (headless(values), client(values)):
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert "ipFamilyPolicy" not in headless()["spec"]


def test_another_cluster_domain_is_in_every_address() -> None:
    items = render("stan-ft", {"clusterDomain": "k8s.example"})
    config = stan_conf(items)
    assert config.count(".svc.k8s.example:6222") == 3
    env = objects.env(objects.container(find(items, "StatefulSet"), "stan"))
    assert env["CLUSTER_ADVERTISE"].endswith(".svc.k8s.example")
    assert "cluster.local" not in config


def test_service_links_stay_out_of_the_environment() -> None:
    assert objects.pod_spec(find(render("stan-ft"), "StatefulSet"))["enableServiceLinks"] is False


def test_by_default_only_the_route_port_is_closed_to_others() -> None:
    rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy({})["spec"]["ingress"]}
    assert rules == {6222: [{"podSelector": {"matchLabels": SELECTOR}}], 4222: None, 8222: None, 7777: None}


def test_there_is_no_network_policy_where_it_is_switched_off() -> None:
    assert objects.find_all(render("stan-ft", at("networkPolicy.enabled", False)), "NetworkPolicy") == []


def test_the_job_and_the_tests_reach_out_where_a_namespace_denies_it() -> None:
    items = render("stan-ft")
    spec = find(items, "NetworkPolicy", "stan-hooks")["spec"]
    assert (spec["policyTypes"], spec["egress"]) == (["Egress"], [{}])
    hooks = [item for item in objects.workloads(items) if item["kind"] in ("Job", "Pod")]
    assert len(hooks) == 3
    for item in objects.workloads(items):
        labels = (objects.pod_template(item) or {})["metadata"]["labels"]
        assert objects.selects(spec["podSelector"], labels) is (item in hooks), objects.label(item)


def test_the_policy_lets_peers_route_whatever_else_it_says() -> None:
    rules = policy({"clients": [{"podSelector": {"matchLabels": {"a": "b"}}}]})["spec"]["ingress"]
    [peers] = [rule for rule in rules if {"port": 6222} in rule["ports"]]
    assert peers["from"] == [{"podSelector": {"matchLabels": SELECTOR}}]


def test_the_policy_opens_each_port_to_whom_it_is_meant_for() -> None:
    peer = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]

    def sources(values: dict[str, Any]) -> dict[str, Any]:
        rules = policy(values)["spec"]["ingress"]
        return {port["port"]: rule.get("from") for rule in rules for port in rule["ports"]}

    own_pods = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "stan"}}}
    named = sources({"clients": peer, "monitoring": peer, "metrics": peer})
    assert (named[4222], named[7777], named[8222]) == ([*peer, own_pods],) * 3


def test_the_policy_can_hold_back_what_servers_reach() -> None:
    assert policy({})["spec"]["policyTypes"] == ["Ingress"]
    extra = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    spec = policy({"restrictEgress": True, "extraEgress": [extra], "extraIngress": [{"from": []}]})["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    peers, names, own = spec["egress"]
    assert dig(peers, "to.0.podSelector.matchLabels") == SELECTOR
    assert {port["port"] for port in names["ports"]} == {53}
    assert own == extra
    assert spec["ingress"][-1] == {"from": []}


def test_an_external_nats_server_needs_no_routes_and_no_client_port() -> None:
    items = render("stan-ft", at("config.streaming.nats_server_url", "nats://nats.example:4222"))
    config = stan_conf(items)
    assert 'nats_server_url: "nats://nats.example:4222"' in config
    assert "cluster {" not in config
    assert "\nport:" not in config
    assert objects.ports(find(items, "Service", "stan")) == {"monitor": 8222, "metrics": 7777, "fencing": 8223}
    assert len(objects.find_all(items, "Service")) == 1
