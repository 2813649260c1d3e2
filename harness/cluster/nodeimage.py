"""A kind node image built from package registries alone: Debian, Go modules, and kind's own image files.

The result behaves as the official image does. It is named by the hash of all that went into it, so it is built once.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cluster.archive import ImageSpec, write_archive
from harness.cluster.engine import Engine
from harness.ground import content, system, toolchain
from harness.ground.paths import CLUSTER
from harness.ground.toolchain import DEFAULT_MINOR, MINORS
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import step

SUITE = "bookworm"
RECIPE = "2"  # raised when this file builds something else from the same sources
NAME = "kindest/node"
_SOURCE = CLUSTER / "node-image"
_MANIFEST = "packages.txt"  # beside root.tar: each package with its version
# The programs that this needs on the machine: program or file -> Debian package.
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
_CNI = ("host-local", "loopback", "portmap", "ptp")
_CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")
_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_NODE_BINARIES = ("kubeadm", "kubelet", "kubectl")
_IMAGES = (*_CONTROL_PLANE, "kube-proxy", "etcd", "coredns", "pause", "pod-network")
_BINARIES = (*_NODE_BINARIES, *_IMAGES, *_CNI, *_CONTAINERD)


def ensure(engine: Engine, minor: str = DEFAULT_MINOR) -> str:
    """The name of the node image for this Kubernetes minor in the engine, built if it is not there yet.

    Raises UserError when a package or a Go module cannot be had, shell.CommandError when the build itself fails.
    """
    # Debian's packages come over the network while Go compiles.
    with ThreadPoolExecutor(max_workers=1) as other:
        debian = other.submit(debian_root)
        tools = toolchain.ensure_all(_BINARIES, minor)
        root = debian.result()
    image = f"{NAME}:{MINORS[minor].kubernetes}-{_key(root, tools)}"
    if engine.docker("image", "inspect", image, check=False).returncode != 0:
        _build(engine, image, root, tools, MINORS[minor].kubernetes)
    return image


def debian_root() -> Path:
    """The plain Debian root file system with the packages of cluster/node-image/packages, as a tar file.

    Its packages with their versions are in a file beside it. Raises UserError where no Debian mirror gives them.
    """
    system.ensure_packages(PROGRAMS, "building the node image")
    key = content.digest(*_packages(), SUITE, _mirror())
    return content.built("node-image", "debian", key, _bootstrap) / "root.tar"


def _mirror() -> str:
    """Where Debian's packages come from: $STAN_FT_DEBIAN, "" for the usual mirrors."""
    return os.environ.get("STAN_FT_DEBIAN", "")


def _packages() -> list[str]:
    lines = (_SOURCE / "packages").read_text().splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def _bootstrap(directory: Path) -> None:
    target = directory / "root.tar"
    include = f"--include={','.join(_packages())}"
    mirror = [_mirror()] if _mirror() else []
    with step("a Debian root file system for the nodes"):
        try:
            shell.run(system.as_root(["mmdebstrap", "--quiet", "--variant=minbase", include, SUITE, target, *mirror]))
        except shell.CommandError as error:
            if full := content.full_disk_advice(error.output):
                raise UserError(f"the Debian packages of the node image could not be unpacked. {full}") from error
            raise UserError(
                f"the Debian packages of the node image could not be had:\n{error.output.strip()[-1500:]}\n"
                f"Check that this machine reaches a Debian mirror that has {SUITE}, or name one, such as "
                "STAN_FT_DEBIAN=http://archive.debian.org/debian"
            ) from error
        shell.run(system.as_root(["chmod", "0644", target]))
        (directory / _MANIFEST).write_text(_manifest(target))


def _manifest(root: Path) -> str:
    """The packages of a root file system, each with its version on the next line."""
    with tarfile.open(root) as archive:
        status = archive.extractfile("./var/lib/dpkg/status")
        lines = status.read().decode().splitlines() if status else []
    words = (line.partition(": ") for line in lines)
    return "".join(
        f"{value} " if field == "Package" else f"{value}\n"
        for field, _, value in words
        if field in ("Package", "Version")
    )


