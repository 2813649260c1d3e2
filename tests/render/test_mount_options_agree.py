"""What charts/efs-provisioner refuses to mount with, the check calls an error, and the other way round."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts import render
from stanft.ground.errors import UserError
from stanft.invariants import mount_options

OPTIONS = (
    *(
        "nolock",
        "nolocks",
        "local_lock=all",
        "local_lock=flock",
        "local_lock=none",
        "soft",
        "softerr",
        "hard",
        "ro",
        "rw",
    ),
    *(
        "udp",
        "proto=udp",
        "proto=tcp",
        "nocto",
        "noac",
        "noresvport",
        "nfsvers=3",
        "vers=3",
        "v3",
        "timeo=600",
        "retrans=2",
    ),
)


def _refusal(values: dict[str, Any]) -> str:
    """Why the chart refuses values, "" if it takes them."""
    try:
        render.render("efs-provisioner", values)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("option", OPTIONS)
def test_the_chart_and_the_check_agree_on_an_option(option: str) -> None:
    values = {**render.ci_values("efs-provisioner")["nfs-subdir"], "mountOptions": ["nfsvers=4.1", option]}
    refused = _refusal(values)
    assert not refused or f"mountOptions: {option}: " in refused
    assert bool(refused) == bool(mount_options.problems([option], mount_options.NFS))


def test_options_are_split_and_read_in_any_case() -> None:
    nolock, version = mount_options.problems("hard,NOLOCK, vers=3.0", mount_options.NFS)
    assert nolock == "NOLOCK: locks stay on the node, so every server believes that it is the active one (take it out)"
    assert version.startswith("vers=3.0: before version 4, NFS keeps locks outside of the protocol")
    assert version.endswith("(use nfsvers=4.1)")


@pytest.mark.parametrize("option", ["vers=3.0", "vers=3.1.1", "mfsymlinks", "cache=strict"])
def test_options_of_smb_are_not_taken_for_those_of_nfs(option: str) -> None:
    assert mount_options.problems([option], mount_options.SMB) == []


@pytest.mark.parametrize(
    ("driver", "protocol", "kind"),
    [
        ("nfs.csi.k8s.io", "", "nfs"),
        ("cluster.local/nfs-subdir-external-provisioner", "", "nfs"),
        ("efs.csi.aws.com", "", "efs"),
        ("file.csi.azure.com", "", "smb"),
        ("file.csi.azure.com", "nfs", "nfs"),
        ("smb.csi.k8s.io", "", "smb"),
        ("ceph.com/cephfs", "", "other"),
    ],
)
def test_the_kind_of_a_mount_follows_from_its_driver(driver: str, protocol: str, kind: str) -> None:
    assert mount_options.kind_of(driver, protocol) == kind
