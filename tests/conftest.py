"""What every test gets: a marker for its suite, and on failure the values, the command and the objects behind it."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import yaml

from harness.charts import render
from harness.ground import toolchain
from stanft.ground import programs

SUITES = {
    "unit": "the harness itself: no server and no cluster",
    "render": "charts rendered by helm: seconds, no server and no cluster",
    "server": "real nats-streaming-server processes on loopback, no Kubernetes",
    "acceptance": "an installed group on any cluster: is it whole, safe, and does it move",
    "failover": "faults on the real kind cluster",
    "bench": "measurements, run by scripts/bench",
    "slow": "takes more than ten seconds by itself",
}
_SHOWN_LINES = 60  # of each object in a failure report
_RENDERS = pytest.StashKey[list[render.Request]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the render suite."""
    group = parser.getgroup("stan-ft", "NATS Streaming FT charts")
    group.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden renders under tests/render/golden anew instead of comparing with them; review the diff",
    )
    group.addoption(
        "--show-objects",
        type=int,
        default=_SHOWN_LINES,
        metavar="LINES",
        help="lines of each Kubernetes object to show when a test fails (default: %(default)s, 0 for none)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """One marker per suite; the folder of a test decides which it gets."""
    # A shell starts what runs in the background without Ctrl-C, and so would every command that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    programs.provided_by(toolchain.ensure)
    os.environ.setdefault("STAN_FT_BUILD", toolchain.NEVER)
    for name, meaning in SUITES.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder under tests/ that it is in."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            suite = item.path.relative_to(here).parts[0]
            if suite in SUITES:
                item.add_marker(suite)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember what a test renders, for the report if it fails."""
    item.stash[_RENDERS] = []
    stop = render.on_render(item.stash[_RENDERS].append)
    try:
        return (yield)
    finally:
        stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure: the helm command that repeats the last render, and the objects that the test held."""
    report = yield
    if report.failed and call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        requests = item.stash.get(_RENDERS, [])
        if requests:
            report.sections.append(("repeat the last render with", requests[-1].command()))
        lines = item.config.getoption("--show-objects")
        for name, text in _objects(call.excinfo.tb, item.path, lines).items():
            report.sections.append((f"object in {name}", text))
    return report


def _objects(traceback: TracebackType | None, test: Path, lines: int) -> dict[str, str]:
    """The Kubernetes objects among the local variables of the test's own frames, as YAML."""
    found: dict[str, str] = {}
    while traceback is not None and lines > 0:
        frame = traceback.tb_frame
        if Path(frame.f_code.co_filename) == test:
            for name, value in frame.f_locals.items():
                if isinstance(value, dict) and {"apiVersion", "kind"} <= value.keys():
                    text = yaml.safe_dump(value, sort_keys=False).splitlines()
                    more = [f"... {len(text) - lines} more lines"] if len(text) > lines else []
                    found[name] = "\n".join([*text[:lines], *more])
        traceback = traceback.tb_next
    return found
