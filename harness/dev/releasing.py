"""What a release is made of: charts packaged with the licence, the tool's wheel, and notes out of CHANGELOG.md."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.ground import toolchain
from harness.ground.paths import CHARTS, REPO
from stanft.ground import shell, textfile
from stanft.ground.errors import UserError

# What somebody who has only the package needs to install the chart, to read its manual, and to be allowed to.
WANTED = ("Chart.yaml", "LICENSE", "README.md", "values.schema.json", "values.yaml")
_SECTION = re.compile(r"^## \[(?P<name>[^\]]+)\][^\n]*\n(?P<text>.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Chart:
    """A chart of this checkout, as its Chart.yaml names it."""

    name: str
    version: str

    @property
    def tag(self) -> str:
        """The git tag of its release."""
        return f"{self.name}-{self.version}"


def charts() -> list[Chart]:
    """Every chart of this checkout."""
    found = [yaml.safe_load(textfile.read(file)) for file in sorted(CHARTS.glob("*/Chart.yaml"))]
    return [Chart(str(each["name"]), str(each["version"])) for each in found]


def changed() -> list[Chart]:
    """The charts whose version has no tag yet."""
    tags = set(shell.output(["git", "tag", "--list"], cwd=REPO).splitlines())
    return [chart for chart in charts() if chart.tag not in tags]


def package(chart: Chart, output: Path) -> Path:
    """Package a chart with the project's licence in it; gives the .tgz. Raises UserError if something is missing."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / chart.name
        shutil.copytree(CHARTS / chart.name, copy)
        shutil.copy(REPO / "LICENSE", copy)
        shell.run([toolchain.ensure("helm"), "package", copy, "--destination", output])
    made = output / f"{chart.name}-{chart.version}.tgz"
    with tarfile.open(made) as archive:
        names = {name.removeprefix(f"{chart.name}/") for name in archive.getnames()}
    if missing := sorted(set(WANTED) - names):
        raise UserError(f"{made} lacks {', '.join(missing)}: add them to charts/{chart.name} (.helmignore hides some).")
    if extra := sorted(name for name in names if name.startswith("ci/")):
        raise UserError(f"{made} holds {extra[0]}, which is for tests: name it in charts/{chart.name}/.helmignore.")
    return made


def wheel(output: Path) -> Path:
    """Build the wheel of the tool; gives the file. The locked setuptools builds it, so nothing is fetched."""
    with tempfile.TemporaryDirectory() as folder:
        # setuptools leaves build/ and *.egg-info where it works.
        copy = Path(folder) / "source"
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(REPO / "stanft", copy / "stanft", ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(REPO / name, copy)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        shell.run([*command, "--wheel-dir", output, copy])
    return max(output.glob("*.whl"), key=lambda file: file.stat().st_mtime_ns)


def notes(version: str, changelog: Path = REPO / "CHANGELOG.md") -> str:
    """What the changelog says of a version. Raises UserError where it says nothing."""
    sections = {match["name"]: match["text"].strip() for match in _SECTION.finditer(textfile.read(changelog))}
    if not sections.get(version):
        raise UserError(f"CHANGELOG.md has no section [{version}]: move what is under [Unreleased] there.")
    return sections[version] + "\n"


def push(package: Path, registry: str, *, plain_http: bool = False) -> str:
    """Push a packaged chart to an OCI registry, such as oci://host/charts; gives the digest (sha256:...)."""
    command: list[str | Path] = [toolchain.ensure("helm"), "push", package, registry]
    done = shell.run([*command, "--plain-http"] if plain_http else command)
    said = done.stdout + done.stderr
    found = re.search(r"Digest:\s*(sha256:[0-9a-f]{64})", said)
    if not found:
        raise UserError(f"helm push told no digest:\n{said.strip()}")
    return found[1]
