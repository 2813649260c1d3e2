"""Bad values stop the installation with a message that names the key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.charts.render import RenderError, at, environment, layered, render

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
CSI = environment("eks-csi", "efs-provisioner")
KIND = environment("kind", "efs-provisioner")


def claim(**more: Any) -> dict[str, Any]:
    return {"claims": [{"name": "efs", "size": "1Mi", **more}]}


def volume(**source: Any) -> dict[str, Any]:
    return claim(volume=source)


# What the schema refuses: base values, what is set, and where the message must point.
SCHEMA: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # unknown keys, at every level
    (LEGACY, {"engin": "efs-csi"}, "'engin'"),
    (LEGACY, at("fileSystem.fileSystemId", "fs-c22a24bb"), "'/fileSystem'"),
    (LEGACY, at("storageClass.reclaimpolicy", "Retain"), "'/storageClass'"),
    (LEGACY, at("efsProvisioner.image.pullpolicy", "Always"), "'/efsProvisioner/image'"),
    (LEGACY, at("efsProvisioner.gidAllocate.gidMin", 1), "'/efsProvisioner/gidAllocate'"),
    (LEGACY, at("controller.replicaCount", 2), "'/controller'"),
    (LEGACY, at("controller.resources.request", {}), "'/controller/resources'"),
    (LEGACY, at("controller.resources.limits.mem", "1Mi"), "'/controller/resources/limits'"),
    (LEGACY, at("controller.tolerations", [{"keys": "a"}]), "'/controller/tolerations/0'"),
    (LEGACY, at("controller.affinity.podAffinities", {}), "'/controller/affinity'"),
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
    (LEGACY, {"nameOverride": "Store"}, "'/nameOverride'"),
    (LEGACY, {"fullnameOverride": "x" * 41}, "'/fullnameOverride'"),
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
    (LEGACY, {"basePath": "/stan"}, "'/basePath'"),
    (LEGACY, {"basePath": "stan/"}, "'/basePath'"),
    (LEGACY, {"basePath": "../stan"}, "'/basePath'"),
    (LEGACY, {"basePath": "stan/../../etc"}, "'/basePath'"),
    # mount options
    (LEGACY, {"mountOptions": "nfsvers=4.1"}, "'/mountOptions'"),
    (LEGACY, {"mountOptions": ["nfsvers=4.1", "nfsvers=4.1"]}, "'/mountOptions'"),
    (LEGACY, {"mountOptions": ["-o nolock"]}, "'/mountOptions/0'"),
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
    (KIND, {"claims": [{"size": "1Mi"}]}, "'name'"),
    (KIND, {"claims": [{"name": "efs"}]}, "'size'"),
    (KIND, claim(name="EFS"), "'/claims/0/name'"),
    (KIND, claim(name="efs.a"), "'/claims/0/name'"),
    (KIND, claim(size="1MB"), "'/claims/0/size'"),
    (KIND, claim(size="1 Gi"), "'/claims/0/size'"),
    (KIND, claim(size="-1Gi"), "'/claims/0/size'"),
    (KIND, claim(size=1048576), "'/claims/0/size'"),
    (KIND, claim(size=""), "'/claims/0/size'"),
    (KIND, claim(accessModes="ReadWriteMany"), "'/claims/0/accessModes'"),
    (KIND, claim(accessModes=[]), "'/claims/0/accessModes'"),
    (KIND, claim(accessModes=["ReadWriteOnce"]), "'/claims/0/accessModes/0'"),
    (KIND, claim(accessModes=["RWX"]), "'/claims/0/accessModes/0'"),
    (KIND, claim(accessModes=["ReadWriteOncePod", "ReadWriteMany"]), "'/claims/0/accessModes/0'"),
    (KIND, claim(keep="no"), "'/claims/0/keep'"),
    (KIND, claim(labels={"group": "a b"}), "'/claims/0/labels/group'"),
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
    (LEGACY, at("efsProvisioner.image.digest", "0123abcd"), "'/efsProvisioner/image/digest'"),
    (LEGACY, at("efsProvisioner.image.pullPolicy", "always"), "'/efsProvisioner/image/pullPolicy'"),
    (LEGACY, at("efsProvisioner.image.repository", "Efs Provisioner"), "'/efsProvisioner/image/repository'"),
    (LEGACY, at("efsProvisioner.gidAllocate.enabled", "false"), "'/efsProvisioner/gidAllocate/enabled'"),
    (LEGACY, at("efsProvisioner.gidAllocate.min", 0), "'/efsProvisioner/gidAllocate/min'"),
    (LEGACY, at("efsProvisioner.gidAllocate.max", 2147483648), "'/efsProvisioner/gidAllocate/max'"),
    (NFS, at("nfsSubdir.onDelete", "keep"), "'/nfsSubdir/onDelete'"),
    (NFS, at("nfsSubdir.pathPattern", "/stan"), "'/nfsSubdir/pathPattern'"),
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
    (LEGACY, at("controller.extraEnv", {"2ND": "x"}), "'/controller/extraEnv'"),
    (LEGACY, at("controller.extraEnv", {"DEBUG": 1}), "'/controller/extraEnv/DEBUG'"),
    (LEGACY, at("controller.extraEnv", [{"name": "A", "value": "b"}]), "'/controller/extraEnv'"),
    (LEGACY, at("controller.resources.limits.memory", "128MB"), "'/controller/resources/limits/memory'"),
    (LEGACY, at("controller.tolerations", [{"effect": "NoRun"}]), "'/controller/tolerations/0/effect'"),
    (LEGACY, at("controller.topologySpreadConstraints", [{}]), "'/controller/topologySpreadConstraints/0'"),
    (LEGACY, at("controller.terminationGracePeriodSeconds", "10s"), "'/controller/terminationGracePeriodSeconds'"),
    (LEGACY, at("controller.podDisruptionBudget", True), "'/controller/podDisruptionBudget'"),
    (LEGACY, at("controller.networkPolicy.enabled", "true"), "'/controller/networkPolicy/enabled'"),
    (LEGACY, at("serviceAccount.name", "My Account"), "'/serviceAccount/name'"),
    (LEGACY, {"commonLabels": {"te am": "x"}}, "'/commonLabels'"),
    (LEGACY, {"commonLabels": {"team": "x" * 64}}, "'/commonLabels/team'"),
    (LEGACY, {"commonAnnotations": {"a b": "x"}}, "'/commonAnnotations'"),
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
    (LEGACY, at("fileSystem.region", "us-iso-east-1"), "fileSystem.dnsName", "set the file system's full DNS name"),
    (NFS, at("nfs.server", ""), "nfs.server", "set nfs.server=HOST"),
    (LEGACY, at("efsProvisioner.gidAllocate.min", 50001), "efsProvisioner.gidAllocate.min", "swap them"),
    (LEGACY, at("efsProvisioner.image.tag", "latest"), "efsProvisioner.image.tag", "name a release"),
    (LEGACY, at("controller.extraEnv", {"AWS_REGION": "x"}), "controller.extraEnv.AWS_REGION", "set fileSystem.region"),
    (CSI, at("storageClass.parameters", {"uid": "0"}), "storageClass.parameters.uid", "set efsCsi.uid"),
    (NFS, at("storageClass.parameters", {"onDelete": "delete"}), "storageClass.parameters.onDelete", "set nfsSubdir."),
    (LEGACY, at("storageClass.parameters", {"gidMin": "1"}), "storageClass.parameters.gidMin", "set efsProvisioner."),
    (KIND, claim(accessModes=["ReadOnlyMany"]), "claims[0].accessModes", "add ReadWriteMany"),
    (KIND, claim(size="0Gi"), "claims[0].size", "ask for 1Mi or more"),
    (KIND, claim(size="0.0"), "claims[0].size", "ask for 1Mi or more"),
    (KIND, {"claims": [{"name": "a", "size": "1Mi"}] * 2}, "claims[1].name", "give each claim its own name"),
    (LEGACY, volume(persistentVolume="pv"), "claims[0].volume", "set engine=existing"),
    (CSI, volume(persistentVolume="pv"), "claims[0].volume", "set engine=existing"),
    (KIND, volume(gid=7), "claims[0].volume", "name exactly one"),
    (KIND, volume(hostPath={"path": "/a"}, persistentVolume="pv"), "claims[0].volume", "name exactly one"),
    (KIND, volume(persistentVolume="pv", gid=7), "claims[0].volume.gid", "annotate it"),
    (
        KIND,
        volume(csi={"driver": "efs.csi.aws.com", "volumeHandle": "c22a24bb"}),
        "claims[0].volume.csi.volumeHandle",
        "write fs-ID",
    ),
    (KIND, {"commonLabels": {"app": "x"}}, "commonLabels", "use another key"),
    (LEGACY, at("controller.podLabels", {"app.kubernetes.io/name": "x"}), "controller.podLabels", "use another key"),
    (KIND, claim(labels={"helm.sh/chart": "x"}), "claims[0].labels", "use another key"),
    (
        NFS,
        {"nfsSubdir": {"pathPattern": "${.PVC.namespace}/${.PVC.name}"}, "storageClass": {"reclaimPolicy": "Delete"}},
        "nfsSubdir.pathPattern",
        "set nfsSubdir.onDelete=retain",
    ),
    (
        CSI,
        {"efsCsi": {"reuseAccessPoint": True, "subPathPattern": ""}, "storageClass": {"reclaimPolicy": "Delete"}},
        "efsCsi.reuseAccessPoint",
        "set storageClass.reclaimPolicy=Retain",
    ),
]


@pytest.mark.parametrize(("base", "bad", "where"), SCHEMA, ids=[json.dumps(bad)[:70] for _, bad, _ in SCHEMA])
def test_the_schema_refuses_it_and_says_where(base: dict[str, Any], bad: dict[str, Any], where: str) -> None:
    with pytest.raises(RenderError, match="values don't meet the specifications") as refused:
        render("efs-provisioner", layered(base, bad))
    assert where in refused.value.message


@pytest.mark.parametrize(
    ("base", "bad", "key", "remedy"), CHART, ids=[f"{n} {key}" for n, (_, _, key, _) in enumerate(CHART)]
)
def test_the_chart_refuses_it_and_says_what_to_do(
    base: dict[str, Any], bad: dict[str, Any], key: str, remedy: str
) -> None:
    with pytest.raises(RenderError) as refused:
        render("efs-provisioner", layered(base, bad))
    assert f"  {key}: " in refused.value.message
    assert remedy in refused.value.message


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len(SCHEMA) + len(CHART) >= 60


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RenderError) as refused:
        render("efs-provisioner", {"mountOptions": ["nfsvers=4.1", "nolock"]})
    for key in ("fileSystem.id: ", "fileSystem.region: ", "mountOptions: "):
        assert key in refused.value.message
