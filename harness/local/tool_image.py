"""An image with this clone's stan-ft, for Jobs on the local cluster: no registry has one."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from harness.cluster import nodeimage
from harness.cluster.archive import ImageSpec, write_archive
from harness.cluster.kind import Cluster
from harness.ground import content
from harness.ground.paths import REPO
from stanft.ground import shell
from stanft.ground.progress import step

NAME = "stan-ft:clone"
PYTHON = "3.11"  # of Debian bookworm, the root of the images that are built here
INSIDE = "/opt/stan-ft"
# What wheels for many Linuxes are linked with, and Debian's Python is not.
LIBRARIES = ("libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libm.so.6")


def load(cluster: Cluster) -> str:
    """Bring the image into every node that has not got it; gives its name."""
    packages = _packages()
    files = {f"{INSIDE}/{path.relative_to(packages)}": path for path in packages.rglob("*") if path.is_file()}
    own = [path for path in (REPO / "stanft").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files |= {f"{INSIDE}/{path.relative_to(REPO)}": path for path in own}
    libraries = [f"/usr/lib/*/{name}" for name in LIBRARIES]
    files |= nodeimage.closure("tool", f"/usr/bin/python{PYTHON}", f"/usr/lib/python{PYTHON}", *libraries)
    spec = ImageSpec(
        NAME,
        files,
        {"/usr/local/bin/python": f"/usr/bin/python{PYTHON}"},
        ("/tmp", "/etc"),  # noqa: S108 - in the image
        environment=("PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHONPATH={INSIDE}", "PYTHONDONTWRITEBYTECODE=1"),
    )
    key = content.digest(f"{spec}", *own)
    archive = content.built("images", "tool", key, lambda to: write_archive([spec], to / "images.tar")) / "images.tar"
    marker = f"tool-{key}"
    if not all(cluster.remembers(marker, node) for node in cluster.nodes()):
        with step(f"loading {NAME} into {len(cluster.nodes())} nodes"):
            cluster.load(archive)
            for node in cluster.nodes():
                cluster.remember(marker, node)
    return NAME


def _packages() -> Path:
    """What the tool imports, for the image's Python, in the versions that are installed here where they are."""
    where = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "extra": ""}
    wanted: list[str] = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["dependencies"]
    pins: dict[str, str] = {}
    while wanted:
        needed = Requirement(wanted.pop())
        if needed.name in pins or (needed.marker and not needed.marker.evaluate(where)):
            continue
        try:
            pins[needed.name] = f"{needed.name}=={importlib.metadata.version(needed.name)}"
            wanted += importlib.metadata.requires(needed.name) or []
        except importlib.metadata.PackageNotFoundError:
            pins[needed.name] = f"{needed.name}{needed.specifier}"
    pinned = sorted(pins.values())

    def install(directory: Path) -> None:
        command: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        command += ["--only-binary=:all:", f"--python-version={PYTHON}", "--target", directory, *pinned]
        with step("the packages that the tool needs"):
            shell.run(command)

    return content.built("images", "tool-packages", content.digest(PYTHON, *pinned), install)
