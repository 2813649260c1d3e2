"""Every alert that the chart ships, against promtool: it fires when it must, and not when it need not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.charts.render import render
from harness.ground import toolchain
from harness.ground.paths import REPO
from stanft.ground import shell
from stanft.kube.objects import Object
from status import Status
from supervisor import SKEW

POD = 'namespace="default", pod="stan-{}"'
THREE_STATES = 'nss_server_active{{namespace="default", pod="stan-{}"}}'


def with_limits(**limits: Any) -> dict[str, Any]:
    """Values with these limits of the store and the alerts."""
    rule = {"prometheusRule": {"enabled": True}}
    return {"promExporter": rule, "config": {"streaming": {"store_limits": limits}}}


def rules(**section: Any) -> list[Object]:
    """The rules of the chart with every alert that its limits allow, as rendered."""
    values = with_limits(max_channels=10, max_subs=10, max_msgs=1000, max_bytes="1mb")
    values["promExporter"]["prometheusRule"] |= section
    found = [each for each in render("stan-ft", values) if each["kind"] == "PrometheusRule"]
    assert len(found) == 1
    group: list[Object] = found[0]["spec"]["groups"][0]["rules"]
    return group


def active(*states: str) -> dict[str, str]:
    """Series of nss_server_active of stan-0, stan-1, ..., each given as promtool's values."""
    return {THREE_STATES.format(number): values for number, values in enumerate(states)}


WELL = active("1x60", "0x60", "0x60")


def sub(name: str, *, durable: str = "", channel: str = "orders", client: str = "c1") -> str:
    """A per-subscription series of the active."""
    return (
        f'{name}{{namespace="default", pod="stan-0", channel="{channel}", client_id="{client}", inbox="i{client}", '
        f'is_durable="{str(bool(durable)).lower()}", durable_name="{durable}", queue_name=""}}'
    )


def chan(name: str, channel: str = "orders") -> str:
    return f'{name}{{namespace="default", pod="stan-0", channel="{channel}"}}'


def fencing(name: str, values: str) -> dict[str, str]:
    """A series of the supervisor of stan-1."""
    return {f"stan_fencing_{name}{{{POD.format(1)}}}": values}


def sets(updated: str, replicas: str) -> dict[str, str]:
    """What kube-state-metrics says of the StatefulSet: pods of its newest revision, and how many there should be."""
    labels = 'namespace="default", statefulset="stan"'
    return {
        f"kube_statefulset_status_replicas_updated{{{labels}}}": updated,
        f"kube_statefulset_replicas{{{labels}}}": replicas,
    }


def starts(count: int) -> dict[str, str]:
    """nss_server_info of so many processes of stan-1, one after the other, two minutes each."""
    return {
        f'nss_server_info{{namespace="default", pod="stan-1", start_time="t{n}"}}': f"_x{2 * n} 1x1 stale"
        if n
        else "1x1 stale"
        for n in range(count)
    }


@dataclass
class Case:
    """When an alert fires (series as promtool writes them, one value a minute; after minutes), and when it is quiet."""

    alert: str
    fires: dict[str, str]
    after: str
    quiet: dict[str, str] = field(default_factory=lambda: WELL)
    count: int = 1


LIMIT = fencing("limit_seconds", "45x20")  # an NFS lease of 90 s

