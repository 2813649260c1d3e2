"""The machines' kernel and initramfs: busybox, nfs-utils, Python, the streaming server, and the scripts in guest/."""

from __future__ import annotations

import py_compile
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from modulefinder import ModuleFinder
from pathlib import Path

from harness.ground import content, toolchain
from harness.loopback.supervised import SUPERVISOR
from harness.nfs_lab import packages
from stanft.ground.errors import UserError
from stanft.ground.progress import step

GUEST = Path(__file__).resolve().parent / "guest"
TOOLS = ("helm-render", "nats-streaming-server")  # pinned tools that the lab needs

# Kernel and modules below the unpacked packages: for QEMU and for user mode.
KERNELS = {
    "qemu": ("boot/vmlinuz-*", "lib/modules/*"),
    "uml": ("usr/bin/linux.uml", "usr/lib/uml/modules/*"),
}
# In this order: each is loaded with what it depends on before it.
MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "virtio_console", "nfsv4", "nfsd")
PROGRAMS = (
    "bin/busybox",
    "sbin/mount.nfs",
    "usr/sbin/exportfs",
    "usr/sbin/rpc.mountd",
    "usr/sbin/rpc.nfsd",
    "usr/sbin/nfsdcld",
    "usr/bin/python3.11",
    "usr/bin/setpriv",
)
# Where the chart's pods have what starts the server.
LINKS = {"usr/local/bin/python3": "/usr/bin/python3.11", "opt/stan/nats-streaming-server": "/bin/nats-streaming-server"}
PYTHON = "usr/lib/python3.11"
# What Python imports by itself, beside what the supervisor does.
PYTHON_OWN = ("encodings.idna", "encodings.utf_8", "encodings.ascii", "encodings.latin_1", "site", "runpy")
# What its library imports if it is there.
PYTHON_WITHOUT = ["asyncio", "bz2", "doctest", "lzma", "multiprocessing", "pdb", "pydoc", "readline", "ssl", "unittest"]
PYTHON_WITHOUT += ["_bz2", "_curses", "_hashlib", "_lzma", "_sqlite3", "_ssl"]
FOLDERS = ("bin", "sbin", "dev", "proc", "sys", "run", "tmp", "etc", "lib64", "usr/bin", "usr/sbin", "var/lib/nfs")
LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")


@dataclass(frozen=True)
class Image:
    """What a machine boots: the kernel and its initramfs."""

    kernel: Path
    initramfs: Path


def ensure() -> dict[str, Image]:
    """What the lab's machines boot, by KERNELS, built once per content.

    Raises UserError if a package or a tool cannot be had.
    """
    debian = packages.unpacked()
    server = toolchain.ensure("nats-streaming-server")
    # The builder is part of the key: a change of this file changes what it builds.
    key = content.digest(debian.name, server.parent.name, GUEST, SUPERVISOR.parent, Path(__file__))
    folder = content.built("nfs-lab", "image", key, lambda target: _build(debian, server, target))
    return {name: Image(next(debian.glob(kernel)), folder / f"{name}.cpio") for name, (kernel, _) in KERNELS.items()}


def _build(debian: Path, server: Path, target: Path) -> None:
    with step("building the initramfs of the lab's machines"):
        root = target / "root"
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        (root / "bin/sh").symlink_to("busybox")
        _copy(server, root / "bin/nats-streaming-server")
        for link, program in LINKS.items():
            (root / link).parent.mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to(program)
        for name in ("netconfig", "protocols", "services"):
            _copy(debian / "etc" / name, root / "etc" / name)
        for program in PROGRAMS:
            _copy(debian / program, root / program)
        (root / "sbin/mount.nfs4").symlink_to("mount.nfs")
        extensions = _python(debian, root)
        _libraries(debian, root, extensions)
        for script in GUEST.iterdir():
            _copy(script, root / "lab" / script.name, executable=True)
        (root / "init").symlink_to("lab/init.sh")
        for name, (_, modules) in KERNELS.items():
            _modules(next(debian.glob(modules)), root)
            _archive(root, target / f"{name}.cpio")
            shutil.rmtree(root / "lib/modules")
        shutil.rmtree(root)


