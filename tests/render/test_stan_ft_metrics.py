"""Exporter, monitors, alerts and dashboard, as rendered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.charts.render import RenderError, render
from stanft.kube.objects import Object, container, dig, env, find, find_all, pod_template, selects

RECIPE_FLAGS = ["-connz", "-routez", "-subz", "-varz", "-channelz", "-serverz"]


def metrics(**section: Any) -> list[Object]:
    return render("stan-ft", {"promExporter": section})


def exporter(values: dict[str, Any] | None = None) -> Object:
    return container(find(render("stan-ft", values), "StatefulSet"), "metrics")


def test_the_exporter_is_the_last_that_knows_streaming_with_the_flags_of_the_recipe() -> None:
    found = exporter()
    assert found["image"] == "natsio/prometheus-nats-exporter:0.16.0"
    assert found["args"][: len(RECIPE_FLAGS)] == RECIPE_FLAGS
    assert found["args"][-1] == "http://localhost:8222"


def test_the_exporter_follows_the_ports() -> None:
    found = exporter({"promExporter": {"port": 9777}, "config": {"http": 9222}})
    assert "-port=9777" in found["args"]
    assert found["args"][-1] == "http://localhost:9222"
    assert found["ports"] == [{"name": "metrics", "containerPort": 9777}]


def test_the_exporter_is_probed_on_its_port_and_never_through_the_servers_endpoints() -> None:
    assert exporter()["livenessProbe"]["tcpSocket"] == {"port": "metrics"}
    assert "httpGet" not in json.dumps(exporter())
    assert "readinessProbe" not in exporter()


def test_the_exporter_has_resources_and_security_of_its_own() -> None:
    found = exporter(
        {"promExporter": {"merge": {"securityContext": {"readOnlyRootFilesystem": False}}, "resources": None}}
    )
    assert found["securityContext"]["readOnlyRootFilesystem"] is False
    assert exporter()["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert exporter()["resources"]["limits"] == {"memory": "128Mi"}


def test_without_the_exporter_there_is_no_port_and_no_monitor() -> None:
    found = metrics(enabled=False, serviceMonitor={"enabled": True})
    assert find_all(found, "ServiceMonitor") == []
    assert "metrics" not in json.dumps(find_all(found, "Service"))


def test_the_service_monitor_finds_every_server_once() -> None:
    found = metrics(serviceMonitor={"enabled": True, "interval": "20s", "labels": {"release": "prom"}})
    monitor = find(found, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["default"]}
    endpoint = monitor["spec"]["endpoints"][0]
    assert (endpoint["port"], endpoint["interval"]) == ("metrics", "20s")
    selected = [
        each
        for each in find_all(found, "Service")
        if selects(monitor["spec"]["selector"], each["metadata"]["labels"])
        and any(port["name"] == "metrics" for port in each["spec"]["ports"])
    ]
    assert [each["metadata"]["name"] for each in selected] == ["stan"]


def test_the_pod_monitor_finds_the_pods() -> None:
    found = metrics(podMonitor={"enabled": True, "namespace": "monitoring"})
    monitor = find(found, "PodMonitor")
    assert monitor["metadata"]["namespace"] == "monitoring"
    labels = dig(pod_template(find(found, "StatefulSet")), "metadata.labels")
    assert selects(monitor["spec"]["selector"], labels)
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"


def test_both_monitors_at_once_are_refused_with_their_names() -> None:
    with pytest.raises(RenderError, match=r"promExporter\.podMonitor\.enabled: with serviceMonitor\.enabled"):
        metrics(serviceMonitor={"enabled": True}, podMonitor={"enabled": True})


def test_scrape_annotations_are_there_on_request_and_never_beside_a_monitor() -> None:
    def annotations(**section: Any) -> dict[str, str]:
        found: dict[str, str] = dig(pod_template(find(metrics(**section), "StatefulSet")), "metadata.annotations", {})
        return {key: text for key, text in found.items() if key.startswith("prometheus.io/")}

    assert annotations() == {}
    assert annotations(scrapeAnnotations=True) == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "7777",
        "prometheus.io/path": "/metrics",
    }
    assert annotations(scrapeAnnotations=True, podMonitor={"enabled": True}) == {}


def alerts(values: dict[str, Any]) -> dict[str, Object]:
    rule = find(render("stan-ft", {"promExporter": {"prometheusRule": {"enabled": True}}, **values}), "PrometheusRule")
    return {each["alert"]: each for each in rule["spec"]["groups"][0]["rules"]}


def test_limits_without_end_have_no_alert() -> None:
    none = {"max_channels": 0, "max_subs": 0, "max_msgs": 0, "max_bytes": 0}
    found = alerts({"config": {"streaming": {"store_limits": none}}})
    assert not [name for name in found if name.endswith("NearLimit")]


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [("256gb", 256 * 2**30), ("32MB", 32 * 2**20), ("5k", 5000), ("1024kb", 2**20), (4096, 4096), (None, 1024000000)],
)
def test_the_size_limit_is_in_bytes_as_the_server_counts_them(size: Any, bytes_: int) -> None:
    found = alerts({"config": {"streaming": {"store_limits": {"max_bytes": size}}}})
    assert found["StanChannelSizeNearLimit"]["expr"].endswith(f"> 0.9 * {bytes_}")


def test_an_alert_can_be_changed_in_every_field_or_left_out() -> None:
    own = {"StanNoActive": {"for": "3m", "labels": {"severity": "warning", "team": "a"}}, "StanRecoveryLong": None}
    rules = {"promExporter": {"prometheusRule": {"enabled": True, "overrides": own}}}
    found = alerts(rules)
    assert "StanRecoveryLong" not in found
    assert found["StanNoActive"]["for"] == "3m"
    assert {"severity": "warning", "team": "a", "stan": "stan"}.items() <= found["StanNoActive"]["labels"].items()


def test_the_alerts_follow_replicas_name_and_namespace() -> None:
    found = alerts({"replicas": 5, "fullnameOverride": "mq"})
    assert found["StanMeshIncomplete"]["expr"].endswith("< 4")
    assert found["StanServerMissing"]["expr"].endswith("< 5")
    for rule in found.values():
        assert "${" not in json.dumps(rule), f"a word was left in {rule['alert']}"
        if "nss_" in rule["expr"]:
            assert 'namespace="default", pod=~"mq-[0-9]+"' in rule["expr"]


def test_no_mesh_alert_where_nats_runs_elsewhere() -> None:
    found = alerts({"config": {"streaming": {"nats_server_url": "nats://nats:4222"}}, "service": {"enabled": False}})
    assert "StanMeshIncomplete" not in found


def test_no_volume_alert_for_a_store_in_sql() -> None:
    found = alerts({"store": {"type": "sql", "sql": {"existingSecret": "db"}}})
    assert "StanVolumeFilling" not in found


def test_an_unknown_alert_name_is_refused() -> None:
    with pytest.raises(RenderError, match=r"overrides\.StanNoActve: there is no such alert"):
        metrics(prometheusRule={"enabled": True, "overrides": {"StanNoActve": None}})


def test_the_dashboard_is_a_configmap_that_grafana_finds() -> None:
    found = find(metrics(dashboard={"enabled": True, "namespace": "grafana"}), "ConfigMap", "stan-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["namespace"] == "grafana"
    dashboard = json.loads(found["data"]["stan-ft.json"])
    assert dashboard["uid"] == "stan-ft"
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["description"]


def test_nothing_of_this_is_made_unless_asked_for() -> None:
    kinds = {each["kind"] for each in render("stan-ft")}
    assert not kinds & {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert not find_all(render("stan-ft"), "ConfigMap", "stan-dashboard")
    assert env(exporter()) == {}