CASES = [
    Case("StanNoActive", active("0x10", "0x10", "0x10"), "3m"),
    Case(
        "StanTwoActives",
        active("1x10", "1x10", "0x10"),
        "3m",
        active("1 0x9", "0 1x9", "0x10"),
    ),
    Case(
        "StanRecoveryLong",
        active("stale", "0x10", "0x10") | {f"up{{{POD.format(0)}}}": "0x10", f"up{{{POD.format(1)}}}": "1x10"},
        "4m",
        active("0x10", "0x10", "0x10") | {f"up{{{POD.format(n)}}}": "1x10" for n in range(3)},
    ),
    Case("StanStoreUnguarded", fencing("guarded", "1 1 0x10"), "5m", fencing("guarded", "1 1 0 1x10")),
    Case(
        "StanStoreSilent",
        fencing("lease_age_seconds", "1 1 23x10") | LIMIT,
        "4m",
        fencing("lease_age_seconds", "22x10") | LIMIT,
    ),
    Case("StanFilesRefused", fencing("files_refused_total", "0 0 1x20"), "5m", fencing("files_refused_total", "1x20")),
    Case(
        "StanClockSkew",
        fencing("clock_skew_seconds", "0 0 -31x10"),
        "5m",
        fencing("clock_skew_seconds", "29x5 -29x10"),
    ),
    Case("StanServerMissing", active("1x20", "0x20"), "10m"),
    Case(
        "StanRevisionOutdated",
        sets(updated="3x5 1x40", replicas="3x45"),
        "25m",
        sets(updated="3x5 1x9 3x40", replicas="3x54"),
    ),
    Case("StanRestartLoop", starts(4), "9m", starts(3)),
    Case(
        "StanFlapping",
        active("1 0 1 0 1 0 1x30", "0 1 0 1 0 1 0x30", "0x40"),
        "8m",
        active("1 0 1x30", "0 1 0x30", "0x40"),  # there and back: two takeovers
    ),
    Case(
        "StanMeshIncomplete",
        {
            f"gnatsd_varz_routes{{{POD.format(2)}}}": "1x10",
            f"gnatsd_varz_routes{{{POD.format(1)}}}": "2x10",
        },
        "3m",
        {f"gnatsd_varz_routes{{{POD.format(n)}}}": "2x10" for n in range(3)},
    ),
    Case(
        "StanChannelsNearLimit",
        {f"nss_server_channels{{{POD.format(0)}}}": "10x20"},
        "10m",
        {f"nss_server_channels{{{POD.format(0)}}}": "9x20"},
    ),
    Case(
        "StanChannelSizeNearLimit",
        {chan("nss_chan_bytes_total"): "1000000x20"},
        "10m",
        {chan("nss_chan_bytes_total"): "900000x20"},
    ),
    Case(
        "StanChannelMessagesNearLimit",
        {chan("nss_chan_msgs_total"): "950x20"},
        "10m",
        {chan("nss_chan_msgs_total"): "900x20"},
    ),
    Case(
        "StanSubscriptionsNearLimit",
        {sub("nss_chan_subs_last_sent", client=f"c{n}"): "1x20" for n in range(10)},
        "10m",
        {sub("nss_chan_subs_last_sent", client=f"c{n}"): "1x20" for n in range(9)},
    ),
    Case(
        "StanVolumeFilling",
        {
            'kubelet_volume_stats_available_bytes{namespace="default", persistentvolumeclaim="efs"}': "5x20",
            'kubelet_volume_stats_capacity_bytes{namespace="default", persistentvolumeclaim="efs"}': "100x20",
        },
        "10m",
        {
            'kubelet_volume_stats_available_bytes{namespace="default", persistentvolumeclaim="efs"}': "15x20",
            'kubelet_volume_stats_capacity_bytes{namespace="default", persistentvolumeclaim="efs"}': "100x20",
        },
    ),
    Case(
        "StanDurableLagging",
        {
            chan("nss_chan_last_seq"): "20000x30",
            sub("nss_chan_subs_last_sent", durable="d"): "9000x30",
        },
        "15m",
        {
            chan("nss_chan_last_seq"): "20000x30",
            sub("nss_chan_subs_last_sent", durable="d"): "15000x30",
            sub("nss_chan_subs_last_sent", client="c2"): "1x30",  # no durable: it gets nothing when it is away
        },
    ),
    Case(
        "StanDurableExpiring",  # max_age is 1h: message 100 came 10 minutes after the start
        {
            chan("nss_chan_last_seq"): "90x9 100x80",
            sub("nss_chan_subs_last_sent", durable="d"): "90x90",
        },
        "42m",
        {
            chan("nss_chan_last_seq"): "0+10x90",  # ten a minute, and never more than 25 minutes behind
            sub("nss_chan_subs_last_sent", durable="d"): "0x25 10+10x65",
            sub("nss_chan_subs_last_sent", client="c2"): "1x90",
        },
    ),
    Case(
        "StanSubscriptionStalled",
        {
            sub("nss_chan_subs_pending_count"): "16x30",
            sub("nss_chan_subs_max_inflight"): "16x30",
        },
        "15m",
        {
            sub("nss_chan_subs_pending_count"): "15x30",
            sub("nss_chan_subs_max_inflight"): "16x30",
        },
    ),
]


