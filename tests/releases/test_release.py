"""A released chart is installed from an OCI registry, with no clone beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_registry import registry
from stan_space import BASE, Space

from harness.cluster.kind import Cluster
from harness.dev import releasing


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    made = Space(cluster)
    made.create()
    yield made
    made.close()


def test_a_chart_from_a_registry_without_tls_becomes_a_whole_group(space: Space, tmp_path: Path) -> None:
    chart = next(each for each in releasing.charts() if each.name == "stan-ft")
    with registry(tmp_path) as host:
        releasing.push(releasing.package(chart, tmp_path), f"oci://{host}/charts", plain_http=True)
        source = f"oci://{host}/charts/{chart.name}"
        space.helm("install", "stan", source, "--version", chart.version, "--plain-http", values=BASE)
    space.group.wait_whole(180)
    assert f"{chart.name}-{chart.version}" in space.helm("list", "--output", "json")
