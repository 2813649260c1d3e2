"""The life of the local kind cluster: made, found again, started after a stop, taken away."""

from __future__ import annotations

import os
import re
import shutil
import string
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.engine import Engine
from harness.ground import content, system, toolchain
from harness.ground.paths import CLUSTER, cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step

DEFAULT_NAME = "stan-ft"  # STAN_FT_CLUSTER changes it, so that several clusters can live side by side
DEFAULT_PORT = 4222  # on 127.0.0.1, for clients on this machine; STAN_FT_PORT changes it
NODES_READY = 180.0  # seconds
DISK_FOR_CLUSTER = 6 * 2**30  # bytes: the node image and what four nodes write
_COMPLETE = "/kind/stan-ft-complete"  # in the control plane: the cluster was made to its end, and from what


def client_port() -> int:
    """The port on 127.0.0.1 that leads to the servers; raises UserError if STAN_FT_PORT is no port."""
    text = os.environ.get("STAN_FT_PORT", str(DEFAULT_PORT))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise UserError(f"STAN_FT_PORT is {text!r}, which is no port: set it to a number from 1 to 65535, or unset it.")
    return int(text)


def name() -> str:
    """The name of the local cluster; raises UserError if STAN_FT_CLUSTER is no name that Kubernetes takes."""
    text = os.environ.get("STAN_FT_CLUSTER", DEFAULT_NAME)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", text):
        raise UserError(f"STAN_FT_CLUSTER is {text!r}: use lower-case letters, digits and hyphens only, or unset it.")
    return text


def home() -> Path:
    """The directory that holds what belongs to this cluster: its shared volume, and what scripts/up remembers."""
    return cache() / "cluster" / name()


def shared_directory() -> Path:
    """The directory of this machine that all nodes mount as their shared volume."""
    return home() / "shared"


def _kubeconfig() -> Path:
    return cache() / ("kubeconfig" if name() == DEFAULT_NAME else f"kubeconfig-{name()}")


def pod_subnet() -> str:
    """The addresses of the pods: each cluster its own, as this machine has a route to every pod."""
    second = 244 if name() == DEFAULT_NAME else 100 + zlib.crc32(name().encode()) % 100
    return f"10.{second}.0.0/16"


@contextmanager
def locked() -> Iterator[None]:
    """Hold this cluster for oneself: what one run is making, no other changes or takes away."""
    with content.locked(home(), f"another run makes or takes away the cluster {name()}: waiting for it"):
        yield


@dataclass(frozen=True)
class Made:
    """What a finished cluster was made from: noted inside it, so that it goes when the cluster goes."""

    files: str  # the hash of cluster/kind.yaml and the node image
    port: int
    minor: str  # of Kubernetes

    def text(self) -> str:
        """As it is noted; read() is the way back."""
        return f"{self.files} {self.port} {self.minor}"

    @classmethod
    def read(cls, text: str) -> Made:
        """From text(); what an older checkout noted gives fields that equal nothing."""
        files, port, minor = [*text.split(), "", "", ""][:3]
        return cls(files, int(port) if port.isdigit() else 0, minor)


