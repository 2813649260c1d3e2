"""Bad values stop the installation with a message that names the key."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from harness.charts.render import RenderError, at, environment, layered, render
from harness.ground.paths import CHARTS

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
CSI = environment("eks-csi", "efs-provisioner")
KIND = environment("kind", "efs-provisioner")


def claim(**more: Any) -> dict[str, Any]:
    return {"claims": [{"name": "efs", "size": "1Mi", **more}]}


def volume(**source: Any) -> dict[str, Any]:
    return claim(volume=source)


# Wrong shapes: base values, what is set, and where the message must point (the schema says it with slashes).
SHAPES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # unknown keys, at every level
    (LEGACY, {"engin": "efs-csi"}, "'engin'"),
    (LEGACY, at("fileSystem.fileSystemId", "fs-c22a24bb"), "'/fileSystem'"),
    (LEGACY, at("storageClass.reclaimpolicy", "Retain"), "'/storageClass'"),
    (LEGACY, at("efsProvisioner.image.pullpolicy", "Always"), "'/efsProvisioner/image'"),
    (LEGACY, at("efsProvisioner.gidAllocate.gidMin", 1), "'/efsProvisioner/gidAllocate'"),
    (LEGACY, at("controller.replicaCount", 2), "'/controller'"),
    (LEGACY, at("serviceAccount.annotation", {}), "'/serviceAccount'"),
    (LEGACY, at("rbac.enabled", True), "'/rbac'"),
    (NFS, at("nfs.mountOptions", []), "'/nfs'"),
    (NFS, at("nfsSubdir.archiveOnDelete", True), "'/nfsSubdir'"),
    (CSI, at("efsCsi.directoryPerm", "700"), "'/efsCsi'"),
    (KIND, claim(accessMode="ReadWriteMany"), "'/claims/0'"),
    (KIND, volume(efs={"id": "fs-c22a24bb"}), "'/claims/0/volume'"),
    (KIND, volume(nfs={"server": "a", "path": "/", "readOnly": True}), "'/claims/0/volume/nfs'"),
    # engine and names
    (LEGACY, {"engine": "efs"}, "'/engine'"),
    (LEGACY, {"engine": ""}, "'/engine'"),
    (LEGACY, {"engine": "EFS-CSI"}, "'/engine'"),
    (LEGACY, {"engine": ["efs-csi"]}, "'/engine'"),
    (LEGACY, {"provisionerName": "synadia.com/aws/efs"}, "'/provisionerName'"),
    (LEGACY, {"provisionerName": "Synadia.com/aws-efs"}, "'/provisionerName'"),
    (LEGACY, {"provisionerName": "example.com/aws_efs"}, "'/provisionerName'"),
    (LEGACY, {"provisionerName": ""}, "'/provisionerName'"),
    (LEGACY, {"nameOverride": "a store"}, "'/nameOverride'"),
    (LEGACY, {"fullnameOverride": "x" * 46}, "'/fullnameOverride'"),
    # file system
    (LEGACY, at("fileSystem.id", "c22a24bb"), "'/fileSystem/id'"),
    (LEGACY, at("fileSystem.id", "fs-c22a24b"), "'/fileSystem/id'"),
    (LEGACY, at("fileSystem.id", "fs-C22A24BB"), "'/fileSystem/id'"),
    (LEGACY, at("fileSystem.id", "fs-c22a24bb.efs.us-east-2.amazonaws.com"), "'/fileSystem/id'"),
    (LEGACY, at("fileSystem.id", "fsap-0123456789abcdef0"), "'/fileSystem/id'"),
    (LEGACY, at("fileSystem.region", "us-east"), "'/fileSystem/region'"),
    (LEGACY, at("fileSystem.region", "us-east-2a"), "'/fileSystem/region'"),
    (LEGACY, at("fileSystem.region", "US-EAST-2"), "'/fileSystem/region'"),
    (LEGACY, at("fileSystem.region", 2), "'/fileSystem/region'"),
    (LEGACY, at("fileSystem.dnsName", "https://efs.example.com"), "'/fileSystem/dnsName'"),
    (LEGACY, at("fileSystem.dnsName", "efs.example.com:/"), "'/fileSystem/dnsName'"),
    (LEGACY, at("fileSystem.dnsName", "efs_1.example.com"), "'/fileSystem/dnsName'"),
    (NFS, at("nfs.server", "nfs.example.com:/srv"), "'/nfs/server'"),
    (NFS, at("nfs.server", "nfs example"), "'/nfs/server'"),
    (NFS, at("nfs.path", "srv/stan"), "'/nfs/path'"),
    (NFS, at("nfs.path", ""), "'/nfs/path'"),
    (LEGACY, {"basePath": "../stan"}, "'/basePath'"),
    (LEGACY, {"basePath": "stan/../../etc"}, "'/basePath'"),
    # mount options
    (LEGACY, {"mountOptions": "nfsvers=4.1"}, "'/mountOptions'"),
    (LEGACY, {"mountOptions": [4.1]}, "'/mountOptions/0'"),
    # class
    (LEGACY, at("storageClass.name", "AWS-EFS"), "'/storageClass/name'"),
    (LEGACY, at("storageClass.name", ""), "'/storageClass/name'"),
    (LEGACY, at("storageClass.create", "yes"), "'/storageClass/create'"),
    (LEGACY, at("storageClass.reclaimPolicy", "retain"), "'/storageClass/reclaimPolicy'"),
    (LEGACY, at("storageClass.reclaimPolicy", "Recycle"), "'/storageClass/reclaimPolicy'"),
    (LEGACY, at("storageClass.volumeBindingMode", "Delayed"), "'/storageClass/volumeBindingMode'"),
    (LEGACY, at("storageClass.parameters", {"gidMin": 5}), "'/storageClass/parameters/gidMin'"),
    # claims
    (KIND, {"claims": {"efs": "1Mi"}}, "'/claims'"),
    (KIND, {"claims": [{"size": "1Mi"}]}, "'/claims/0/name'"),
    (KIND, {"claims": [{"name": "efs"}]}, "'/claims/0/size'"),
    (KIND, claim(name="EFS"), "'/claims/0/name'"),
    (KIND, claim(name="efs.a"), "'/claims/0/name'"),
    (KIND, claim(size="1MB"), "'/claims/0/size'"),
    (KIND, claim(size="1 Gi"), "'/claims/0/size'"),
    (KIND, claim(size="-1Gi"), "'/claims/0/size'"),
    (KIND, claim(size=1048576), "'/claims/0/size'"),
    (KIND, claim(size=""), "'/claims/0/size'"),
    (KIND, claim(accessModes="ReadWriteMany"), "'/claims/0/accessModes'"),
    (KIND, claim(accessModes=["ReadWriteOnce"]), "'/claims/0/accessModes/0'"),
    (KIND, claim(accessModes=["RWX"]), "'/claims/0/accessModes/0'"),
    (KIND, claim(accessModes=["ReadWriteOncePod", "ReadWriteMany"]), "'/claims/0/accessModes/0'"),
    (KIND, claim(keep="no"), "'/claims/0/keep'"),
    (KIND, volume(nfs={"server": "nfs.example.com"}), "'/claims/0/volume/nfs'"),
    (KIND, volume(nfs={"server": "nfs.example.com", "path": "srv"}), "'/claims/0/volume/nfs/path'"),
    (KIND, volume(csi={"driver": "efs.csi.aws.com"}), "'/claims/0/volume/csi'"),
    (KIND, volume(csi={"driver": "efs.csi.aws.com", "volumeHandle": ""}), "'/claims/0/volume/csi/volumeHandle'"),
    (KIND, volume(hostPath={"path": "mnt/efs"}), "'/claims/0/volume/hostPath/path'"),
    (KIND, volume(hostPath={"path": "/"}), "'/claims/0/volume/hostPath/path'"),
    (KIND, volume(persistentVolume="PV_1"), "'/claims/0/volume/persistentVolume'"),
    (KIND, volume(hostPath={"path": "/mnt"}, gid=0), "'/claims/0/volume/gid'"),
    # engines
    (LEGACY, at("efsProvisioner.image.tag", ""), "'/efsProvisioner/image/tag'"),
    (LEGACY, at("efsProvisioner.image.digest", "0123abcd"), "'/efsProvisioner/image'"),
    (LEGACY, at("efsProvisioner.image.pullPolicy", "always"), "'/efsProvisioner/image/pullPolicy'"),
    (LEGACY, at("efsProvisioner.image.repository", "Efs Provisioner"), "'/efsProvisioner/image'"),
    (LEGACY, at("efsProvisioner.gidAllocate.enabled", "false"), "'/efsProvisioner/gidAllocate/enabled'"),
    (LEGACY, at("efsProvisioner.gidAllocate.min", 0), "'/efsProvisioner/gidAllocate/min'"),
    (LEGACY, at("efsProvisioner.gidAllocate.max", 2147483648), "'/efsProvisioner/gidAllocate/max'"),
    (NFS, at("nfsSubdir.onDelete", "keep"), "'/nfsSubdir/onDelete'"),
    (NFS, at("nfsSubdir.pathPattern", "../stan"), "'/nfsSubdir/pathPattern'"),
    (NFS, at("nfsSubdir.runAsUser", "root"), "'/nfsSubdir/runAsUser'"),
    (NFS, at("nfsSubdir.runAsUser", -1), "'/nfsSubdir/runAsUser'"),
    (CSI, at("efsCsi.directoryPerms", 700), "'/efsCsi/directoryPerms'"),
    (CSI, at("efsCsi.directoryPerms", "0888"), "'/efsCsi/directoryPerms'"),
    (CSI, at("efsCsi.uid", "10001"), "'/efsCsi/uid'"),
    # controller
    (LEGACY, at("controller.replicas", 0), "'/controller/replicas'"),
    (LEGACY, at("controller.replicas", 6), "'/controller/replicas'"),
    (LEGACY, at("controller.ownVolume", "nfs"), "'/controller/ownVolume'"),
    (LEGACY, at("container.env", {"2ND": "x"}), "'/container/env'"),
    (LEGACY, at("container.env", [{"name": "A", "value": "b"}]), "'/container/env'"),
    (LEGACY, at("podTemplate.terminationGracePeriodSeconds", "10s"), "'/podTemplate/terminationGracePeriodSeconds'"),
    (LEGACY, at("networkPolicy.enabled", "true"), "'/networkPolicy/enabled'"),
    (LEGACY, at("serviceAccount.name", "My Account"), "'/serviceAccount/name'"),
    (LEGACY, {"commonAnnotations": {"a": True}}, "'/commonAnnotations/a'"),
    (LEGACY, {"extraObjects": {"kind": "ConfigMap"}}, "'/extraObjects'"),
    (LEGACY, {"extraObjects": [5]}, "'/extraObjects/0'"),
]

# What only the chart can see: the message names the value and what to do.
CHART: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {}, "fileSystem.id", "--set fileSystem.id="),
    (LEGACY, at("fileSystem.id", ""), "fileSystem.id", "--set fileSystem.id="),
    (LEGACY, at("fileSystem.region", ""), "fileSystem.region", "--set fileSystem.region="),
    (CSI, at("fileSystem.id", ""), "fileSystem.id", "--set fileSystem.id="),
    (LEGACY, at("fileSystem.region", "us-iso-east-1"), "fileSystem.dnsName", "Set the file system's full DNS name"),
    (NFS, at("nfs.server", ""), "nfs.server", "Set nfs.server=HOST"),
    (LEGACY, at("efsProvisioner.gidAllocate.min", 50001), "efsProvisioner.gidAllocate.min", "Swap them"),
    (LEGACY, at("efsProvisioner.image.tag", "latest"), "efsProvisioner.image.tag", "Name a release"),
    (LEGACY, at("container.env", {"AWS_REGION": "x"}), "container.env.AWS_REGION", "Set fileSystem.region"),
    (CSI, at("storageClass.parameters", {"uid": "0"}), "storageClass.parameters.uid", "Set efsCsi.uid"),
    (NFS, at("storageClass.parameters", {"onDelete": "delete"}), "storageClass.parameters.onDelete", "Set nfsSubdir."),
    (LEGACY, at("storageClass.parameters", {"gidMin": "1"}), "storageClass.parameters.gidMin", "Set efsProvisioner."),
    (KIND, claim(accessModes=["ReadOnlyMany"]), "claims[0].accessModes", "Add ReadWriteMany"),
    (KIND, claim(size="0Gi"), "claims[0].size", "Ask for 1Mi or more"),
    (KIND, claim(size="0.0"), "claims[0].size", "Ask for 1Mi or more"),
    (KIND, {"claims": [{"name": "a", "size": "1Mi"}] * 2}, "claims[1].name", "Give each claim its own name"),
    (LEGACY, volume(persistentVolume="pv"), "claims[0].volume", "set engine=existing"),
    (CSI, volume(persistentVolume="pv"), "claims[0].volume", "set engine=existing"),
    (KIND, volume(gid=7), "claims[0].volume", "Name exactly one"),
    (KIND, volume(hostPath={"path": "/a"}, persistentVolume="pv"), "claims[0].volume", "Name exactly one"),
    (KIND, volume(persistentVolume="pv", gid=7), "claims[0].volume.gid", "Annotate it"),
    (
        KIND,
        volume(csi={"driver": "efs.csi.aws.com", "volumeHandle": "c22a24bb"}),
        "claims[0].volume.csi.volumeHandle",
        "Write fs-ID",
    ),
    (
        NFS,
        {"nfsSubdir": {"pathPattern": "${.PVC.namespace}/${.PVC.name}"}, "storageClass": {"reclaimPolicy": "Delete"}},
        "nfsSubdir.pathPattern",
        "Set nfsSubdir.onDelete=retain",
    ),
    (
        CSI,
        {"efsCsi": {"reuseAccessPoint": True, "subPathPattern": ""}, "storageClass": {"reclaimPolicy": "Delete"}},
        "efsCsi.reuseAccessPoint",
        "Set storageClass.reclaimPolicy=Retain",
    ),
]


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(RenderError) as refused:
        render("efs-provisioner", values)
    return refused.value.message


@pytest.mark.parametrize(("base", "bad", "where"), SHAPES, ids=[json.dumps(bad)[:70] for _, bad, _ in SHAPES])
def test_a_wrong_shape_is_refused_and_its_place_is_said(base: dict[str, Any], bad: dict[str, Any], where: str) -> None:
    message = refusal(layered(base, bad))
    words = re.sub(r"/(\d+)", r"[\1]", where.strip("'")).lstrip("/").replace("/", ".")
    assert where in message or f"  - {words}" in message


@pytest.mark.parametrize(
    ("base", "bad", "key", "remedy"), CHART, ids=[f"{n} {key}" for n, (_, _, key, _) in enumerate(CHART)]
)
def test_the_chart_refuses_it_and_says_what_to_do(
    base: dict[str, Any], bad: dict[str, Any], key: str, remedy: str
) -> None:
    message = refusal(layered(base, bad))
    assert f"  - {key}: " in message
    assert remedy in message


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len(SHAPES) + len(CHART) >= 60


def test_all_problems_are_told_at_once() -> None:
    message = refusal({"engine": "efs-provisioner", "mountOptions": ["nfsvers=4.1", "nolock"]})
    for key in ("fileSystem.id: ", "fileSystem.region: ", "mountOptions: "):
        assert f"  - {key}" in message


# Every value of version 0.1.0 that is called something else now, with something that was set there.
OLD = yaml.safe_load((CHARTS / "efs-provisioner" / "files" / "old-keys.yaml").read_text())
BEFORE: dict[str, Any] = {
    "controller.extraEnv": {"A": "b"},
    "controller.podLabels": {"a": "b"},
    "controller.podAnnotations": {"a": "b"},
    "controller.affinity": {"podAffinity": {}},
    "controller.resources": {"limits": {"memory": "1Gi"}},
    "controller.nodeSelector": {"a": "b"},
    "controller.tolerations": [{"operator": "Exists"}],
    "controller.topologySpreadConstraints": [{"maxSkew": 1}],
    "controller.imagePullSecrets": ["a"],
    "controller.priorityClassName": "high",
    "controller.terminationGracePeriodSeconds": 5,
    "controller.revisionHistoryLimit": 5,
    "controller.podDisruptionBudget": {"enabled": True},
    "controller.networkPolicy": {"enabled": True},
}


@pytest.mark.parametrize("old", sorted(BEFORE))
def test_a_key_of_the_chart_before_is_refused_with_the_one_of_today(old: str) -> None:
    assert f"  - {old}: " in refusal(layered(NFS, at(old, BEFORE[old])))
    assert f"What says the same here: {OLD[old]}." in refusal(layered(NFS, at(old, BEFORE[old])))


def test_every_key_that_is_called_something_else_now_is_tried() -> None:
    assert set(OLD) == set(BEFORE)


MERGES = (
    *("storageClass.merge", "controller.merge", "controller.mergeSettings", "controller.mergeVolume"),
    *("controller.mergeClaim", "podDisruptionBudget.merge", "networkPolicy.merge", "serviceAccount.merge"),
    *("rbac.mergeClusterRole", "rbac.mergeClusterRoleBinding", "rbac.mergeRole", "rbac.mergeRoleBinding"),
)
ALL = layered(NFS, {"podDisruptionBudget": {"enabled": True}, "networkPolicy": {"enabled": True}})


@pytest.mark.parametrize("path", MERGES)
def test_a_merge_reaches_its_object_and_may_not_take_its_name(path: str) -> None:
    made = render("efs-provisioner", layered(ALL, at(f"{path}.metadata.annotations", {"example.com/merged": "yes"})))
    reached = [each for each in made if "example.com/merged" in each["metadata"].get("annotations", {})]
    assert len(reached) == 1
    for field, value in (("kind", "Other"), ("metadata.name", None), ("apiVersion", "v9")):
        assert f"  - {path}.{field}: the chart's other objects count on it. " in refusal(
            layered(ALL, at(f"{path}.{field}", value))
        )


def test_a_claim_and_its_static_volume_have_a_merge_each() -> None:
    own = {"spec": {"selector": {"matchLabels": {"a": "b"}}}}
    affinity = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": []}}}}
    made = render("efs-provisioner", layered(KIND, claim(merge=own, volume={"persistentVolume": "", "merge": {}})))
    assert [each["spec"]["selector"] for each in made if each["kind"] == "PersistentVolumeClaim"] == [
        own["spec"]["selector"]
    ]
    made = render("efs-provisioner", layered(KIND, volume(hostPath={"path": "/mnt/efs"}, merge=affinity)))
    assert [each["spec"]["nodeAffinity"] for each in made if each["kind"] == "PersistentVolume"] == [
        affinity["spec"]["nodeAffinity"]
    ]


def test_a_merge_may_not_take_the_controller_from_its_selector() -> None:
    bad = at(("podTemplate", "merge", "metadata", "labels", "app.kubernetes.io/instance"), "other")
    assert "  - podTemplate.merge.metadata.labels: " in refusal(layered(NFS, bad))
    assert "  - controller.merge.spec.selector: " in refusal(
        layered(NFS, at("controller.merge.spec.selector.matchLabels", {"a": "b"}))
    )


def test_a_merge_may_not_name_another_provisioner_nor_other_mount_options() -> None:
    for path, value in {"provisioner": "example.com/a", "mountOptions": ["nolock"]}.items():
        assert f"  - storageClass.merge.{path}: " in refusal(layered(NFS, at(f"storageClass.merge.{path}", value)))


def test_a_budget_has_either_of_its_two_numbers() -> None:
    budget = layered(ALL, at("podDisruptionBudget.merge.spec.minAvailable", 1))
    (made,) = (each for each in render("efs-provisioner", budget) if each["kind"] == "PodDisruptionBudget")
    assert (made["spec"].get("minAvailable"), made["spec"].get("maxUnavailable")) == (1, None)