def _state(root: Path) -> str:
    """What the root file system is: the hash of its packages' versions."""
    return content.digest(root.with_name(_MANIFEST))


def closure(name: str, *patterns: str) -> dict[str, Path]:
    """Programs and plug-ins of the Debian root with all the libraries they need: path in an image -> file in the cache.

    name is what they are kept under; patterns are paths in the root of files or of directories with all that is in
    them, with * where many are meant.
    """
    root = debian_root()
    script = CLUSTER / "node-image" / "closure.sh"

    def extract(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            try:
                shell.run(system.as_root(["tar", "-C", scratch, "-xf", root, "--exclude=./dev/*"]))
                bash = system.as_root(["chroot", scratch, "bash", "-s", "--", *patterns])
                for line in shell.output(bash, stdin=script.read_text()).splitlines():
                    # Links become copies: names matter to the loader, sharing does not.
                    path, resolved = line.split("\t")
                    copy = target / path.lstrip("/")
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(Path(scratch + resolved), copy)
            finally:
                shell.run(system.as_root(["find", scratch, "-mindepth", "1", "-delete"]), check=False)

    key = content.digest(script, _state(root), *patterns)
    directory = content.built("node-image", name, key, extract)
    return {f"/{file.relative_to(directory)}": file for file in directory.rglob("*") if file.is_file()}


def _key(root: Path, tools: dict[str, Path]) -> str:
    return content.digest(
        _SOURCE,
        _state(root),
        CLUSTER / "go" / "kind",
        RECIPE,
        *(tool.parent.name for _, tool in sorted(tools.items())),
    )


def _kubernetes_images(kubeadm: Path, version: str) -> dict[str, str]:
    """The images that kubeadm wants: last part of the name -> full name with tag."""
    listing = shell.output([kubeadm, "config", "images", "list", "--kubernetes-version", version])
    return {name.rsplit("/", 1)[-1].split(":")[0]: name for name in listing.splitlines()}


def _specs(tools: dict[str, Path], version: str) -> list[ImageSpec]:
    names = _kubernetes_images(tools["kubeadm"], version)
    iptables = closure("iptables", "/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/lib/*-linux-gnu/xtables/*.so")
    links = {
        f"/usr/sbin/{command}": "xtables-nft-multi"
        for command in (
            f"{family}{suffix}" for family in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")
        )
    }

    def simple(image: str, binary: str) -> ImageSpec:
        return ImageSpec(names[image], {f"/usr/local/bin/{binary}": tools[binary]})

    coredns = ImageSpec(names["coredns"], {"/coredns": tools["coredns"]}, entrypoint=("/coredns",))
    pause = ImageSpec(names["pause"], {"/pause": tools["pause"]}, entrypoint=("/pause",))
    proxy = ImageSpec(names["kube-proxy"], {"/usr/local/bin/kube-proxy": tools["kube-proxy"], **iptables}, links)
    network = ImageSpec(
        "docker.io/stan-ft/pod-network:local",
        {"/usr/local/bin/pod-network": tools["pod-network"], **iptables},
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


def _build(engine: Engine, image: str, root: Path, tools: dict[str, Path], version: str) -> None:
    base = f"stan-ft/debian:{_state(root)}"
    with tempfile.TemporaryDirectory(prefix="node-image-", dir=root.parent.parent) as scratch:
        context = Path(scratch)
        with step("the images of the Kubernetes components"):
            specs = _specs(tools, version)
            write_archive(specs, context / "images.tar")
            pause = next(spec.name for spec in specs if "/pause" in spec.files)
            (context / "pause-image").write_text(pause)
        shutil.copytree(
            toolchain.module_source("kind", "sigs.k8s.io/kind") / "images/base/files", context / "kind-files"
        )
        for folder, binaries in (("bin", _NODE_BINARIES), ("cni", _CNI), ("containerd", _CONTAINERD)):
            (context / folder).mkdir()
            for binary in binaries:
                shutil.copy(tools[binary], context / folder)
        shutil.copy(_SOURCE / "default-cni.yaml", context)
        shutil.copy(_SOURCE / "build.sh", context)
        (context / "version").write_text(version)
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
