"""The boot image of the NFS lab's machines, made from a small Debian package of the test's own."""

from __future__ import annotations

import platform
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from standins import Programs

from harness.nfs_lab import image, packages
from stanft.ground.errors import UserError

RELEASE = "6.1.0-test-cloud-amd64"
LIBRARIES = Path("/lib/x86_64-linux-gnu")
KERNEL = f"linux-image-{RELEASE}"
# Kernel modules, with what each says of itself; of the others that the lab wants, this kernel has all built in.
MODULES = {
    "virtio_net": "depends=net-failover",
    "net-failover": "depends=",
    "nfsv4": "depends=sunrpc,nfs",
    "nfs": "depends=sunrpc",
    "sunrpc": "softdep=pre: crc32c",
    "crc32c": "depends=",
    "unwanted": "depends=",
}
APT_CACHE = f"""
case "$1" in
depends) echo "{KERNEL.replace(RELEASE, "cloud-amd64")}"; echo "  Depends: {KERNEL}" ;;
policy)
  shift
  for name; do
    case " $LACKS " in *" $name "*) version="(none)" ;; *) version=1.0 ;; esac
    printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$name" "$version"
  done ;;
esac
"""

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("dpkg-deb") or not shutil.which("cpio"),
    reason="the lab's machines are x86-64 Debian: this needs such a computer, with dpkg-deb and cpio",
)


