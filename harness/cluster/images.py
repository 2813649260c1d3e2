"""The images that the charts run on the local cluster: pulled where a registry answers, else built under those names.

Nothing here lists versions: the wanted names come from the rendered charts. What is built has the official image's
shape (entry point, paths), so that the charts cannot tell the difference.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cluster import nodeimage
from harness.cluster.archive import ImageSpec, write_archive
from harness.cluster.engine import Engine, EngineHangsError
from harness.ground import content, toolchain
from harness.ground.paths import cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import step

PULL_TIMEOUT = 600.0  # seconds for one image
_TMP = "/tmp"  # noqa: S108 (a directory inside an image)
# Words of an engine that could not reach a registry at all, as opposed to one that answered.
_UNREACHABLE = re.compile(
    r"no such host|i/o timeout|connection refused|network is unreachable|no route to host|server misbehaving"
    r"|Client\.Timeout|TLS handshake timeout|context deadline exceeded|connection reset|proxyconnect|EOF",
    re.IGNORECASE,
)


def repository(image: str) -> str:
    """The part of an image's name before its tag and digest, without Docker Hub's own prefixes."""
    name = image.split("@", maxsplit=1)[0]
    head, slash, tail = name.rpartition("/")
    return (head + slash + tail.split(":")[0]).removeprefix("docker.io/").removeprefix("library/")


@dataclass(frozen=True)
class Registry:
    """Where images are pulled from: mirror is a host (with port) put before each name, "" for the names' own."""

    engine: Engine
    mirror: str = ""

    def _source(self, image: str) -> str:
        return f"{self.mirror.rstrip('/')}/{image}" if self.mirror else image

    def answers(self, image: str) -> bool:
        """Whether a registry answers when it is asked for image, be it with a refusal; also for one that is here."""
        done = self._ask(image)
        return done.returncode == 0 or not _UNREACHABLE.search(done.stderr)

    def holds(self, names: Iterable[str]) -> bool:
        """Whether the engine has all these images, so that no registry is needed."""
        return all(self._present(name).returncode == 0 for name in names)

    def pull(self, image: str) -> str:
        """Bring the image into the engine and return the name it has there: its own, where it is not pinned by digest.

        Raises UserError that says whether no registry answered, or one that does not have the image.
        """
        done = self._pull(image)
        if done.returncode != 0:
            source, words = self._source(image), done.stderr.strip().splitlines()[-1:]
            if _UNREACHABLE.search(done.stderr):
                raise UserError(
                    f"no registry answered for the image {source}: {' '.join(words)}\n"
                    "Check the network, or build the images from package registries with --registry none."
                )
            raise UserError(
                f"the registry answers, but it does not give the image {source}: {' '.join(words)}\n"
                "Check the name and the tag (and the login), point --registry at one that has it, "
                "or build the images from package registries with --registry none."
            )
        if not self.mirror or "@" in image:
            return self._source(image)
        self.engine.docker("tag", self._source(image), image)
        return image

    def pull_all(self, names: Sequence[str]) -> str:
        """Bring the images into the engine and return what they are: a text that changes when one of them does.

        Raises what pull() raises.
        """
        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(self.pull, names))
        return self.engine.docker("image", "inspect", "--format", "{{.Id}}", *names).stdout

    @contextmanager
    def saved(self, names: Sequence[str]) -> Iterator[Path]:
        """An archive of images that the engine holds, for as long as it is needed, for this machine's platform alone.

        An engine with containerd's store keeps the other platforms of an image as names without content, and kind
        cannot load such an image itself (kind's issue 3795). Raises shell.CommandError if the engine cannot save them.
        """
        with tempfile.TemporaryDirectory(prefix="images-", dir=cache()) as directory:
            archive = Path(directory) / "images.tar"
            done = self.engine.docker("save", "--platform", "linux/amd64", "-o", archive, *names, check=False)
            if done.returncode != 0:
                # Engines before 28 do not know the option, and hold one platform only.
                self.engine.docker("save", "-o", archive, *names)
            yield archive

    def _present(self, image: str) -> subprocess.CompletedProcess[str]:
        return self.engine.docker("image", "inspect", self._source(image), check=False)

    def _pull(self, image: str) -> subprocess.CompletedProcess[str]:
        present = None if self.mirror else self._present(image)
        return present if present and present.returncode == 0 else self._ask(image)

    def _ask(self, image: str) -> subprocess.CompletedProcess[str]:
        try:
            return self.engine.docker("pull", "--quiet", self._source(image), check=False, timeout=PULL_TIMEOUT)
        except EngineHangsError:
            return subprocess.CompletedProcess([], 1, "", f"i/o timeout after {PULL_TIMEOUT:.0f} s")


