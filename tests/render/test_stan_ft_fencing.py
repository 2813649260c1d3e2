"""The supervisor of charts/stan-ft, as rendered: what starts the server, what it is given, and what it needs not."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import RenderError, environment, environments, render, render_notes
from harness.loopback.supervised import SUPERVISOR
from stanft.kube import objects
from stanft.kube.objects import Object, dig, find

OVERRIDE = """\
port: 4222
http: 8222
streaming {
  store: file
  dir: /data/stan/store
  ft_group_name: test-cluster
  file_options { sync_on_flush: false }
}
"""

DIGEST = f"sha256:{'a' * 64}"
SQL = {"store": {"type": "sql", "sql": {"existingSecret": "database"}}}
OFF = {"fencing": {"mode": "off"}}


def pod(values: dict[str, Any]) -> Object:
    """The pod's spec."""
    return objects.pod_spec(find(render("stan-ft", values), "StatefulSet"))


def server(values: dict[str, Any]) -> Object:
    """The server's container."""
    return objects.container(find(render("stan-ft", values), "StatefulSet"), "stan")


@pytest.mark.parametrize("values", [OFF, {"fencing": {"mode": False}}, SQL], ids=["off", "a bare off in YAML", "SQL"])
def test_without_it_there_is_nothing_of_it(values: dict[str, Any]) -> None:
    items = render("stan-ft", values)
    assert server(values).get("command") is None
    assert "initContainers" not in pod(values)
    assert not [each for each in items if objects.name(each) == "stan-fencing"]
    assert "fencing" not in [port["name"] for port in find(items, "Service", "stan")["spec"]["ports"]]


@pytest.mark.parametrize("name", environments())
def test_it_is_on_in_every_environment_and_starts_no_server_that_it_cannot_guard(name: str) -> None:
    assert "--mode=require" in server(environment(name, "stan-ft"))["args"]


def test_the_server_starts_under_it_with_its_own_arguments_unchanged() -> None:
    words = server({})["args"]
    assert server({})["command"] == ["python3", "-BEsS", "/opt/stan/supervisor.py"]
    assert words[words.index("--") + 1] == "/opt/stan/nats-streaming-server"
    assert words[words.index("--") + 2 :] == server(OFF)["args"]


def test_it_guards_the_directory_that_the_configuration_names() -> None:
    values = {"config": {"streaming": {"dir": "/data/stan/elsewhere"}}}
    assert "--directory=/data/stan/elsewhere" in server(values)["args"]


def test_every_file_of_it_is_copied_into_the_pod_once_so_that_an_upgrade_changes_no_pod_that_is_there() -> None:
    files = find(render("stan-ft", {}), "ConfigMap", "stan-fencing")["data"]
    assert files == {path.name: path.read_text() for path in SUPERVISOR.parent.glob("*.py")}
    program = pod({})["initContainers"][0]
    assert objects.mounts(program)["fencing"]["mountPath"] == "/etc/stan-fencing"
    assert "[ -e /opt/stan/whole ] ||" in program["command"][-1]
    assert "/etc/stan-fencing/*.py /opt/stan/" in program["command"][-1]
    assert "fencing" not in objects.mounts(server({}))


def test_it_needs_no_right_that_the_server_does_not_have() -> None:
    own, bare = pod({}), pod(OFF)
    assert own["securityContext"] == bare["securityContext"]
    assert server({})["securityContext"] == server(OFF)["securityContext"]
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
    assert pod({"image": image})["initContainers"][0]["image"] == taken


def test_its_values_reach_it() -> None:
    values = {"mode": "prefer", "leaseSeconds": 20, "beyondLockQuota": "prove", "port": 8333}
    assert {"--mode=prefer", "--lease=20", "--beyond-quota=prove", "--listen=:8333"} <= set(
        server({"fencing": values})["args"]
    )


@pytest.mark.parametrize(
    ("values", "given_up"),
    [
        ({}, False),
        ({"store": {"durability": "throughput"}}, True),
        ({"config": {"streaming": {"file_options": {"sync_on_flush": False}}}}, True),
        ({"store": {"durability": "throughput"}, "config": {"streaming": {"file": {"sync": True}}}}, False),
        ({"store": {"durability": "throughput"}, "configFile": {"override": OVERRIDE}}, False),
    ],
    ids=["durable", "throughput", "its key", "its key in another spelling", "a file of the user's"],
)
def test_it_gives_up_what_the_storage_never_got_only_where_the_server_does_not_wait_for_it(
    values: dict[str, Any], given_up: bool
) -> None:
    assert ("--unsynced" in server(values)["args"]) is given_up


def test_its_metrics_are_scraped_and_let_through() -> None:
    items = render("stan-ft", {"promExporter": {"serviceMonitor": {"enabled": True}}})
    ports = [each["port"] for each in dig(find(items, "ServiceMonitor"), "spec.endpoints", [])]
    assert ports == ["metrics", "fencing"]
    rules = find(items, "NetworkPolicy", "stan")["spec"]["ingress"]
    assert 8223 in [port["port"] for rule in rules for port in rule["ports"]]


def test_helm_test_asks_it() -> None:
    state = find(render("stan-ft", {}), "Pod", "stan-test-state")
    assert objects.env(state["spec"]["containers"][0])["FENCING_PORT"] == "8223"


def test_a_digest_that_may_be_of_an_image_without_a_shell_is_refused() -> None:
    with pytest.raises(RenderError, match=r"image.digest: .*image.tag=0.25.6-alpine"):
        render("stan-ft", {"image": {"digest": DIGEST}})
    named = {"digest": DIGEST, "tag": "0.25.6-alpine"}
    assert pod({"image": named})["initContainers"][0]["image"] == f"nats-streaming@{DIGEST}"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("require", ""),
        ("prefer", "a server that lost its lease, where its store cannot be guarded, writes over messages"),
        ("off", "a server that lost its lease writes over messages that the next active acknowledged"),
    ],
)
def test_the_notes_say_what_is_risked_without_it(mode: str, words: str) -> None:
    told = render_notes("stan-ft", {"fencing": {"mode": mode}})
    assert words in told
    assert ("fencing.mode" in told) == bool(words)


@pytest.mark.parametrize(
    ("mode", "options", "told"),
    [("require", ["hard"], False), ("off", ["hard"], True), ("off", ["hard", "sync"], False)],
)
def test_the_notes_ask_for_sync_where_no_supervisor_writes_through(mode: str, options: list[str], told: bool) -> None:
    nfs = {"server": "nfs.example", "mountOptions": ["nfsvers=4.1", *options]}
    volume = {"existingClaim": "", "staticVolume": {"enabled": True, "driver": "nfs", "nfs": nfs}}
    notes = render_notes("stan-ft", {"fencing": {"mode": mode}, "persistence": volume})
    assert ("Add sync." in notes) == told


def test_a_changed_supervisor_makes_new_pods() -> None:
    annotations = dig(find(render("stan-ft", {}), "StatefulSet"), "spec.template.metadata.annotations", {})
    assert len(annotations["checksum/fencing"]) == 64
