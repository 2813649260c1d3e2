"""The machine itself: root rights, Debian packages, free disk space, ports."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.ground import content
from harness.ground.paths import cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step

# Debian's own way to keep packages from starting services (invoke-rc.d asks this program); a machine's own one stays.
WITHOUT_SERVICES = """
policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' >$policy && chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
"$@"
"""
APT_WAITS = "-oDPkg::Lock::Timeout=600"  # seconds for the machine's own updates, which may be at work
LIMITS = Path("/proc/sys/fs/inotify")
INOTIFY = {"max_user_instances": 1024, "max_user_watches": 524288}


def require_machine() -> None:
    """Raise UserError on a machine that the local cluster cannot be made on: it needs Linux on x86-64."""
    system, processor = platform.system(), platform.machine()
    if (system, processor) != ("Linux", "x86_64"):
        raise UserError(
            f"the local cluster is made for Linux on x86_64, and this is {system} on {processor}.\n"
            "Run it on such a machine or in a virtual one; the charts themselves run wherever their images do."
        )


def as_root(command: Sequence[str | Path]) -> list[str]:
    """The command as it must be run to have root rights; raises UserError if this user cannot have them."""
    argv = [str(part) for part in command]
    if os.geteuid() == 0:
        return argv
    if shutil.which("sudo"):
        return ["sudo", *argv]
    raise UserError(
        f"root rights are needed, this user is not root, and there is no sudo: {shlex.join(argv)}\n"
        "Run it as root, or install sudo and allow this user to use it."
    )


# What a program that is started again as root keeps: places, package sources, proxies, certificates.
_KEPT = ("PATH", "PYTHONPATH", "PYTHONUTF8", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy")
_KEPT_KINDS = ("STAN_FT_", "GO", "PIP_", "SSL_", "REQUESTS_")


def root_is_to_be_had(*, asked: bool = True) -> bool:
    """Whether this user is root or may be: sudo that wants a password needs a terminal, and one who may be asked."""
    if os.geteuid() == 0:
        return True
    return bool(shutil.which("sudo")) and (
        (asked and sys.stdin.isatty()) or shell.run(["sudo", "-n", "true"], check=False).returncode == 0
    )


def become_root(module: str) -> None:
    """Start this Python module again as root, with the same arguments, unless this is root already.

    Most of the environment is what sudo makes of it; what the module needs of it is passed by name, since sudo drops
    PYTHONPATH whatever it is told. Raises UserError where there is no sudo.
    """
    if os.geteuid() == 0:
        return
    kept = [f"{name}={text}" for name, text in os.environ.items() if name in _KEPT or name.startswith(_KEPT_KINDS)]
    # Compiled files of root's in the checkout would stay there for ever.
    again = ["env", *kept, "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m", module, *sys.argv[1:]]
    command = as_root(again)
    os.execvp(command[0], command)  # noqa: S606 (this process becomes root's)


def distribution() -> tuple[str, str]:
    """The name and release of this Linux, as /etc/os-release has them, such as ("debian", "12")."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return "an unknown Linux", ""
    return found.get("ID", "linux"), found.get("VERSION_ID", "")


def ensure_packages(commands: dict[str, str], why: str, *, services: bool = True) -> None:
    """Install the Debian packages whose commands are missing (command -> package); why goes into the messages.

    services: those that the packages bring may start, as they do by themselves.
    Raises UserError where there is no apt-get or no root.
    """
    missing = sorted({package for command, package in commands.items() if not _found(command)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise UserError(
            f"{why} needs {', '.join(missing)}, and this is no Debian or Ubuntu: install them, then run this again."
        )
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"]
    install += [APT_WAITS, *missing]
    if not services:
        install = ["sh", "-c", WITHOUT_SERVICES, "sh", *install]
    with (
        content.locked(cache() / "packages", "another run installs packages: waiting for it"),
        step(f"installing {', '.join(missing)} ({why})"),
    ):
        try:
            if shell.run(as_root(install), check=False).returncode != 0:
                shell.run(as_root(["apt-get", "update"]))
                shell.run(as_root(install))
        except shell.CommandError as error:
            raise UserError(
                f"apt-get could not install {', '.join(missing)}:\n{error.output.strip()[-1000:]}\n"
                "Check the machine's package sources, then run this again."
            ) from error


def _found(command: str) -> bool:
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(command, path=search) is not None or Path(command).exists()


def require_free_disk(directory: Path, wanted: int) -> None:
    """Raise UserError unless the file system of directory has at least `wanted` bytes free."""
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free < wanted:
        raise UserError(
            f"{directory} has {free / 2**30:.1f} GiB free, and {wanted / 2**30:.0f} GiB are needed.\n"
            "Free some space there, or point STAN_FT_CACHE at a larger disk."
        )


def ensure_inotify() -> None:
    """Raise the kernel's inotify limits where they are too low for the nodes of a kind cluster.

    Each node's systemd, kubelet and kube-proxy watch files; beyond the limit they fail with "too many open files"
    (kind's known issues). Raises UserError without root rights.
    """
    for name, needed in INOTIFY.items():
        limit = LIMITS / name
        if int(limit.read_text()) < needed:
            say(f"    raising the kernel limit fs.inotify.{name} to {needed} until the next boot")
            shell.run(as_root(["tee", limit]), stdin=f"{needed}\n")


def require_free_port(port: int, purpose: str, remedy: str) -> None:
    """Raise UserError if something listens on 127.0.0.1:port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} on 127.0.0.1 is taken, and {purpose} needs it.\n{remedy}") from error


def load() -> str:
    """One line on the load of this machine, without which no figure means anything."""
    return f"load average of this machine: {os.getloadavg()[0]:.1f} with {os.cpu_count()} cores"
