"""From one storage engine to another, and from the recipe to the chart, with every message kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from efs_controller import controller, provisioner_name
from efs_messages import publish, read
from efs_space import Space, open_space

from harness.charts.render import environment, layered
from harness.cluster.kind import Cluster
from harness.ground import toolchain
from harness.ground.paths import CHARTS, REPO
from stanft.ground import shell
from stanft.kube import objects

KIND = environment("kind", "efs-provisioner")
COUNT = 200
ALL = [str(number) for number in range(COUNT)]


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    opened = open_space(cluster, {"pod-security.kubernetes.io/enforce": "restricted"})
    yield opened
    opened.close()


def dynamic(space: Space, **more: Any) -> dict[str, Any]:
    return layered(KIND, {"storageClass": {"name": space.name}}, more)


def test_a_claim_made_anew_over_a_static_volume_of_the_same_directory_has_the_messages(space: Space) -> None:
    space.install(dynamic(space))
    directory = space.get("pv", space.wait_bound()["spec"]["volumeName"])["spec"]["hostPath"]["path"]
    publish(space.server("before"), COUNT)
    space.kubectl("delete", "pod", "before")
    space.kubectl("delete", "pvc", "efs")
    space.kubectl("delete", "storageclass", space.name)
    volume = {"hostPath": {"path": directory}, "gid": 10001}
    space.install(dynamic(space, claims=[{"name": "efs", "size": "1Mi", "volume": volume}]))
    assert space.wait_bound()["spec"]["volumeName"] == f"{space.name}-efs-provisioner-efs"
    assert read(space.server("after"), COUNT) == ALL


def test_the_guides_copy_job_brings_the_messages_to_another_claim(space: Space) -> None:
    space.install(dynamic(space))
    other = {"storageClass": {"name": f"{space.name}-new"}, "claims": [{"name": "efs-new", "size": "1Mi"}]}
    space.install(dynamic(space, **other), "efs-new")
    space.wait_bound()
    publish(space.server("before"), COUNT)
    space.kubectl("delete", "pod", "before")
    space.wait_bound("efs-new")
    guide = (REPO / "docs/storage-engines.md").read_text()
    job = objects.parse(re.findall(r"^# copy\.yaml\n(.*?)^```", guide, flags=re.M | re.S)[0])
    space.apply(*job)
    space.kubectl("wait", "--for=condition=Complete", "job/copy-store", "--timeout=120s")
    counted = space.kubectl("logs", "job/copy-store").splitlines()
    assert len(counted) == 4, counted
    files_old, size_old, files_new, size_new = counted
    assert files_old == files_new
    assert size_old.split()[0] == size_new.split()[0]
    assert read(space.server("after", "efs-new"), COUNT) == ALL


def recipe(space: Space) -> list[objects.Object]:
    """The recipe's objects as a cluster of today takes them, with names of this test's own in the cluster's scope."""
    text = (REPO / "tests/fixtures/recipe/original/efs-provisioner.yaml").read_text()
    text = text.replace("aws-efs", space.name).replace(f"synadia.com/{space.name}", provisioner_name(space))
    found = objects.parse(text.replace("namespace: default", f"namespace: {space.name}"))
    deployment = objects.find(found, "Deployment")
    deployment["apiVersion"] = "apps/v1"
    deployment["spec"]["selector"] = {"matchLabels": {"app": "efs-provisioner"}}  # what extensions/v1beta1 defaulted
    deployment["spec"]["template"]["spec"]["nodeSelector"] = {"example.com/no-such-node": "true"}
    for item in found:
        item["metadata"]["labels"] = {"space": space.name}
    return found


def take_over(space: Space, values: dict[str, Any]) -> None:
    """What the chart's README says: helm's own command line, with the flags that take over what kubectl made."""
    flags = ["--namespace", space.name, "--take-ownership", "--server-side=false", "--values", "-"]
    command = [toolchain.ensure("helm"), "install", "efs-provisioner", CHARTS / "efs-provisioner", *flags]
    shell.run(
        command,
        env={"KUBECONFIG": str(space.cluster.kubeconfig)},
        stdin=json.dumps(layered(values, {"commonLabels": {"space": space.name}})),
    )


