"""The real cluster for the failover tests: brought up once, whole before and after each test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from harness import local
from harness.cluster.kind import Cluster
from harness.group import Group
from harness.traffic import Plan, Traffic


@pytest.fixture(scope="session")
def deployment() -> local.Deployment:
    """The local cluster with both charts, as scripts/up makes it."""
    return local.up(registry=os.environ.get("STAN_FT_REGISTRY", "auto"))


@pytest.fixture(scope="session")
def cluster(deployment: local.Deployment) -> Cluster:
    """The local kind cluster."""
    return deployment.cluster


@pytest.fixture
def group(deployment: local.Deployment) -> Iterator[Group]:
    """The servers of the release `stan`: one active and two standing by at the beginning, and again at the end."""
    deployment.group.wait_whole(180)
    yield deployment.group
    deployment.group.wait_whole(180)


@pytest.fixture
def traffic(deployment: local.Deployment, group: Group) -> Traffic:
    """Publishers and a durable subscriber that can reach every server; not yet started."""
    return Traffic(deployment.urls(), plan=Plan(channel=f"failover-{secrets.token_hex(4)}", publishers=2, rate=600))
