"""Each environment: its values are known, both charts render, and they fit together."""

from __future__ import annotations

import pytest

from harness.charts import render
from stanft.kube import kubeschema, objects
from stanft.kube.objects import dig

ENVIRONMENTS = render.environments()
CHARTS = list(render.RELEASES)


def both(environment: str, namespace: str = "messaging", prefix: str = "") -> list[objects.Object]:
    """The objects of both charts in an environment, as releases whose names begin with prefix."""
    return [
        item
        for chart, release in render.RELEASES.items()
        for item in render.render(
            chart, render.environment(environment, chart), namespace=namespace, release=f"{prefix}{release}"
        )
    ]


def test_the_environments_of_the_documentation_are_there() -> None:
    assert set(ENVIRONMENTS) >= {"kind", "eks-csi", "eks-legacy", "nfs"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_claim_names_a_class_that_is_made_with_it(environment: str) -> None:
    items = both(environment)
    claim = objects.find(items, "PersistentVolumeClaim", "efs")
    storage_class = objects.find(items, "StorageClass", dig(claim, "spec.storageClassName"))
    assert storage_class["provisioner"]
    assert dig(claim, "spec.accessModes") == ["ReadWriteMany"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_two_charts_make_no_object_twice(environment: str) -> None:
    items = both(environment)
    assert len(objects.inventory(items)) == len(items)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_two_installations_share_no_cluster_wide_object_but_the_class(environment: str) -> None:
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "PersistentVolume"}

    def names(prefix: str) -> set[tuple[str, str]]:
        return {each for each in objects.inventory(both(environment, prefix, f"{prefix}-")) if each[0] in cluster_wide}

    assert names("one") & names("two") == set()


@pytest.mark.parametrize("version", kubeschema.versions())
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_an_environment_renders_for_every_kubernetes(chart: str, environment: str, version: str) -> None:
    found = render.render(chart, render.environment(environment, chart), kube_version=f"{version}.0")
    assert objects.inventory(found) == objects.inventory(render.render(chart, render.environment(environment, chart)))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_an_environment_says_only_what_differs_from_the_defaults(chart: str, environment: str) -> None:
    defaults = render.chart_values(chart)
    repeated = [
        ".".join(path)
        for path, value in objects.leaves(render.environment(environment, chart))
        if objects.dig(defaults, ".".join(path)) == value
    ]
    named_on_purpose = {"engine", "provisionerName", "persistence.existingClaim", "replicas"}
    assert set(repeated) - named_on_purpose == set()
