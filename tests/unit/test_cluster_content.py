"""What is built once is found again, and what is left half done is never taken for whole."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from harness.cluster import images
from harness.cluster.archive import ImageSpec, write_archive
from harness.ground import content, toolchain
from harness.ground.paths import CLUSTER
from harness.local import plan
from stanft.ground import progress, shell
from stanft.kube import objects


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path / "cache"))


def test_the_same_content_is_built_once() -> None:
    calls: list[Path] = []
    for _ in range(3):
        path = content.built("kind", "name", "key", calls.append)
    assert len(calls) == 1
    assert path.is_dir()


def test_a_build_that_failed_is_made_again() -> None:
    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        content.built("kind", "name", "key", fail)
    path = content.built("kind", "name", "key", lambda directory: (directory / "whole").touch())
    assert [file.name for file in path.iterdir()] == ["whole"]


def test_a_digest_changes_with_a_name_a_byte_and_the_executable_bit(tmp_path: Path) -> None:
    file = tmp_path / "tree" / "file"
    file.parent.mkdir()
    seen = set()
    for text, mode in (("a", 0o644), ("b", 0o644), ("b", 0o755)):
        file.write_text(text)
        file.chmod(mode)
        seen.add(content.digest(file.parent))
    file.rename(file.with_name("other"))
    seen.add(content.digest(tmp_path / "tree"))
    assert len(seen) == 4


def test_an_image_archive_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("x")
    program.chmod(0o755)
    spec = ImageSpec("name:tag", {"/bin/program": program}, {"/bin/link": "program"}, ("/tmp",), ("/bin/program",))
    for name in ("one", "two"):
        write_archive([spec], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        manifest = json.load(member)[0]
        layer = archive.extractfile(manifest["Layers"][0])
        with tarfile.open(fileobj=layer) as files:
            modes = {info.name: info.mode for info in files}
            assert files.getmember("bin/link").linkname == "program"
    assert manifest["RepoTags"] == ["name:tag"]
    assert modes["bin/program"] == 0o755
    assert modes["tmp"] == 0o1777


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("nats-streaming:0.25.6", "nats-streaming"),
        ("docker.io/library/nats-streaming:0.25.6", "nats-streaming"),
        ("natsio/nats-box:0.13.8@sha256:abc", "natsio/nats-box"),
        ("registry:5000/a/b:c", "registry:5000/a/b"),
    ],
)
def test_the_repository_of_an_image_is_its_name_without_tag_and_digest(image: str, repository: str) -> None:
    assert images.repository(image) == repository


def test_images_are_found_in_objects_and_in_the_pod_inside_a_config_map() -> None:
    text = CLUSTER / "shared-storage.yaml"
    found = plan.images_in(objects.parse(text.read_text()))
    assert {images.repository(image) for image in found} == {"busybox", "rancher/local-path-provisioner"}


def test_every_tool_is_pinned_with_its_checksums() -> None:
    for module in toolchain.MODULES.values():
        assert (module.directory / "go.mod").exists(), module.name
        assert (module.directory / "go.sum").exists(), module.name


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError):
        toolchain.ensure("no-such-tool")


def test_a_failed_command_tells_its_words_and_exit_code() -> None:
    with pytest.raises(shell.CommandError, match="exit code 3\nsorry"):
        shell.run(["sh", "-c", "echo sorry >&2; exit 3"])


def test_a_step_that_fails_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), progress.step("a thing"):
        raise ValueError("no")
    assert "a thing: failed after" in capsys.readouterr().err
