"""The supervisor of charts/stan-ft, as rendered: what starts the server, what it is given, and what it needs not."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import RenderError, render
from harness.loopback.supervised import SUPERVISOR
from stanft.kube import objects
from stanft.kube.objects import Object, dig, find

ON = {"fencing": {"mode": "require"}}


def pod(values: dict[str, Any]) -> Object:
    """The pod's spec."""
    return objects.pod_spec(find(render("stan-ft", values), "StatefulSet"))


def server(values: dict[str, Any]) -> Object:
    """The server's container."""
    return objects.container(find(render("stan-ft", values), "StatefulSet"), "stan")


def test_without_it_there_is_nothing_of_it() -> None:
    items = render("stan-ft", {})
    assert objects.container(find(items, "StatefulSet"), "stan").get("command") is None
    assert "initContainers" not in pod({})
    assert not [each for each in items if objects.name(each) == "stan-fencing"]


def test_the_server_starts_under_it_with_its_own_arguments_unchanged() -> None:
    words = server(ON)["args"]
    assert server(ON)["command"] == ["python3", "-B", "/etc/stan-fencing/supervisor.py"]
    assert words[words.index("--") + 1] == "/opt/stan/nats-streaming-server"
    assert words[words.index("--") + 2 :] == server({})["args"]


def test_it_guards_the_directory_that_the_configuration_names() -> None:
    values = {**ON, "config": {"streaming": {"dir": "/data/stan/elsewhere"}}}
    assert "--directory=/data/stan/elsewhere" in server(values)["args"]


def test_every_file_of_it_is_mounted() -> None:
    files = find(render("stan-ft", ON), "ConfigMap", "stan-fencing")["data"]
    assert files == {path.name: path.read_text() for path in SUPERVISOR.parent.glob("*.py")}
    assert objects.mounts(server(ON))["fencing"]["mountPath"] == "/etc/stan-fencing"


def test_it_needs_no_right_that_the_server_does_not_have() -> None:
    own, bare = pod(ON), pod({})
    assert own["securityContext"] == bare["securityContext"]
    assert server(ON)["securityContext"] == server({})["securityContext"]
    assert own["initContainers"][0]["securityContext"] == server({})["securityContext"]
    assert "shareProcessNamespace" not in own


@pytest.mark.parametrize(
    ("image", "taken"),
    [
        ({}, "nats-streaming:0.25.6-alpine"),
        ({"tag": "0.24.6"}, "nats-streaming:0.24.6-alpine"),
        ({"tag": "0.25.6-alpine3.18"}, "nats-streaming:0.25.6-alpine3.18"),
        ({"registry": "mirror.example", "repository": "own/stan", "tag": "1"}, "mirror.example/own/stan:1"),
    ],
)
def test_the_program_is_copied_out_of_an_image_with_a_shell(image: dict[str, str], taken: str) -> None:
    assert pod({**ON, "image": image})["initContainers"][0]["image"] == taken


def test_its_values_reach_it() -> None:
    values = {"mode": "prefer", "leaseSeconds": 20, "beyondLockQuota": "prove", "port": 8333}
    assert {"--mode=prefer", "--lease=20", "--beyond-quota=prove", "--listen=:8333"} <= set(
        server({"fencing": values})["args"]
    )


def test_its_metrics_are_scraped_and_let_through() -> None:
    items = render("stan-ft", {**ON, "promExporter": {"serviceMonitor": {"enabled": True}}})
    ports = [each["port"] for each in dig(find(items, "ServiceMonitor"), "spec.endpoints", [])]
    assert ports == ["metrics", "fencing"]
    rules = find(items, "NetworkPolicy", "stan")["spec"]["ingress"]
    assert 8223 in [port["port"] for rule in rules for port in rule["ports"]]


def test_helm_test_asks_it() -> None:
    state = find(render("stan-ft", ON), "Pod", "stan-test-state")
    assert objects.env(state["spec"]["containers"][0])["FENCING_PORT"] == "8223"


@pytest.mark.parametrize("other", ["fence", "guard"])
def test_what_it_replaces_does_not_run_beside_it(other: str) -> None:
    with pytest.raises(RenderError, match=f"fencing.{other}.enabled=false"):
        render("stan-ft", {"fencing": {"mode": "require", other: {"enabled": True}}})


def test_it_is_about_a_store_on_a_volume() -> None:
    with pytest.raises(RenderError, match="fencing.mode"):
        render("stan-ft", {**ON, "store": {"type": "sql", "sql": {"existingSecret": "db"}}})


def test_a_changed_supervisor_makes_new_pods() -> None:
    annotations = dig(find(render("stan-ft", ON), "StatefulSet"), "spec.template.metadata.annotations", {})
    assert len(annotations["checksum/fencing"]) == 64
