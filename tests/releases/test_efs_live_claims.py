"""charts/efs-provisioner on the real cluster: its claim is bound, shared, kept, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from efs_messages import publish, read
from efs_space import SHARED, Space, open_space

from harness.charts.render import environment, layered
from harness.cluster.kind import Cluster
from stanft.ground.errors import UserError
from stanft.ground.shell import CommandError

KIND = environment("kind", "efs-provisioner")
NOWHERE = {"nodeSelector": {"example.com/no-such-node": "true"}}  # for a controller whose image is not here


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    opened = open_space(cluster, {"pod-security.kubernetes.io/enforce": "restricted"})
    yield opened
    opened.close()


@pytest.fixture
def other(cluster: Cluster) -> Iterator[Space]:
    opened = open_space(cluster)
    yield opened
    opened.close()


def dynamic(space: Space, **more: Any) -> dict[str, Any]:
    """Values that use the cluster's own provisioner through a class of this namespace's name."""
    return layered(KIND, {"storageClass": {"name": space.name}}, more)


def static(space: Space, directory: str, **more: Any) -> dict[str, Any]:
    claim = {"name": "efs", "size": "1Mi", "volume": {"hostPath": {"path": directory}, **more}}
    return dynamic(space, claims=[claim])


@pytest.fixture
def directory(cluster: Cluster, space: Space) -> Iterator[str]:
    """A directory that all nodes share, owned by a group of its own as engine efs-provisioner makes them."""
    path, node = f"{SHARED}/{space.name}", cluster.workers()[0]
    cluster.node_exec(node, "sh", "-c", f"mkdir {path} && chgrp 40001 {path} && chmod 2771 {path}")
    yield path
    cluster.node_exec(node, "rm", "-rf", path)


def test_the_claim_is_bound_by_the_clusters_dynamic_provisioner(space: Space) -> None:
    space.install(dynamic(space))
    claim = space.wait_bound()
    volume = space.volume_of()
    assert claim["status"]["accessModes"] == ["ReadWriteMany"]
    assert volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] == KIND["provisionerName"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_pods_on_two_nodes_see_the_same_files_and_each_others_locks(cluster: Cluster, space: Space) -> None:
    space.install(dynamic(space))
    space.wait_bound()
    first, second = (space.pod(f"on-{node}", node=node) for node in cluster.workers()[:2])
    space.sh(first, "echo written-here > /data/marker; (flock 9; sleep 600) 9>/data/lock >/dev/null 2>&1 &")
    assert space.sh(second, "cat /data/marker") == "written-here"
    space.wait_until(lambda: space.sh(first, "flock -n /data/lock true || echo held") == "held", 10)
    assert space.sh(second, "flock -n /data/lock true || echo held") == "held"


def test_the_claim_survives_uninstall_and_reinstall_with_its_data(space: Space) -> None:
    space.install(dynamic(space))
    before = space.wait_bound()
    space.sh(space.pod("writer"), "echo kept > /data/marker")
    space.delete_pod("writer")
    space.uninstall()
    assert not space.exists("storageclass", space.name)
    assert space.get("pvc", "efs")["status"]["phase"] == "Bound"
    space.install(dynamic(space))
    after = space.wait_bound()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert space.sh(space.pod("reader"), "cat /data/marker") == "kept"


def test_the_claim_survives_uninstall_and_reinstall_with_its_messages(space: Space) -> None:
    space.install(dynamic(space))
    space.wait_bound()
    publish(space.server("before"), 200)
    space.kubectl("delete", "pod", "before")
    space.uninstall()
    space.install(dynamic(space))
    assert read(space.server("after"), 200) == [str(number) for number in range(200)]


def test_a_claim_that_is_not_kept_goes_with_the_release_and_leaves_its_volume(space: Space) -> None:
    space.install(dynamic(space, claims=[{"name": "efs", "size": "1Mi", "keep": False}]))
    space.wait_bound()
    volume = space.volume_of()["metadata"]["name"]
    space.uninstall()
    space.wait_until(lambda: not space.exists("pvc", "efs"))
    space.wait_until(lambda: space.get("pv", volume)["status"]["phase"] == "Released")


def test_a_static_volume_is_bound_to_its_claim_and_shared_by_the_nodes(
    cluster: Cluster, space: Space, directory: str
) -> None:
    space.install(static(space, directory, gid=40001))
    claim = space.wait_bound()
    assert claim["spec"]["volumeName"] == f"{space.name}-efs-provisioner-efs"
    first, second = (space.pod(f"on-{node}", node=node) for node in cluster.workers()[:2])
    space.sh(first, "echo static > /data/marker")
    assert space.sh(second, "cat /data/marker") == "static"


def test_the_group_of_a_static_volume_lets_a_user_write_who_else_could_not(space: Space, directory: str) -> None:
    space.install(static(space, directory, gid=40001))
    space.wait_bound()
    member = space.pod("member")
    assert "40001" in space.sh(member, "id -G").split()
    space.sh(member, "touch /data/mine")


def test_without_its_group_a_static_volume_cannot_be_written(space: Space, directory: str) -> None:
    space.install(static(space, directory))
    space.wait_bound()
    with pytest.raises(CommandError, match="Permission denied"):
        space.sh(space.pod("stranger"), "touch /data/mine")


def test_a_static_volume_survives_uninstall_and_reinstall_with_its_data(space: Space, directory: str) -> None:
    space.install(static(space, directory, gid=40001))
    before = space.wait_bound()
    space.sh(space.pod("writer"), "echo kept > /data/marker")
    space.delete_pod("writer")
    space.uninstall()
    assert space.get("pvc", "efs")["status"]["phase"] == "Bound"
    space.install(static(space, directory, gid=40001))
    assert space.wait_bound()["metadata"]["uid"] == before["metadata"]["uid"]
    assert space.sh(space.pod("reader"), "cat /data/marker") == "kept"


def test_a_node_without_the_directory_refuses_the_pod_instead_of_giving_it_an_empty_one(space: Space) -> None:
    space.install(static(space, f"{SHARED}/nobody-made-this-{space.name}"))
    space.wait_bound()
    space.pod("waiting", wait=False)
    space.wait_until(lambda: "is not a directory" in space.kubectl("get", "events"))
    assert space.get("pod", "waiting")["status"]["phase"] == "Pending"


def test_two_releases_in_one_cluster_each_have_their_own_claim_and_data(space: Space, other: Space) -> None:
    for each in (space, other):
        each.install(dynamic(each))
        each.wait_bound()
        each.sh(each.pod("writer"), f"echo {each.name} > /data/marker")
    assert space.volume_of()["metadata"]["name"] != other.volume_of()["metadata"]["name"]
    other.uninstall()
    assert space.exists("storageclass", space.name)
    assert space.sh("writer", "cat /data/marker") == space.name
    assert other.sh("writer", "cat /data/marker") == other.name


def test_two_releases_in_one_namespace_do_not_touch_each_other(space: Space) -> None:
    space.install(dynamic(space), "first")
    second = dynamic(space, claims=[{"name": "second", "size": "1Mi"}])
    space.install(layered(second, {"storageClass": {"name": f"{space.name}-second"}}), "second")
    space.wait_bound()
    space.wait_bound("second")
    space.uninstall("second")
    assert space.exists("storageclass", space.name)
    assert space.get("pvc", "efs")["status"]["phase"] == "Bound"


def test_a_class_that_belongs_to_another_release_is_refused_with_the_value_to_change(
    space: Space, other: Space
) -> None:
    space.install(dynamic(space))
    taken = layered(dynamic(other), {"storageClass": {"name": space.name}})
    with pytest.raises(
        UserError,
        match=f"storageClass.name: the StorageClass {space.name} belongs to release {space.name}/efs-provisioner",
    ):
        other.install(taken)
    other.install(layered(taken, {"storageClass": {"create": False}}))
    assert other.wait_bound()["spec"]["storageClassName"] == space.name


def test_a_second_controller_of_one_name_is_refused_with_the_value_to_change(space: Space, other: Space) -> None:
    space.install(dynamic(space))
    controller = {"engine": "nfs-subdir", "nfs": {"server": "192.0.2.1"}, "storageClass": {"name": other.name}}
    with pytest.raises(UserError, match=f"provisionerName: release .* already answers to {KIND['provisionerName']}"):
        other.install(controller)


def test_the_same_release_name_in_another_namespace_is_refused_where_it_would_collide(
    space: Space, other: Space
) -> None:
    def controller(each: Space) -> dict[str, Any]:
        own = {"provisionerName": f"example.com/{each.name}", "storageClass": {"name": each.name}}
        return {"engine": "nfs-subdir", "nfs": {"server": "192.0.2.1"}, "podTemplate": NOWHERE, **own}

    space.install(controller(space))
    with pytest.raises(
        UserError, match=f"fullnameOverride: release {space.name}/efs-provisioner already uses the name"
    ):
        other.install(controller(other))
    other.install({**controller(other), "fullnameOverride": other.name})
    assert other.exists("deployment", other.name)


def test_a_claim_of_another_release_in_the_namespace_is_not_taken_over(space: Space) -> None:
    space.install(dynamic(space), "first")
    with pytest.raises(UserError, match=r"PersistentVolumeClaim .efs. .* exists and cannot be imported"):
        space.install(layered(dynamic(space), {"storageClass": {"create": False}}), "second")


def test_a_change_of_engine_says_how_and_then_keeps_claim_and_data(space: Space) -> None:
    space.install(dynamic(space))
    before = space.wait_bound()
    space.sh(space.pod("writer"), "echo moved > /data/marker")
    volume = {"persistentVolume": before["spec"]["volumeName"]}
    moved = dynamic(space, claims=[{"name": "efs", "size": "1Mi", "volume": volume}])
    with pytest.raises(UserError, match=f"Run `kubectl delete storageclass {space.name}` .bound claims do not notice"):
        space.install(moved)
    space.kubectl("delete", "storageclass", space.name)
    space.install(moved)
    after = space.wait_bound()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["volumeName"] == before["spec"]["volumeName"]
    assert space.sh("writer", "cat /data/marker") == "moved"
    assert space.get("storageclass", space.name)["provisioner"] == "kubernetes.io/no-provisioner"


def test_a_changed_reclaim_policy_says_how(space: Space) -> None:
    space.install(dynamic(space))
    with pytest.raises(UserError, match="reclaimPolicy of the StorageClass .* would become .Delete."):
        space.install(layered(dynamic(space), {"storageClass": {"reclaimPolicy": "Delete"}}))


def test_changed_parameters_say_how(space: Space) -> None:
    space.install(dynamic(space))
    with pytest.raises(UserError, match="storageClass: parameters of the StorageClass"):
        space.install(layered(dynamic(space), {"storageClass": {"parameters": {"pathPattern": "x"}}}))


def test_mount_options_change_in_place(space: Space) -> None:
    space.install(dynamic(space))
    space.install(dynamic(space, mountOptions=["nfsvers=4.1"]))
    assert space.get("storageclass", space.name)["mountOptions"] == ["nfsvers=4.1"]
