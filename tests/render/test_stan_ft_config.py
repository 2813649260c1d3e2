"""Every typed value of stan-ft becomes exactly its server key in stan.conf, in the form that the server reads."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from harness.charts import schema
from harness.charts.render import RenderError, at, layered, render, stan_conf
from stanft.conf import parse as conf
from stanft.kube.objects import dig, find

MB = 1024**2
BLOCKS = ("store_limits", "file_options", "sql_options")
BLOCK_KINDS = {block: schema.kinds(block) for block in ("streaming", *BLOCKS)}

# value key, value, server path, what a NATS parser reads, how it must be written
KEYS: list[tuple[str, Any, str, Any, str]] = [
    ("config.streaming.id", "orders", "streaming.id", "orders", 'id: "orders"'),
    ("config.streaming.ft_group_name", "blue", "streaming.ft_group_name", "blue", 'ft_group_name: "blue"'),
    ("config.streaming.discover_prefix", "_X.d", "streaming.discover_prefix", "_X.d", 'discover_prefix: "_X.d"'),
    ("config.streaming.replace_durables", True, "streaming.replace_durables", True, "replace_durables: true"),
    ("config.streaming.hb_interval", "5s", "streaming.hb_interval", "5s", 'hb_interval: "5s"'),
    ("config.streaming.hb_timeout", "2s", "streaming.hb_timeout", "2s", 'hb_timeout: "2s"'),
    ("config.streaming.hb_fail_count", 3, "streaming.hb_fail_count", 3, "hb_fail_count: 3"),
    ("config.streaming.stan_debug", True, "streaming.stan_debug", True, "stan_debug: true"),
    ("config.streaming.stan_trace", True, "streaming.stan_trace", True, "stan_trace: true"),
    ("config.streaming.dir", "/data/stan/a", "streaming.dir", "/data/stan/a", 'dir: "/data/stan/a"'),
    ("config.streaming.store_limits.max_channels", 7, "streaming.store_limits.max_channels", 7, "max_channels: 7"),
    ("config.streaming.store_limits.max_subs", 8, "streaming.store_limits.max_subs", 8, "max_subs: 8"),
    (
        "config.streaming.store_limits.max_msgs",
        5000000,
        "streaming.store_limits.max_msgs",
        5000000,
        "max_msgs: 5000000",
    ),
    ("config.streaming.store_limits.max_bytes", "32MB", "streaming.store_limits.max_bytes", 32 * MB, "max_bytes: 32mb"),
    (
        "config.streaming.store_limits.max_bytes",
        256000000000,
        "streaming.store_limits.max_bytes",
        256000000000,
        "max_bytes: 256000000000",
    ),
    ("config.streaming.store_limits.max_age", "90m", "streaming.store_limits.max_age", "90m", 'max_age: "90m"'),
    (
        "config.streaming.store_limits.max_inactivity",
        "2h",
        "streaming.store_limits.max_inactivity",
        "2h",
        'max_inactivity: "2h"',
    ),
    ("config.streaming.file_options.compact", False, "streaming.file_options.compact", False, "compact: false"),
    (
        "config.streaming.file_options.compact_fragmentation",
        20,
        "streaming.file_options.compact_fragmentation",
        20,
        "tation: 20",
    ),
    (
        "config.streaming.file_options.compact_interval",
        60,
        "streaming.file_options.compact_interval",
        60,
        "compact_interval: 60",
    ),
    (
        "config.streaming.file_options.compact_min_size",
        "2mb",
        "streaming.file_options.compact_min_size",
        2 * MB,
        "min_size: 2mb",
    ),
    ("config.streaming.file_options.buffer_size", "1Mi", "streaming.file_options.buffer_size", MB, "buffer_size: 1mi"),
    (
        "config.streaming.file_options.read_buffer_size",
        0,
        "streaming.file_options.read_buffer_size",
        0,
        "read_buffer_size: 0",
    ),
    ("config.streaming.file_options.crc", False, "streaming.file_options.crc", False, "crc: false"),
    (
        "config.streaming.file_options.crc_poly",
        2197175160,
        "streaming.file_options.crc_poly",
        2197175160,
        "crc_poly: 2197175160",
    ),
    (
        "config.streaming.file_options.sync_on_flush",
        False,
        "streaming.file_options.sync_on_flush",
        False,
        "sync_on_flush: false",
    ),
    ("config.streaming.file_options.auto_sync", "3s", "streaming.file_options.auto_sync", "3s", 'auto_sync: "3s"'),
    (
        "config.streaming.file_options.slice_max_msgs",
        9,
        "streaming.file_options.slice_max_msgs",
        9,
        "slice_max_msgs: 9",
    ),
    (
        "config.streaming.file_options.slice_max_bytes",
        "8mb",
        "streaming.file_options.slice_max_bytes",
        8 * MB,
        "max_bytes: 8mb",
    ),
    (
        "config.streaming.file_options.slice_max_age",
        "5m",
        "streaming.file_options.slice_max_age",
        "5m",
        'slice_max_age: "5m"',
    ),
    (
        "config.streaming.file_options.slice_archive_script",
        "/s/a.sh",
        "streaming.file_options.slice_archive_script",
        "/s/a.sh",
        'slice_archive_script: "/s/a.sh"',
    ),
    (
        "config.streaming.file_options.file_descriptors_limit",
        99,
        "streaming.file_options.file_descriptors_limit",
        99,
        "limit: 99",
    ),
    (
        "config.streaming.file_options.parallel_recovery",
        2,
        "streaming.file_options.parallel_recovery",
        2,
        "parallel_recovery: 2",
    ),
    (
        "config.client_advertise",
        "a.example:4222",
        "client_advertise",
        "a.example:4222",
        'client_advertise: "a.example:4222"',
    ),
    ("config.max_connections", 10, "max_connections", 10, "max_connections: 10"),
    ("config.max_payload", "512KB", "max_payload", 512 * 1024, "max_payload: 512kb"),
    ("config.max_pending", "2m", "max_pending", 2000000, "max_pending: 2m"),
    ("config.max_subscriptions", 11, "max_subscriptions", 11, "max_subscriptions: 11"),
    ("config.max_control_line", 2048, "max_control_line", 2048, "max_control_line: 2048"),
    ("config.max_sub_tokens", 4, "max_sub_tokens", 4, "max_sub_tokens: 4"),
    ("config.ping_interval", "5m", "ping_interval", "5m", 'ping_interval: "5m"'),
    ("config.ping_max", 4, "ping_max", 4, "ping_max: 4"),
    ("config.write_deadline", "3s", "write_deadline", "3s", 'write_deadline: "3s"'),
    ("config.disable_sublist_cache", True, "disable_sublist_cache", True, "disable_sublist_cache: true"),
    ("config.debug", True, "debug", True, "debug: true"),
    ("config.trace", True, "trace", True, "trace: true"),
    ("config.trace_verbose", True, "trace_verbose", True, "trace_verbose: true"),
    ("config.logtime", False, "logtime", False, "logtime: false"),
    ("config.connect_error_reports", 5, "connect_error_reports", 5, "connect_error_reports: 5"),
    ("config.reconnect_error_reports", 6, "reconnect_error_reports", 6, "reconnect_error_reports: 6"),
    ("config.max_traced_msg_len", 7, "max_traced_msg_len", 7, "max_traced_msg_len: 7"),
    ("config.cluster.name", "mesh", "cluster.name", "mesh", 'name: "mesh"'),
    ("config.cluster.connect_retries", 0, "cluster.connect_retries", 0, "connect_retries: 0"),
    ("config.cluster.no_advertise", True, "cluster.no_advertise", True, "no_advertise: true"),
    ("config.port", 5222, "port", 5222, "port: 5222"),
    ("config.cluster.port", 7222, "cluster.port", 7222, "port: 7222"),
    ("config.http", 9222, "http", 9222, "http: 9222"),
]

# values that need company, with the server path that shows them
COMPANY: list[tuple[dict[str, Any], str, Any]] = [
    (
        layered(
            at("config.streaming", {"partitioning": True, "store_limits": {"channels": {"a": {}}}}),
            at("config.cluster.routes", ["nats://other-0.other:6222"]),
        ),
        "streaming.partitioning",
        True,
    ),
    (
        at("config.streaming.store_limits.channels", {"a.*": {"max_msgs": 0}}),
        "streaming.store_limits.channels.a*.max_msgs",
        0,
    ),
    (at("store.encryption", {"enabled": True, "existingSecret": "s"}), "streaming.encryption_cipher", "AES"),
    (at("store.encryption", {"enabled": True, "existingSecret": "s", "cipher": "CHACHA"}), "streaming.encrypt", True),
    ({"store": {"type": "sql", "sql": {"existingSecret": "s", "driver": "mysql"}}}, "streaming.store", "sql"),
    (
        {"store": {"type": "sql", "sql": {"existingSecret": "s", "driver": "mysql"}}},
        "streaming.sql_options.driver",
        "mysql",
    ),
    (
        {
            "store": {"type": "sql", "sql": {"existingSecret": "s"}},
            "config": {"streaming": {"sql_options": {"max_open_conns": 5}}},
        },
        "streaming.sql_options.max_open_conns",
        5,
    ),
    (
        {
            "store": {"type": "sql", "sql": {"existingSecret": "s"}},
            "config": {"streaming": {"sql_options": {"no_caching": True}}},
        },
        "streaming.sql_options.no_caching",
        True,
    ),
    (
        {
            "store": {"type": "sql", "sql": {"existingSecret": "s"}},
            "config": {"streaming": {"sql_options": {"bulk_insert_limit": 50}}},
        },
        "streaming.sql_options.bulk_insert_limit",
        50,
    ),
]


def text(values: dict[str, Any] | None = None, **options: Any) -> str:
    """The rendered stan.conf."""
    return stan_conf(render("stan-ft", values, **options))


def read(values: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The rendered stan.conf as a NATS parser reads it."""
    parsed: dict[str, Any] = conf.parse(text(values, **options))
    return parsed


