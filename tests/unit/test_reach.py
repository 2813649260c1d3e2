"""The ways from this machine to the servers: addresses that answer, forwarded ports, given URLs."""

from __future__ import annotations

import http.server
import json
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from standins import Programs

from stanft.drill import reach
from stanft.drill.reach import Place
from stanft.ground import bounds, wait
from stanft.ground.errors import UserError
from stanft.group.live import Group

# A forward that takes connections on its port until it is told to end.
FORWARD = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with socket.create_server(("127.0.0.1", int(sys.argv[1].split(":")[0]))) as server:
    while True:
        server.accept()[0].close()
"""


def group(*addresses: str) -> Any:
    """Servers at these addresses, whose states come through the API server."""
    pods = [
        SimpleNamespace(metadata=SimpleNamespace(name=f"stan-{n}"), status=SimpleNamespace(pod_ip=address))
        for n, address in enumerate(addresses)
    ]
    return SimpleNamespace(
        namespace="messaging",
        monitor_port=8222,
        pods=lambda: pods,
        servers=lambda: [SimpleNamespace(meshed=True) for _ in pods],
        monitor=lambda pod, path, _: {"asked": (pod, path)},
    )


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A kubectl whose forwards work."""
    made = Programs(tmp_path, monkeypatch)
    (tmp_path / "forward.py").write_text(FORWARD)
    # The last word is the pair of ports.
    made.tools(kubectl=f'for last; do :; done; exec {shlex.quote(sys.executable)} {tmp_path}/forward.py "$last"')
    return made


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something takes clients at 127.0.0.1, and nothing does at 127.0.0.2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(reach, "CLIENT_PORT", server.getsockname()[1])
        yield


def test_urls_that_the_user_gives_are_taken_as_they_are() -> None:
    way = reach.choose(group("10.0.0.1"), ["nats://a:1", "nats://b:2"], None, None)
    assert way.urls([]) == ["nats://a:1", "nats://b:2"]
    assert way.monitor(Place("stan-0", ""), "routez", 1.0) == {"asked": ("stan-0", "routez")}
    way.close()


def test_addresses_that_answer_are_used_directly(listening: None) -> None:
    way = reach.choose(group("127.0.0.1", "127.0.0.1"), [], None, None)
    assert isinstance(way, reach.Direct)
    assert way.urls([Place("stan-0", "127.0.0.1")]) == [f"nats://127.0.0.1:{reach.CLIENT_PORT}"]
    way.close()


def test_a_pod_without_an_address_is_nowhere_yet() -> None:
    pods = [
        SimpleNamespace(metadata=SimpleNamespace(name=name), status=SimpleNamespace(pod_ip=ip))
        for name, ip in (("stan-0", "10.0.0.1"), ("stan-1", None))
    ]
    assert reach.places(pods) == [Place("stan-0", "10.0.0.1")]


def test_servers_of_an_ipv6_cluster_have_addresses_in_brackets() -> None:
    assert reach.Direct().urls([Place("stan-0", "fd00:10:244::5")]) == ["nats://[fd00:10:244::5]:4222"]


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_server_is_asked_on_the_port_that_was_named_also_in_an_ipv6_cluster(
    family: socket.AddressFamily, address: str
) -> None:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Say what was asked for."""
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"asked": self.path}).encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    class Listener(http.server.HTTPServer):
        address_family = family

    with Listener((address, 0), Answers) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        way = reach.Direct(server.server_address[1])
        assert way.monitor(Place("stan-0", address), "streaming/serverz", 5) == {"asked": "/streaming/serverz"}
        thread.join(5)


def test_the_way_takes_the_monitoring_port_from_the_group(listening: None) -> None:
    servers = group("127.0.0.1")
    servers.monitor_port = 8333
    way = reach.choose(servers, [], None, None)
    assert isinstance(way, reach.Direct)
    assert way.monitor_port == 8333


def test_one_address_that_does_not_answer_is_enough_to_forward_all(listening: None, programs: Programs) -> None:
    way = reach.choose(group("127.0.0.1", "127.0.0.2"), [], Path("/k"), "there")
    try:
        ports = [int(url.rpartition(":")[2]) for url in way.urls([])]
        assert len(set(ports)) == 2
        assert all(reach._accepts("127.0.0.1", port) for port in ports)
        calls = sorted(programs.asked("kubectl"))
        options = "--namespace=messaging --kubeconfig=/k --context=there"
        assert calls == [
            f"kubectl {options} port-forward pod/stan-{n} {port}:{reach.CLIENT_PORT}" for n, port in enumerate(ports)
        ]
    finally:
        way.close()
    assert not any(reach._accepts("127.0.0.1", port) for port in ports), "each forward is ended"


def test_forwarded_servers_are_asked_on_the_groups_monitoring_port(programs: Programs) -> None:
    asked = []

    class Api:
        def connect_get_namespaced_pod_proxy_with_path(self, name: str, *what: str, **_: Any) -> Any:
            asked.append((name, *what))
            return SimpleNamespace(data=b'{"state": "FT_ACTIVE"}')

    servers: Any = Group.__new__(Group)
    servers.name, servers.namespace, servers.monitor_port, servers.core = "bus", "messaging", 8333, Api()
    way = reach.Forwarded(servers, ["bus-0"], None, None)
    try:
        assert way.monitor(Place("bus-0", ""), "streaming/serverz", 1.0) == {"state": "FT_ACTIVE"}
        assert asked == [("bus-0:8333", "messaging", "streaming/serverz")]
    finally:
        way.close()


def test_a_forward_that_ends_with_its_server_is_started_again_on_the_same_port(programs: Programs) -> None:
    way = reach.Forwarded(group(), ["stan-0"], None, None)
    try:
        way._running["stan-0"].kill()
        way._running["stan-0"].wait()
        [port] = way.ports.values()
        wait.until(lambda: len(programs.asked("kubectl")) == 2, 60, "it is not started again")
        wait.until(lambda: reach._accepts("127.0.0.1", port), 60, "it takes no connections")
        first, second = programs.asked("kubectl")
        assert first == second
    finally:
        way.close()


def test_servers_of_an_external_nats_want_its_address(listening: None) -> None:
    servers = group("127.0.0.2")
    servers.servers = lambda: [SimpleNamespace(meshed=False)]
    with pytest.raises(UserError, match="clients connect to a NATS elsewhere: give it with --nats URL"):
        reach.choose(servers, [], None, None)


def test_the_direct_way_that_was_asked_for_and_does_not_work_is_refused(listening: None) -> None:
    with pytest.raises(UserError, match="cannot be reached from here: leave out --reach"):
        reach.choose(group("127.0.0.2"), [], None, None, way="direct")


def test_forwards_that_do_not_come_up_name_the_right_that_they_need(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.tools(kubectl="exit 1")
    monkeypatch.setattr(bounds, "FORWARD_UP", 0.3)
    with pytest.raises(UserError, match="to stan-0 in namespace messaging did not come up.*pods/portforward"):
        reach.Forwarded(group(), ["stan-0"], None, None)


def test_a_server_that_does_not_answer_has_no_state(listening: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "MONITOR_PORT", reach.CLIENT_PORT)
    assert reach.Direct().monitor(Place("stan-0", "127.0.0.1"), "routez", 0.1) is None
    assert reach.Direct().monitor(Place("stan-0", "127.0.0.2"), "routez", 0.1) is None
