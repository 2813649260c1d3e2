"""charts/stan-ft installed as `stan` carries the whole of the reference recipe, under the recipe's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.charts.render import at, layered, render, stan_conf
from stanft.conf import parse as conf
from stanft.kube import objects
from stanft.kube.objects import dig, find

FIXTURE = Path(__file__).parents[1] / "fixtures" / "recipe" / "runnable" / "stan.yaml"
RECIPE = objects.parse(FIXTURE.read_text())
CHART = render("stan-ft", {"adoptRecipe": True})
THEIRS = find(RECIPE, "StatefulSet")
OURS = find(CHART, "StatefulSet")
SETTINGS = ("file_options", "store_limits")


def configuration(items: list[objects.Object]) -> dict[str, Any]:
    text = find(items, "ConfigMap", "stan-config")["data"]["stan.conf"] if items is RECIPE else stan_conf(items)
    parsed: dict[str, Any] = conf.parse(text)
    return parsed


@pytest.mark.parametrize("item", RECIPE, ids=objects.label)
def test_every_object_of_the_recipe_is_there_under_its_kind_and_name(item: objects.Object) -> None:
    if item["kind"] == "ConfigMap":
        assert stan_conf(CHART)  # each pod carries its own configuration
    else:
        assert find(CHART, item["kind"], objects.name(item))


def test_the_fields_that_can_never_change_are_the_recipes_except_the_start_order() -> None:
    for field in ("selector", "serviceName"):
        assert OURS["spec"][field] == THEIRS["spec"][field]
    # OrderedReady is Kubernetes' default: a live recipe keeps it, or its StatefulSet is replaced while its pods live.
    values = {"adoptRecipe": True, "statefulSet": {"podManagementPolicy": "OrderedReady"}}
    kept = find(render("stan-ft", values), "StatefulSet")
    assert kept["spec"]["podManagementPolicy"] == THEIRS["spec"].get("podManagementPolicy", "OrderedReady")


def test_pods_carry_the_recipes_label() -> None:
    theirs = (objects.pod_template(THEIRS) or {})["metadata"]["labels"]
    assert theirs.items() <= (objects.pod_template(OURS) or {})["metadata"]["labels"].items()


def test_the_service_has_the_recipes_ports() -> None:
    theirs = objects.ports(find(RECIPE, "Service", "stan"))
    assert objects.ports(find(CHART, "Service", "stan")) == {**theirs, "fencing": 8223}


@pytest.mark.parametrize("name", ["stan", "metrics"])
def test_the_containers_have_the_recipes_ports_and_arguments(name: str) -> None:
    theirs, ours = objects.container(THEIRS, name), objects.container(OURS, name)
    assert objects.ports(theirs).items() <= objects.ports(ours).items()
    assert set(theirs["args"]) <= set(ours["args"])


def test_the_server_has_the_recipes_variables() -> None:
    theirs, ours = (objects.env(objects.container(item, "stan")) for item in (THEIRS, OURS))
    assert set(theirs) <= set(ours)
    assert ours["POD_NAME"] == theirs["POD_NAME"]
    assert ours["POD_NAMESPACE"] == theirs["POD_NAMESPACE"]
    # The recipe's short name, made whole: it no longer depends on a resolver's search domains.
    assert ours["CLUSTER_ADVERTISE"] == f"{theirs['CLUSTER_ADVERTISE']}.cluster.local"


def test_the_volumes_are_mounted_where_the_recipe_has_them() -> None:
    theirs, ours = (
        {mount["mountPath"] for mount in objects.container(item, "stan")["volumeMounts"]} for item in (THEIRS, OURS)
    )
    assert theirs < ours
    assert ours - theirs == {"/opt/stan", "/run/stan"}
    assert dig(objects.volumes(OURS)["data"], "persistentVolumeClaim.claimName") == "efs"


def test_the_number_of_servers_and_their_grace_period_are_the_recipes() -> None:
    assert OURS["spec"]["replicas"] == THEIRS["spec"]["replicas"]
    theirs, ours = objects.pod_spec(THEIRS), objects.pod_spec(OURS)
    assert ours["terminationGracePeriodSeconds"] == theirs["terminationGracePeriodSeconds"]


def test_the_limits_are_the_recipes_and_the_file_options_differ_only_towards_safety_and_short_takeovers() -> None:
    theirs, ours = configuration(RECIPE)["streaming"], configuration(CHART)["streaming"]
    assert ours["store_limits"] == theirs["store_limits"]
    assert (ours["id"], ours["store"], ours["dir"]) == (theirs["id"], theirs["store"], theirs["dir"])
    assert ours["ft_group_name"] == theirs["ft_group_name"]
    changed = {key for key in ours["file_options"] if ours["file_options"][key] != theirs["file_options"].get(key)}
    assert changed == {"sync_on_flush", "auto_sync", "read_buffer_size", "slice_max_age", "slice_max_bytes"}


def test_values_can_say_exactly_what_the_recipe_says() -> None:
    values = layered(
        at("store.durability", "throughput"),
        {
            "config": {
                "streaming": {"file_options": {"auto_sync": "60s", "slice_max_age": None, "slice_max_bytes": "512mb"}}
            }
        },
    )
    theirs, ours = (configuration(items)["streaming"] for items in (RECIPE, render("stan-ft", values)))
    assert ours["file_options"].pop("auto_sync") == "60s"  # the server's own, which the recipe leaves out
    assert {key: ours[key] for key in SETTINGS} == {key: theirs[key] for key in SETTINGS}
