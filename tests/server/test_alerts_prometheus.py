"""The alerts and the dashboard against a real Prometheus that scrapes a real group of servers."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import exporter
import pytest

from harness.charts.render import render
from harness.ground import toolchain
from harness.ground.paths import CHARTS
from harness.loopback.server import Group, free_ports
from stanft.ground import wait
from stanft.stan.client import Client
from stanft.stan.options import Start

SCRAPE = "500ms"
SETTLE = 15.0  # seconds for a change to be scraped and to pass through the rules


class Prometheus:
    """A Prometheus process that scrapes given targets and evaluates the chart's rules without their waiting times."""

    def __init__(self, directory: Path, targets: dict[str, str]) -> None:
        self.port = free_ports(1)[0]
        rules = next(each for each in render("stan-ft", RULES) if each["kind"] == "PrometheusRule")["spec"]
        for rule in rules["groups"][0]["rules"]:
            rule["for"] = "1s"
        (directory / "rules.yaml").write_text(json.dumps(rules))
        scrape = {
            "job_name": "default/stan",
            "static_configs": [
                {
                    "targets": [address],
                    "labels": {
                        "namespace": "default",
                        "pod": pod,
                        "endpoint": "metrics",
                    },
                }
                for pod, address in targets.items()
            ],
        }
        (directory / "prometheus.yaml").write_text(
            json.dumps(
                {
                    "global": {
                        "scrape_interval": SCRAPE,
                        "scrape_timeout": SCRAPE,
                        "evaluation_interval": SCRAPE,
                    },
                    "rule_files": ["rules.yaml"],
                    "scrape_configs": [scrape],
                }
            )
        )
        self._log = (directory / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                toolchain.ensure("prometheus"),
                "--config.file=prometheus.yaml",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--storage.tsdb.path=data",
            ],
            cwd=directory,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer of Prometheus' HTTP API; raises OSError when it refuses."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return {each["labels"]["alertname"] for each in self.get("alerts")["alerts"] if each["state"] == "firing"}

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


RULES = {"promExporter": {"prometheusRule": {"enabled": True, "durableLag": 5}}}


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds; the test fails with what was waited for."""

    def holds() -> bool:
        try:
            return bool(condition())
        except OSError:
            return False  # Prometheus is not up yet

    wait.until(holds, SETTLE, f"not within {SETTLE:g} s: {what}")


async def traffic(group: Group) -> None:
    """Ten messages, a durable that got them and went away, ten more: every per-channel metric has a value."""
    client = await Client.connect(group.urls, client_id="worker", cluster_id=group.cluster_id)
    subscription = await client.subscribe("orders", durable="d", start=Start.first())
    for number in range(10):
        await client.publish("orders", b"%d" % number)
    for _ in range(10):
        await subscription.next(10.0)
    await subscription.close()
    for number in range(10):
        await client.publish("orders", b"%d" % number)
    await client.close()


@pytest.fixture(scope="module")
def scraped(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Prometheus, Group]]:
    """A group of three under a Prometheus."""
    with ExitStack() as stack:
        group = stack.enter_context(Group(tmp_path_factory.mktemp("group")))
        group.start()
        asyncio.run(traffic(group))
        targets = {
            server.name: stack.enter_context(exporter.serving(f"http://127.0.0.1:{server.ports.monitor}"))
            for server in group.servers
        }
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
        stack.callback(prometheus.close)
        until(
            lambda: len(prometheus.query("nss_server_active")) == 3,
            "three servers are scraped",
        )
        yield prometheus, group


def metric_names(expression: str) -> set[str]:
    """The metrics of this project's exporter that an expression names."""
    return set(re.findall(r"\b(?:nss|gnatsd)_[a-z_]+", expression))


def alert_expressions() -> list[str]:
    rules = next(each for each in render("stan-ft", RULES) if each["kind"] == "PrometheusRule")
    return [rule["expr"] for rule in rules["spec"]["groups"][0]["rules"]]


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((CHARTS / "stan-ft/files/dashboards/stan-ft.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*found, *(each["expr"] for each in dashboard["annotations"]["list"])]


def bound(expression: str) -> str:
    """A dashboard's expression with its variables filled in as Grafana would."""
    return expression.replace("$namespace", "default").replace("$pod", ".*").replace("$__rate_interval", "10s")


@pytest.mark.parametrize("expression", sorted(alert_expressions()))
def test_the_alert_names_only_metrics_that_the_servers_give(scraped: Any, expression: str) -> None:
    for name in metric_names(expression):
        assert scraped[0].query(name), f"{name} is not exported"


@pytest.mark.parametrize("expression", sorted(set(dashboard_expressions())))
def test_the_dashboard_panel_shows_something(scraped: Any, expression: str) -> None:
    prometheus = scraped[0]
    for name in metric_names(expression):
        assert prometheus.query(name), f"{name} is not exported"
    if "changes(" not in expression:  # the annotation shows takeovers, of which there was none yet
        until(lambda: prometheus.query(bound(expression)), f"data for {bound(expression)}")


def test_no_alert_fires_on_a_healthy_group_but_the_lagging_durable(
    scraped: Any,
) -> None:
    prometheus, _ = scraped
    until(
        lambda: "StanDurableLagging" in prometheus.firing(),
        "the durable that went away is reported",
    )
    assert prometheus.firing() == {"StanDurableLagging"}


def test_alerts_tell_values_and_names(scraped: Any) -> None:
    prometheus, _ = scraped
    until(
        lambda: "StanDurableLagging" in prometheus.firing(),
        "the durable that went away is reported",
    )
    (alert,) = [each for each in prometheus.get("alerts")["alerts"] if each["state"] == "firing"]
    assert alert["annotations"]["summary"] == "Durable d is 10 messages behind on channel orders"
    assert alert["labels"]["severity"] == "warning"


def test_a_lost_standby_is_seen_in_the_mesh_and_as_missing_and_heals(
    scraped: Any,
) -> None:
    prometheus, group = scraped
    standby = group.standbys()[0]
    standby.kill()
    until(
        lambda: {"StanMeshIncomplete", "StanServerMissing"} <= prometheus.firing(),
        "the lost standby is reported",
    )
    assert not prometheus.firing() & {"StanNoActive", "StanTwoActives"}
    standby.start()
    group.wait_whole()
    until(
        lambda: prometheus.firing() == {"StanDurableLagging"},
        "the alerts go when the standby is back",
    )


def test_no_active_is_reported_until_there_is_one_again(scraped: Any) -> None:
    prometheus, group = scraped
    for server in group.servers:
        server.kill()
    until(
        lambda: "StanNoActive" in prometheus.firing(),
        "that no server is active is reported",
    )
    for server in group.servers:
        server.start()
    group.wait_whole()
    until(
        lambda: "StanNoActive" not in prometheus.firing(),
        "the alert goes when there is an active again",
    )


def test_a_hung_active_with_no_takeover_is_reported_as_no_active(scraped: Any) -> None:
    prometheus, group = scraped
    active = group.actives()[0]
    active.pause()  # it keeps the lock, so nobody else becomes active
    try:
        until(
            lambda: {"StanNoActive", "StanRecoveryLong"} <= prometheus.firing(),
            "the silent server is reported",
        )
    finally:
        active.resume()
    group.wait_whole()
    until(
        lambda: "StanNoActive" not in prometheus.firing(),
        "the alert goes when it answers again",
    )
