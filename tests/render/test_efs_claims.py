"""The claims and the static volumes behind them: shared, kept, tied to each other."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import RenderError, environment, layered, render
from stanft.kube import objects

KIND = environment("kind", "efs-provisioner")
KEEP = {"helm.sh/resource-policy": "keep"}


def with_claims(*claims: dict[str, Any]) -> list[objects.Object]:
    return render("efs-provisioner", layered(KIND, {"claims": list(claims)}))


def claim(name: str = "efs", **more: Any) -> dict[str, Any]:
    return {"name": name, "size": "1Mi", **more}


def volume(**source: Any) -> objects.Object:
    return objects.find(with_claims(claim(volume=source)), "PersistentVolume")


def test_the_claim_survives_uninstall_by_default() -> None:
    assert objects.find(with_claims(claim()), "PersistentVolumeClaim")["metadata"]["annotations"] == KEEP


def test_a_claim_can_be_given_up_with_the_release() -> None:
    assert "annotations" not in objects.find(with_claims(claim(keep=False)), "PersistentVolumeClaim")["metadata"]


def test_a_claim_without_access_modes_is_read_write_many() -> None:
    assert objects.find(with_claims(claim()), "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteMany"]


def test_several_claims_share_the_class() -> None:
    made = with_claims(claim("a"), claim("b", size="5Gi"))
    sizes = {
        objects.name(item): objects.dig(item, "spec.resources.requests.storage")
        for item in objects.find_all(made, "PersistentVolumeClaim")
    }
    assert sizes == {"a": "1Mi", "b": "5Gi"}
    assert {item["spec"]["storageClassName"] for item in objects.find_all(made, "PersistentVolumeClaim")} == {"aws-efs"}


def test_no_claims_leave_only_the_class() -> None:
    assert objects.inventory(with_claims()) == {("StorageClass", "aws-efs")}


def test_labels_and_annotations_of_a_claim_are_added_to_the_charts() -> None:
    made = objects.find(
        with_claims(claim(labels={"group": "a"}, annotations={"example.com/x": "1"})), "PersistentVolumeClaim"
    )
    assert made["metadata"]["labels"]["group"] == "a"
    assert made["metadata"]["labels"]["app.kubernetes.io/instance"] == "efs-provisioner"
    assert made["metadata"]["annotations"] == {"example.com/x": "1", **KEEP}


def test_a_static_volume_is_tied_to_its_claim_from_both_sides() -> None:
    made = render(
        "efs-provisioner",
        layered(KIND, {"claims": [claim(volume={"hostPath": {"path": "/mnt/efs"}})]}),
        namespace="messaging",
    )
    made_volume = objects.find(made, "PersistentVolume")
    made_claim = objects.find(made, "PersistentVolumeClaim")
    assert made_claim["spec"]["volumeName"] == objects.name(made_volume) == "messaging-efs-provisioner-efs"
    assert made_volume["spec"]["claimRef"]["namespace"] == "messaging"
    assert made_volume["spec"]["claimRef"]["name"] == "efs"
    assert made_volume["spec"]["storageClassName"] == made_claim["spec"]["storageClassName"]
    assert made_volume["spec"]["accessModes"] == made_claim["spec"]["accessModes"]


def test_a_static_volume_is_never_deleted_with_its_claim_nor_with_the_release() -> None:
    made = render(
        "efs-provisioner",
        layered(
            KIND,
            {"storageClass": {"reclaimPolicy": "Delete"}, "claims": [claim(volume={"hostPath": {"path": "/mnt/efs"}})]},
        ),
    )
    found = objects.find(made, "PersistentVolume")
    assert found["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert found["metadata"]["annotations"] == KEEP


def test_a_static_nfs_volume_names_server_and_path() -> None:
    spec = objects.find(
        render(
            "efs-provisioner",
            {"engine": "existing", "claims": [claim(volume={"nfs": {"server": "10.0.0.7", "path": "/srv/stan"}})]},
        ),
        "PersistentVolume",
    )["spec"]
    assert spec["nfs"] == {"server": "10.0.0.7", "path": "/srv/stan"}


def test_a_static_csi_volume_names_driver_handle_and_attributes() -> None:
    csi = {"driver": "efs.csi.aws.com", "volumeHandle": "fs-c22a24bb", "volumeAttributes": {"encryptInTransit": "true"}}
    assert volume(csi=csi)["spec"]["csi"] == csi


@pytest.mark.parametrize(
    "handle",
    [
        "fs-c22a24bb",
        "fs-0123456789abcdef0",
        "fs-c22a24bb:/stan",
        "fs-c22a24bb::fsap-0123456789abcdef0",
        "fs-c22a24bb:/stan:fsap-0123456789abcdef0",
        "efs:fs-c22a24bb",
    ],
)
def test_every_form_of_an_efs_handle_is_understood(handle: str) -> None:
    assert volume(csi={"driver": "efs.csi.aws.com", "volumeHandle": handle})["spec"]["csi"]["volumeHandle"] == handle


def test_another_drivers_handle_is_its_own_affair() -> None:
    assert volume(csi={"driver": "file.csi.example.com", "volumeHandle": "whatever#1"})["spec"]["csi"]["driver"]


def test_a_node_without_the_directory_fails_instead_of_making_one_of_its_own() -> None:
    assert volume(hostPath={"path": "/mnt/efs"})["spec"]["hostPath"] == {"path": "/mnt/efs", "type": "Directory"}


def test_the_group_of_a_directory_reaches_the_pods_through_the_volumes_annotation() -> None:
    annotations = volume(hostPath={"path": "/mnt/efs"}, gid=40001)["metadata"]["annotations"]
    assert annotations == {**KEEP, "pv.beta.kubernetes.io/gid": "40001"}


def test_a_volume_that_exists_is_named_and_not_made_again() -> None:
    made = with_claims(claim(volume={"persistentVolume": "pvc-1234"}))
    assert objects.find_all(made, "PersistentVolume") == []
    assert objects.find(made, "PersistentVolumeClaim")["spec"]["volumeName"] == "pvc-1234"


def test_static_and_provisioned_claims_mix_under_the_provisioners_class() -> None:
    made = with_claims(claim("a"), claim("b", volume={"hostPath": {"path": "/mnt/efs"}}))
    assert objects.find(made, "StorageClass")["provisioner"] == "synadia.com/aws-efs"
    assert "volumeName" not in objects.find(made, "PersistentVolumeClaim", "a")["spec"]


@pytest.mark.parametrize("sources", [{"gid": 5}, {"hostPath": {"path": "/a"}, "persistentVolume": "b"}])
def test_a_static_volume_has_exactly_one_source(sources: dict[str, Any]) -> None:
    with pytest.raises(RenderError, match=r"claims\[0\].volume: .*Name exactly one of nfs, csi, hostPath and"):
        with_claims(claim(volume=sources))
