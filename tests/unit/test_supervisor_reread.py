"""When the supervisor takes the mounted files of a Secret for changed, exchanged as Kubernetes exchanges them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reread import EVERY, Files


def mounted(folder: Path, version: str, **files: str) -> None:
    """Put a version of a Secret into its mount: a folder of its own, to which one link leads that is exchanged."""
    (folder / f"..{version}").mkdir(parents=True)
    for name, text in files.items():
        (folder / f"..{version}" / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(f"..{version}")
    os.replace(folder / "..new", folder / "..data")  # noqa: PTH105 (one step, as the kubelet does it)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The mount of a Secret with a certificate and a key."""
    mounted(tmp_path / "tls", "1", crt="one", key="one")
    return tmp_path / "tls"


def test_an_exchanged_secret_is_a_change_once(secret: Path) -> None:
    files = Files([os.fsencode(secret)])
    assert files.changed(100.0) == b""
    mounted(secret, "2", crt="two", key="two")
    assert files.changed(110.0) == os.fsencode(secret)
    assert files.changed(120.0) == b""


def test_a_look_is_taken_no_oftener_than_need_be(secret: Path) -> None:
    files = Files([os.fsencode(secret)])
    files.changed(100.0)
    mounted(secret, "2", crt="two", key="two")
    assert files.changed(100.0 + EVERY / 2) == b""
    assert files.changed(100.0 + EVERY) == os.fsencode(secret)


def test_one_of_several_folders_is_named(secret: Path, tmp_path: Path) -> None:
    mounted(tmp_path / "auth", "1", conf="users")
    files = Files([os.fsencode(secret), os.fsencode(tmp_path / "auth")])
    mounted(tmp_path / "auth", "2", conf="more users")
    assert files.changed(100.0) == os.fsencode(tmp_path / "auth")


def test_a_folder_in_the_middle_of_an_exchange_is_no_change(secret: Path) -> None:
    files = Files([os.fsencode(secret)])
    (secret / "..data").unlink()
    assert files.changed(100.0) == b""
    (secret / "..data").symlink_to("..1")
    assert files.changed(110.0) == b""


def test_without_a_folder_nothing_ever_changes() -> None:
    assert Files([]).changed(100.0) == b""
