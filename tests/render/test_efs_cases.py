"""Values that people write for charts/efs-provisioner, and what must become of them."""

from __future__ import annotations

import pytest

from harness.charts.render import RenderError, render
from stanft.kube import objects


def test_a_base_path_as_every_public_example_writes_it_is_taken() -> None:
    values = {
        "engine": "efs-csi",
        "fileSystem": {"id": "fs-0123456789abcdef0"},
        "basePath": "/dynamic_provisioning",
    }
    parameters = objects.find(render("efs-provisioner", values), "StorageClass")["parameters"]
    assert parameters["basePath"] == "/dynamic_provisioning"


def test_an_smb_share_without_byte_range_locks_is_refused() -> None:
    values = {
        "engine": "existing",
        "provisionerName": "file.csi.azure.com",
        "mountOptions": ["mfsymlinks", "cache=strict", "nobrl"],
    }
    with pytest.raises(RenderError, match=r"mountOptions: nobrl: locks stay on the node.*Take it out"):
        render("efs-provisioner", values)


@pytest.mark.parametrize("option", ["mfsymlinks", "cache=strict", "actimeo=30", "vers=3.0"])
def test_other_options_of_smb_are_taken_there(option: str) -> None:
    values = {"engine": "existing", "provisionerName": "file.csi.azure.com", "mountOptions": [option]}
    assert option in objects.find(render("efs-provisioner", values), "StorageClass")["mountOptions"]


@pytest.mark.parametrize("option", ["tls", "iam", "accesspoint=fsap-0123456789abcdef0"])
@pytest.mark.parametrize("engine", ["nfs-subdir", "efs-provisioner"])
def test_options_of_the_efs_mount_helper_are_refused_where_the_kernel_mounts(option: str, engine: str) -> None:
    values = {
        "engine": engine,
        "fileSystem": {"id": "fs-0123456789abcdef0", "region": "us-east-2"},
        "mountOptions": ["nfsvers=4.1", "hard", option],
    }
    with pytest.raises(RenderError, match=rf"mountOptions: {option}: .*driver efs\.csi\.aws\.com with volumeHandle"):
        render("efs-provisioner", values)


def test_options_of_the_efs_mount_helper_are_taken_where_it_mounts() -> None:
    values = {"fileSystem": {"id": "fs-0123456789abcdef0"}, "mountOptions": ["tls", "iam"]}
    assert objects.find(render("efs-provisioner", values), "StorageClass")["mountOptions"] == ["tls", "iam"]
