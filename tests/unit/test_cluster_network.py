"""The routes to the pods and the names inside the cluster: what is changed, and only where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standins import Programs

from harness.cluster import network
from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster
from stanft.ground.errors import UserError

COREFILE = """\
.:53 {
    errors
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
}
"""
# nslookup in a pod: the cluster's own name and the node's are found; an unknown one is refused at once, or slowly as
# long as the Corefile forwards.
KUBECTL = """
case "$*" in
*"get nodes -o json") cat "$PLAY/nodes.json" ;;
*"nslookup kubernetes.default.svc.cluster.local"*) cat "$PLAY/service" ;;
*"nslookup stan-ft-control-plane"*) cat "$PLAY/host" ;;
*"nslookup no-such-name.invalid"*) [ -e "$PLAY/patch" ] || sleep "$SLOW"; echo missing ;;
*"get configmap coredns"*) cat "$PLAY/coredns.json" ;;
*"patch configmap coredns"*) for last; do :; done; printf %s "$last" >"$PLAY/patch" ;;
*apply*|*wait*|*restart*|*"rollout status"*|*delete*) : ;;
*) exit 64 ;;
esac
"""


def node(name: str, pods: str | None, address: str) -> dict[str, object]:
    """A node as the API gives it."""
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
    return {"spec": {"podCIDR": pods} if pods else {}, "status": {"addresses": addresses}}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A cluster of three nodes, the last of which has no pod range yet, and a machine with two routes."""
    made = Programs(tmp_path, monkeypatch)
    made.tools(kubectl=KUBECTL)
    nodes = [
        node("a", "10.244.0.0/24", "172.18.0.2"),
        node("b", "10.244.1.0/24", "172.18.0.3"),
        node("c", None, "172.18.0.4"),
    ]
    (tmp_path / "nodes.json").write_text(json.dumps({"items": nodes}))
    (tmp_path / "coredns.json").write_text(json.dumps({"data": {"Corefile": COREFILE}}))
    (tmp_path / "service").write_text("found")
    (tmp_path / "host").write_text("found")
    monkeypatch.setenv("PLAY", str(tmp_path))
    monkeypatch.setenv("SLOW", "0")
    return made


def routes(programs: Programs, *lines: str) -> None:
    """What `ip route show` says."""
    text = "\n".join(("default via 172.17.0.1 dev eth0", *lines))
    programs.add("ip", f"case \"$*\" in *' route show') echo '{text}' ;; esac")


def changed(programs: Programs) -> list[str]:
    return [line.removeprefix("ip route replace ") for line in programs.asked("ip route replace")]


def test_every_pod_range_gets_a_route_through_its_node(programs: Programs) -> None:
    routes(programs)
    network.ensure_routes(Cluster(Engine("")))
    assert changed(programs) == ["10.244.0.0/24 via 172.18.0.2", "10.244.1.0/24 via 172.18.0.3"]


def test_only_the_route_of_a_node_with_another_address_is_replaced(programs: Programs) -> None:
    routes(programs, "10.244.0.0/24 via 172.18.0.2 dev br", "10.244.1.0/24 via 172.18.0.9 dev br")
    network.ensure_routes(Cluster(Engine("")))
    assert changed(programs) == ["10.244.1.0/24 via 172.18.0.3"]


def test_a_cluster_whose_dns_answers_at_once_is_left_as_it_is(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SLOW_LOOKUP", 60.0)
    network.ensure_dns(Cluster(Engine("")), "busybox:1")
    assert not (tmp_path / "patch").exists()


def test_a_dns_that_waits_for_a_missing_resolver_stops_asking_it(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "1")
    monkeypatch.setattr(network, "SLOW_LOOKUP", 0.8)
    network.ensure_dns(Cluster(Engine("")), "busybox:1")
    corefile = json.loads((tmp_path / "patch").read_text())["data"]["Corefile"]
    assert corefile == ".:53 {\n    errors\n    cache 30\n    reload\n}\n"
    assert any("rollout restart deployment/coredns" in line for line in programs.asked("kubectl"))


def test_a_node_that_cannot_resolve_names_is_told_and_the_probes_are_taken_away(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SLOW_LOOKUP", 60.0)
    (tmp_path / "host").write_text("missing")
    with pytest.raises(UserError, match="host-network pods cannot resolve"):
        network.ensure_dns(Cluster(Engine("")), "busybox:1")
    assert "delete pod dns-probe dns-probe-host" in programs.asked("kubectl")[-1]
