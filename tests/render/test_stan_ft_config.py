"""Every typed value of stan-ft becomes exactly its server key in stan.conf, in the form that the server reads."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from harness.charts.render import at, chart_values, layered, render
from stanft.conf import parse as conf
from stanft.kube.objects import dig, find, leaves

MB = 1024**2

# value key, value, server path, what a NATS parser reads, how it must be written
KEYS: list[tuple[str, Any, str, Any, str]] = [
    ("streaming.id", "orders", "streaming.id", "orders", 'id: "orders"'),
    ("streaming.ftGroup", "blue", "streaming.ft_group_name", "blue", 'ft_group_name: "blue"'),
    ("streaming.discoverPrefix", "_X.d", "streaming.discover_prefix", "_X.d", 'discover_prefix: "_X.d"'),
    ("streaming.replaceDurables", True, "streaming.replace_durables", True, "replace_durables: true"),
    ("streaming.heartbeat.interval", "5s", "streaming.hb_interval", "5s", 'hb_interval: "5s"'),
    ("streaming.heartbeat.timeout", "2s", "streaming.hb_timeout", "2s", 'hb_timeout: "2s"'),
    ("streaming.heartbeat.failCount", 3, "streaming.hb_fail_count", 3, "hb_fail_count: 3"),
    ("streaming.debug", True, "streaming.stan_debug", True, "stan_debug: true"),
    ("streaming.trace", True, "streaming.stan_trace", True, "stan_trace: true"),
    ("store.dir", "/data/stan/a", "streaming.dir", "/data/stan/a", 'dir: "/data/stan/a"'),
    ("store.limits.maxChannels", 7, "streaming.store_limits.max_channels", 7, "max_channels: 7"),
    ("store.limits.maxSubs", 8, "streaming.store_limits.max_subs", 8, "max_subs: 8"),
    ("store.limits.maxMsgs", 5000000, "streaming.store_limits.max_msgs", 5000000, "max_msgs: 5000000"),
    ("store.limits.maxBytes", "32MB", "streaming.store_limits.max_bytes", 32 * MB, "max_bytes: 32mb"),
    (
        "store.limits.maxBytes",
        256000000000,
        "streaming.store_limits.max_bytes",
        256000000000,
        "max_bytes: 256000000000",
    ),
    ("store.limits.maxAge", "90m", "streaming.store_limits.max_age", "90m", 'max_age: "90m"'),
    ("store.limits.maxInactivity", "2h", "streaming.store_limits.max_inactivity", "2h", 'max_inactivity: "2h"'),
    ("store.fileOptions.compact", False, "streaming.file_options.compact", False, "compact: false"),
    ("store.fileOptions.compactFragmentation", 20, "streaming.file_options.compact_fragmentation", 20, "tation: 20"),
    ("store.fileOptions.compactInterval", 60, "streaming.file_options.compact_interval", 60, "compact_interval: 60"),
    ("store.fileOptions.compactMinSize", "2mb", "streaming.file_options.compact_min_size", 2 * MB, "min_size: 2mb"),
    ("store.fileOptions.bufferSize", "1Mi", "streaming.file_options.buffer_size", MB, "buffer_size: 1mi"),
    ("store.fileOptions.readBufferSize", 0, "streaming.file_options.read_buffer_size", 0, "read_buffer_size: 0"),
    ("store.fileOptions.crc", False, "streaming.file_options.crc", False, "crc: false"),
    ("store.fileOptions.crcPoly", 2197175160, "streaming.file_options.crc_poly", 2197175160, "crc_poly: 2197175160"),
    ("store.fileOptions.syncOnFlush", False, "streaming.file_options.sync_on_flush", False, "sync_on_flush: false"),
    ("store.fileOptions.autoSync", "3s", "streaming.file_options.auto_sync", "3s", 'auto_sync: "3s"'),
    ("store.fileOptions.sliceMaxMsgs", 9, "streaming.file_options.slice_max_msgs", 9, "slice_max_msgs: 9"),
    ("store.fileOptions.sliceMaxBytes", "8mb", "streaming.file_options.slice_max_bytes", 8 * MB, "max_bytes: 8mb"),
    ("store.fileOptions.sliceMaxAge", "5m", "streaming.file_options.slice_max_age", "5m", 'slice_max_age: "5m"'),
    (
        "store.fileOptions.sliceArchiveScript",
        "/s/a.sh",
        "streaming.file_options.slice_archive_script",
        "/s/a.sh",
        'slice_archive_script: "/s/a.sh"',
    ),
    ("store.fileOptions.fileDescriptorsLimit", 99, "streaming.file_options.file_descriptors_limit", 99, "limit: 99"),
    ("store.fileOptions.parallelRecovery", 2, "streaming.file_options.parallel_recovery", 2, "parallel_recovery: 2"),
    (
        "nats.clientAdvertise",
        "a.example:4222",
        "client_advertise",
        "a.example:4222",
        'client_advertise: "a.example:4222"',
    ),
    ("nats.limits.maxConnections", 10, "max_connections", 10, "max_connections: 10"),
    ("nats.limits.maxPayload", "512KB", "max_payload", 512 * 1024, "max_payload: 512kb"),
    ("nats.limits.maxPending", "2m", "max_pending", 2000000, "max_pending: 2m"),
    ("nats.limits.maxSubscriptions", 11, "max_subscriptions", 11, "max_subscriptions: 11"),
    ("nats.limits.maxControlLine", 2048, "max_control_line", 2048, "max_control_line: 2048"),
    ("nats.limits.maxSubscriptionTokens", 4, "max_sub_tokens", 4, "max_sub_tokens: 4"),
    ("nats.pingInterval", "5m", "ping_interval", "5m", 'ping_interval: "5m"'),
    ("nats.pingMax", 4, "ping_max", 4, "ping_max: 4"),
    ("nats.writeDeadline", "3s", "write_deadline", "3s", 'write_deadline: "3s"'),
    ("nats.noSublistCache", True, "disable_sublist_cache", True, "disable_sublist_cache: true"),
    ("nats.logging.debug", True, "debug", True, "debug: true"),
    ("nats.logging.trace", True, "trace", True, "trace: true"),
    ("nats.logging.traceVerbose", True, "trace_verbose", True, "trace_verbose: true"),
    ("nats.logging.time", False, "logtime", False, "logtime: false"),
    ("nats.logging.connectErrorReports", 5, "connect_error_reports", 5, "connect_error_reports: 5"),
    ("nats.logging.reconnectErrorReports", 6, "reconnect_error_reports", 6, "reconnect_error_reports: 6"),
    ("nats.logging.maxTracedMsgLen", 7, "max_traced_msg_len", 7, "max_traced_msg_len: 7"),
    ("nats.cluster.name", "mesh", "cluster.name", "mesh", 'name: "mesh"'),
    ("nats.cluster.connectRetries", 0, "cluster.connect_retries", 0, "connect_retries: 0"),
    ("nats.cluster.noAdvertise", True, "cluster.no_advertise", True, "no_advertise: true"),
    ("ports.client", 5222, "port", 5222, "port: 5222"),
    ("ports.cluster", 7222, "cluster.port", 7222, "port: 7222"),
    ("ports.monitor", 9222, "http", 9222, "http: 9222"),
]

# values that need company, with the server path that shows them
COMPANY: list[tuple[dict[str, Any], str, Any]] = [
    (at("streaming", {"partitioning": True}) | at("store.limits.channels", {"a": {}}), "streaming.partitioning", True),
    (at("store.limits.channels", {"a.*": {"maxMsgs": 0}}), "streaming.store_limits.channels.a*.max_msgs", 0),
    (at("store.encryption", {"enabled": True, "existingSecret": "s"}), "streaming.encryption_cipher", "AES"),
    (at("store.encryption", {"enabled": True, "existingSecret": "s", "cipher": "CHACHA"}), "streaming.encrypt", True),
    (at("store", {"type": "sql", "sql": {"existingSecret": "s", "driver": "mysql"}}), "streaming.store", "sql"),
    (
        at("store", {"type": "sql", "sql": {"existingSecret": "s", "driver": "mysql"}}),
        "streaming.sql_options.driver",
        "mysql",
    ),
    (
        at("store", {"type": "sql", "sql": {"existingSecret": "s", "maxOpenConns": 5}}),
        "streaming.sql_options.max_open_conns",
        5,
    ),
    (
        at("store", {"type": "sql", "sql": {"existingSecret": "s", "noCaching": True}}),
        "streaming.sql_options.no_caching",
        True,
    ),
    (
        at("store", {"type": "sql", "sql": {"existingSecret": "s", "bulkInsertLimit": 50}}),
        "streaming.sql_options.bulk_insert_limit",
        50,
    ),
]


def text(values: dict[str, Any] | None = None, **options: Any) -> str:
    """The rendered stan.conf."""
    found: str = find(render("stan-ft", values, **options), "ConfigMap", "stan-config")["data"]["stan.conf"]
    return found


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


def test_every_typed_key_of_the_blocks_is_in_the_table(chart_leaves: set[str]) -> None:
    blocks = ("streaming.", "store.limits.", "store.fileOptions.", "nats.", "store.encryption.", "store.sql.")
    elsewhere = ("streaming.login", "nats.auth", "nats.tls", "nats.cluster.auth", "nats.cluster.tls", "nats.external")
    by_key = {key for key, *_ in KEYS} | {".".join(path) for values, *_ in COMPANY for path in _paths(values)}
    arguments = {"streaming.ioBatchSize", "streaming.ioSleepTime"}
    raw = {"streaming.extraConfig", "nats.extraConfig"}
    references = {"store.encryption.secretKey", "store.sql.sourceKey"}
    typed = {leaf for leaf in chart_leaves if leaf.startswith(blocks) and not leaf.startswith(elsewhere)}
    assert typed - by_key - arguments - raw - references == set()


def _paths(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        each
        for key, value in values.items()
        for each in (_paths(value, (*path, key)) if isinstance(value, dict) and key != "channels" else [(*path, key)])
    ]


@pytest.fixture(scope="session")
def chart_leaves() -> set[str]:
    """Dotted paths of every leaf of values.yaml."""
    return {".".join(path) for path, _ in leaves(chart_values("stan-ft"))}


EMPTY_TEXT = ("streaming.ftGroup", "nats.cluster.name", "nats.clientAdvertise", "store.fileOptions.sliceArchiveScript")
SWITCHES = ("streaming.debug", "streaming.trace", "nats.logging.debug", "nats.logging.trace")
NEEDED = ("ports.client", "ports.cluster", "ports.monitor", "streaming.id", "store.dir")
UNSET = layered(
    *(at(key, "" if key in EMPTY_TEXT else False if key in SWITCHES else None) for key, *_ in ONCE if key not in NEEDED)
)
STILL_THERE = {
    "streaming.ft_group_name": "test-cluster",
    "cluster.name": "stan",
    "streaming.file_options.sync_on_flush": True,
    "streaming.file_options.auto_sync": "1s",
    "streaming.file_options.read_buffer_size": 0,
}


@pytest.mark.parametrize("case", [case for case in ONCE if case[0] not in NEEDED], ids=lambda case: case[0])
def test_null_leaves_a_key_to_the_server(case: tuple[str, Any, str, Any, str]) -> None:
    assert dig(read(UNSET), case[2]) == STILL_THERE.get(case[2])


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
    options = read(at("store.fileOptions", {"syncOnFlush": False, "autoSync": "2s"}))["streaming"]["file_options"]
    assert (options["sync_on_flush"], options["auto_sync"]) == (False, "2s")


def test_routes_name_every_server_fully_whatever_their_number() -> None:
    for replicas in (2, 3, 5):
        routes = read({"replicas": replicas, "clusterDomain": "k8s.example"}, namespace="msg")["cluster"]["routes"]
        assert routes == [f"nats://stan-{n}.stan.msg.svc.k8s.example:6222" for n in range(replicas)]


def test_raw_lines_stand_at_the_end_of_their_blocks() -> None:
    parsed = read(at("nats.extraConfig", "server_tags: [a]") | at("streaming.extraConfig", "syslog_name: b"))
    assert parsed["server_tags"] == ["a"]
    assert parsed["streaming"]["syslog_name"] == "b"


def test_an_override_is_the_whole_file_and_sees_the_values() -> None:
    override = "streaming {\n  ft_group_name: {{ .Release.Name }}\n}"
    assert text(at("config.override", override)).strip() == override.replace("{{ .Release.Name }}", "stan")


def test_an_existing_config_map_is_mounted_under_the_name_that_the_server_is_told() -> None:
    items = render("stan-ft", at("config", {"existingConfigMap": "mine", "existingConfigMapKey": "a.conf"}))
    volume = next(
        v for v in dig(find(items, "StatefulSet"), "spec.template.spec.volumes") if v["name"] == "config-volume"
    )
    assert volume["configMap"] == {"name": "mine", "items": [{"key": "a.conf", "path": "stan.conf"}]}
    assert not [item for item in items if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "stan-config"]


def test_a_changed_configuration_restarts_the_pods_unless_told_not_to() -> None:
    def annotations(values: dict[str, Any]) -> dict[str, str]:
        template = dig(find(render("stan-ft", values), "StatefulSet"), "spec.template.metadata.annotations", {})
        assert isinstance(template, dict)
        return template

    changed = at("store.limits.maxAge", "2h")
    assert annotations({})["checksum/config"] != annotations(changed)["checksum/config"]
    assert annotations({})["checksum/config"] == annotations(at("resources.requests.cpu", "2"))["checksum/config"]
    assert "checksum/config" not in annotations(at("config.checksum", False))
    assert "checksum/config" not in annotations(at("config.existingConfigMap", "mine"))


@pytest.mark.parametrize("values", [{}, UNSET, *TOGETHER], ids=["defaults", "unset", "all", "other"])
def test_the_file_holds_no_empty_block_and_no_stray_blank(values: dict[str, Any]) -> None:
    lines = text(values).splitlines()
    assert all(line and line == line.rstrip() for line in lines)
    assert not any(first.endswith("{") and second.strip() == "}" for first, second in itertools.pairwise(lines))
