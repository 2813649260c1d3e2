"""NOTES.txt: what was installed, how to check it, and what is risky in these values."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import environment, layered, render_notes

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
CSI = environment("eks-csi", "efs-provisioner")
KIND = environment("kind", "efs-provisioner")


def notes(*layers: dict[str, Any]) -> str:
    return render_notes("efs-provisioner", layered(*layers), namespace="messaging")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (LEGACY, "engine efs-provisioner: a controller that makes one directory per claim on fs-c22a24bb.efs."),
        (NFS, "engine nfs-subdir: a controller that makes one directory per claim on nfs.example.com:/srv/stan."),
        (CSI, "engine efs-csi: one access point per claim on fs-0123456789abcdef0"),
        (KIND, "engine existing: volumes are made by the cluster's own provisioner synadia.com/aws-efs."),
    ],
)
def test_the_notes_say_who_makes_the_volumes(values: dict[str, Any], said: str) -> None:
    assert said in notes(values)


@pytest.mark.parametrize("values", [LEGACY, NFS, CSI, KIND])
def test_the_notes_give_the_command_that_shows_the_claim(values: dict[str, Any]) -> None:
    assert "kubectl -n messaging get pvc efs" in notes(values)


def test_the_notes_tell_where_the_controller_complains() -> None:
    assert "kubectl -n messaging logs deployment/efs-provisioner" in notes(LEGACY)
    assert "logs deployment" not in notes(KIND)


def test_the_notes_say_that_the_driver_is_the_clusters_own() -> None:
    assert "kubectl get csidriver efs.csi.aws.com" in notes(CSI)


@pytest.mark.parametrize(
    ("values", "risk"),
    [
        (LEGACY, 'must run as root: its namespace may enforce Pod Security "baseline"'),
        (NFS, "chown 65534:65534"),
        (layered(NFS, {"nfsSubdir": {"runAsUser": 0}}), "nfsSubdir.runAsUser is 0"),
        (layered(LEGACY, {"controller": {"ownVolume": "inline"}}), "controller.ownVolume is inline"),
        (
            layered(LEGACY, {"storageClass": {"reclaimPolicy": "Delete"}}),
            "whoever deletes a claim deletes its messages",
        ),
        (layered(LEGACY, {"mountOptions": ["nfsvers=4.1", "hard"]}), "mountOptions lacks noresvport"),
        (layered(KIND, {"claims": [{"name": "efs", "size": "1Mi", "keep": False}]}), "efs has keep: false"),
    ],
)
def test_the_notes_name_a_risk_that_the_values_take(values: dict[str, Any], risk: str) -> None:
    assert risk in notes(values)


def test_safe_values_are_not_warned_about() -> None:
    assert "Mind:" not in notes(KIND)
    assert "Mind:" not in notes(CSI)


def test_late_binding_explains_the_pending_claim() -> None:
    assert "they stay Pending until a pod uses them" in notes(
        KIND, {"storageClass": {"volumeBindingMode": "WaitForFirstConsumer"}}
    )


@pytest.mark.parametrize("values", [LEGACY, NFS, CSI, KIND])
def test_the_notes_have_no_stray_blanks(values: dict[str, Any]) -> None:
    text = notes(values)
    assert "\n\n\n" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]
