"""Each key of stan-ft's NATS part has the effect on the real server that its description says."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import nats
import pytest
from effects import eventually, fleet
from loopback import run

from harness.charts import schema
from harness.charts.render import at, layered
from harness.loopback.server import Server
from stanft.kube.objects import dig, leaves

MB = 1024**2
KB = 1024
SECOND = 10**9

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "set": layered(
        {
            "config": {
                "client_advertise": "stan.example:4333",
                "max_connections": 40,
                "max_payload": "512kb",
                "max_pending": "2mb",
                "max_subscriptions": 50,
                "max_control_line": "2kb",
                "max_sub_tokens": 4,
                "ping_interval": "30s",
                "ping_max": 5,
                "write_deadline": "3s",
                "disable_sublist_cache": True,
                "cluster": {"name": "mesh", "no_advertise": True},
            }
        },
        at("config.server_tags", ["zone:a"]),
    ),
    "talking": {"config": {"debug": True, "trace": True, "trace_verbose": True, "max_traced_msg_len": 8}},
    "timeless": {"config": {"logtime": False}},
    "in other forms": {
        "config": {
            "MINE": "2MB",
            "AGE": "90s",
            "max_payload": "$MINE",
            "max_connections": "1K",
            "log_size_limit": "10mb",
            "streaming": {"store_limits": {"max_age": "$AGE", "channels": {"a": {"max_age": ".5h"}}}},
        }
    },
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """An active server for each variant."""
    with fleet(tmp_path_factory.mktemp("fleet"), VARIANTS) as found:
        yield found


def info(server: Server) -> dict[str, Any]:
    """What a server tells a client that connects."""

    async def work() -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports.client)
        line = (await reader.readline()).decode()
        writer.close()
        found: dict[str, Any] = json.loads(line.removeprefix("INFO "))
        return found

    return run(work())


def refusal(server: Server, *lines: str) -> str:
    """What a server answers to these protocol lines when it does not like them."""

    async def work() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports.client)
        await reader.readline()
        writer.write("".join(f"{line}\r\n" for line in ('CONNECT {"verbose":false}', *lines, "PING")).encode())
        text = ""
        while "PONG" not in text and "-ERR" not in text:
            line = (await reader.readline()).decode()
            text += line
            if not line:
                break
        writer.close()
        return text

    return run(work())


def test_the_keys_of_the_nats_part_that_a_group_is_run_with_are_tried_here() -> None:
    tried = {path[-1] for values in VARIANTS.values() for path, _ in leaves(values) if path}
    numbers = {
        key for key, kind in schema.kinds("nats").items() if kind == "number" and key.startswith(("max_", "ping_"))
    }
    aliases = {"max_conn", "max_subs", "max_subscription_tokens"}
    assert numbers - aliases - tried == set()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("max_connections", 40),
        ("max_payload", 512 * KB),
        ("max_pending", 2 * MB),
        ("max_subscriptions", 50),
        ("max_control_line", 2 * KB),
        ("ping_interval", 30 * SECOND),
        ("ping_max", 5),
        ("write_deadline", 3 * SECOND),
        ("cluster.name", "mesh"),
        ("server_name", "stan-0"),
        ("tags", ["zone:a"]),
    ],
)
def test_a_key_is_shown_by_varz(servers: dict[str, Server], path: str, expected: Any) -> None:
    assert dig(servers["set"].json("/varz") or {}, path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("max_connections", 64 * KB),
        ("max_payload", MB),
        ("max_pending", 64 * MB),
        ("max_control_line", 4 * KB),
        ("ping_interval", 3 * SECOND),
        ("ping_max", 2),
        ("write_deadline", 10 * SECOND),
        ("cluster.name", "stan"),
    ],
)
def test_a_key_left_out_is_what_its_comment_names(servers: dict[str, Server], path: str, expected: Any) -> None:
    assert dig(servers["defaults"].json("/varz") or {}, path) == expected


def test_sizes_durations_and_variables_are_read_in_every_form_that_the_server_has(servers: dict[str, Server]) -> None:
    shown = servers["in other forms"].json("/varz") or {}
    limits = dig(servers["in other forms"].json("/streaming/storez") or {}, "limits", {})
    assert (shown["max_payload"], shown["max_connections"]) == (2 * MB, 1000)
    assert (limits["max_age"], limits["channels"]["a"]["max_age"]) == (90 * SECOND, 1800 * SECOND)


def test_clients_are_told_the_advertised_address(servers: dict[str, Server]) -> None:
    told = info(servers["set"])
    assert (told["host"], told["port"]) == ("stan.example", 4333)


def test_a_subject_with_too_many_tokens_is_refused(servers: dict[str, Server]) -> None:
    assert "PONG" in refusal(servers["set"], "SUB a.b.c.d 1")
    assert "too many tokens" in refusal(servers["set"], "SUB a.b.c.d.e 1")
    assert "PONG" in refusal(servers["defaults"], "SUB a.b.c.d.e 1")


def test_a_line_that_is_too_long_is_refused(servers: dict[str, Server]) -> None:
    assert "maximum control line exceeded" in refusal(servers["set"], f"SUB {'a' * 3000} 1")
    assert "PONG" in refusal(servers["defaults"], f"SUB {'a' * 3000} 1")


def test_a_connection_can_have_only_so_many_subscriptions(servers: dict[str, Server]) -> None:
    lines = [f"SUB s{number} {number}" for number in range(51)]
    assert "maximum subscriptions exceeded" in refusal(servers["set"], *lines)
    assert "PONG" in refusal(servers["defaults"], *lines)


def test_a_payload_that_is_too_large_is_refused(servers: dict[str, Server]) -> None:
    assert info(servers["set"])["max_payload"] == 512 * KB
    assert "Maximum Payload" in refusal(servers["set"], f"PUB a {600 * KB}")


def test_only_so_many_clients_are_let_in(servers: dict[str, Server]) -> None:
    async def work() -> str:
        streams = [await asyncio.open_connection("127.0.0.1", servers["set"].ports.client) for _ in range(45)]
        for _, writer in streams:
            writer.write(b"CONNECT {}\r\nPING\r\n")
        reader = streams[-1][0]
        await reader.readline()
        answer = (await reader.readline()).decode()
        for _, writer in streams:
            writer.close()
        return answer

    assert "maximum connections exceeded" in run(work())


def test_the_subject_cache_can_be_switched_off(servers: dict[str, Server]) -> None:
    def used(name: str) -> bool:
        async def work() -> None:
            connection = await nats.connect(servers[name].url)
            for _ in range(20):
                await connection.publish("cached.subject", b"x")
            await connection.flush()
            await connection.close()

        run(work())
        content = servers[name].json("/subsz") or {}
        return bool(content["num_cache"])

    assert used("defaults")
    assert not used("set")


def test_debug_and_trace_show_in_the_log_and_traces_are_cut(servers: dict[str, Server]) -> None:
    async def work() -> None:
        for name in ("talking", "defaults"):
            connection = await nats.connect(servers[name].url)
            await connection.publish("traced", b"0123456789abcdef")
            await connection.flush()
            await connection.close()

    run(work())
    log = servers["talking"].log
    assert "[DBG]" in log
    assert 'MSG_PAYLOAD: ["01234567..."]' in log
    assert "SYSTEM" in log or "$SYS" in log  # trace_verbose shows the system account
    assert "[DBG]" not in servers["defaults"].log
    assert "[TRC]" not in servers["defaults"].log


def test_lines_begin_with_the_time_unless_told_otherwise(servers: dict[str, Server]) -> None:
    stamped = re.compile(r"^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+", re.MULTILINE)
    assert stamped.search(servers["defaults"].log)
    assert not stamped.search(servers["timeless"].log)


def test_every_server_learns_all_others_and_tells_its_clients(make_group: Any) -> None:
    group = make_group({"replicas": 3})
    group.start()
    assert [server.routes for server in group.servers] == [2, 2, 2]
    assert len(info(group[0]).get("connect_urls", [])) >= 2


def test_clients_are_not_told_of_others_where_that_is_switched_off(make_group: Any) -> None:
    group = make_group(at("config.cluster.no_advertise", True))
    group.start()
    assert not info(group[0]).get("connect_urls")


def attempts(server: Server, address: str) -> int:
    """How many failed attempts to connect a route to that address a server has logged."""
    wanted = rf"\[ERR\] Error trying to connect to route \(attempt \d+\).*{re.escape(address)}"
    return len(re.findall(wanted, server.log))


def test_failed_attempts_of_a_route_are_logged_as_often_as_told(make_group: Any) -> None:
    def logged(reports: int | None) -> int:
        text_values = at("config.connect_error_reports", reports)
        group = make_group(text_values, size=2)
        group[0].start()
        group[0].wait_log("Error trying to connect to route (attempt 1)")
        eventually(lambda: group[0].state == "FT_ACTIVE", "active")
        time.sleep(3.5)  # an attempt each second
        return attempts(group[0], f"127.0.0.1:{group[1].ports.cluster}")

    assert logged(1) >= 3
    assert logged(None) == 1


def test_failed_attempts_to_reconnect_a_route_are_logged_as_often_as_told(make_group: Any) -> None:
    def cut(reports: int | None) -> Callable[[], int]:
        group = make_group(at("config.reconnect_error_reports", reports), size=2)
        group.start()
        group[1].kill()
        return lambda: attempts(group[0], f"127.0.0.1:{group[1].ports.cluster}")

    seldom, always = cut(1000), cut(None)
    eventually(lambda: always() >= 4, "each attempt in the log")
    assert seldom() <= 2  # the first attempt alone; there may have been two routes to that server


def test_a_route_learned_by_gossip_is_given_up_after_its_retries(make_group: Any) -> None:
    """Servers 0 and 2 list only server 1, so that they learn of each other; one of them asked for the route between."""
    values = {"config": {"cluster": {"connect_retries": 2}, "connect_error_reports": 1}}
    group = make_group(values)
    routes = [f'"nats://127.0.0.1:{server.ports.cluster}"' for server in group.servers]
    for number, keep in enumerate((1, 2, 1)):
        text = group[number].config.read_text()
        for route in set(routes) - {routes[keep]}:
            text = text.replace(f"{route}\n", "\n")
        group[number].config.write_text(text)
    group.start()

    def asked(one: Server, other: Server) -> bool:
        found = (one.json("/routez") or {})["routes"]
        ident = (other.json("/varz") or {})["server_id"]
        return any(route["did_solicit"] for route in found if route["remote_id"] == ident)

    witness, victim = (group[0], group[2]) if asked(group[0], group[2]) else (group[2], group[0])
    assert asked(witness, victim)
    victim.kill()
    seen = lambda: attempts(witness, f"127.0.0.1:{victim.ports.cluster}")  # noqa: E731
    eventually(lambda: seen() >= 3, "the first try and two more")
    time.sleep(2.5)
    assert seen() == 3