def copy(source: str | Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one package that holds a kernel, its modules, and every program that the image wants."""
    folder = tmp_path_factory.mktemp("debian")
    tree = folder / "tree"
    for program in image.PROGRAMS:
        copy("/usr/bin/true", tree / program)
    copy(LIBRARIES / "libc.so.6", tree / image.LIBRARY_FOLDERS[1] / "libc.so.6")
    copy(LIBRARIES / "ld-linux-x86-64.so.2", tree / "lib64/ld-linux-x86-64.so.2")
    texts = {f"etc/{name}": "x" for name in ("netconfig", "protocols", "services")}
    texts |= {f"boot/vmlinuz-{RELEASE}": "kernel"}
    texts |= {f"{image.PYTHON}/{name.replace('.', '/')}.py": "" for name in ("encodings.__init__", *image.PYTHON_OWN)}
    texts |= {"usr/bin/linux.uml": "kernel in user mode"}
    for folder_of_modules in (f"lib/modules/{RELEASE}", "usr/lib/uml/modules/6.1.0"):
        texts |= {f"{folder_of_modules}/kernel/{name}.ko": f"ELF\0{says}\0end" for name, says in MODULES.items()}
    texts["DEBIAN/control"] = (
        "Package: all\nVersion: 1.0\nArchitecture: amd64\nMaintainer: test <t@example.org>\nDescription: test\n"
    )
    for name, text in texts.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    subprocess.run(["dpkg-deb", "--build", tree, folder / "all.deb"], check=True, capture_output=True)
    return folder


@pytest.fixture
def programs(tmp_path: Path, debian: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A package source that offers the package, and an empty cache."""
    made = Programs(tmp_path, monkeypatch)
    made.tools()
    made.add("apt-cache", APT_CACHE)
    made.add("apt-get", f'case "$*" in *download*) cp {debian}/*.deb . ;; update) : ;; *) exit 64 ;; esac')
    monkeypatch.setenv("LACKS", "")
    return made


@pytest.fixture(params=image.KERNELS)
def booted(request: pytest.FixtureRequest, programs: Programs, tmp_path: Path) -> Path:
    """What each kernel's machine finds at its start: the unpacked initramfs."""
    folder = tmp_path / "machine"
    folder.mkdir()
    with image.ensure()[request.param].initramfs.open("rb") as file:
        subprocess.run(["cpio", "--extract", "--quiet", "--make-directories"], stdin=file, cwd=folder, check=True)
    return folder


def test_the_images_name_their_kernels_and_are_built_once(programs: Programs) -> None:
    first = image.ensure()
    made = [each.initramfs.stat().st_mtime_ns for each in first.values()]
    assert {name: each.kernel.read_text() for name, each in first.items()} == {
        "qemu": "kernel",
        "uml": "kernel in user mode",
    }
    assert image.ensure() == first
    assert [each.initramfs.stat().st_mtime_ns for each in first.values()] == made
    [download] = [call for call in programs.asked("apt-get") if "download" in call]
    assert f"{KERNEL}=1.0" in download.split()


def test_every_program_is_there_with_the_libraries_that_it_loads(booted: Path) -> None:
    for program in image.PROGRAMS:
        assert (booted / program).stat().st_mode & stat.S_IXUSR
    assert (booted / "lib/x86_64-linux-gnu/libc.so.6").exists()
    command = [booted / "lib64/ld-linux-x86-64.so.2", "--library-path", booted / "lib/x86_64-linux-gnu"]
    subprocess.run([*command, booted / image.PROGRAMS[0]], check=True)  # runs from these files alone


def test_python_is_there_with_what_the_supervisor_imports(booted: Path) -> None:
    assert (booted / image.PYTHON / "encodings/idna.py").exists()
    assert (booted / "usr/bin/python3.11").exists()


def test_what_the_charts_containers_start_is_where_they_have_it(booted: Path) -> None:
    assert all((booted / program.lstrip("/")).exists() for program in image.LINKS.values())
    assert all((booted / link).is_symlink() for link in image.LINKS)


def test_modules_are_listed_after_what_they_depend_on_and_unwanted_ones_are_left_out(booted: Path) -> None:
    order = (booted / "lib/modules/order").read_text().split()
    assert order == ["net-failover.ko", "virtio_net.ko", "crc32c.ko", "sunrpc.ko", "nfs.ko", "nfsv4.ko"]
    assert {path.name for path in (booted / "lib/modules").glob("*.ko")} == set(order)


def test_the_machine_starts_with_the_labs_own_script(booted: Path) -> None:
    assert (booted / "init").readlink() == Path("lab/init.sh")
    assert {path.name for path in (booted / "lab").iterdir()} == {path.name for path in image.GUEST.iterdir()}
    assert all(path.stat().st_mode & stat.S_IXUSR for path in (booted / "lab").iterdir())
    assert (booted / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_a_library_that_is_in_no_package_is_named(
    programs: Programs, debian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(debian / "tree", tree)
    (tree / image.LIBRARY_FOLDERS[1] / "libc.so.6").unlink()
    subprocess.run(["dpkg-deb", "--build", tree, tmp_path / "all.deb"], check=True, capture_output=True)
    programs.add("apt-get", f"cp {tmp_path}/all.deb .")
    with pytest.raises(UserError, match=r"hold none of .*libc\.so\.6: add its package to packages\.py"):
        image.ensure()


def test_a_package_that_is_not_offered_is_looked_for_after_an_update_and_then_named(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LACKS", "nfs-kernel-server")
    with pytest.raises(UserError, match="apt-get offers no nfs-kernel-server.*\n.*Debian 12 package source"):
        packages.unpacked()
    assert programs.asked("apt-get") == ["apt-get update"]


def test_lists_that_name_a_version_which_the_mirror_has_no_more_are_renewed(
    programs: Programs, debian: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new-lists"
    gone = f'[ -e {new} ] || {{ echo "404 Not Found" >&2; exit 100; }}'
    programs.add(
        "apt-get", f'case "$*" in *download*) {gone}; cp {debian}/*.deb . ;; update) touch {new} ;; *) exit 64 ;; esac'
    )
    assert image.ensure()["qemu"].kernel.name == f"vmlinuz-{RELEASE}"
    asked = [call for call in programs.asked("apt-get") if "download" in call or "update" in call]
    assert ["download" if "download" in call else "update" for call in asked] == ["download", "update", "download"]
