"""The local cluster as fixtures: brought up once, its group whole before and after each test that takes it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from harness.cluster.kind import Cluster
from harness.local import furnish
from harness.local.up import Deployment, up
from stanft.drill.run import refresh
from stanft.faults import Scene
from stanft.group.live import Group
from stanft.traffic.clients import Plan, Traffic

furnish.everything()  # tests play faults on the local cluster

SHOWN = 60  # lines of each part of the cluster's state
STATE = {
    "pods": ("get", "pods", "-A", "-o", "wide"),
    "last events": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
}


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    """The local cluster with both charts, as scripts/up makes it."""
    return up()


@pytest.fixture(scope="session")
def cluster(deployment: Deployment) -> Cluster:
    """The local kind cluster."""
    return deployment.cluster


@pytest.fixture
def group(deployment: Deployment) -> Iterator[Group]:
    """The servers of the release `stan`: one active and two standing by at the beginning, and again at the end."""
    deployment.group.wait_whole(180)
    yield deployment.group
    deployment.group.wait_whole(180)


@pytest.fixture
def scene(deployment: Deployment, group: Group) -> Scene:
    """The local group and its nodes, without restart back-off from earlier tests."""
    made = Scene(group, deployment.cluster, deployment.cluster.kubeconfig)
    refresh(made, 180)
    return made


@pytest.fixture
def new_traffic(deployment: Deployment, group: Group) -> Callable[[], Traffic]:
    """Makes publishers and a durable subscriber that can reach every server, with a channel of their own."""
    return lambda: Traffic(
        deployment.urls(), plan=Plan(channel=f"failover-{secrets.token_hex(4)}", publishers=2, rate=600)
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the cluster looked like."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        for title, words in STATE.items():
            shown = cluster.kubectl(*words, check=False).splitlines()
            report.sections.append((f"the cluster: {title}", "\n".join([*shown[:1], *shown[1:][-SHOWN:]])))
    return report
