"""Runs collected tests once per broken copy of the charts, each run in a forked child: the start is paid once."""

from __future__ import annotations

import os
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.charts import render
from harness.dev.mutants import Mutant
from harness.ground import paths

# What the ids of tests hold that are about one chart alone.
_BY_CHART = {"stan-ft": ("test_stan_ft_", "[stan-ft"), "efs-provisioner": ("test_efs_", "[efs-provisioner")}


@dataclass(frozen=True)
class Result:
    """What became of a mutant: the test that noticed it (None if none did), and the seconds that took."""

    mutant: Mutant | None  # None: the charts as they are
    killer: str | None
    seconds: float


@dataclass
class _Child:
    mutant: Mutant | None
    directory: Path
    reader: int
    pid: int
    started: float


class Forks:
    """A pytest plugin: instead of one run of the tests, one run per mutant; results are told to told as they come.

    The charts are copied at the start, so that whoever edits them meanwhile disturbs nothing. If the tests fail for the
    charts as they are, nothing else is run, and the one result says so.
    """

    def __init__(self, mutants: Sequence[Mutant], jobs: int, told: Callable[[Result], None]) -> None:
        self.mutants = list(mutants)
        self.jobs = jobs
        self.told = told
        self.results: list[Result] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests for every mutant."""
        if session.testsfailed:
            raise pytest.UsageError("the tests could not be collected: run scripts/test render first")
        with tempfile.TemporaryDirectory(prefix="stan-ft-mutants-") as directory:
            original = Path(directory) / "charts"
            shutil.copytree(paths.CHARTS, original)
            self._finish([self._start(session, original, Path(directory) / "0", None)])
            if self.results[0].killer is None:
                running: list[_Child] = []
                for number, mutant in enumerate(self.mutants, 1):
                    running.append(self._start(session, original, Path(directory) / str(number), mutant))
                    while len(running) >= self.jobs:
                        running = self._finish(running)
                while running:
                    running = self._finish(running)
        return True

    def _start(self, session: pytest.Session, original: Path, directory: Path, mutant: Mutant | None) -> _Child:
        charts = directory / "charts"
        shutil.copytree(original, charts)
        if mutant is not None:
            file = charts / mutant.chart / mutant.file
            text = file.read_text()
            if mutant.old not in text:
                raise pytest.UsageError(
                    f"{mutant.label}: {mutant.old!r} is not there any more; correct harness/dev/mutants.py"
                )
            file.write_text(text.replace(mutant.old, mutant.new, 1))
        reader, writer = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.write(writer, _first_failure(session, charts, mutant.chart if mutant else "").encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        return _Child(mutant, directory, reader, pid, time.monotonic())

    def _finish(self, running: list[_Child]) -> list[_Child]:
        """Wait until a child ends, take its result, and give the others. Raises RuntimeError if it broke down."""
        ready = set(select.select([child.reader for child in running], [], [])[0])
        for child in running:
            if child.reader not in ready:
                continue
            told = os.read(child.reader, 65536).decode()
            os.close(child.reader)
            if os.waitpid(child.pid, 0)[1] != 0:
                raise RuntimeError(f"the tests broke down for {child.mutant.label if child.mutant else 'the charts'}")
            shutil.rmtree(child.directory)
            result = Result(child.mutant, told or None, time.monotonic() - child.started)
            self.results.append(result)
            self.told(result)
        return [child for child in running if child.reader not in ready]


def _first_failure(session: pytest.Session, charts: Path, chart: str) -> str:
    """In a child: the id of the first test that fails with these charts, "" if none does.

    chart is the broken one ("" for none): tests of the other one by itself are left out.
    """
    plugins = session.config.pluginmanager
    plugins.unregister(plugins.get_plugin("terminalreporter"))  # the parent tells
    for module in list(sys.modules.values()):
        if getattr(module, "CHARTS", None) == paths.CHARTS and module is not paths:
            module.CHARTS = charts  # type: ignore[attr-defined]
    paths.CHARTS = charts
    render.forget()
    others = [word for name, words in _BY_CHART.items() if chart not in ("", name) for word in words]
    items = [item for item in session.items if not any(word in item.nodeid for word in others)]
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return ""
