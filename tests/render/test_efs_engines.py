"""Four engines behind one StorageClass and one claim: what each makes, and that consumers cannot tell them apart."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from harness.charts.render import RenderError, environment, layered, render
from stanft.kube import objects

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
CSI = environment("eks-csi", "efs-provisioner")
KIND = environment("kind", "efs-provisioner")
STATIC = {
    "engine": "existing",
    "claims": [
        {"name": "efs", "size": "1Mi", "volume": {"nfs": {"server": "nfs.example.com", "path": "/srv/stan"}}},
    ],
}
ENGINES = {"efs-provisioner": LEGACY, "nfs-subdir": NFS, "efs-csi": CSI, "existing": KIND, "existing, static": STATIC}


def own_volume(place: str) -> str:
    """The name of the controller's own volume and claim: another file system, another name."""
    return f"efs-provisioner-root-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def controller(place: str) -> set[tuple[str, str]]:
    return {
        ("ServiceAccount", "efs-provisioner"),
        ("ClusterRole", "efs-provisioner-runner"),
        ("ClusterRoleBinding", "run-efs-provisioner"),
        ("Role", "leader-locking-efs-provisioner"),
        ("RoleBinding", "leader-locking-efs-provisioner"),
        ("ConfigMap", "efs-provisioner"),
        ("Deployment", "efs-provisioner"),
        ("PersistentVolume", own_volume(place)),
        ("PersistentVolumeClaim", own_volume(place)),
    }


CONSUMED = {("StorageClass", "aws-efs"), ("PersistentVolumeClaim", "efs")}
INVENTORY = {
    "efs-provisioner": CONSUMED | controller("fs-c22a24bb.efs.us-east-2.amazonaws.com:/"),
    "nfs-subdir": CONSUMED | controller("nfs.example.com:/srv/stan"),
    "efs-csi": CONSUMED,
    "existing": CONSUMED,
    "existing, static": CONSUMED | {("PersistentVolume", "default-efs-provisioner-efs")},
}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_makes_exactly_its_objects(engine: str) -> None:
    assert objects.inventory(render("efs-provisioner", ENGINES[engine])) == INVENTORY[engine]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_claim_that_consumers_mount_is_the_same_under_every_engine(engine: str) -> None:
    claim = objects.find(render("efs-provisioner", ENGINES[engine]), "PersistentVolumeClaim", "efs")
    claim["spec"].pop("volumeName", None)  # a static volume is named; who mounts the claim never sees that
    reference = objects.find(render("efs-provisioner", KIND), "PersistentVolumeClaim", "efs")
    assert claim == reference


@pytest.mark.parametrize(
    ("engine", "provisioner"),
    [
        ("efs-provisioner", "synadia.com/aws-efs"),
        ("nfs-subdir", "synadia.com/aws-efs"),
        ("efs-csi", "efs.csi.aws.com"),
        ("existing", "synadia.com/aws-efs"),
        ("existing, static", "kubernetes.io/no-provisioner"),
    ],
)
def test_the_class_asks_the_engines_provisioner(engine: str, provisioner: str) -> None:
    assert objects.find(render("efs-provisioner", ENGINES[engine]), "StorageClass")["provisioner"] == provisioner


@pytest.mark.parametrize("engine", ENGINES)
def test_a_message_store_is_retained_by_default(engine: str) -> None:
    storage_class = objects.find(render("efs-provisioner", ENGINES[engine]), "StorageClass")
    assert storage_class["reclaimPolicy"] == "Retain"
    assert storage_class["volumeBindingMode"] == "Immediate"


