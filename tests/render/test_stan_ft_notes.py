"""NOTES.txt of stan-ft: how to connect, who is active, what is risky in these values, and the end of life."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import at, ci_values, layered, render_notes

RISKS: list[tuple[dict[str, Any], str, str]] = [
    (at("store.durability", "throughput"), "store.durability", "10s of acknowledged messages"),
    (
        {"config": {"streaming": {"file_options": {"sync_on_flush": False, "auto_sync": "0s"}}}},
        "config.streaming.file_options.auto_sync",
        "of any age",
    ),
    (at("config.streaming.file_options.crc", False), "config.streaming.file_options.crc", "damaged"),
    (at("config.streaming.file_options.slice_max_age", None), "config.streaming.file_options.slice_max_age", "quarter"),
    (at("config.streaming.store_limits.max_age", "2h"), "config.streaming.store_limits", "max_age 2h"),
    (at("config.streaming.store_limits.max_age", "2h"), "config.streaming.store_limits.max_age", "away for 2h loses"),
    (at("config.streaming.file_options.buffer_size", "1gb"), "container.resources.limits.memory", "killed again"),
    ({"replicas": 1, "allowSingleReplica": True}, "replicas", "no standby"),
    ({"container": {"livenessProbe": None}}, "container.livenessProbe", "hung active"),
    (at("podTemplate.antiAffinity.preset", "soft"), "podTemplate.antiAffinity.preset", "share a node"),
    (at("podDisruptionBudget.enabled", False), "podDisruptionBudget.enabled", "drain"),
    ({}, "auth.mode", "docs/security.md"),
    (at("networkPolicy.enabled", False), "networkPolicy.enabled", "route port"),
    (
        at("store.encryption", {"enabled": True, "existingSecret": "s", "cipher": ""}),
        "store.encryption.cipher",
        "nodes",
    ),
    (
        layered(
            at("store.durability", "throughput"),
            at("persistence.existingClaim", ""),
            at(
                "persistence.staticVolume",
                {"enabled": True, "nfs": {"server": "n", "mountOptions": ["sync", "vers=4.1"]}},
            ),
        ),
        "persistence.staticVolume.nfs.mountOptions",
        "Leave it out",
    ),
    (at("config.jetstream.max_mem", 1), "config.jetstream", "jetstream"),
    (at("config.websocket.port", 1), "config.websocket", "websocket"),
    (at("config.streaming.store_limits.max_channels", 0), "config.streaming.store_limits.max_channels", "64 MiB"),
    (at("service.type", "LoadBalancer"), "service.type", "config.client_advertise"),
    (at("image.tag", "0.22.1"), "image.tag", "root page"),
    (at("store.acceptChanges", ["id"]), "store.acceptChanges", "Empty it again"),
    (at("persistence.volumePermissions.enabled", True), "persistence.volumePermissions.enabled", "restricted"),
    (
        {
            "fencing": {"mode": "off"},
            "tls": {"client": {"enabled": True}, "certManager": {"enabled": True, "issuerRef": {"name": "a"}}},
        },
        "tls.certManager",
        "restart or reload",
    ),
    (at("promExporter.image.tag", "0.17.3"), "promExporter.image.tag", "0.16.0"),
    (at("configFile.override", "streaming {\n  ft_group_name: a\n}"), "configFile.override", "no effect"),
    (at("configFile.existingConfigMap", "mine"), "configFile.existingConfigMap", "restarts no pod"),
]
CAREFUL = layered(
    {"auth": {"mode": "password", "existingSecret": "s"}},
    at("auth.routes.existingSecret", "r"),
    {"config": {"streaming": {"store_limits": {"max_age": "0s", "max_bytes": 0, "max_msgs": 0}}}},
)


@pytest.mark.parametrize(("values", "key", "words"), RISKS, ids=[f"{key}:{words}" for _, key, words in RISKS])
def test_a_risky_value_is_named_with_its_risk(values: dict[str, Any], key: str, words: str) -> None:
    [line] = [line for line in render_notes("stan-ft", values).splitlines() if line.startswith(f"  - {key}: ")][:1]
    assert words in line


def test_careful_values_are_told_nothing() -> None:
    assert "Look at these values" not in render_notes("stan-ft", CAREFUL)


def test_the_notes_tell_how_to_connect() -> None:
    assert "nats://stan-client.msg.svc.cluster.local:4222   cluster id test-cluster" in render_notes(
        "stan-ft", namespace="msg"
    )
    tls = {"tls": {"client": {"enabled": True, "existingSecret": "s"}}}
    assert "tls://stan-client.default" in render_notes("stan-ft", tls)
    assert "nats://stan.default.svc.cluster.local:4222" in render_notes("stan-ft", at("service.enabled", False))
    external = at("config.streaming.nats_server_url", "nats://nats.example:4222")
    assert "nats://nats.example:4222, cluster id" in render_notes("stan-ft", external)


def test_the_notes_give_the_command_that_finds_the_active() -> None:
    notes = render_notes("stan-ft", {"replicas": 2}, namespace="msg")
    assert "for i in 0 1; do" in notes
    assert "/api/v1/namespaces/msg/pods/stan-$i:8222/proxy/streaming/serverz" in notes
    assert "each /routez must count 1" in notes


def test_the_notes_are_honest_about_the_end_of_life_and_show_the_way_out() -> None:
    notes = render_notes("stan-ft")
    assert "end of life in June 2023" in notes
    assert "docs/leave.md" in notes
    assert "stan-ft exit" in notes


@pytest.mark.parametrize("name", sorted(ci_values("stan-ft")))
def test_the_notes_have_no_stray_blank(name: str) -> None:
    notes = render_notes("stan-ft", ci_values("stan-ft")[name])
    assert "\n\n\n" not in notes
    assert all(line == line.rstrip() for line in notes.splitlines())
