"""What `helm test` would run, as rendered."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import render
from harness.ground.paths import CHARTS
from stanft.kube.objects import Object, container, containers, env, find, find_all, pod_spec, selects


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
    assert made({"tests": {"enabled": False}}) == []


def test_no_test_has_a_token() -> None:
    for pod in find_all(made(), "Pod"):
        assert pod_spec(pod)["automountServiceAccountToken"] is False


def test_a_test_pod_takes_what_is_merged_into_it() -> None:
    mesh = {"metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}}
    for pod in find_all(made({"tests": {"merge": mesh}}), "Pod"):
        assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"


def test_no_test_pod_is_a_server_for_any_service() -> None:
    everything = render("stan-ft")
    for service in find_all(everything, "Service"):
        for pod in find_all(everything, "Pod"):
            assert not selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])


def test_every_test_container_passes_pod_security_restricted() -> None:
    for pod in find_all(made(), "Pod"):
        assert pod_spec(pod)["securityContext"]["runAsNonRoot"] is True
        for each in containers(pod):
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert each["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("script", ["state", "message"])
def test_the_scripts_are_those_of_the_files(script: str) -> None:
    data = find(made(), "ConfigMap")["data"]
    assert data[f"{script}.sh"].strip() == (CHARTS / f"stan-ft/files/tests/{script}.sh").read_text().strip()


def test_the_login_of_the_servers_is_used_for_the_message() -> None:
    values = {"auth": {"mode": "password", "existingSecret": "login"}}
    found = env(container(find(made(values), "Pod", "stan-test-message"), "message"))
    assert found["USERNAME"] == {"secretKeyRef": {"name": "login", "key": "username"}}
    assert found["PASSWORD"] == {"secretKeyRef": {"name": "login", "key": "password"}}


def test_a_token_is_used_without_a_user_name() -> None:
    values = {"auth": {"mode": "token", "existingSecret": "login"}}
    found = env(container(find(made(values), "Pod", "stan-test-message"), "message"))
    assert "USERNAME" not in found
    assert found["PASSWORD"] == {"secretKeyRef": {"name": "login", "key": "token"}}


def test_tls_is_checked_with_the_authority_alone() -> None:
    values = {"tls": {"client": {"enabled": True, "existingSecret": "tls"}}}
    pod = find(made(values), "Pod", "stan-test-message")
    (authority,) = [each["secret"] for each in pod_spec(pod)["volumes"] if each["name"] == "authority"]
    assert authority == {"secretName": "tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert env(container(pod, "message"))["SSL_CERT_FILE"] == "/etc/authority/ca.crt"


@pytest.mark.parametrize(
    "values",
    [
        {"tls": {"client": {"enabled": True, "existingSecret": "tls"}}, "config": {"tls": {"verify": True}}},
        {"service": {"enabled": False}},
        {"config": {"streaming": {"nats_server_url": "nats://nats:4222"}}},
    ],
    ids=["clients need a certificate", "no client Service", "NATS elsewhere"],
)
def test_no_message_is_tried_where_the_test_client_cannot_connect(values: dict[str, Any]) -> None:
    assert pods(values) == {"stan-test-state"}


def test_the_tests_know_names_ports_and_channel_of_the_values() -> None:
    values = {"replicas": 2, "config": {"http": 9222}, "service": {"port": 5222}, "tests": {"channel": "probe"}}
    state = env(container(find(made(values), "Pod", "stan-test-state"), "state"))
    assert (state["REPLICAS"], state["ROUTES"], state["MONITOR_PORT"]) == ("2", "1", "9222")
    message = env(container(find(made(values), "Pod", "stan-test-message"), "message"))
    assert message["SERVER"] == "stan-client.default.svc.cluster.local:5222"
    assert message["CHANNEL"] == "probe"
