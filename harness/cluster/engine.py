"""The container engine: the machine's own if it runs well, else one that is started here and stopped by scripts/down.

An engine that already runs privileged containers is used as it is. Where none runs, the machine's service is started,
or a separate dockerd with its own socket and data. Where the machine cannot give every capability, that separate
engine gets the runtime cluster/engine/runc-reduced, which asks for less; the machine's own engine is never changed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.archive import ImageSpec, write_archive
from harness.ground import system, toolchain
from harness.ground.paths import CLUSTER, cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step

RUN = Path("/run/stan-ft")  # socket, pid file and log of the engine that is started here
DATA = Path("/var/lib/stan-ft/docker")
SYSTEMD = Path("/run/systemd/system")  # there where systemd runs the services
OWN_SOCKET = f"unix://{RUN}/docker.sock"
ANSWER_TIMEOUT = 20.0  # seconds for an engine that runs
START_TIMEOUT = 60.0  # seconds for an engine to answer after its start
_BUILT_NODE = re.compile(r"kindest/node:v[0-9.]+-[0-9a-f]{16}")
_PROBE_IMAGE = "stan-ft/probe:1"


class EngineHangsError(UserError):
    """The engine did not answer in time."""


@dataclass(frozen=True)
class Engine:
    """A running container engine; host is its address, or "" for the client's default."""

    host: str

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that make docker and kind use this engine."""
        return {"DOCKER_HOST": self.host} if self.host else {}

    def docker(
        self, *arguments: str | Path, check: bool = True, timeout: float | None = None, stdin: str | bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker client against this engine; timeout in seconds.

        Raises shell.CommandError if it fails and check is True, EngineHangsError when time is up.
        """
        try:
            return shell.run(["docker", *arguments], env=self.env, check=check, timeout=timeout, stdin=stdin)
        except subprocess.TimeoutExpired as error:
            where = f" at {self.host}" if self.host else ""
            raise EngineHangsError(
                f"the container engine{where} did not answer within {timeout:.0f} s (docker {arguments[0]}).\n"
                "Start it anew (systemctl restart docker), then run this again."
            ) from error

    def answers(self) -> bool:
        """Whether the engine answers at all."""
        return self._version().returncode == 0

    def denied(self) -> bool:
        """Whether an engine runs that this user may not use."""
        return "permission denied" in self._version().stderr.lower()

    def _version(self) -> subprocess.CompletedProcess[str]:
        if not shutil.which("docker"):
            return subprocess.CompletedProcess([], 127, "", "")
        try:
            return self.docker("version", "--format", "{{.Server.Version}}", check=False, timeout=ANSWER_TIMEOUT)
        except EngineHangsError:
            return subprocess.CompletedProcess([], 124, "", "")

    def require_usable(self) -> None:
        """Raise UserError for an engine on which the nodes could not be reached from this machine."""
        if "podman" in self.docker("--version", check=False).stdout.lower():
            raise UserError("the docker command of this machine is podman's, and the local cluster needs Docker's.")
        options = self.docker("info", "--format", "{{json .SecurityOptions}}", check=False, timeout=ANSWER_TIMEOUT)
        if "name=rootless" in options.stdout:
            raise UserError(
                "the container engine is rootless, and this machine has no route to the nodes of such an engine.\n"
                "Point DOCKER_HOST at one that runs as root, or stop this one: scripts/up starts its own with sudo."
            )

    def runs_privileged(self) -> tuple[bool, str]:
        """Whether a privileged container starts, as kind's nodes must; and the engine's words if it does not."""
        with tempfile.TemporaryDirectory() as directory:
            archive = Path(directory) / "probe.tar"
            write_archive(
                [ImageSpec(_PROBE_IMAGE, {"/pause": toolchain.ensure("pause")}, entrypoint=("/pause",))], archive
            )
            self.docker("load", "-i", archive)
        done = self.docker(
            "run", "-d", "--rm", "--privileged", "--network", "none", _PROBE_IMAGE, check=False, timeout=60
        )
        if done.returncode == 0:
            self.docker("kill", done.stdout.strip(), check=False)
        return done.returncode == 0, done.stderr.strip()


def ensure() -> Engine:
    """A container engine that can run kind's nodes: found, started, or installed and started.

    Raises UserError when there is none and this user may not install or start one.
    """
    own = Engine(OWN_SOCKET)
    if own.answers():
        return own
    default = Engine(os.environ.get("DOCKER_HOST", ""))
    if default.answers() or _start_service(default):
        default.require_usable()
        fine, words = default.runs_privileged()
        if fine:
            return default
        if "unable to apply caps" not in words:
            raise UserError(f"the container engine runs, but it cannot start a privileged container:\n{words}")
        say("    this machine cannot give every capability: starting a separate engine that asks for less")
    elif default.denied():
        raise UserError(
            "a container engine runs, but this user may not use it.\n"
            "Add the user to its group (sudo usermod -aG docker $USER, then log in again), or run this as root."
        )
    elif default.host:
        raise UserError(
            f"DOCKER_HOST is {default.host}, and no container engine answers there within {ANSWER_TIMEOUT:.0f} s.\n"
            "Start it, or unset DOCKER_HOST."
        )
    return _start_own()


