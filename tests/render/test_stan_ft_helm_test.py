"""What `helm test` would run, as rendered."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import render
from harness.ground.paths import CHARTS
from stanft.kube.objects import Object, container, containers, env, find, find_all, pod_spec, selects

FAILOVER = {"tests": {"failover": {"enabled": True}}}


def made(values: dict[str, Any] | None = None) -> list[Object]:
    """Every object that exists for the tests."""
    return [
        each
        for each in render("stan-ft", values)
        if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"
    ]


def pods(values: dict[str, Any] | None = None) -> set[str]:
    return {each["metadata"]["name"] for each in find_all(made(values), "Pod")}


def test_the_state_and_a_message_are_tested_by_default() -> None:
    assert pods() == {"stan-test-state", "stan-test-message"}


def test_there_are_no_tests_when_they_are_switched_off() -> None:
    assert made({"tests": {"enabled": False, "failover": {"enabled": True}}}) == []


def test_the_failover_test_is_there_only_on_request_and_with_its_rights() -> None:
    assert "stan-test-failover" not in pods()
    found = made(FAILOVER)
    assert {each["kind"] for each in found} == {"ConfigMap", "Pod", "ServiceAccount", "Role", "RoleBinding"}
    assert find(found, "Role")["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["pods"],
            "resourceNames": ["stan-0", "stan-1", "stan-2"],
            "verbs": ["get", "delete"],
        }
    ]


def test_only_the_failover_test_has_a_token() -> None:
    for pod in find_all(made(FAILOVER), "Pod"):
        wanted = pod["metadata"]["name"] == "stan-test-failover"
        assert pod_spec(pod)["automountServiceAccountToken"] is wanted


def test_the_failover_is_between_publishing_and_receiving() -> None:
    pod = find(made(FAILOVER), "Pod", "stan-test-failover")
    assert [each["name"] for each in containers(pod)] == ["before", "failover", "kept", "after"]
    texts = {name: env(container(pod, name))["TEXT"] for name in ("before", "kept", "after")}
    assert texts["before"] == texts["kept"] != texts["after"]


def test_no_test_pod_is_a_server_for_any_service() -> None:
    everything = render("stan-ft", FAILOVER)
    for service in find_all(everything, "Service"):
        for pod in find_all(everything, "Pod"):
            assert not selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])


def test_every_test_container_passes_pod_security_restricted() -> None:
    for pod in find_all(made(FAILOVER), "Pod"):
        assert pod_spec(pod)["securityContext"]["runAsNonRoot"] is True
        for each in containers(pod):
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert each["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("script", ["state", "message", "failover"])
def test_the_scripts_are_those_of_the_files(script: str) -> None:
    data = find(made(FAILOVER), "ConfigMap")["data"]
    assert data[f"{script}.sh"].strip() == (CHARTS / f"stan-ft/files/tests/{script}.sh").read_text().strip()


def test_the_login_of_the_servers_is_used_for_the_message() -> None:
    values = {"nats": {"auth": {"mode": "password", "existingSecret": "login"}}}
    found = env(container(find(made(values), "Pod", "stan-test-message"), "message"))
    assert found["USERNAME"] == {"secretKeyRef": {"name": "login", "key": "username"}}
    assert found["PASSWORD"] == {"secretKeyRef": {"name": "login", "key": "password"}}


def test_a_token_is_used_without_a_user_name() -> None:
    values = {"nats": {"auth": {"mode": "token", "existingSecret": "login"}}}
    found = env(container(find(made(values), "Pod", "stan-test-message"), "message"))
    assert "USERNAME" not in found
    assert found["PASSWORD"] == {"secretKeyRef": {"name": "login", "key": "token"}}


def test_tls_is_checked_with_the_authority_alone() -> None:
    values = {"nats": {"tls": {"enabled": True, "existingSecret": "tls"}}}
    pod = find(made(values), "Pod", "stan-test-message")
    (authority,) = [each["secret"] for each in pod_spec(pod)["volumes"] if each["name"] == "authority"]
    assert authority == {"secretName": "tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert env(container(pod, "message"))["SSL_CERT_FILE"] == "/etc/authority/ca.crt"


@pytest.mark.parametrize(
    "values",
    [
        {"nats": {"tls": {"enabled": True, "existingSecret": "tls", "verify": True}}},
        {"clientService": {"enabled": False}},
        {"nats": {"external": {"url": "nats://nats:4222"}}},
    ],
    ids=["clients need a certificate", "no client Service", "NATS elsewhere"],
)
def test_no_message_is_tried_where_the_test_client_cannot_connect(values: dict[str, Any]) -> None:
    assert pods(values) == {"stan-test-state"}
    found = find(made({**values, **FAILOVER}), "Pod", "stan-test-failover")
    assert [each["name"] for each in containers(found)] == ["failover"]


def test_the_tests_know_names_ports_and_channel_of_the_values() -> None:
    values = {"replicas": 2, "ports": {"monitor": 9222}, "clientService": {"port": 5222}, "tests": {"channel": "probe"}}
    state = env(container(find(made(values), "Pod", "stan-test-state"), "state"))
    assert (state["REPLICAS"], state["ROUTES"], state["MONITOR_PORT"]) == ("2", "1", "9222")
    message = env(container(find(made(values), "Pod", "stan-test-message"), "message"))
    assert message["SERVER"] == "stan-client.default.svc.cluster.local:5222"
    assert message["CHANNEL"] == "probe"
