"""A kind node image built from package registries alone: Debian, Go modules, and kind's own image files.

The result behaves as the official image does. It is named by the hash of all that went into it, so it is built once.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.cluster.archive import ImageSpec, write_archive
from harness.cluster.engine import Engine
from harness.ground import content, system, toolchain
from harness.ground.paths import CLUSTER
from harness.ground.toolchain import KUBERNETES_VERSION
from stanft.ground import shell
from stanft.ground.progress import step

SUITE = "bookworm"
RECIPE = "1"  # raised when this file builds something else from the same sources
NAME = "kindest/node"
_SOURCE = CLUSTER / "node-image"
_CNI = ("host-local", "loopback", "portmap", "ptp")
_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_NODE_BINARIES = ("kubeadm", "kubelet", "kubectl")


def ensure(engine: Engine) -> str:
    """The name of the node image in the engine, built if it is not there yet.

    Raises UserError when a package or a Go module cannot be had, shell.CommandError when the build itself fails.
    """
    image = f"{NAME}:{KUBERNETES_VERSION}-{_key()}"
    if engine.docker("image", "inspect", image, check=False).returncode != 0:
        _build(engine, image)
    return image


def debian_root() -> Path:
    """The plain Debian root file system with the packages of cluster/node-image/packages, as a tar file."""
    system.ensure_packages(
        {"mmdebstrap": "mmdebstrap", "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"},
        "building the node image",
    )
    return content.built("node-image", "debian", content.digest(*_packages(), SUITE), _bootstrap) / "root.tar"


def _packages() -> list[str]:
    lines = (_SOURCE / "packages").read_text().splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def _bootstrap(directory: Path) -> None:
    target = directory / "root.tar"
    with step("a Debian root file system for the nodes"):
        shell.run(
            system.as_root(
                ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_packages())}", SUITE, target]
            )
        )
        shell.run(system.as_root(["chmod", "0644", target]))


def closure(name: str, *patterns: str) -> dict[str, Path]:
    """Programs and plug-ins of the Debian root with all the libraries they need: path in an image -> file in the cache.

    name is what they are kept under; patterns are paths in the root of files or of directories with all that is in
    them, with * where many are meant.
    """
    root = debian_root()
    script = CLUSTER / "node-image" / "closure.sh"

    def extract(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            shell.run(system.as_root(["tar", "-C", scratch, "-xf", root, "--exclude=./dev/*"]))
            bash = system.as_root(["chroot", scratch, "bash", "-s", "--", *patterns])
            for line in shell.output(bash, stdin=script.read_text()).splitlines():
                # Links become copies: names matter to the loader, sharing does not.
                path, resolved = line.split("\t")
                copy = target / path.lstrip("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(scratch + resolved), copy)
            shell.run(system.as_root(["find", scratch, "-mindepth", "1", "-delete"]))

    key = content.digest(script, root.parent.name, *patterns)
    directory = content.built("node-image", name, key, extract)
    return {f"/{file.relative_to(directory)}": file for file in directory.rglob("*") if file.is_file()}


def _key() -> str:
    binaries = [*_NODE_BINARIES, *_CONTROL_PLANE, *_CNI, "kube-proxy", "etcd", "coredns", "pause", "pod-network"]
    return content.digest(
        _SOURCE,
        SUITE,
        CLUSTER / "go" / "kind",
        RECIPE,
        *(toolchain.ensure(binary).parent.name for binary in binaries),
    )


def _kubernetes_images() -> dict[str, str]:
    """The images that kubeadm wants: last part of the name -> full name with tag."""
    listing = shell.output(
        [toolchain.ensure("kubeadm"), "config", "images", "list", "--kubernetes-version", KUBERNETES_VERSION]
    )
    return {name.rsplit("/", 1)[-1].split(":")[0]: name for name in listing.splitlines()}


def _specs() -> list[ImageSpec]:
    names = _kubernetes_images()
    iptables = closure(
        "iptables", "/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/lib/x86_64-linux-gnu/xtables/*.so"
    )
    links = {
        f"/usr/sbin/{command}": "xtables-nft-multi"
        for command in (
            f"{family}{suffix}" for family in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")
        )
    }

    def simple(image: str, binary: str) -> ImageSpec:
        return ImageSpec(names[image], {f"/usr/local/bin/{binary}": toolchain.ensure(binary)})

    coredns = ImageSpec(names["coredns"], {"/coredns": toolchain.ensure("coredns")}, entrypoint=("/coredns",))
    pause = ImageSpec(names["pause"], {"/pause": toolchain.ensure("pause")}, entrypoint=("/pause",))
    proxy = ImageSpec(
        names["kube-proxy"], {"/usr/local/bin/kube-proxy": toolchain.ensure("kube-proxy"), **iptables}, links
    )
    network = ImageSpec(
        "docker.io/stan-ft/pod-network:local",
        {"/usr/local/bin/pod-network": toolchain.ensure("pod-network"), **iptables},
        links,
        entrypoint=("/usr/local/bin/pod-network",),
    )
    return [simple(image, image) for image in _CONTROL_PLANE] + [
        simple("etcd", "etcd"),
        coredns,
        pause,
        proxy,
        network,
    ]


def _build(engine: Engine, image: str) -> None:
    root = debian_root()
    base = f"stan-ft/debian:{root.parent.name}"
    with tempfile.TemporaryDirectory(prefix="node-image-", dir=root.parent.parent) as scratch:
        context = Path(scratch)
        with step("the images of the Kubernetes components"):
            specs = _specs()
            write_archive(specs, context / "images.tar")
            pause = next(spec.name for spec in specs if "/pause" in spec.files)
            (context / "pause-image").write_text(pause)
        shutil.copytree(
            toolchain.module_source("kind", "sigs.k8s.io/kind") / "images/base/files", context / "kind-files"
        )
        for folder, binaries in (("bin", _NODE_BINARIES), ("cni", _CNI)):
            (context / folder).mkdir()
            for binary in binaries:
                shutil.copy(toolchain.ensure(binary), context / folder)
        shutil.copy(_SOURCE / "default-cni.yaml", context)
        shutil.copy(_SOURCE / "build.sh", context)
        (context / "version").write_text(KUBERNETES_VERSION)
        with step(f"the node image {image}"):
            if engine.docker("image", "inspect", base, check=False).returncode != 0:
                engine.docker("import", root, base)
            container = engine.docker(
                # Signal and environment are kept by "commit"; systemd shuts down on SIGRTMIN+3 only.
                "create", "--privileged", "--stop-signal", "SIGRTMIN+3", "--env", "container=docker",
                "--network", "none", "-v", f"{context}:/context:ro", base,
                "bash", "/context/build.sh",
            ).stdout.strip()  # fmt: skip
            try:
                done = engine.docker("start", "--attach", container, check=False)
                if done.returncode != 0:
                    raise shell.CommandError(
                        ["cluster/node-image/build.sh"], done.returncode, done.stdout + done.stderr
                    )
                engine.docker(
                    "commit",
                    "--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
                    "--change", "CMD []",
                    container,
                    image,
                )  # fmt: skip
            finally:
                engine.docker("rm", "--force", container, check=False)