def find() -> Engine | None:
    """The engine that ensure() would give, if it runs already; nothing is started."""
    for engine in (Engine(OWN_SOCKET), Engine(os.environ.get("DOCKER_HOST", ""))):
        if engine.answers():
            return engine
    return None


def stop_own() -> bool:
    """Stop the engine that was started here, if it runs; returns whether there was one."""
    pid = _own_pid()
    if not pid:
        return False
    # The shell's own kill: the program is not on every machine.
    shell.run(system.as_root(["sh", "-c", f"kill -{signal.SIGTERM.value} {pid}"]), check=False)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    return True


def remove_network(engine: Engine) -> None:
    """Take kind's network, with its bridge on this machine, out of an engine that has no nodes any more."""
    engine.docker("network", "rm", "kind", check=False)


def remove_images(engine: Engine) -> None:
    """Take out of an engine what was built for the local cluster; images that were pulled stay."""
    listed = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", check=False).stdout.split()
    ours = [name for name in listed if name.startswith("stan-ft/") or _BUILT_NODE.fullmatch(name)]
    if ours:
        engine.docker("rmi", "--force", *ours, check=False)


def remove_own() -> None:
    """Remove all that the engine that was started here kept; does nothing where there was none.

    Raises UserError while an engine uses it.
    """
    if not DATA.exists() and not RUN.exists():
        return
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"--data-root={DATA}" in cmdline.read_text(errors="replace").split("\0"):
                process = cmdline.parent.name
                raise UserError(f"an engine still uses {DATA} (process {process}): end it, then run this again.")
    # A data directory that the engine mounted on itself stays mounted when it ends.
    shell.run(system.as_root(["umount", DATA]), check=False)
    shell.run(system.as_root(["rm", "-rf", DATA, RUN]))
    shell.run(system.as_root(["rmdir", DATA.parent]), check=False)


def _own_pid() -> str:
    """The process of the engine that was started here; "" if it does not run."""
    try:
        pid = (RUN / "docker.pid").read_text().strip()
        # An engine that was killed leaves its file, and the number may be another program's by now.
        return pid if f"--pidfile={RUN}/docker.pid" in Path(f"/proc/{pid}/cmdline").read_text() else ""
    except OSError:
        return ""


def _install() -> None:
    system.ensure_packages(
        {"dockerd": "docker.io", "docker": "docker.io", "runc": "runc", "iptables": "iptables"}, "the container engine"
    )


def _start_service(engine: Engine) -> bool:
    """Start the machine's own service where systemd runs it; returns whether the engine answers then."""
    if engine.host or not SYSTEMD.exists() or engine.denied():
        return False
    _install()
    with step("starting the machine's container engine"):
        shell.run(system.as_root(["systemctl", "start", "docker"]), check=False)
        return _wait(engine)


def _wait(engine: Engine) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if engine.answers():
            return True
        time.sleep(0.3)
    return False


def _start_own() -> Engine:
    _install()
    with step("starting a container engine"):
        runtime = cache() / "engine" / "runc-reduced"
        runtime.parent.mkdir(exist_ok=True)
        # A copy with a plain interpreter: the checkout may move away while the engine runs.
        source = (CLUSTER / "engine" / "runc-reduced").read_text().split("\n", 1)[1]
        runtime.write_text(f"#!{Path(sys.executable).resolve()} -ESs\n{source}")
        runtime.chmod(0o755)
        log = RUN / "docker.log"
        daemon = [
            "dockerd",
            f"--host={OWN_SOCKET}",
            f"--pidfile={RUN}/docker.pid",
            f"--exec-root={RUN}/exec",
            f"--data-root={DATA}",
            f"--group={os.getgid()}",
            "--bridge=none",
            f"--add-runtime=reduced={runtime}",
            "--default-runtime=reduced",
        ]
        script = f'mkdir -p {RUN} {DATA} && PATH=$PATH:/usr/sbin:/sbin exec setsid "$@" </dev/null >{log} 2>&1 9>&- &'
        shell.run(system.as_root(["sh", "-c", script, "dockerd", *daemon]))
        engine = Engine(OWN_SOCKET)
        if not _wait(engine):
            words = shell.run(system.as_root(["tail", "-n", "15", log]), check=False).stdout
            raise UserError(
                f"the container engine did not answer within {START_TIMEOUT:.0f} s. Its log ends with:\n{words}"
            )
    fine, words = engine.runs_privileged()
    if not fine:
        raise UserError(f"the container engine cannot start a privileged container on this machine:\n{words}")
    return engine
