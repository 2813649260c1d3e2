"""Mount options: the default is what AWS advises, and nothing gets through that breaks locks or drops writes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import RenderError, environment, layered, render
from stanft.kube import objects

LEGACY = environment("eks-legacy", "efs-provisioner")
NFS = environment("nfs", "efs-provisioner")
KIND = environment("kind", "efs-provisioner")
STATIC_NFS = {
    "engine": "existing",
    "claims": [{"name": "efs", "size": "1Mi", "volume": {"nfs": {"server": "nfs.example.com", "path": "/srv"}}}],
}
# AWS, Amazon EFS User Guide, "Recommended NFS mount options"
ADVISED = ["nfsvers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport"]


def with_options(values: dict[str, Any], *options: str) -> dict[str, Any]:
    return layered(values, {"mountOptions": list(options)})


@pytest.mark.parametrize("values", [LEGACY, NFS, environment("eks-csi", "efs-provisioner")])
def test_the_class_carries_the_options_that_aws_advises(values: dict[str, Any]) -> None:
    assert objects.find(render("efs-provisioner", values), "StorageClass")["mountOptions"] == ADVISED


@pytest.mark.parametrize("values", [LEGACY, NFS, STATIC_NFS])
def test_the_charts_own_volumes_carry_the_same_options_as_the_class(values: dict[str, Any]) -> None:
    made = render("efs-provisioner", values)
    assert objects.find(made, "PersistentVolume")["spec"]["mountOptions"] == ADVISED


def test_a_directory_of_the_nodes_has_nothing_to_mount() -> None:
    claim = {"name": "efs", "size": "1Mi", "volume": {"hostPath": {"path": "/mnt/efs"}}}
    made = render("efs-provisioner", {"engine": "existing", "claims": [claim]})
    assert "mountOptions" not in objects.find(made, "PersistentVolume")["spec"]


def test_no_options_leave_no_empty_list_behind() -> None:
    assert "mountOptions" not in objects.find(render("efs-provisioner", KIND), "StorageClass")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("nolock", "every server believes that it is the active one"),
        ("nolocks", "every server believes that it is the active one"),
        ("local_lock=all", "every server believes that it is the active one"),
        ("local_lock=posix", "every server believes that it is the active one"),
        ("local_lock=flock", "every server believes that it is the active one"),
        ("NOLOCK", "every server believes that it is the active one"),
        ("nfsvers=3", "Use nfsvers=4.1"),
        ("vers=3", "Use nfsvers=4.1"),
        ("vers=3.0", "Use nfsvers=4.1"),
        ("nfsvers=2", "Use nfsvers=4.1"),
        ("v3", "Use nfsvers=4.1"),
        ("soft", "Use hard"),
        ("softerr", "Use hard"),
        ("nocto", "old view of the store"),
        ("ro", "must be writable"),
        ("udp", "runs over TCP"),
        ("proto=udp", "runs over TCP"),
        ("proto=udp6", "runs over TCP"),
    ],
)
@pytest.mark.parametrize("values", [LEGACY, NFS, STATIC_NFS, KIND], ids=["efs", "nfs", "static", "existing"])
def test_an_option_that_breaks_the_store_is_refused(values: dict[str, Any], option: str, reason: str) -> None:
    with pytest.raises(RenderError, match="mountOptions: ") as refused:
        render("efs-provisioner", with_options(values, "nfsvers=4.1", "hard", option))
    assert f"{option}: " in refused.value.message
    assert reason in refused.value.message


@pytest.mark.parametrize("option", ["nfsvers=4.2", "vers=4.2", "nconnect=4", "sec=krb5", "sec=krb5p"])
def test_what_efs_does_not_support_is_refused_on_efs(option: str) -> None:
    with pytest.raises(RenderError, match=f"mountOptions: {option}: .*EFS"):
        render("efs-provisioner", with_options(LEGACY, "nfsvers=4.1", option))


@pytest.mark.parametrize("option", ["nfsvers=4.2", "vers=4.2", "nconnect=4", "sec=krb5p"])
def test_what_only_efs_lacks_is_allowed_on_another_server(option: str) -> None:
    made = render("efs-provisioner", with_options(NFS, "nfsvers=4.1", option))
    assert option in objects.find(made, "StorageClass")["mountOptions"]


@pytest.mark.parametrize(
    "option", ["local_lock=none", "lock", "actimeo=30", "noatime", "rw", "proto=tcp", "nosharecache"]
)
def test_a_harmless_option_is_allowed(option: str) -> None:
    made = render("efs-provisioner", with_options(LEGACY, "nfsvers=4.1", option))
    assert option in objects.find(made, "StorageClass")["mountOptions"]


@pytest.mark.parametrize("spelling", ["nfsvers=4.1", "vers=4.1", "nfsvers=4", "vers=4.0", "v4.1"])
def test_every_spelling_of_version_4_is_understood(spelling: str) -> None:
    assert render("efs-provisioner", with_options(LEGACY, spelling))


@pytest.mark.parametrize("values", [LEGACY, NFS, STATIC_NFS], ids=["efs", "nfs", "static"])
@pytest.mark.parametrize("options", [[], ["hard"], ["minorversion=1"]])
def test_nfs_without_a_version_is_refused_because_a_node_may_fall_back_to_3(
    values: dict[str, Any], options: list[str]
) -> None:
    with pytest.raises(RenderError, match=r"mountOptions: no NFS version is named.*add nfsvers=4\.1"):
        render("efs-provisioner", with_options(values, *options))


def test_every_bad_option_is_told_at_once() -> None:
    with pytest.raises(RenderError) as refused:
        render("efs-provisioner", with_options(LEGACY, "nfsvers=3", "nolock", "soft"))
    assert refused.value.message.count("mountOptions: ") == 3


def test_a_comma_cannot_smuggle_an_option_in() -> None:
    with pytest.raises(RenderError, match="mountOptions: nolock: locks stay on the node"):
        render("efs-provisioner", with_options(LEGACY, "nfsvers=4.1", "hard,nolock"))