def promtool(directory: Path, group: list[Object], *tests: dict[str, Any]) -> None:
    """Run promtool's rule tests; it fails the test with promtool's own words."""
    (directory / "rules.yaml").write_text(json.dumps({"groups": [{"name": "stan", "rules": group}]}))
    (directory / "tests.yaml").write_text(
        json.dumps(
            {
                "rule_files": ["rules.yaml"],
                "evaluation_interval": "15s",
                "tests": list(tests),
            }
        )
    )
    shell.run([toolchain.ensure("promtool"), "test", "rules", "tests.yaml"], cwd=directory)


def firing(alert: str, series: dict[str, str], after: str, count: int) -> dict[str, Any]:
    """A promtool test: so many alerts of this name fire after that time."""
    expression = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expression,
                "eval_time": after,
                "exp_samples": [{"labels": "{}", "value": count}],
            }
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_the_alert_fires(case: Case, tmp_path: Path) -> None:
    promtool(tmp_path, rules(), firing(case.alert, case.fires, case.after, case.count))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_the_alert_is_quiet_when_all_is_well(case: Case, tmp_path: Path) -> None:
    promtool(tmp_path, rules(), firing(case.alert, case.quiet, case.after, 0))


def test_a_single_file_without_a_lock_is_told_too(tmp_path: Path) -> None:
    series = fencing("guarded", "1x20") | fencing("files_unguarded_total", "0 0 1x18")
    promtool(tmp_path, rules(), firing("StanStoreUnguarded", series, "6m", 1))


def test_a_long_recovery_is_told_although_the_supervisor_answers(tmp_path: Path) -> None:
    ups = {
        f'up{{{POD.format(0)}, endpoint="{name}"}}': values
        for name, values in (("metrics", "0x10"), ("fencing", "1x10"))
    }
    promtool(tmp_path, rules(), firing("StanRecoveryLong", active("stale", "0x10", "0x10") | ups, "4m", 1))


def member(client: str, values: str) -> dict[str, str]:
    """What one member of a durable queue group has been sent."""
    name = sub("nss_chan_subs_last_sent", durable="", client=client)
    return {
        name.replace('is_durable="false"', 'is_durable="true"').replace('queue_name=""', 'queue_name="d:g"'): values
    }


@pytest.mark.parametrize("alert", ["StanDurableLagging", "StanDurableExpiring"])
def test_a_queue_group_is_as_far_as_its_last_member_however_idle_another_is(alert: str, tmp_path: Path) -> None:
    last = {chan("nss_chan_last_seq"): "20000x90"}
    idle, busy, late = member("c1", "1x90"), member("c2", "20000x90"), member("c2", "100x90")
    cases = ((last | idle | busy, 0), (last | idle | late, 1))
    promtool(tmp_path, rules(), *(firing(alert, series, "60m", count) for series, count in cases))


def test_a_channel_with_an_age_of_its_own_is_left_out_of_the_alert_on_age(tmp_path: Path) -> None:
    own = {"orders.*": {"max_age": "24h"}, "bills.>": {"max_age": "2h"}, "logs": {"max_msgs": 10}}
    [found] = [each for each in render("stan-ft", with_limits(max_age="1h", channels=own)) if "Rule" in each["kind"]]
    series = {}
    for channel in ("orders.eu", "orders.eu.berlin", "bills.a.b", "logs", "orders-eu"):
        series[chan("nss_chan_last_seq", channel)] = "10x90"
        series[sub("nss_chan_subs_last_sent", durable="d", channel=channel)] = "1x90"
    promtool(tmp_path, found["spec"]["groups"][0]["rules"], firing("StanDurableExpiring", series, "60m", 3))


@pytest.mark.parametrize("age", ["0s", None, "$MAX_AGE"])
def test_without_an_age_that_the_chart_knows_there_is_no_alert_on_it(age: str | None) -> None:
    [found] = [each for each in render("stan-ft", with_limits(max_age=age)) if "Rule" in each["kind"]]
    assert "StanDurableExpiring" not in json.dumps(found)