def _one(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise UserError(f"the unpacked Debian packages hold none of {', '.join(names)}: add its package to packages.py.")


def _copy(source: Path, target: Path, *, executable: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    mode = source.stat().st_mode & 0o777
    target.chmod(mode | 0o755 if executable or mode & stat.S_IXUSR else 0o644)


def _python(debian: Path, root: Path) -> list[Path]:
    """Copy the modules that the supervisor imports, compiled if this Python can; returns those that are libraries."""
    folders = [debian / PYTHON, debian / PYTHON / "lib-dynload"]
    finder = ModuleFinder(path=[str(SUPERVISOR.parent), *map(str, folders)], excludes=PYTHON_WITHOUT)
    finder.run_script(str(SUPERVISOR))
    for name in PYTHON_OWN:
        finder.import_hook(name)
    extensions = []
    for module in finder.modules.values():
        source = Path(getattr(module, "__file__", None) or "")
        if not source.is_relative_to(debian):
            continue
        copy = root / source.relative_to(debian)
        _copy(source, copy)
        if source.suffix == ".so":
            extensions.append(copy)
        elif sys.version_info[:2] == (3, 11):
            cached = copy.parent / "__pycache__" / f"{copy.stem}.cpython-311.pyc"
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(copy), str(cached), doraise=True, invalidation_mode=mode)
    return extensions


def _libraries(debian: Path, root: Path, extensions: Iterable[Path]) -> None:
    """Copy every library that the programs load, by their ELF headers; raises UserError if one is in no package."""
    waiting = [*(root / program for program in PROGRAMS), *extensions]
    while waiting:
        for name in _needed(waiting.pop()):
            copy = root / "lib/x86_64-linux-gnu" / name
            if copy.exists():
                continue
            _copy(_one(debian, *(f"{folder}/{name}" for folder in LIBRARY_FOLDERS)), copy)
            waiting.append(copy)
    loader = "ld-linux-x86-64.so.2"
    _copy(_one(debian, f"lib64/{loader}", f"lib/x86_64-linux-gnu/{loader}"), root / "lib64" / loader, executable=True)


def _needed(program: Path) -> list[str]:
    """The names of the shared libraries in a 64-bit ELF file's dynamic section."""
    data = program.read_bytes()

    def number(offset: int, size: int) -> int:
        return int.from_bytes(data[offset : offset + size], "little")

    table, width, count = number(32, 8), number(54, 2), number(56, 2)
    headers = [table + index * width for index in range(count)]
    loads = [(number(h + 16, 8), number(h + 8, 8), number(h + 32, 8)) for h in headers if number(h, 4) == 1]
    entries: list[tuple[int, int]] = []
    for header in headers:
        if number(header, 4) == 2:  # PT_DYNAMIC
            start, size = number(header + 8, 8), number(header + 32, 8)
            entries = [(number(at, 8), number(at + 8, 8)) for at in range(start, start + size, 16)]
    strings = next((value for tag, value in entries if tag == 5), 0)  # DT_STRTAB, a virtual address
    offset = next((strings - address + file for address, file, size in loads if address <= strings < address + size), 0)
    names = [offset + value for tag, value in entries if tag == 1]  # DT_NEEDED
    return [data[at : data.index(b"\0", at)].decode() for at in names if data[at : at + 10] != b"ld-linux-x"]


def _modules(source: Path, root: Path) -> None:
    """Copy the kernel modules and write /lib/modules/order: the files in the order in which they are to be loaded."""
    files = {path.stem.replace("-", "_"): path for path in source.rglob("*.ko")}
    order: list[str] = []
    for module in MODULES:
        _add(module, files, order)
    for name in order:
        _copy(files[name], root / "lib/modules" / files[name].name)
    (root / "lib/modules/order").write_text("".join(f"{files[name].name}\n" for name in order))


def _add(name: str, files: dict[str, Path], order: list[str]) -> None:
    if name in order or name not in files:  # not a file: built into the kernel
        return
    info = files[name].read_bytes()
    for kind in (rb"depends", rb"softdep"):
        for match in re.finditer(rb"\0" + kind + rb"=([^\0]*)", info):
            words = re.split(r"[, ]+", match[1].decode().replace("pre:", ""))
            for other in words:
                _add(other.replace("-", "_"), files, order)
    order.append(name)


def _archive(root: Path, target: Path) -> None:
    names = "\n".join(_names(root))
    # Not compressed: a machine in software emulation would need longer to unpack it than the host to read it.
    command = ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"]
    with target.open("wb") as file:
        subprocess.run(command, cwd=root, input=names.encode(), stdout=file, check=True)


def _names(root: Path) -> Iterable[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))
