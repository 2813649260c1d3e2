"""Runs tests once per broken copy of a Python module, each in a forked child that has the heavy imports already."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from harness.dev.pymutants import PyMutant, mutants
from harness.ground.paths import REPO

LIMIT = 90.0  # seconds for the tests of one break; a break that hangs is noticed
# Imported once, before the children are made; they know nothing of what is broken.
HEAVY = ("kubernetes.client", "kubernetes.config", "nats", "hypothesis", "yaml", "jinja2", "google.protobuf.message")


@dataclass(frozen=True)
class Target:
    """A module and the tests that have to notice its breaks; paths are relative to the repository."""

    file: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """Its name for import."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@dataclass(frozen=True)
class PyResult:
    """What became of a break (None: of the module as it is): noticed or not, and the seconds that took."""

    target: Target
    mutant: PyMutant | None
    noticed: bool
    seconds: float


class _Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module another source than its file has."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """This module alone."""
        if name != self.name:
            return None
        places = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self.path), is_package=places is not None)
        spec.submodule_search_locations = places
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the source."""
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)  # noqa: S102


def run(target: Target, chosen: Sequence[PyMutant | None], jobs: int, told: Callable[[PyResult], None]) -> None:
    """Try these breaks of a module (None: none at all), so many at the same time."""
    for name in HEAVY:
        importlib.import_module(name)
    source = (REPO / target.file).read_text()
    running: dict[int, tuple[int, PyMutant | None, float]] = {}
    waiting = list(chosen)
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            reader, pid = _fork(target, mutant.applied(source) if mutant else source)
            running[reader] = (pid, mutant, time.monotonic())
        ready = select.select(list(running), [], [], 1.0)[0]
        for reader in list(running):
            pid, mutant, began = running[reader]
            late = time.monotonic() - began > LIMIT
            if reader not in ready and not late:
                continue
            if late:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            code = os.waitpid(pid, 0)[1]
            os.close(reader)
            del running[reader]
            told(PyResult(target, mutant, code != 0, time.monotonic() - began))


def _fork(target: Target, source: str) -> tuple[int, int]:
    """Run the tests in a child; gives a pipe that ends with it, and its process id."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        sys.meta_path.insert(0, _Broken(target.module, REPO / target.file, source))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
        code = int(pytest.main([*options, *(str(REPO / each) for each in target.tests)]))
    finally:
        os._exit(min(code, 1))


def breaks(target: Target) -> list[PyMutant]:
    """Every break of a module."""
    return mutants((REPO / target.file).read_text())


def spread(found: Sequence[PyMutant], most: int) -> Iterator[PyMutant]:
    """So many of them, evenly spread over the module."""
    step = max(1.0, len(found) / most)
    yield from (found[int(number * step)] for number in range(min(most, len(found))))