@dataclass(frozen=True)
class Cluster:
    """The local cluster as tests and scripts use it."""

    engine: Engine
    name: str = field(default_factory=name)
    kubeconfig: Path = field(default_factory=_kubeconfig)

    @property
    def context(self) -> str:
        """The name of the cluster's context in its kubeconfig."""
        return f"kind-{self.name}"

    @property
    def control_plane(self) -> str:
        """The name of the control plane's node."""
        return f"{self.name}-control-plane"

    def kind(self, *arguments: str | Path) -> str:
        """Run kind against this cluster's engine; raises shell.CommandError if it fails."""
        return shell.output([toolchain.ensure("kind"), *arguments], env=self.engine.env)

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, check: bool = True, timeout: float | None = 120
    ) -> str:
        """What kubectl prints on stdout; timeout in seconds. Raises shell.CommandError if it fails."""
        command = [toolchain.ensure("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return shell.output(command, stdin=stdin, check=check, timeout=timeout)

    def wait_rollout(self, workload: str, namespace: str, timeout: int = 120) -> None:
        """Wait until a workload such as "deployment/x" runs as asked; timeout in whole seconds.

        Raises UserError with its pods and events otherwise.
        """
        try:
            self.kubectl(
                "-n", namespace, "rollout", "status", workload, f"--timeout={timeout}s", timeout=timeout + 30
            )  # fmt: skip
        except shell.CommandError as error:
            pods = self.kubectl("-n", namespace, "get", "pods", "-o", "wide", check=False)
            events = self.kubectl("-n", namespace, "get", "events", "--sort-by=.lastTimestamp", check=False)
            tail = "\n".join(events.splitlines()[-8:])
            raise UserError(f"{workload} in {namespace} did not come up within {timeout} s:\n{pods}\n{tail}") from error

    def node_exec(self, node: str, *command: str, check: bool = True, timeout: float | None = 60) -> str:
        """What a command prints inside a node; raises shell.CommandError if it fails and check is True."""
        return self.engine.docker("exec", node, *command, check=check, timeout=timeout).stdout.strip()

    def remember(self, fact: str, node: str = "") -> None:
        """Note on a node (default: the control plane) that something was done; the note goes when the node goes."""
        self.node_exec(node or self.control_plane, "touch", f"/kind/stan-ft-{fact}")

    def remembers(self, fact: str, node: str = "") -> bool:
        """Whether remember() was called with the same fact and node."""
        path = f"/kind/stan-ft-{fact}"
        return self.engine.docker("exec", node or self.control_plane, "test", "-e", path, check=False).returncode == 0

    def nodes(self) -> list[str]:
        """The names of all nodes that exist, running or not, control plane first."""
        listing = self.engine.docker(
            "ps", "--all", "--filter", f"label=io.x-k8s.kind.cluster={self.name}", "--format", "{{.Names}}"
        ).stdout.split()
        return sorted(listing, key=lambda node: (node != self.control_plane, node))

    def workers(self) -> list[str]:
        """The names of the nodes that run servers."""
        return [node for node in self.nodes() if node != self.control_plane]

    def running(self, node: str) -> bool:
        """Whether a node's container runs (a paused one counts as running)."""
        inspected = self.engine.docker("inspect", "--format", "{{.State.Running}}", node, check=False)
        return inspected.stdout.strip() == "true"

    def made_from(self) -> Made | None:
        """What the finished cluster was made from; None if there is none or it was left unfinished."""
        if self.control_plane not in self.nodes():
            return None
        target = Path(tempfile.mkdtemp()) / "complete"
        try:
            copied = self.engine.docker("cp", f"{self.control_plane}:{_COMPLETE}", target, check=False)
            return Made.read(target.read_text()) if copied.returncode == 0 else None
        finally:
            shutil.rmtree(target.parent)

    def load(self, archive: Path) -> None:
        """Bring the images of an archive into every node; raises shell.CommandError if kind cannot."""
        self.kind("load", "image-archive", str(archive), "--name", self.name)

    def wait_ready(self, timeout: float = NODES_READY) -> None:
        """Wait until every node is Ready; timeout in seconds. Raises UserError with the states otherwise."""
        wait_for(
            lambda: self._ready() == len(self.nodes()),
            timeout,
            lambda: f"not all nodes became Ready within {timeout:.0f} s:\n{self.kubectl('get', 'nodes', check=False)}",
        )

    def _ready(self) -> int:
        try:
            listing = self.kubectl("get", "nodes", "--no-headers", timeout=15)
        except Exception:  # the API server may not answer yet; the caller's time limit decides
            return 0
        return sum(line.split()[1] == "Ready" for line in listing.splitlines())


def wait_for(condition: Callable[[], bool], timeout: float, message: Callable[[], str], every: float = 0.5) -> None:
    """Wait until condition() is true; timeout and every in seconds. Raises UserError(message()) when time is up."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise UserError(message())
        time.sleep(every)


def require_settings(engine: Engine, minor: str) -> None:
    """Raise UserError if the cluster is there and whole, but was made with another port or Kubernetes version.

    A variable that somebody forgot to set must not cost a good cluster with its store.
    """
    made = Cluster(engine).made_from()
    if made is None or not made.port:
        return
    for variable, was, asked, default in (
        ("STAN_FT_PORT", str(made.port), str(client_port()), str(DEFAULT_PORT)),
        ("STAN_FT_KUBERNETES", made.minor, minor, toolchain.DEFAULT_MINOR),
    ):
        if was != asked:
            again = f"unset {variable}" if was == default else f"set {variable}={was}"
            raise UserError(
                f"the cluster {name()} was made with {variable}={was}, and now {asked} is asked for.\n"
                f"To go on with it: {again}. To have a second one: set STAN_FT_CLUSTER to another name. "
                "To make it anew, without its store: scripts/down, then this again."
            )


def ensure(engine: Engine, image: str, minor: str = toolchain.DEFAULT_MINOR) -> Cluster:
    """The local cluster with all its nodes Ready: found, started, or made where it is missing or was left unfinished.

    Raises UserError when a whole one was made from something else, when one was left unfinished that was not begun
    here, when a port is taken, the disk is nearly full, or the nodes do not become Ready.
    """
    cluster = Cluster(engine)
    wanted = Made(content.digest(CLUSTER / "kind.yaml", image), client_port(), minor)
    require_settings(engine, minor)
    system.ensure_inotify()
    if cluster.nodes():
        _keep_or_remove(cluster, wanted)
    if cluster.nodes():
        stopped = [node for node in cluster.nodes() if not cluster.running(node)]
        if stopped:
            with step(f"starting the nodes {', '.join(stopped)}"):
                engine.docker("start", *stopped)
        if stopped or not cluster.kubeconfig.exists():
            _write_kubeconfig(cluster)
    else:
        _create(cluster, image, wanted)
    cluster.wait_ready()
    return cluster


def _keep_or_remove(cluster: Cluster, wanted: Made) -> None:
    made = cluster.made_from()
    if made is None and not shared_directory().exists():
        raise UserError(
            f"nodes of a cluster {cluster.name} are there that were not made with this cache ({cache()}).\n"
            "Set STAN_FT_CACHE to the one that it was made with, or STAN_FT_CLUSTER to another name, "
            f"or take it away: kind delete cluster --name {cluster.name}."
        )
    if made is None:
        say("    the cluster was left unfinished: making it anew")
        delete(cluster.engine)
    elif made != wanted:
        raise UserError(
            f"the cluster {cluster.name} was made from other files (cluster/kind.yaml, the node image) or with another "
            "--registry than this run.\nTo make it anew, without its store: scripts/down, then this again. "
            "To have a second one: set STAN_FT_CLUSTER and STAN_FT_PORT."
        )


def _create(cluster: Cluster, image: str, made: Made) -> None:
    system.require_free_disk(Path("/var/lib"), DISK_FOR_CLUSTER)
    system.require_free_port(
        client_port(),
        "the cluster's client port",
        "End what listens there, or choose another one: STAN_FT_PORT=14222 scripts/up.",
    )
    shared = shared_directory()
    shared.mkdir(parents=True, exist_ok=True)
    shared.chmod(0o777)
    text = (CLUSTER / "kind.yaml").read_text()
    config = string.Template(text).safe_substitute(SHARED=shared, PORT=client_port(), POD_SUBNET=pod_subnet())
    with step("a kind cluster of one control plane and three workers"):
        try:
            shell.run(
                [
                    toolchain.ensure("kind"), "create", "cluster", "--name", cluster.name, "--image", image,
                    "--config", "-", "--kubeconfig", cluster.kubeconfig, "--retain",
                ],
                env=cluster.engine.env,
                stdin=config,
            )  # fmt: skip
        except shell.CommandError as error:
            raise UserError(
                f"kind could not create the cluster:\n{error.output.strip()[-3000:]}\n"
                "The nodes are kept for a look (docker ps); scripts/up makes them anew, scripts/down takes them away."
            ) from error
        cluster.wait_ready()
    cluster.engine.docker("exec", cluster.control_plane, "sh", "-c", f"echo {made.text()} >{_COMPLETE}")


def _write_kubeconfig(cluster: Cluster) -> None:
    cluster.kind("export", "kubeconfig", "--name", cluster.name, "--kubeconfig", cluster.kubeconfig)


def all_nodes(engine: Engine) -> list[str]:
    """The nodes of all kind clusters in the engine, this one's and others'."""
    return engine.docker(
        "ps", "--all", "--filter", "label=io.x-k8s.kind.cluster", "--format", "{{.Names}}"
    ).stdout.split()


def delete(engine: Engine) -> None:
    """Take the cluster, its kubeconfig and its shared volume away; does nothing where there is none."""
    cluster = Cluster(engine)
    if cluster.nodes():
        with step("removing the kind cluster"):
            # A paused node can be neither stopped nor removed.
            engine.docker("unpause", *cluster.nodes(), check=False)
            cluster.kind("delete", "cluster", "--name", cluster.name, "--kubeconfig", cluster.kubeconfig)
    cluster.kubeconfig.unlink(missing_ok=True)
    shared = shared_directory()
    if shared.exists():
        # Its files belong to the servers' uid.
        shell.run(system.as_root(["rm", "-rf", shared]))
