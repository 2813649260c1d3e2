"""scripts/lint: every linter over what it is for; all of them run, and the exit code says whether all were clean."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.charts import environments
from harness.ground import toolchain
from harness.ground.paths import CHARTS, ENVIRONMENTS, REPO
from stanft.cli import common
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step

VENV = Path(sys.executable).parent


@dataclass(frozen=True)
class Linter:
    """One check: what it is called, and the commands that end with 0 when all is well."""

    name: str
    commands: Sequence[Sequence[str | Path]]


def main(arguments: list[str] | None = None) -> int:
    """Run the linters, print what they found, and return 1 if there was anything."""
    parser = argparse.ArgumentParser(
        prog="scripts/lint", description="Runs every linter: Python, types, shell, YAML, charts, workflows."
    )
    parser.add_argument(
        "--fix", action="store_true", help="let ruff mend and format what it can, and write the generated files, first"
    )
    parser.add_argument("linters", nargs="*", metavar="LINTER", help=f"only these of {', '.join(LINTERS)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.linters) - set(LINTERS):
        raise UserError(f"there is no linter {', '.join(sorted(unknown))}: choose from {', '.join(LINTERS)}.")
    if options.fix:
        shell.run([VENV / "ruff", "check", "--fix", "--quiet", "."], cwd=REPO, check=False)
        shell.run([VENV / "ruff", "format", "--quiet", "."], cwd=REPO)
        shell.run([sys.executable, "-m", "harness.cli.schema"], cwd=REPO)
        shell.run([toolchain.ensure("helm-docs"), "--chart-search-root", CHARTS], cwd=REPO)
    names = [name for name in LINTERS if not options.linters or name in options.linters]
    dirty = [linter.name for name in names for linter in LINTERS[name]() if not _is_clean(linter)]
    say(f"==> lint: {'clean' if not dirty else 'found by ' + ', '.join(dirty)}")
    return 1 if dirty else 0


def _is_clean(linter: Linter) -> bool:
    # Linters that call others (ct) find them beside this Python and among the pinned tools.
    path = os.pathsep.join([str(VENV), str(toolchain.ensure("helm").parent), os.environ["PATH"]])
    with step(linter.name):
        done = [shell.run(command, cwd=REPO, env={"PATH": path}, check=False) for command in linter.commands]
    failed = [one for one in done if one.returncode != 0]
    for one in failed:
        say((one.stdout + one.stderr).strip())
    return not failed


def _ruff() -> Iterator[Linter]:
    yield Linter("ruff", [[VENV / "ruff", "check", "."]])
    yield Linter("ruff format", [[VENV / "ruff", "format", "--check", "."]])


def _mypy() -> Iterator[Linter]:
    yield Linter("mypy", [[VENV / "mypy"]])


def _shellcheck() -> Iterator[Linter]:
    options = ("--external-sources", "--source-path=SCRIPTDIR", "--severity=warning")
    yield Linter("shellcheck", [[VENV / "shellcheck", *options, *_shell_files()]])


def _yamllint() -> Iterator[Linter]:
    yield Linter("yamllint", [[VENV / "yamllint", "--strict", *_yaml_files()]])


def _helm() -> Iterator[Linter]:
    for chart in sorted(path.parent for path in CHARTS.glob("*/Chart.yaml")):
        values = sorted((chart / "ci").glob("*-values.yaml"))
        values += [ENVIRONMENTS / name / f"{chart.name}.yaml" for name in environments.names()]
        helm: list[str | Path] = [toolchain.ensure("helm"), "lint", "--strict", "--quiet", chart, "--values"]
        yield Linter(f"helm lint {chart.name} with {len(values)} files of values", [[*helm, file] for file in values])


def _generated() -> Iterator[Linter]:
    yield Linter("generated files", [[sys.executable, "-m", "harness.cli.schema", "--check"]])


def _ct() -> Iterator[Linter]:
    lint: list[str | Path] = [toolchain.ensure("ct"), "lint", "--config", "ct.yaml"]
    yield Linter("ct lint", [[*lint, "--all", "--check-version-increment=false"]])
    # ct compares with the commit at which the two histories parted, which a shallow clone may not have.
    parted = shell.run(["git", "merge-base", "origin/main", "HEAD"], cwd=REPO, check=False)
    if parted.returncode == 0:
        yield Linter("ct lint: changed charts have a new version", [[*lint, "--remote=origin", "--target-branch=main"]])


def _actionlint() -> Iterator[Linter]:
    yield Linter("actionlint", [[toolchain.ensure("actionlint"), "-shellcheck", VENV / "shellcheck"]])


# In the order in which they run; what a linter is and which files it reads is made up when it is its turn.
LINTERS: dict[str, Callable[[], Iterator[Linter]]] = {
    "ruff": _ruff,
    "mypy": _mypy,
    "shellcheck": _shellcheck,
    "yamllint": _yamllint,
    "generated": _generated,
    "helm": _helm,
    "ct": _ct,
    "actionlint": _actionlint,
}


def _tracked(*patterns: str) -> list[str]:
    return shell.output(["git", "ls-files", "--", *patterns], cwd=REPO).splitlines()


def _shell_files() -> list[str]:
    """Every tracked file that says by its first line or its ending that a shell runs it."""
    found = set(_tracked("*.sh"))
    for name in _tracked("scripts", ".ci", "cluster", "harness"):
        with (REPO / name).open("rb") as file:
            first = file.readline()
        if first.startswith(b"#!") and first.rstrip().endswith((b"bash", b"/sh")):
            found.add(name)
    return sorted(found)


def _yaml_files() -> list[str]:
    templates = ("/templates/", "/golden/")
    return [name for name in _tracked("*.yaml", "*.yml") if not any(part in f"/{name}" for part in templates)]


if __name__ == "__main__":
    common.run(main)