def parameters(*layers: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = objects.find(render("efs-provisioner", layered(*layers)), "StorageClass").get(
        "parameters", {}
    )
    return found


def test_the_old_provisioner_gives_each_volume_a_group_of_its_own() -> None:
    assert parameters(LEGACY) == {"gidAllocate": "true", "gidMin": "40000", "gidMax": "50000"}


def test_the_range_of_groups_can_be_moved() -> None:
    moved = {"efsProvisioner": {"gidAllocate": {"min": 60000, "max": 2147483647}}}
    assert parameters(LEGACY, moved) == {"gidAllocate": "true", "gidMin": "60000", "gidMax": "2147483647"}


def test_without_groups_no_range_is_said() -> None:
    assert parameters(LEGACY, {"efsProvisioner": {"gidAllocate": {"enabled": False}}}) == {"gidAllocate": "false"}


@pytest.mark.parametrize(
    ("on_delete", "expected"),
    [("archive", {"archiveOnDelete": "true"}), ("retain", {"onDelete": "retain"}), ("delete", {"onDelete": "delete"})],
)
def test_the_nfs_provisioner_is_told_what_to_do_with_a_deleted_volume(on_delete: str, expected: dict[str, str]) -> None:
    assert parameters(NFS, {"nfsSubdir": {"onDelete": on_delete, "pathPattern": ""}}) == expected


def test_a_path_pattern_reaches_the_class_unchanged() -> None:
    assert parameters(NFS)["pathPattern"] == "${.PVC.namespace}-${.PVC.name}"


def test_an_access_point_is_made_with_the_servers_user_and_a_base_path() -> None:
    assert parameters(CSI) == {
        "provisioningMode": "efs-ap",
        "fileSystemId": "fs-0123456789abcdef0",
        "directoryPerms": "0750",
        "uid": "10001",
        "gid": "10001",
        "basePath": "/stan",
        "subPathPattern": "${.PVC.namespace}-${.PVC.name}",
        "ensureUniqueDirectory": "false",
        "reuseAccessPoint": "false",
    }


def test_access_point_and_stan_servers_use_the_same_user() -> None:
    server = render("stan-ft", environment("eks-csi", "stan-ft"))
    security = objects.pod_spec(objects.find(server, "StatefulSet"))["securityContext"]
    found = parameters(CSI)
    assert (found["uid"], found["gid"]) == (str(security["runAsUser"]), str(security["runAsGroup"]))


def test_further_parameters_are_added() -> None:
    assert parameters(CSI, {"storageClass": {"parameters": {"az": "us-east-2a"}}})["az"] == "us-east-2a"


@pytest.mark.parametrize("engine", ["existing", "existing, static"])
def test_existing_brings_no_parameters_of_its_own(engine: str) -> None:
    assert parameters(ENGINES[engine]) == {}


@pytest.mark.parametrize(
    ("region", "dns_name"),
    [
        ("us-east-2", "fs-c22a24bb.efs.us-east-2.amazonaws.com"),
        ("us-gov-west-1", "fs-c22a24bb.efs.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "fs-c22a24bb.efs.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", "fs-c22a24bb.efs.cn-northwest-1.amazonaws.com.cn"),
    ],
)
def test_the_dns_name_is_derived_from_id_and_region(region: str, dns_name: str) -> None:
    made = render("efs-provisioner", layered(LEGACY, {"fileSystem": {"region": region}}))
    assert objects.find(made, "ConfigMap")["data"]["dns.name"] == dns_name
    assert objects.find(made, "PersistentVolume")["spec"]["nfs"]["server"] == dns_name


def test_a_dns_name_of_ones_own_wins() -> None:
    made = render("efs-provisioner", layered(LEGACY, {"fileSystem": {"dnsName": "efs.corp.example.com"}}))
    assert objects.find(made, "ConfigMap")["data"]["dns.name"] == "efs.corp.example.com"
    assert objects.find(made, "PersistentVolume")["spec"]["nfs"]["server"] == "efs.corp.example.com"


def test_nfs_subdir_without_a_server_uses_the_efs_file_system() -> None:
    made = render("efs-provisioner", {**LEGACY, "engine": "nfs-subdir"})
    data = objects.find(made, "ConfigMap")["data"]
    assert data == {
        "provisioner.name": "synadia.com/aws-efs",
        "nfs.server": "fs-c22a24bb.efs.us-east-2.amazonaws.com",
        "nfs.path": "/",
    }
    assert objects.find(made, "PersistentVolume")["spec"]["nfs"] == {"server": data["nfs.server"], "path": "/"}


@pytest.mark.parametrize(
    ("values", "sub_path"),
    [(LEGACY, None), (layered(LEGACY, {"basePath": "stan/prod"}), "stan/prod"), (NFS, None)],
)
def test_the_base_path_is_what_the_controller_mounts(values: dict[str, Any], sub_path: str | None) -> None:
    container = objects.containers(objects.find(render("efs-provisioner", values), "Deployment"))[0]
    assert objects.mounts(container)["pv-volume"].get("subPath") == sub_path


def test_the_nfs_provisioner_names_volumes_by_the_path_it_really_mounts() -> None:
    made = render("efs-provisioner", layered(NFS, {"basePath": "prod"}))
    assert objects.find(made, "ConfigMap")["data"]["nfs.path"] == "/srv/stan/prod"
    assert objects.find(made, "PersistentVolume")["spec"]["nfs"]["path"] == "/srv/stan"
    container = objects.containers(objects.find(made, "Deployment"))[0]
    assert objects.mounts(container)["pv-volume"] == {
        "name": "pv-volume",
        "mountPath": "/persistentvolumes",
        "subPath": "prod",
    }


@pytest.mark.parametrize(
    ("values", "image"),
    [
        (LEGACY, "quay.io/external_storage/efs-provisioner:v2.4.0"),
        (NFS, "registry.k8s.io/sig-storage/nfs-subdir-external-provisioner:v4.0.2"),
        (
            layered(
                NFS, {"global": {"imageRegistry": "mirror.example.com"}, "nfsSubdir": {"image": {"tag": "v4.0.1"}}}
            ),
            "mirror.example.com/sig-storage/nfs-subdir-external-provisioner:v4.0.1",
        ),
        (
            layered(
                LEGACY,
                {"efsProvisioner": {"image": {"registry": "mirror.example.com:5000", "digest": f"sha256:{'a' * 64}"}}},
            ),
            f"mirror.example.com:5000/external_storage/efs-provisioner@sha256:{'a' * 64}",
        ),
    ],
)
def test_the_image_is_registry_repository_and_tag_or_digest(values: dict[str, Any], image: str) -> None:
    deployment = objects.find(render("efs-provisioner", values), "Deployment")
    assert objects.containers(deployment)[0]["image"] == image


def test_the_old_image_runs_only_where_it_was_built_for() -> None:
    selector = {
        engine: objects.pod_spec(objects.find(render("efs-provisioner", values), "Deployment"))["nodeSelector"]
        for engine, values in (("old", LEGACY), ("new", NFS))
    }
    assert selector["old"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    assert selector["new"] == {"kubernetes.io/os": "linux"}


def test_an_old_image_of_ones_own_runs_where_it_was_built_for() -> None:
    own = layered(LEGACY, {"podTemplate": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}})
    selector = objects.pod_spec(objects.find(render("efs-provisioner", own), "Deployment"))["nodeSelector"]
    assert selector["kubernetes.io/arch"] == "arm64"


def test_the_default_engine_is_the_maintained_one_and_runs_nothing() -> None:
    made = render("efs-provisioner", {"fileSystem": {"id": "fs-0123456789abcdef0"}})
    assert objects.inventory(made) == CONSUMED
    assert objects.find(made, "StorageClass")["provisioner"] == "efs.csi.aws.com"


@pytest.mark.parametrize("path", ["stan/prod", "/stan/prod", "/stan/prod/"])
def test_a_base_path_is_taken_with_and_without_its_slashes(path: str) -> None:
    assert parameters(CSI, {"basePath": path})["basePath"] == "/stan/prod"


@pytest.mark.parametrize("names", [["mirror"], [{"name": "mirror"}]])
def test_pull_secrets_are_taken_in_both_shapes_from_the_parent_and_from_here(names: list[object]) -> None:
    own = {"global": {"imagePullSecrets": ["everywhere"]}, "controller": {"pullSecrets": names}}
    spec = objects.pod_spec(objects.find(render("efs-provisioner", layered(NFS, own)), "Deployment"))
    assert spec["imagePullSecrets"] == [{"name": "everywhere"}, {"name": "mirror"}]


def test_the_controller_is_selected_by_name_instance_and_component_unless_the_recipe_is_adopted() -> None:
    def selector(values: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = objects.find(render("efs-provisioner", values, release="shop"), "Deployment")["spec"][
            "selector"
        ]["matchLabels"]
        return found

    assert selector(NFS) == {
        "app.kubernetes.io/name": "efs-provisioner",
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "storage",
    }
    assert selector(LEGACY) == {"app": "shop-efs-provisioner"}


def test_as_a_dependency_it_can_be_switched_off_and_leaves_the_parents_globals_alone() -> None:
    assert render("efs-provisioner", {"enabled": False, "global": {"storageClass": "gp3"}}) == []


def test_a_changed_setting_rolls_the_controller() -> None:
    def checksum(values: dict[str, Any]) -> str:
        deployment = objects.find(render("efs-provisioner", values), "Deployment")
        return str(objects.dig(objects.pod_template(deployment), "metadata.annotations")["checksum/config"])

    assert checksum(LEGACY) != checksum(layered(LEGACY, {"fileSystem": {"region": "us-east-1"}}))
    assert checksum(LEGACY) == checksum(layered(LEGACY, {"controller": {"replicas": 2}}))


def test_another_file_system_gives_the_controller_another_volume_because_a_volume_cannot_move() -> None:
    def names(region: str) -> set[str]:
        made = render("efs-provisioner", layered(LEGACY, {"fileSystem": {"region": region}}))
        return {objects.name(objects.find(made, "PersistentVolume"))}

    assert names("us-east-1").isdisjoint(names("us-east-2"))


def test_the_class_can_be_left_to_somebody_else() -> None:
    made = render("efs-provisioner", layered(KIND, {"storageClass": {"create": False, "name": "shared"}}))
    assert objects.inventory(made) == {("PersistentVolumeClaim", "efs")}
    assert objects.find(made, "PersistentVolumeClaim")["spec"]["storageClassName"] == "shared"


def test_the_default_class_is_marked_as_such_only_on_request() -> None:
    mark = "storageclass.kubernetes.io/is-default-class"
    plain = objects.find(render("efs-provisioner", KIND), "StorageClass")
    marked = objects.find(render("efs-provisioner", layered(KIND, {"storageClass": {"default": True}})), "StorageClass")
    assert mark not in plain["metadata"].get("annotations", {})
    assert marked["metadata"]["annotations"][mark] == "true"


def test_names_in_the_clusters_scope_hold_the_release_name() -> None:
    made = render("efs-provisioner", layered(LEGACY, {"storageClass": {"name": "team-b"}}), release="team-b")
    cluster_wide = {
        name
        for kind, name in objects.inventory(made)
        if kind in ("ClusterRole", "ClusterRoleBinding", "PersistentVolume")
    }
    assert cluster_wide == {
        "team-b-efs-provisioner-runner",
        "run-team-b-efs-provisioner",
        own_volume("fs-c22a24bb.efs.us-east-2.amazonaws.com:/").replace("efs-provisioner", "team-b-efs-provisioner", 1),
    }


def test_two_releases_share_no_object() -> None:
    first = objects.inventory(render("efs-provisioner", LEGACY))
    other = {"storageClass": {"name": "other"}, "provisionerName": "example.com/other"}
    second = objects.inventory(render("efs-provisioner", layered(LEGACY, other), release="other", namespace="other"))
    assert first & second == {("PersistentVolumeClaim", "efs")}  # in namespaces of their own


def test_the_longest_release_name_that_is_taken_still_makes_valid_names() -> None:
    made = render("efs-provisioner", LEGACY, release="r" * 29)
    assert max(len(name) for _, name in objects.inventory(made)) <= 63


def test_a_longer_release_name_is_refused_because_a_cut_one_could_be_anothers() -> None:
    with pytest.raises(RenderError, match="fullnameOverride: the objects would be called"):
        render("efs-provisioner", LEGACY, release="r" * 30)


@pytest.mark.parametrize(
    ("values", "base"),
    [({"nameOverride": "store"}, "efs-provisioner-store"), ({"fullnameOverride": "store"}, "store")],
)
def test_names_can_be_overridden(values: dict[str, Any], base: str) -> None:
    made = render("efs-provisioner", layered(LEGACY, values))
    assert objects.find(made, "Deployment")["metadata"]["name"] == base
    assert objects.find(made, "ClusterRole")["metadata"]["name"] == f"{base}-runner"


def test_budget_and_policy_select_the_controllers_pods() -> None:
    switched = {"podDisruptionBudget": {"enabled": True}, "networkPolicy": {"enabled": True}}
    made = render("efs-provisioner", layered(LEGACY, switched))
    labels = objects.dig(objects.pod_template(objects.find(made, "Deployment")), "metadata.labels")
    assert objects.selects(objects.find(made, "PodDisruptionBudget")["spec"]["selector"], labels)
    policy = objects.find(made, "NetworkPolicy")["spec"]
    assert objects.selects(policy["podSelector"], labels)
    assert policy["policyTypes"] == ["Ingress"]
    assert "ingress" not in policy


def test_common_labels_reach_every_object_and_the_pods_but_no_selector() -> None:
    made = render("efs-provisioner", layered(LEGACY, {"commonLabels": {"team": "messaging"}}))
    assert all(item["metadata"]["labels"]["team"] == "messaging" for item in made)
    deployment = objects.find(made, "Deployment")
    assert objects.dig(objects.pod_template(deployment), "metadata.labels.team") == "messaging"
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "efs-provisioner"}


def test_extra_objects_go_through_the_template_engine() -> None:
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text"
    made = render("efs-provisioner", layered(KIND, {"extraObjects": [extra, text]}))
    assert {("ConfigMap", "efs-provisioner-extra"), ("ConfigMap", "efs-provisioner-text")} <= objects.inventory(made)
