"""A bare root file system of a distribution, and commands played in it as somebody new to this project would type them.

Everything that is mounted for a command is mounted in a namespace of its own, which ends with the command, however it
ends. How this computer reaches package registries (certificates, proxies, pip's and apt's settings) goes into the root;
nothing of it goes into the project.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.ground import content, system
from harness.ground.paths import REPO, cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import step

UID = 1000
NAMESPACE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
MAKING = 1800.0  # seconds that a root may take
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
OWN_BUNDLE = Path("/etc/ssl/rehearsal.crt")  # an upgrade of ca-certificates does not write this one anew
# What a stranger's machine has beyond the least: they cloned, so git; sudo for the user; a language.
INCLUDED = ("ca-certificates", "git", "locales", "sudo")
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO")
_REGISTRIES = ("PIP_", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
ENTER = """
set -e
root=$1 size=$2 user=$3
shift 3
mount --bind "$root" "$root"  # as on a computer of its own: / is the root of a mount
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
for name in full null random tty urandom zero; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 pts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o "mode=1777,size=$size" tmp "$root/tmp"
exec chroot --userspec="$user" "$root" env -i "$@"
"""


# Ends a process and all that it started; sudo passes a signal on to some of them only.
END = """
end() {
  for each in $(cat "/proc/$1/task/$1/children"); do (end "$each"); done
  kill -KILL "$1"
}
end "$1"
"""


@dataclass(frozen=True)
class Guise:
    """Who types the commands: root or a user with sudo, where their home is, their language and time zone."""

    name: str
    home: str
    uid: int
    variables: Mapping[str, str] = field(default_factory=dict)
    tmp: str = "2g"  # the size of /tmp


GUISES = {
    guise.name: guise
    for guise in (
        Guise("root", "/root", 0),
        Guise(
            "user",
            "/home/a strangér",
            UID,
            {
                "LANG": "de_DE.UTF-8",
                "LANGUAGE": "de",
                "TZ": "Asia/Kolkata",
                "USER": "stranger",
                "LOGNAME": "stranger",
                "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",  # Debian's /etc/profile
            },
            tmp="64m",
        ),
    )
}


@dataclass(frozen=True)
class Outcome:
    """How one command ended: its exit code (None: it was not done in time), its seconds, and what it printed."""

    command: str
    code: int | None
    seconds: float
    log: Path

    @property
    def said(self) -> str:
        """Everything that the stranger saw."""
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class Root:
    """A root file system with a clone of the committed state of this checkout in the home of a guise."""

    directory: Path
    guise: Guise

    @property
    def cache(self) -> Path:
        """The stranger's cache, as this computer sees it."""
        return self.directory / self.guise.home.lstrip("/") / ".cache" / "stan-ft"

    def give(self, built: list[Path]) -> None:
        """Put built tools (directories of this computer's cache) into the stranger's."""
        shelf = self.cache / "tools"
        shell.run(system.as_root(["mkdir", "-p", shelf]))
        shell.run(system.as_root(["cp", "-a", *built, shelf]))
        home = self.directory / self.guise.home.lstrip("/")
        shell.run(system.as_root(["chown", "-R", f"{self.guise.uid}:{self.guise.uid}", home / ".cache"]))

    def take(self, name: str, to: Path) -> None:
        """Copy a file of the clone's to this computer; where there is none, there is none here either."""
        file = self.directory / self.guise.home.lstrip("/") / "clone" / name
        to.unlink(missing_ok=True)
        if file.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to)

    def play(self, command: str, log: Path, patience: float) -> Outcome:
        """Run one line of shell in the clone, as the guise; patience in seconds. What it prints goes to log."""
        variables = {
            "HOME": self.guise.home,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM": "dumb",
            **registries(os.environ),
            **self.guise.variables,
        }
        inside = [*(f"{name}={text}" for name, text in variables.items()), "sh", "-c", f'cd "$HOME/clone" && {command}']
        user = f"{self.guise.uid}:{self.guise.uid}"
        argv: list[str | Path] = [*NAMESPACE, "sh", "-c", ENTER, "sh", self.directory, self.guise.tmp, user, *inside]
        return watch(command, system.as_root(argv), log, patience)