def _busybox() -> dict[str, Path]:
    # Debian's static build cannot look up names; the dynamic one with its libraries can.
    return nodeimage.closure("busybox", "/bin/busybox")


def _applets() -> dict[str, str]:
    files = _busybox()
    loader = next(file for path, file in files.items() if "/ld-linux" in path)
    libraries = next(file.parent for path, file in files.items() if path.endswith("/libc.so.6"))
    # With its own loader and libraries, as this machine's may be another distribution's.
    names = shell.output([loader, "--library-path", libraries, files["/bin/busybox"], "--list"]).splitlines()
    return {f"/bin/{name}": "busybox" for name in names if name != "busybox"}


def _server(name: str) -> ImageSpec:
    server = toolchain.ensure("nats-streaming-server")
    if name.endswith("-alpine"):
        files = {**_busybox(), "/usr/local/bin/nats-streaming-server": server}
        return ImageSpec(name, files, _applets(), (_TMP, "/etc"), command=("nats-streaming-server", "-m", "8222"))
    return ImageSpec(
        name, {"/nats-streaming-server": server}, entrypoint=("/nats-streaming-server",), command=("-m", "8222")
    )


def _nats(name: str) -> ImageSpec:
    line = ".".join(name.rpartition(":")[2].split(".")[:2])
    files = {**_busybox(), "/usr/local/bin/nats-server": toolchain.ensure(f"nats-server-{line}")}
    return ImageSpec(name, files, _applets(), (_TMP, "/etc"), command=("nats-server",))


def _python(name: str) -> ImageSpec:
    # Python with its standard library, under the name by which the supervisor of charts/stan-ft is started.
    files = {**_busybox(), **nodeimage.closure("python", "/usr/bin/python3.11", "/usr/lib/python3.11")}
    return ImageSpec(name, files, {**_applets(), "/usr/local/bin/python3": "/usr/bin/python3.11"}, (_TMP, "/etc"))


def _box(name: str, *, tools: tuple[str, ...]) -> ImageSpec:
    files = {**_busybox(), **{f"/usr/local/bin/{tool}": toolchain.ensure(tool) for tool in tools}}
    return ImageSpec(name, files, _applets(), directories=(_TMP, "/etc"), command=("/bin/sh",))


def _provisioner(name: str) -> ImageSpec:
    tool = "local-path-provisioner"
    return ImageSpec(name, {f"/usr/bin/{tool}": toolchain.ensure(tool)}, entrypoint=(tool,), directories=(_TMP,))


TOOLS = ("nats-streaming-server", "stan-pub", "stan-sub", "stan-bench", "local-path-provisioner")
# What can be built without a registry: repository -> recipe.
RECIPES: dict[str, Callable[[str], ImageSpec]] = {
    "nats-streaming": _server,
    "nats": _nats,
    "natsio/nats-box": lambda name: _box(name, tools=("stan-pub", "stan-sub", "stan-bench")),
    "python": _python,
    "busybox": lambda name: _box(name, tools=()),
    "rancher/local-path-provisioner": _provisioner,
}


def can_build(image: str) -> bool:
    """Whether the image can be had without a container registry."""
    return repository(image) in RECIPES


def build(images: Iterable[str]) -> Path:
    """An archive with all the images, built from package registries; kept by content.

    Raises UserError for an image that can only be pulled.
    """
    wanted = sorted(set(images))
    for image in wanted:
        if not can_build(image):
            raise UserError(
                f"the image {image} cannot be built from package registries, and no container registry is used.\n"
                "Switch off what needs it in the values, or run this where a container registry answers."
            )
    toolchain.ensure_all(TOOLS)
    specs = [RECIPES[repository(image)](image) for image in wanted]
    parts = [f"{spec}" for spec in specs]

    def write(directory: Path) -> None:
        with step("the images of the charts"):
            write_archive(specs, directory / "images.tar")

    return content.built("images", "charts", content.digest(*parts), write) / "images.tar"