@pytest.mark.parametrize(("age", "half"), [("1h30m", "2700s"), ("1.5h", "2700s"), ("90s", "45s"), ("2000ms", "1s")])
def test_the_alert_on_age_reads_durations_as_the_server_does(age: str, half: str) -> None:
    [found] = [each for each in render("stan-ft", with_limits(max_age=age)) if "Rule" in each["kind"]]
    assert f"offset {half}" in json.dumps(found)


def test_the_supervisor_tells_the_same_skew_of_clocks_as_the_alert() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "StanClockSkew"]
    assert rule["expr"].endswith(f"> {SKEW:g}")


def test_servers_without_a_supervisor_have_no_alert_of_it() -> None:
    values = {"promExporter": {"prometheusRule": {"enabled": True}}, "fencing": {"mode": "off"}}
    [found] = [each for each in render("stan-ft", values) if each["kind"] == "PrometheusRule"]
    assert "stan_fencing" not in json.dumps(found)


def test_the_alerts_name_only_metrics_that_the_supervisor_gives() -> None:
    named = set(re.findall(r"stan_fencing_\w+", json.dumps(rules())))
    assert named <= set(Status("/data", "nfs4", limit=45.0).numbers())


def test_no_active_fires_when_nothing_can_be_scraped_at_all(tmp_path: Path) -> None:
    promtool(tmp_path, rules(), firing("StanNoActive", {"other": "1x10"}, "3m", 1))


def test_a_takeover_between_two_scrapes_is_no_alert(tmp_path: Path) -> None:
    moved = active("1x5 stale", "0x5 1x20", "0x30")
    promtool(
        tmp_path,
        rules(),
        *(firing(name, moved, "9m", 0) for name in ("StanNoActive", "StanTwoActives")),
    )


def test_a_server_that_two_jobs_scrape_counts_once(tmp_path: Path) -> None:
    twice = {f'nss_server_active{{namespace="default", pod="stan-0", job="{job}"}}': "1x10" for job in ("a", "b")}
    promtool(tmp_path, rules(), firing("StanTwoActives", twice, "5m", 0))


def test_another_release_in_the_cluster_does_not_count(tmp_path: Path) -> None:
    others = {
        'nss_server_active{namespace="other", pod="stan-0"}': "1x10",
        'nss_server_active{namespace="default", pod="stan-blue-0"}': "1x10",
    }
    promtool(tmp_path, rules(), firing("StanNoActive", others, "3m", 1))


def test_every_alert_has_a_case() -> None:
    assert {rule["alert"] for rule in rules()} == {case.alert for case in CASES}


def test_every_alert_has_a_section_in_the_runbook() -> None:
    sections = {line.removeprefix("## ") for line in (REPO / "docs/runbook.md").read_text().splitlines()}
    for rule in rules(runbookUrl="https://example.org/runbook.md"):
        assert rule["alert"] in sections, f"docs/runbook.md has no section {rule['alert']}"
        assert rule["annotations"]["runbook_url"] == f"https://example.org/runbook.md#{rule['alert'].lower()}"


def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "stan", "rules": rules()}]}))
    done = shell.run(
        [
            toolchain.ensure("promtool"),
            "check",
            "rules",
            "--lint=all",
            "--lint-fatal",
            file,
        ]
    )
    assert f"{len(CASES)} rules found" in done.stdout


def test_waiting_time_severity_and_labels_can_be_set_per_alert() -> None:
    changed = {
        rule["alert"]: rule
        for rule in rules(
            overrides={"StanNoActive": {"for": "10s", "labels": {"severity": "info"}}},
            alertLabels={"team": "messaging"},
        )
    }
    rule = changed["StanNoActive"]
    assert (rule["for"], rule["labels"]["severity"], rule["labels"]["team"]) == (
        "10s",
        "info",
        "messaging",
    )
    assert changed["StanTwoActives"]["labels"]["severity"] == "critical"


def test_an_alert_that_is_null_is_left_out() -> None:
    assert "StanFlapping" not in {rule["alert"] for rule in rules(overrides={"StanFlapping": None})}


def test_own_rules_come_last() -> None:
    own = {"alert": "Mine", "expr": "vector(1)"}
    assert rules(extraRules=[own])[-1] == own
