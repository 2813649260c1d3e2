"""The node image and the charts' images, built from small inputs: a root file system of this machine's own programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from standins import Programs

from harness.cluster import images, nodeimage
from harness.cluster.engine import Engine
from harness.ground import toolchain
from stanft.ground import shell
from stanft.ground.errors import UserError

# An engine that keeps image names in a file, and what a container saw of the context that it was given.
DOCKER = """
case "$1" in
image) grep -qxF "$3" "$PLAY/images" ;;
import) tar -tf "$2" >"$PLAY/imported"; echo "$3" >>"$PLAY/images" ;;
create)
  while [ "$1" != -v ]; do shift; done
  cp -r "${2%%:*}" "$PLAY/context"
  echo container-1 ;;
start) [ -z "$BUILD_FAILS" ] || { echo "$BUILD_FAILS" >&2; exit 3; } ;;
commit) for last; do :; done; echo "$last" >>"$PLAY/images" ;;
rm) : ;;
*) exit 64 ;;
esac
"""
KUBEADM = """
for image in kube-apiserver kube-controller-manager kube-scheduler kube-proxy coredns/coredns pause etcd; do
  echo "registry.k8s.io/$image:v1"
done
"""
# What mmdebstrap is asked for, from this machine's files: a bash with its libraries and the programs that are wanted.
PROGRAMS = ("bash", "ldd", "sort", "grep", "readlink", "find", "head")


def tree(root: Path) -> None:
    """A root file system with a few programs of this machine and all that they load."""
    wanted = {shutil.which(name) or name for name in PROGRAMS}
    found = subprocess.run(["ldd", *wanted], capture_output=True, text=True, check=False).stdout
    wanted |= {word for word in found.split() if word.startswith("/") and not word.endswith(":")}
    for path in sorted(wanted):
        for name in {path, str(Path("/bin") / Path(path).name) if shutil.which(Path(path).name) else path}:
            copy = root / name.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(path).resolve(), copy)
    for folder in ("usr/sbin", "usr/lib/x86_64-linux-gnu/xtables", "dev", "tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("usr/sbin/xtables-nft-multi", "usr/sbin/nft", "usr/lib/x86_64-linux-gnu/xtables/libxt_tcp.so"):
        shutil.copy(root / "bin/sort", root / name)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text("Package: bash\nVersion: 5.2\n")
    (root / "bin/link-to-sort").symlink_to("sort")
    (root / "usr/share/scripts/lib").mkdir(parents=True)
    for name in ("a.pm", "lib/b.pm"):
        (root / "usr/share/scripts" / name).write_text("1;\n")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file system as a tar file."""
    directory = tmp_path_factory.mktemp("root")
    tree(directory / "root")
    with tarfile.open(directory / "root.tar", "w") as archive:
        archive.add(directory / "root", ".")
    return directory / "root.tar"