def lookup(parsed: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; `a*` stands for the key `a.*`."""
    for part in path.split("."):
        parsed = parsed[part.replace("*", ".*")]
    return parsed


# All of them in one render (a key that is there twice goes into a second one): each test looks at its own line.
ONCE = [case for n, case in enumerate(KEYS) if case[0] not in [key for key, *_ in KEYS[:n]]]
AGAIN = [case for case in KEYS if case not in ONCE]
TOGETHER = [layered(*(at(key, value) for key, value, *_ in cases)) for cases in (ONCE, AGAIN)]


@pytest.mark.parametrize("case", KEYS, ids=lambda case: f"{case[0]}={case[1]}")
def test_a_value_becomes_its_server_key(case: tuple[str, Any, str, Any, str]) -> None:
    _, _, path, expected, line = case
    values = TOGETHER[case in AGAIN]
    assert lookup(read(values), path) == expected
    assert line in text(values)


@pytest.mark.parametrize(("values", "path", "expected"), COMPANY, ids=lambda part: str(part)[:40])
def test_a_value_that_needs_others_becomes_its_server_key(values: dict[str, Any], path: str, expected: Any) -> None:
    assert lookup(read(values), path) == expected


@pytest.mark.parametrize("cases", [ONCE, AGAIN], ids=["every key", "the other form"])
def test_set_and_values_files_give_the_same(cases: list[tuple[str, Any, str, Any, str]]) -> None:
    arguments = [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value, *_ in cases]
    assert text(set=arguments) == text(TOGETHER[cases is AGAIN])


def test_every_key_of_the_streaming_blocks_is_in_the_table() -> None:
    by_key = {key for key, *_ in KEYS} | {".".join(path) for values, *_ in COMPANY for path in _paths(values)}
    elsewhere = {  # logins, keys and certificates (test_stan_ft_security.py), and what is refused
        *("credentials", "username", "password", "token", "nkey_seed_file", "secure", "tls", "nats_server_url"),
        *("encrypt", "encryption_cipher", "encryption_key", "store", "cluster", "syslog_name", "sql_options.driver"),
        *("sql_options.source", "store_limits", "file_options", "sql_options"),
    }
    for prefix, block in (("", "streaming"), *((f"{name}.", name) for name in BLOCKS)):
        known = {f"{prefix}{key}" for key in schema.spellings(block)} - elsewhere
        assert {f"config.streaming.{key}" for key in known} - by_key == set()


@pytest.mark.parametrize("block", ["streaming", *BLOCKS])
def test_every_spelling_that_the_server_takes_becomes_the_one_of_its_documentation(block: str) -> None:
    path = "config.streaming" if block == "streaming" else f"config.streaming.{block}"
    kinds = {"number": 5, "time": "5s", "flag": False, "text": "five"}
    for key, others in schema.spellings(block).items():
        kind = BLOCK_KINDS[block][key]
        if kind == "map" or key in ("password", "store", "nats_server_url"):
            continue
        value = "/data/stan/five" if key == "dir" else kinds[kind]
        for other in others.split():
            assert read(at(f"{path}.{other}", value)) == read(at(f"{path}.{key}", value)), other


@pytest.mark.parametrize(
    ("other", "block"), [("limits", "store_limits"), ("storelimits", "store_limits"), ("file", "file_options")]
)
def test_a_block_in_another_spelling_is_laid_over_the_charts_as_in_its_own(other: str, block: str) -> None:
    for values in (
        ({"max_subs": 7}, {"max_age": None, "max_channels": 5}) if block == "store_limits" else ({"crc": False},)
    ):
        assert read(at(f"config.streaming.{other}", values)) == read(at(f"config.streaming.{block}", values))


def _paths(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        each
        for key, value in values.items()
        for each in (_paths(value, (*path, key)) if isinstance(value, dict) and key != "channels" else [(*path, key)])
    ]


NEEDED = (
    *("config.port", "config.cluster.port", "config.http", "config.streaming.id", "config.streaming.dir"),
    *("config.streaming.ft_group_name", "config.cluster.name"),
)
UNSET = layered(*(at(key, None) for key, *_ in ONCE if key not in NEEDED))


@pytest.mark.parametrize("case", [case for case in ONCE if case[0] not in NEEDED], ids=lambda case: case[0])
def test_null_leaves_a_key_to_the_server(case: tuple[str, Any, str, Any, str]) -> None:
    assert dig(read(UNSET), case[2]) is None


def test_the_defaults_are_those_of_the_recipe_made_durable_and_quick_to_recover() -> None:
    parsed = read()
    assert parsed["streaming"]["store_limits"] == {
        "max_channels": 10,
        "max_msgs": 0,
        "max_bytes": 256 * 1024**3,
        "max_age": "1h",
        "max_subs": 128,
    }
    assert parsed["streaming"]["file_options"] == {
        "buffer_size": 32 * MB,
        "slice_max_bytes": 64 * MB,
        "slice_max_age": "15m",
        "parallel_recovery": 64,
        "sync_on_flush": True,
        "auto_sync": "1s",
        "read_buffer_size": 0,
    }


def test_the_presets_differ_only_in_when_the_volume_is_written() -> None:
    durable, throughput = (read(at("store.durability", preset)) for preset in ("durable", "throughput"))
    options = throughput["streaming"]["file_options"]
    assert (options.pop("sync_on_flush"), options.pop("auto_sync")) == (False, "10s")
    kept = durable["streaming"]["file_options"]
    assert (kept.pop("sync_on_flush"), kept.pop("auto_sync"), kept.pop("read_buffer_size")) == (True, "1s", 0)
    assert durable == throughput


def test_an_explicit_file_option_wins_over_the_preset() -> None:
    options = read({"config": {"streaming": {"file_options": {"sync_on_flush": False, "auto_sync": "2s"}}}})[
        "streaming"
    ]["file_options"]
    assert (options["sync_on_flush"], options["auto_sync"]) == (False, "2s")


def test_routes_name_every_server_fully_whatever_their_number() -> None:
    for replicas in (2, 3, 5):
        routes = read({"replicas": replicas, "clusterDomain": "k8s.example"}, namespace="msg")["cluster"]["routes"]
        assert routes == [f"nats://stan-{n}.stan.msg.svc.k8s.example:6222" for n in range(replicas)]


@pytest.mark.parametrize("key", ["config.server_name", "config.cluster.name", "config.cluster.cluster_advertise"])
def test_a_key_that_the_group_lives_by_cannot_be_removed(key: str) -> None:
    with pytest.raises(RenderError, match=rf"{re.escape(key)}: it is null"):
        text(set=[f"{key}=null"])


def test_an_empty_text_leaves_a_key_to_the_chart() -> None:
    emptied = layered(*(at(key, "") for key in NEEDED[4:]), at("config.client_advertise", ""))
    assert read(emptied) == read()


def test_whatever_nats_reads_can_be_written_at_any_depth() -> None:
    account = {"users": [{"user": "a", "nkey": "UDXU4R"}], "exports": [{"stream": "b.>"}], "limits": {"max": 5}}
    values = {"accounts": {"APP": account, "include": "/etc/accounts/more.conf"}, "server_tags": ["x", "y"]}
    parsed = conf.parse(
        text({"config": values, "auth": {"server": {"method": "token", "existingSecret": "s"}}}).replace(
            'include "../accounts/more.conf"', ""
        )
    )
    assert parsed["accounts"] == {"APP": account}
    assert parsed["server_tags"] == ["x", "y"]


def test_an_override_is_the_whole_file_and_sees_the_values() -> None:
    override = "streaming {\n  ft_group_name: {{ .Release.Name }}\n}"
    assert text(at("configFile.override", override)).strip() == override.replace("{{ .Release.Name }}", "stan")


def test_an_existing_config_map_is_mounted_under_the_name_that_the_server_is_told() -> None:
    items = render("stan-ft", {"configFile": {"existingConfigMap": "mine", "existingConfigMapKey": "a.conf"}})
    volume = next(v for v in dig(find(items, "StatefulSet"), "spec.template.spec.volumes") if v["name"] == "config")
    assert volume["configMap"] == {"name": "mine", "items": [{"key": "a.conf", "path": "stan.conf"}]}
    assert not [item for item in items if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "stan-config"]


def test_the_pods_carry_their_configuration_so_that_a_change_makes_new_pods() -> None:
    template = find(render("stan-ft"), "StatefulSet")["spec"]["template"]
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "config"]
    (item,) = volume["downwardAPI"]["items"]
    assert item == {
        "path": "stan.conf",
        "fieldRef": {"fieldPath": "metadata.annotations['stan-ft/stan.conf']"},
    }
    assert template["metadata"]["annotations"]["stan-ft/stan.conf"] == text()
    assert "stan-ft/stan.conf" not in dig(
        find(render("stan-ft", at("configFile.existingConfigMap", "mine")), "StatefulSet"),
        "spec.template.metadata.annotations",
        {},
    )


@pytest.mark.parametrize("values", [{}, UNSET, *TOGETHER], ids=["defaults", "unset", "all", "other"])
def test_the_file_holds_no_empty_block_and_no_stray_blank(values: dict[str, Any]) -> None:
    lines = text(values).splitlines()
    assert all(line and line == line.rstrip() for line in lines)
    assert not any(first.endswith("{") and second.strip() == "}" for first, second in itertools.pairwise(lines))
