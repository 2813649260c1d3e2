"""The one shared volume of stan-ft: existing claim, own claim, own volume, or no volume at all."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.charts.render import at, chart_values, layered, render, stan_conf
from stanft.kube import objects
from stanft.kube.objects import Object, find

OWN = at("persistence.existingClaim", "")
NFS = layered(OWN, at("persistence.staticVolume", {"enabled": True, "nfs": {"server": "nfs.example", "path": "/e"}}))
EFS = layered(
    OWN,
    at(
        "persistence.staticVolume",
        {"enabled": True, "driver": "efs-csi", "efs": {"volumeHandle": "fs-0123456789abcdef0"}},
    ),
)


def workload(values: dict[str, Any] | None = None) -> Object:
    return find(render("stan-ft", values), "StatefulSet")


def claim(values: dict[str, Any]) -> Object:
    return find(render("stan-ft", layered(OWN, values)), "PersistentVolumeClaim")


def test_the_claim_of_the_recipe_is_mounted_by_default_and_none_is_made() -> None:
    items = render("stan-ft")
    item = find(items, "StatefulSet")
    assert objects.volumes(item)["data"]["persistentVolumeClaim"] == {"claimName": "efs"}
    assert objects.mounts(objects.container(item, "stan"))["data"]["mountPath"] == "/data/stan"
    assert objects.find_all(items, "PersistentVolumeClaim") == []


def test_another_existing_claim_is_the_one_that_is_mounted() -> None:
    item = workload(at("persistence.existingClaim", "mine"))
    assert objects.volumes(item)["data"]["persistentVolumeClaim"] == {"claimName": "mine"}


def test_the_charts_own_claim_is_shared_and_kept() -> None:
    made = claim({})
    assert made["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "aws-efs",
        "resources": {"requests": {"storage": "10Gi"}},
    }
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert objects.volumes(workload(OWN))["data"]["persistentVolumeClaim"] == {"claimName": objects.name(made)}


def test_every_field_of_the_claim_is_a_value() -> None:
    values = {
        "name": "mine",
        "storageClassName": "fast",
        "size": "3Gi",
        "volumeName": "pv-1",
        "keep": False,
        "merge": {
            "spec": {"selector": {"matchLabels": {"a": "b"}}},
            "metadata": {"annotations": {"c": "d"}, "labels": {"e": "f"}},
        },
    }
    made = claim(at("persistence.claim", values))
    assert objects.name(made) == "mine"
    assert made["metadata"]["annotations"] == {"c": "d"}
    assert made["metadata"]["labels"]["e"] == "f"
    assert made["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "3Gi"}},
        "volumeName": "pv-1",
        "selector": {"matchLabels": {"a": "b"}},
    }


def test_a_single_server_may_use_a_volume_that_only_one_can_mount() -> None:
    values = {"replicas": 1, "allowSingleReplica": True, **at("persistence.claim.accessModes", ["ReadWriteOncePod"])}
    assert claim(values)["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_a_part_of_the_volume_can_be_mounted() -> None:
    item = workload(at("persistence.subPath", "team/a"))
    assert objects.mounts(objects.container(item, "stan"))["data"]["subPath"] == "team/a"


def test_another_mount_path_moves_the_store_with_it() -> None:
    item = workload(at("persistence.mountPath", "/srv"))
    assert 'dir: "/srv/store"' in stan_conf([item])
    assert objects.mounts(objects.container(item, "stan"))["data"]["mountPath"] == "/srv"


def test_an_nfs_volume_of_the_chart_is_bound_to_its_claim_alone() -> None:
    items = render("stan-ft", NFS, namespace="msg")
    volume, made = find(items, "PersistentVolume"), find(items, "PersistentVolumeClaim")
    assert volume["spec"]["nfs"] == {"server": "nfs.example", "path": "/e"}
    assert volume["spec"]["claimRef"] == {"namespace": "msg", "name": objects.name(made)}
    assert made["spec"]["volumeName"] == objects.name(volume) == "msg-stan"
    assert made["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert volume["spec"]["capacity"]["storage"] == made["spec"]["resources"]["requests"]["storage"]


def test_its_mount_options_are_those_that_aws_recommends_for_efs() -> None:
    options = find(render("stan-ft", NFS), "PersistentVolume")["spec"]["mountOptions"]
    assert options == [
        "nfsvers=4.1",
        "rsize=1048576",
        "wsize=1048576",
        "hard",
        "timeo=600",
        "retrans=2",
        "noresvport",
    ]


def test_an_efs_volume_of_the_chart_names_the_driver_and_the_file_system() -> None:
    volume = find(render("stan-ft", EFS), "PersistentVolume")
    assert volume["spec"]["csi"] == {
        "driver": "efs.csi.aws.com",
        "volumeHandle": "fs-0123456789abcdef0",
        "volumeAttributes": {"encryptInTransit": "true"},
    }
    assert "mountOptions" not in volume["spec"]


def test_the_sql_store_has_no_volume_and_its_source_comes_from_a_secret() -> None:
    items = render("stan-ft", {"store": {"type": "sql", "sql": {"existingSecret": "dsn", "sourceKey": "url"}}})
    item = find(items, "StatefulSet")
    assert "data" not in objects.volumes(item)
    assert "data" not in objects.mounts(objects.container(item, "stan"))
    env = objects.env(objects.container(item, "stan"))
    assert env["STAN_SQL_SOURCE_RAW"]["secretKeyRef"] == {"name": "dsn", "key": "url"}
    config = stan_conf(items)
    assert "source: $STAN_SQL_SOURCE" in config
    assert "file_options" not in config
    assert "dir:" not in config


def test_an_older_store_can_be_handed_over_by_an_init_container() -> None:
    item = workload(at("persistence.volumePermissions.enabled", True))
    first = objects.pod_spec(item)["initContainers"][0]
    assert first["command"] == ["chown", "-R", "10001:10001", "/data/stan"]
    assert first["image"] == "nats-streaming:0.25.6-alpine"
    assert first["securityContext"]["runAsUser"] == 0
    assert objects.mounts(first)["data"]["mountPath"] == "/data/stan"


@pytest.mark.parametrize("option", ["nfsvers=4.0", "vers=4.2", "lock", "local_lock=none", "hard"])
def test_mount_options_that_leave_locks_shared_are_taken(option: str) -> None:
    values = layered(NFS, at("persistence.staticVolume.nfs.mountOptions", ["nfsvers=4.1", option]))
    assert find(render("stan-ft", values), "PersistentVolume")["spec"]["mountOptions"][1] == option


def test_fault_tolerance_is_the_only_mode() -> None:
    config = stan_conf(render("stan-ft"))
    streaming = config[config.index("streaming {") :]
    assert 'ft_group_name: "test-cluster"' in streaming
    assert "cluster {" not in streaming
    assert chart_values("stan-ft")["replicas"] >= 2


def test_two_releases_on_one_claim_keep_their_stores_apart() -> None:
    found = {release: stan_conf(render("stan-ft", release=release)) for release in ("stan", "orders", "stan-eu")}
    directories = {release: re.findall(r'dir: "(.*)"', text) for release, text in found.items()}
    assert directories == {
        "stan": ["/data/stan/store"],
        "orders": ["/data/stan/orders-stan"],
        "stan-eu": ["/data/stan/stan-eu"],
    }
