"""Reading and changing NATS configuration text: values found, everything else left as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.loopback.server import MINIMAL, Ports, localised
from stanft.conf import edit
from stanft.ground.errors import UserError

TEXT = """\
# a comment with port: 1
http: 8222   // the monitor
"server_name" = 'stan "zero"'
cluster {
  name: "a \\" quote", port 6222
  routes = [nats://user:p@stan-0.stan:6222, "nats://stan-1.stan:6222"] # two
}
streaming: { id: test-cluster; store_limits { max_age: "1h", channels { "foo.>": { max_msgs: 3 } } }, dir: /data/store }
"""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("http",), "8222"),
        (("server_name",), 'stan "zero"'),
        (("cluster", "name"), 'a \\" quote'),
        (("CLUSTER", "Port"), "6222"),
        (("streaming", "id"), "test-cluster"),
        (("streaming", "store_limits", "max_age"), "1h"),
        (("streaming", "store_limits", "channels", "foo.>", "max_msgs"), "3"),
        (("streaming", "dir"), "/data/store"),
        (("port",), None),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_value_is_found_in_every_way_of_writing_it(path: tuple[str, ...], value: str | None) -> None:
    assert edit.find(TEXT, *path) == value


def test_the_members_of_an_array_are_told_one_by_one() -> None:
    routes = [each.value for each in edit.settings(TEXT) if each.path == ("cluster", "routes", "[]")]
    assert routes == ["nats://user:p@stan-0.stan:6222", '"nats://stan-1.stan:6222"']


def test_changing_a_value_leaves_the_rest_as_it_was() -> None:
    port = next(each for each in edit.settings(TEXT) if each.path == ("cluster", "port"))
    assert edit.replaced(TEXT, {port: "7000"}) == TEXT.replace("port 6222", "port 7000")


def test_text_that_is_no_configuration_is_refused_with_its_line() -> None:
    with pytest.raises(UserError, match=r"no NATS configuration: line 2: this \{ is never closed"):
        edit.settings("a: 1\ncluster {\n  port: 1\n")


PORTS = Ports(client=1001, cluster=1002, monitor=1003)


def test_a_pods_configuration_gets_loopback_addresses_and_nothing_else_changes() -> None:
    text = localised(MINIMAL, PORTS, [1002, 2002, 3002], Path("/tmp/store"))
    assert text.splitlines() == [
        "host: 127.0.0.1",
        "port: 1001",
        'http: "127.0.0.1:1003"',
        "cluster {",
        '  name: "stan"',
        "  port: 1002",
        '  host: "127.0.0.1"',
        "  routes: [",
        '    "nats://127.0.0.1:1002"',
        '    "nats://127.0.0.1:2002"',
        '    "nats://127.0.0.1:3002"',
        "  ]",
        '  cluster_advertise: "127.0.0.1:1002"',
        "}",
        "streaming {",
        '  id: "test-cluster"',
        "  store: file",
        '  dir: "/tmp/store"',
        '  ft_group_name: "test-cluster"',
        "}",
    ]


def test_routes_keep_their_user_those_beyond_the_group_go_and_missing_ports_are_added() -> None:
    text = (
        'cluster { listen: "0.0.0.0:6222", routes: ["nats-route://u:p@stan-0:6222", "nats-route://u:p@stan-1:6222"] }\n'
        "streaming { datastore: CERTS/x }"
    )
    made = localised(text, PORTS, [1002], Path("/tmp/store"), {"CERTS": "/tmp"})
    assert edit.find(made, "port") == "1001"
    assert edit.find(made, "http") == "127.0.0.1:1003"
    assert edit.find(made, "cluster", "listen") == "127.0.0.1:1002"
    routes = [each.value for each in edit.settings(made) if each.path == ("cluster", "routes", "[]")]
    assert routes == ['"nats-route://u:p@127.0.0.1:1002"']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port: 4222", "names no store directory: give streaming.dir"),
        ("streaming { dir: /x }", "has 0 routes for 2 servers: list each server under cluster.routes"),
    ],
)
def test_a_configuration_that_cannot_run_as_a_group_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        localised(text, PORTS, [1, 2], Path("/tmp/store"))