def watch(
    command: str, argv: list[str], log: Path, patience: float, variables: Mapping[str, str] | None = None
) -> Outcome:
    """Run argv, in this checkout, for at most patience seconds; what it prints goes to log. command is its name."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as file:
        running = subprocess.Popen(
            argv, cwd=REPO, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            code: int | None = running.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if running.poll() is None:
                # With the first process of its namespace all others in it end, and the kernel takes the mounts.
                shell.run(system.as_root(["sh", "-c", END, "sh", str(running.pid)]), check=False)
                running.wait()
    return Outcome(command, code, time.monotonic() - started, log)


@contextmanager
def made(suite: str, guise: Guise, *, keep: bool = False) -> Iterator[Root]:
    """A root of a Debian or Ubuntu release (such as "bookworm"), taken away at the end.

    Raises UserError if mmdebstrap cannot make it, for example where its archive is not reached.
    """
    system.ensure_packages(
        {"mmdebstrap": "mmdebstrap", "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"},
        "the rehearsal",
    )
    directory = cache() / "rehearsal" / f"{suite}-{guise.name}"
    with content.locked(directory):
        _remove(directory)  # what a rehearsal that was killed left
        try:
            with step(f"making a bare {suite}"):
                _bootstrap(suite, directory)
                _furnish(directory, guise)
            yield Root(directory, guise)
        finally:
            if not keep:
                _remove(directory)


def _bootstrap(suite: str, directory: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(INCLUDED)}"]
    for file in sorted(Path("/etc/apt/apt.conf.d").glob("*")):
        if "Acquire::" in file.read_text(errors="replace"):
            command.append(f"--aptopt={file}")
    # In a namespace too: it mounts things in the root while it works, which must not outlive it.
    argv = system.as_root([*NAMESPACE, "--mount-proc", *command, suite, directory])
    done = watch("mmdebstrap", argv, directory.with_name(f"{directory.name}.log"), MAKING)
    if done.code != 0:
        raise UserError(f"mmdebstrap makes no {suite} here:\n{done.said.strip()[-1000:]}")


def _furnish(directory: Path, guise: Guise) -> None:
    """Name resolution, registries, the user, and the clone."""
    home = directory / guise.home.lstrip("/")
    clone = home / "clone"
    script = ['set -e; root=$1 home=$2 clone=$3 repo=$4; mkdir -p "$home"']
    script += [f'[ ! -e {path} ] || cp -L {path} "$root{path}"' for path in ("/etc/resolv.conf", "/etc/hosts")]
    settings = [Path("/etc/pip.conf"), *(Path.home() / name for name in (".pip/pip.conf", ".config/pip/pip.conf"))]
    for file in settings:
        if file.exists():
            script.append(f'sed "s#{BUNDLE}#{OWN_BUNDLE}#" {shlex.quote(str(file))} >>"$root/etc/pip.conf"')
    if BUNDLE.exists():
        script.append(f'cp -L {BUNDLE} "$root{OWN_BUNDLE}"')
    if guise.uid:
        passwd = f"stranger:x:{guise.uid}:{guise.uid}::{guise.home}:/bin/bash"
        script += [
            f'echo {shlex.quote(passwd)} >>"$root/etc/passwd"; echo "stranger:x:{guise.uid}:" >>"$root/etc/group"',
            'echo "stranger:*:20000::::::" >>"$root/etc/shadow"',
            'echo "stranger ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/stranger"',
            'chroot "$root" localedef -i de_DE -f UTF-8 de_DE.UTF-8',
        ]
    # A stranger has what is committed; this checkout may belong to another user than root.
    script.append('git -c safe.directory="*" clone --quiet --no-hardlinks "$repo" "$clone"')
    script.append(f'chown -R {guise.uid}:{guise.uid} "$home"')
    shell.run(system.as_root(["sh", "-c", "\n".join(script), "sh", directory, home, clone, REPO]))


def registries(variables: Mapping[str, str]) -> dict[str, str]:
    """Of this computer's variables those that say how package registries are reached, as they are true in the root."""
    found = {
        name: text
        for name, text in variables.items()
        if (name.startswith(_REGISTRIES) or name.lower() in _PROXIES) and name not in _CERTIFICATES
    }
    found.pop("PIP_FIND_LINKS", None)  # a directory of this computer
    if BUNDLE.exists():
        found |= dict.fromkeys(_CERTIFICATES, str(OWN_BUNDLE))
    return found


def _remove(directory: Path) -> None:
    if directory.exists():
        shell.run(system.as_root(["rm", "-rf", "--one-file-system", directory]))


def free_space_is_needed() -> None:
    """Raise UserError unless the cache's disk has room for a root with an environment and tools in it."""
    system.require_free_disk(cache(), 6 * 2**30)


def available() -> None:
    """Raise UserError where no root can be made: it takes Linux namespaces and root rights."""
    if not system.root_is_to_be_had():
        raise UserError("a bare root is made and entered by root: run this as root, or as a user with sudo.")
    if not shutil.which("unshare"):
        raise UserError("the program unshare is not there: install util-linux.")
    free_space_is_needed()
