"""NOTES.txt of stan-ft: how to connect, who is active, what is risky in these values, and the end of life."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import at, ci_values, layered, render_notes

RISKS: list[tuple[dict[str, Any], str, str]] = [
    (at("store.durability", "throughput"), "store.durability", "10s of acknowledged messages"),
    (at("store.fileOptions", {"syncOnFlush": False, "autoSync": "0s"}), "store.fileOptions.autoSync", "of any age"),
    (at("store.fileOptions.crc", False), "store.fileOptions.crc", "damaged"),
    (at("store.fileOptions.sliceMaxAge", None), "store.fileOptions.sliceMaxAge", "quarter"),
    (at("store.limits.maxAge", "2h"), "store.limits", "maxAge 2h"),
    (at("store.fileOptions.bufferSize", "1gb"), "resources.limits.memory", "killed again"),
    ({"replicas": 1, "allowSingleReplica": True}, "replicas", "no standby"),
    (at("livenessProbe.enabled", False), "livenessProbe.enabled", "hung active"),
    (at("antiAffinity.preset", "soft"), "antiAffinity.preset", "share a node"),
    (at("podDisruptionBudget.enabled", False), "podDisruptionBudget.enabled", "drain"),
    ({}, "nats.auth.mode", "docs/security.md"),
    (at("nats.auth", {"mode": "token", "existingSecret": "s"}), "nats.cluster", "route port"),
    (
        at("store.encryption", {"enabled": True, "existingSecret": "s", "cipher": ""}),
        "store.encryption.cipher",
        "nodes",
    ),
    (
        layered(
            at("store.durability", "throughput"),
            at("persistence", {"existingClaim": "", "staticVolume": {"enabled": True, "nfs": {"server": "n"}}}),
        ),
        "persistence.staticVolume.nfs.mountOptions",
        "Leave it out",
    ),
    (at("nats.extraConfig", "jetstream { }"), "nats.extraConfig", "jetstream"),
    (at("nats.extraConfig", "websocket { port: 1 }"), "nats.extraConfig", "websocket"),
    (at("persistence.volumePermissions.enabled", True), "persistence.volumePermissions.enabled", "restricted"),
    (at("metrics.image.tag", "0.17.3"), "metrics.image.tag", "0.16.0"),
    (at("config.override", "streaming {\n  ft_group_name: a\n}"), "config.override", "no effect"),
    (at("config.existingConfigMap", "mine"), "config.existingConfigMap", "restarts no pod"),
]
CAREFUL = layered(
    at("nats.auth", {"mode": "password", "existingSecret": "s"}),
    at("nats.cluster.auth.existingSecret", "r"),
    at("store.limits", {"maxAge": None, "maxBytes": 0, "maxMsgs": 0}),
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
    tls = at("nats.tls", {"enabled": True, "existingSecret": "s"})
    assert "tls://stan-client.default" in render_notes("stan-ft", tls)
    assert "nats://stan.default.svc.cluster.local:4222" in render_notes("stan-ft", at("clientService.enabled", False))
    external = at("nats.external.url", "nats://nats.example:4222")
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
