"""What the lab takes from Debian: host tools are installed, everything that goes into the machines is only unpacked."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from pathlib import Path

from harness.ground import content, system
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import step

HOST_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "cpio": "cpio",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
    "mkfs.ext4": "e2fsprogs",
}

# The NFS programs of the machines, the libraries that they load (checked by image.py against the ELF headers), and a
# kernel that is a process.
GUEST_PACKAGES = (
    "busybox",
    "libblkid1",
    "libc6",
    "libcap-ng0",
    "libcap2",
    "libevent-core-2.1-7",
    "libexpat1",
    "libffi8",
    "libmount1",
    "libnsl2",
    "libselinux1",
    "libpcre2-8-0",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libtirpc-common",
    "libtirpc3",
    "libgssapi-krb5-2",
    "libkrb5-3",
    "libkrb5support0",
    "libk5crypto3",
    "libcom-err2",
    "libcrypt1",
    "libkeyutils1",
    "libuuid1",
    "libwrap0",
    "netbase",
    "nfs-common",
    "nfs-kernel-server",
    "python3.11-minimal",
    "user-mode-linux",
    "util-linux",
    "zlib1g",
)
KERNEL_PACKAGE = "linux-image-cloud-amd64"


def unfit() -> str | None:
    """Why the lab cannot run on this computer, in one line; None where it can."""
    if platform.machine() != "x86_64":
        return f"the NFS lab's machines are x86-64, this computer is {platform.machine()}: run it on x86-64."
    name, release = system.distribution()
    if (name, release) != ("debian", "12") or not shutil.which("apt-get"):
        return (
            f"the NFS lab's machines are made from the packages of Debian 12, and this is {name} {release}: "
            "run it on Debian 12."
        )
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing, the NFS lab's machines have no network without it: load the kernel module tun."
    if not system.root_is_to_be_had():
        return "the NFS lab makes network devices, which needs root: run it as root, or as a user with sudo."
    return None


def require_host() -> None:
    """Install what the lab runs on this computer; raises UserError where it cannot run."""
    if reason := unfit():
        raise UserError(reason)
    system.ensure_packages(HOST_TOOLS, "the NFS lab")


def unpacked() -> Path:
    """The directory that holds kernel, modules and programs of the machines, unpacked from the Debian packages.

    Kept in the cache under the packages' versions. Raises UserError if apt-get does not offer them.
    """
    versions = _versions()
    key = content.digest(*(f"{name}={version}" for name, version in sorted(versions.items())))
    return content.built("nfs-lab", "debian", key, lambda target: _unpack(versions, target))


def _versions() -> dict[str, str]:
    """Package name -> the version that apt-get would fetch; the kernel's package is found through its meta package."""
    for attempt in ("as it is", "after apt-get update"):
        if attempt != "as it is":
            shell.run(system.as_root(["apt-get", "update"]), check=False)
        depends = shell.output(["apt-cache", "depends", KERNEL_PACKAGE], check=False)
        kernel = re.search(r"Depends: (linux-image-\S+)", depends)
        names = [*GUEST_PACKAGES, *([kernel[1]] if kernel else [])]
        policy = shell.output(["apt-cache", "policy", *names], check=False)
        found = dict(re.findall(r"^(\S+):\n(?: .*\n)*?  Candidate: (?!\(none\))(\S+)", policy, re.MULTILINE))
        missing = [name for name in GUEST_PACKAGES if name not in found]
        if kernel and not missing:
            return {name: found[name] for name in names}
    raise UserError(
        f"apt-get offers no {', '.join(missing) or KERNEL_PACKAGE}: the NFS lab's machines are made from Debian 12 "
        "packages.\nRun it on Debian 12, or add a Debian 12 package source."
    )


def _unpack(versions: dict[str, str], target: Path) -> None:
    title = "fetching the kernel and the NFS programs of the lab's machines"
    with step(title), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wanted = [f"{name}={version}" for name, version in versions.items()]
        # The sandbox user of apt may not write here, and needs not: nothing is installed.
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download"]
        if shell.run([*download, *wanted], cwd=Path(folder), check=False).returncode != 0:
            # Lists that are weeks old name versions that the mirror has replaced since.
            shell.run(system.as_root(["apt-get", "update"]), check=False)
            shell.run([*download, *versions], cwd=Path(folder))
        for package in sorted(Path(folder).glob("*.deb")):
            shell.run(["dpkg-deb", "-x", package, target])
