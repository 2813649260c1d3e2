"""charts/efs-provisioner carries the whole of the reference recipe, under the recipe's names."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import environment, render
from harness.ground.paths import REPO
from stanft.kube import objects

RECIPE = objects.parse((REPO / "tests/fixtures/recipe/original/efs-provisioner.yaml").read_text())
CHART = render("efs-provisioner", environment("eks-legacy", "efs-provisioner"))


def ours(item: objects.Object) -> objects.Object:
    return objects.find(CHART, item["kind"], objects.name(item))


@pytest.mark.parametrize("item", RECIPE, ids=objects.label)
def test_every_object_of_the_recipe_is_there_under_its_kind_and_name(item: objects.Object) -> None:
    assert ours(item)


def test_beyond_the_recipe_there_is_only_the_controllers_own_volume_and_claim() -> None:
    added = objects.inventory(CHART) - objects.inventory(RECIPE)
    (name,) = {name for _, name in added}
    assert name.startswith("efs-provisioner-root-")
    assert added == {("PersistentVolume", name), ("PersistentVolumeClaim", name)}


def test_no_object_uses_an_api_version_that_is_gone() -> None:
    versions = {item["kind"]: item["apiVersion"] for item in CHART}
    assert versions["Deployment"] == "apps/v1"
    assert versions["StorageClass"] == "storage.k8s.io/v1"
    assert not [version for version in versions.values() if "beta" in version]


def test_the_config_map_has_the_recipes_keys_and_the_dns_name_filled_in() -> None:
    recipe, chart = objects.find(RECIPE, "ConfigMap"), objects.find(CHART, "ConfigMap")
    assert chart["data"] == {**recipe["data"], "dns.name": "fs-c22a24bb.efs.us-east-2.amazonaws.com"}


def test_the_container_reads_every_variable_from_the_same_key_as_in_the_recipe() -> None:
    recipe, chart = (objects.containers(objects.find(items, "Deployment"))[0] for items in (RECIPE, CHART))
    assert objects.env(chart) == objects.env(recipe)
    assert chart["name"] == recipe["name"]


def test_the_container_mounts_the_file_system_where_the_recipe_does() -> None:
    recipe, chart = (objects.containers(objects.find(items, "Deployment"))[0] for items in (RECIPE, CHART))
    assert objects.mounts(chart) == objects.mounts(recipe)


def test_the_controllers_own_volume_is_the_recipes_nfs_root() -> None:
    wanted = objects.volumes(objects.find(RECIPE, "Deployment"))["pv-volume"]["nfs"]
    assert objects.find(CHART, "PersistentVolume")["spec"]["nfs"] == wanted
    claim = objects.volumes(objects.find(CHART, "Deployment"))["pv-volume"]["persistentVolumeClaim"]["claimName"]
    assert objects.find(CHART, "PersistentVolumeClaim", claim)["spec"]["volumeName"] == claim


def test_own_volume_inline_gives_the_recipes_pod_volume_to_the_letter() -> None:
    inline = render(
        "efs-provisioner", {**environment("eks-legacy", "efs-provisioner"), "controller": {"ownVolume": "inline"}}
    )
    recipe = objects.volumes(objects.find(RECIPE, "Deployment"))
    assert objects.volumes(objects.find(inline, "Deployment")) == recipe


def test_the_selector_is_what_the_old_api_defaulted_the_recipes_to() -> None:
    recipe, chart = objects.find(RECIPE, "Deployment"), objects.find(CHART, "Deployment")
    assert chart["spec"]["selector"]["matchLabels"] == recipe["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("path", ["spec.replicas", "spec.strategy", "spec.template.spec.serviceAccountName"])
def test_the_deployment_keeps_the_recipes(path: str) -> None:
    recipe, chart = objects.find(RECIPE, "Deployment"), objects.find(CHART, "Deployment")
    assert objects.dig(chart, path) == objects.dig(recipe, path)


def test_the_image_is_the_recipes_with_a_pinned_tag() -> None:
    recipe, chart = (objects.containers(objects.find(items, "Deployment"))[0]["image"] for items in (RECIPE, CHART))
    assert chart == recipe.replace(":latest", ":v2.4.0")


def test_class_and_claim_agree_as_in_the_recipe() -> None:
    recipe, chart = objects.find(RECIPE, "StorageClass"), objects.find(CHART, "StorageClass")
    assert chart["provisioner"] == recipe["provisioner"]
    claim = objects.find(CHART, "PersistentVolumeClaim", "efs")
    old = objects.find(RECIPE, "PersistentVolumeClaim", "efs")
    assert claim["spec"] == {**old["spec"], "storageClassName": recipe["metadata"]["name"]}


def test_the_storage_class_is_named_in_the_field_not_in_the_beta_annotation() -> None:
    annotations = objects.find(CHART, "PersistentVolumeClaim", "efs")["metadata"]["annotations"]
    assert "volume.beta.kubernetes.io/storage-class" not in annotations


def test_the_bindings_name_the_account_in_the_release_namespace_not_in_default() -> None:
    elsewhere = render("efs-provisioner", environment("eks-legacy", "efs-provisioner"), namespace="messaging")
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        subject: dict[str, Any] = objects.find(elsewhere, kind)["subjects"][0]
        assert subject == {"kind": "ServiceAccount", "name": "efs-provisioner", "namespace": "messaging"}