def test_the_recipes_live_objects_are_taken_over_in_place(cluster: Cluster, tmp_path: Path) -> None:
    space = open_space(cluster)
    try:
        space.apply(*recipe(space))
        with controller(space, tmp_path, "efs-provisioner"):
            before = space.wait_bound()
        assert "storageClassName" not in before["spec"]
        directory = space.volume_of()["spec"]["hostPath"]["path"]
        cluster.node_exec(cluster.workers()[0], "mkdir", "-p", "-m", "0777", directory)
        deployment = space.get("deployment", "efs-provisioner")
        publish(space.server("before"), COUNT)
        space.kubectl("delete", "storageclass", space.name)
        values = layered(
            environment("eks-legacy", "efs-provisioner"),
            {
                "provisionerName": provisioner_name(space),
                "storageClass": {"name": space.name},
                "podTemplate": {"nodeSelector": {"example.com/no-such-node": "true"}},
            },
        )
        take_over(space, values)
        after = space.wait_bound()
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["spec"]["volumeName"] == before["spec"]["volumeName"]
        assert after["spec"]["storageClassName"] == space.name
        assert space.get("deployment", "efs-provisioner")["metadata"]["uid"] == deployment["metadata"]["uid"]
        volumes = space.get("deployment", "efs-provisioner")["spec"]["template"]["spec"]["volumes"]
        assert [volume.keys() for volume in volumes] == [{"name", "persistentVolumeClaim"}]
        assert space.get("pod", "before")["status"]["phase"] == "Running"
        assert space.get("pod", "before")["status"]["containerStatuses"][0]["restartCount"] == 0
        owner = json.loads(space.kubectl("get", "pvc", "efs", "-o", "jsonpath={.metadata.annotations}"))
        assert owner["meta.helm.sh/release-name"] == "efs-provisioner"
        assert owner["helm.sh/resource-policy"] == "keep"
    finally:
        space.close()


def engine(space: Space, name: str, **more: Any) -> dict[str, Any]:
    """Values of an engine whose image and file system this cluster lacks: its objects are what is under test."""
    base = {
        "fullnameOverride": space.name,
        "engine": name,
        "provisionerName": provisioner_name(space),
        "fileSystem": {"id": "fs-c22a24bb", "region": "us-east-2"},
        "storageClass": {"name": space.name},
        "podTemplate": {"nodeSelector": {"example.com/no-such-node": "true"}},
    }
    return layered(base, more)


def test_a_release_goes_through_all_engines_and_its_claim_stays(space: Space) -> None:
    space.install(engine(space, "efs-provisioner"))
    claim = space.get("pvc", "efs")["metadata"]["uid"]
    deployment = space.get("deployment", space.name)["metadata"]["uid"]
    for name in ("nfs-subdir", "efs-csi", "existing"):
        space.kubectl("delete", "storageclass", space.name)
        space.install(engine(space, name))
        assert space.get("pvc", "efs")["metadata"]["uid"] == claim
        if name == "nfs-subdir":
            assert space.get("deployment", space.name)["metadata"]["uid"] == deployment
            container = space.get("deployment", space.name)["spec"]["template"]["spec"]["containers"][0]
            assert set(objects.env(container)) == {"NFS_SERVER", "NFS_PATH", "PROVISIONER_NAME"}
        else:
            assert not space.exists("deployment", space.name)
            assert not space.exists("clusterrole", f"{space.name}-runner")


def test_the_controller_moves_to_another_file_system_by_an_upgrade(space: Space) -> None:
    def places() -> set[str]:
        found = json.loads(space.kubectl("get", "pv", "-l", f"space={space.name}", "-o", "json"))["items"]
        return {volume["spec"]["nfs"]["server"] for volume in found if "deletionTimestamp" not in volume["metadata"]}

    space.install(engine(space, "nfs-subdir", nfs={"server": "192.0.2.1"}))
    assert places() == {"192.0.2.1"}
    space.install(engine(space, "nfs-subdir", nfs={"server": "192.0.2.2"}))
    space.wait_until(lambda: places() == {"192.0.2.2"})
