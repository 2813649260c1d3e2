"""A released chart is had from an OCI registry without a clone, and is the one that was packaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_registry import registry

from harness.charts.render import render
from harness.dev import releasing
from harness.ground import toolchain
from stanft.ground import shell
from stanft.kube import objects


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where all charts were pushed to."""
    folder = tmp_path_factory.mktemp("release")
    with registry(folder) as host:
        for chart in releasing.charts():
            digest = releasing.push(releasing.package(chart, folder), f"oci://{host}/charts", plain_http=True)
            assert digest.startswith("sha256:")
        yield f"oci://{host}/charts"


@pytest.mark.parametrize("chart", releasing.charts(), ids=lambda chart: chart.name)
def test_a_chart_from_the_registry_renders_what_the_checkout_renders(shelf: str, chart: releasing.Chart) -> None:
    release = {"stan-ft": "stan"}.get(chart.name, chart.name)
    values = {"efs-provisioner": {"engine": "existing"}}.get(chart.name, {})
    flags = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    command = [toolchain.ensure("helm"), "template", release, f"{shelf}/{chart.name}", "--version", chart.version]
    found = objects.parse(shell.output([*command, "--plain-http", "--skip-tests", *flags]))
    wanted = [item for item in render(chart.name, values) if "helm.sh/hook" not in str(item)]
    assert {(item["kind"], objects.name(item)) for item in wanted} <= {
        (item["kind"], objects.name(item)) for item in found
    }


def test_a_registry_with_tls_alone_is_not_spoken_to_in_plain_words(shelf: str, tmp_path: Path) -> None:
    [chart, *_] = releasing.charts()
    with pytest.raises(shell.CommandError, match="HTTP response to HTTPS client"):
        releasing.push(releasing.package(chart, tmp_path), shelf)