@pytest.fixture
def programs(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """An engine without images, pinned tools that are small scripts, and a mmdebstrap that gives the file system."""
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        pytest.skip("a root file system can be entered by root only, and there is no sudo here")
    made = Programs(tmp_path, monkeypatch)
    made.tools(kubeadm=KUBEADM)
    made.add("docker", DOCKER)
    made.add("mmdebstrap", f'for last; do :; done; cp {root} "$last"')
    monkeypatch.setattr("harness.ground.system._found", lambda _: True)  # nothing is installed for a test
    kind = tmp_path / "kind-source"
    (kind / "images/base/files").mkdir(parents=True)
    (kind / "images/base/files/entrypoint").write_text("kind's own\n")
    monkeypatch.setattr(toolchain, "module_source", lambda *_: kind)
    (tmp_path / "images").touch()
    monkeypatch.setenv("PLAY", str(tmp_path))
    monkeypatch.setenv("BUILD_FAILS", "")
    return made


def test_a_program_is_found_with_all_the_libraries_that_it_loads(programs: Programs, tmp_path: Path) -> None:
    found = nodeimage.closure("sort", "/bin/sort")
    loader = next(file for path, file in found.items() if "/ld-linux" in path)
    libraries = {file.parent for path, file in found.items() if ".so" in path}
    command = [loader, "--library-path", ":".join(map(str, libraries)), found["/bin/sort"]]
    assert shell.output(command, stdin="b\na\n") == "a\nb", "it runs from these files alone"


def test_a_link_becomes_a_copy_and_a_pattern_all_that_it_matches(programs: Programs) -> None:
    found = nodeimage.closure("links", "/bin/link-to-*", "/usr/sbin/n*")
    assert {"/bin/link-to-sort", "/usr/sbin/nft"} <= found.keys()
    assert not found["/bin/link-to-sort"].is_symlink()
    assert found["/bin/link-to-sort"].read_bytes() == found["/usr/sbin/nft"].read_bytes()


def test_a_directory_brings_all_that_is_in_it_also_what_is_no_program(programs: Programs) -> None:
    found = nodeimage.closure("folder", "/usr/share/scripts")
    assert {path for path in found if "scripts" in path} == {"/usr/share/scripts/a.pm", "/usr/share/scripts/lib/b.pm"}
    assert found["/usr/share/scripts/lib/b.pm"].read_text() == "1;\n"


def test_the_root_file_system_is_made_once_with_the_packages_of_its_list(programs: Programs) -> None:
    nodeimage.closure("sort", "/bin/sort")
    nodeimage.closure("bash", "/bin/bash")
    [call] = programs.asked("mmdebstrap")
    include = next(word for word in call.split() if word.startswith("--include=")).removeprefix("--include=")
    assert {"runc", "systemd", "iptables"} <= set(include.split(","))


def test_the_node_image_is_built_once_from_its_context(programs: Programs, tmp_path: Path) -> None:
    name = nodeimage.ensure(Engine(""))
    assert name.startswith(f"kindest/node:{toolchain.KUBERNETES_VERSION}-")
    assert nodeimage.ensure(Engine("")) == name
    assert len(programs.asked("docker create")) == len(programs.asked("docker commit")) == 1
    context = tmp_path / "context"
    assert (context / "kind-files/entrypoint").read_text() == "kind's own\n"
    assert (context / "version").read_text() == toolchain.KUBERNETES_VERSION
    assert (context / "pause-image").read_text() == "registry.k8s.io/pause:v1"
    assert {path.name for path in (context / "bin").iterdir()} == {"kubeadm", "kubelet", "kubectl"}
    assert {path.name for path in (context / "cni").iterdir()} == {"host-local", "loopback", "portmap", "ptp"}
    assert {path.name for path in (context / "containerd").iterdir()} == {
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
    }


def test_each_minor_version_of_kubernetes_has_a_node_image_of_its_own(programs: Programs) -> None:
    names = {minor: nodeimage.ensure(Engine(""), minor) for minor in toolchain.MINORS}
    for minor, name in names.items():
        assert name.startswith(f"kindest/node:v{minor}.")


def test_other_versions_of_debians_packages_give_another_node_image(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = nodeimage.ensure(Engine(""))
    tree(tmp_path / "newer")
    (tmp_path / "newer/var/lib/dpkg/status").write_text("Package: bash\nVersion: 6\n")
    with tarfile.open(tmp_path / "newer.tar", "w") as archive:
        archive.add(tmp_path / "newer", ".")
    programs.add("mmdebstrap", f'for last; do :; done; cp {tmp_path}/newer.tar "$last"')
    shutil.rmtree(tmp_path / "cache/node-image")
    assert nodeimage.ensure(Engine("")) != first


def test_a_debian_mirror_can_be_named_and_one_that_fails_is_told_with_that_way(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("mmdebstrap", "echo 'E: The repository does not have a Release file' >&2; exit 100")
    monkeypatch.setenv("STAN_FT_DEBIAN", "http://mirror.example/debian")
    with pytest.raises(UserError, match="could not be had:\nE: The repository.*\n.*STAN_FT_DEBIAN=http://archive"):
        nodeimage.debian_root()
    assert programs.asked("mmdebstrap")[0].endswith(" http://mirror.example/debian")


def test_a_disk_that_the_debian_packages_fill_is_told_as_such(programs: Programs) -> None:
    programs.add("mmdebstrap", "echo 'E: tar: root.tar: Cannot write: No space left on device' >&2; exit 1")
    with pytest.raises(UserError, match=r"could not be unpacked\. The disk is full: free some space"):
        nodeimage.debian_root()


def test_the_node_image_brings_every_image_that_kubeadm_wants(programs: Programs, tmp_path: Path) -> None:
    nodeimage.ensure(Engine(""))
    with tarfile.open(tmp_path / "context" / "images.tar") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        names = {name for image in json.load(manifest) for name in image["RepoTags"]}
    wanted = set(shell.output([toolchain.ensure("kubeadm")]).splitlines())
    assert names == wanted | {"docker.io/stan-ft/pod-network:local"}


def test_a_build_that_fails_is_told_and_leaves_neither_container_nor_image(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BUILD_FAILS", "systemctl: command not found")
    with pytest.raises(shell.CommandError, match="build.sh ended with exit code 3\nsystemctl: command not found"):
        nodeimage.ensure(Engine(""))
    assert programs.asked("docker rm") == ["docker rm --force container-1"]
    assert "kindest/node" not in (tmp_path / "images").read_text()


def contents(archive: Path, image: str) -> dict[str, tarfile.TarInfo]:
    """The files of an image in an archive."""
    with tarfile.open(archive) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        [layer] = next(each["Layers"] for each in json.load(manifest) if image in each["RepoTags"])
        with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
            return {member.name: member for member in inner}


def test_the_servers_image_holds_the_server_alone(programs: Programs) -> None:
    archive = images.build(["nats-streaming:0.25.6"])
    assert set(contents(archive, "nats-streaming:0.25.6")) == {"nats-streaming-server"}
    assert images.build(["nats-streaming:0.25.6"]) == archive


def test_the_provisioners_image_has_a_directory_for_temporary_files_that_anyone_may_write(programs: Programs) -> None:
    name = "rancher/local-path-provisioner:v0.0.31"
    found = contents(images.build([name]), name)
    assert found["usr/bin/local-path-provisioner"].mode == 0o755
    assert found["tmp"].mode == 0o1777


def test_an_image_from_a_mirror_gets_the_name_that_the_charts_know(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("docker", '[ "$1" != image ]')
    assert images.Registry(Engine(""), "mirror:5000/").pull("busybox:1") == "busybox:1"
    assert programs.asked("docker")[-2:] == [
        "docker pull --quiet mirror:5000/busybox:1",
        "docker tag mirror:5000/busybox:1 busybox:1",
    ]


def test_an_image_that_is_there_is_not_pulled_again(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("busybox:1\n")
    assert images.Registry(Engine("")).pull("busybox:1") == "busybox:1"
    assert not programs.asked("docker pull")


def test_a_pull_that_takes_too_long_is_a_registry_that_does_not_answer(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("docker", 'if [ "$1" = pull ]; then exec sleep 60; else exit 1; fi')
    monkeypatch.setattr(images, "PULL_TIMEOUT", 0.2)
    with pytest.raises(UserError, match="no registry answered for the image busybox:1: i/o timeout"):
        images.Registry(Engine("")).pull("busybox:1")
