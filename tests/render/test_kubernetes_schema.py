"""Every rendered object is one that every supported Kubernetes serves and accepts."""

from __future__ import annotations

import pytest

from harness.charts import render
from stanft.kube import kubeschema, objects

SHIPPED = {chart: render.shipped(chart) for chart in render.RELEASES}
CASES = [(chart, name) for chart, shipped in SHIPPED.items() for name in shipped]
CUSTOM = ("monitoring.coreos.com/v1", "cert-manager.io/v1")
# Fields that only one set of values asks for and that the oldest Kubernetes does not know: since when all are known.
NEWER = {
    ("stan-ft", "ci/full"): ("1.30", ("'trafficDistribution'", "'sleep'")),
    ("stan-ft", "ci/sql"): ("1.30", ("'trafficDistribution'",)),
}


@pytest.mark.parametrize("version", kubeschema.versions())
@pytest.mark.parametrize(("chart", "case"), CASES, ids=[f"{chart}-{case}" for chart, case in CASES])
def test_the_objects_are_valid(chart: str, case: str, version: str) -> None:
    items = render.render(chart, SHIPPED[chart][case], kube_version=f"{version}.0", api_versions=CUSTOM)
    refused = [f"{objects.label(item)}: {each}" for item in items for each in kubeschema.problems(item, version)]
    since, fields = NEWER.get((chart, case), (kubeschema.OLDEST, ()))
    if kubeschema.versions().index(version) < kubeschema.versions().index(since):
        assert refused, f"{fields} are known to {version} too"
        refused = [each for each in refused if not any(f"{field} was unexpected" in each for field in fields)]
    assert refused == []


@pytest.mark.parametrize("chart", render.RELEASES)
def test_the_oldest_kubernetes_of_the_chart_is_the_oldest_that_is_tested(chart: str) -> None:
    text = (render.chart_directory(chart) / "Chart.yaml").read_text()
    assert objects.values(text)["kubeVersion"].startswith(f">={kubeschema.OLDEST}.")


@pytest.mark.parametrize("chart", render.RELEASES)
def test_a_kubernetes_that_is_too_old_is_refused(chart: str) -> None:
    with pytest.raises(render.RenderError, match=r"incompatible with Kubernetes v1\.27\.16"):
        render.render(chart, render.ci_values(chart)["default"], kube_version="1.27.16")


@pytest.mark.parametrize(("chart", "case"), CASES, ids=[f"{chart}-{case}" for chart, case in CASES])
def test_the_objects_are_the_same_for_every_kubernetes(chart: str, case: str) -> None:
    values = SHIPPED[chart][case]
    oldest, newest = (
        render.render(chart, values, kube_version=f"{version}.0", api_versions=CUSTOM)
        for version in (kubeschema.versions()[0], kubeschema.versions()[-1])
    )
    assert oldest == newest
