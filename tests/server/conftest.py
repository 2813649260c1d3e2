"""Real servers on loopback for each test, from the configuration that the chart renders; logs shown on failure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from loopback import stan_conf

from harness.loopback.server import Group

_GROUPS = pytest.StashKey[list[Group]]()


@pytest.fixture
def make_group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Group]]:
    """Makes groups of servers that are ended after the test; taking what Group takes, and values."""
    made: list[Group] = []
    request.node.stash[_GROUPS] = made
    with ExitStack() as ended:

        def make(values: dict[str, Any] | None = None, **options: Any) -> Group:
            options.setdefault("config", stan_conf(values))
            group = ended.enter_context(Group(tmp_path / f"group-{len(made)}", **options))
            made.append(group)
            return group

        yield make


class Pool:
    """Whole groups, the next ones started while the present test runs: each start waits for missed heartbeats."""

    AHEAD = 2

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[Group] = []
        self._workers = ThreadPoolExecutor(self.AHEAD)
        self._next = deque(self._workers.submit(self._start, number) for number in range(self.AHEAD))
        self._count = itertools.count(self.AHEAD)

    def _start(self, number: int) -> Group:
        group = Group(self.directory / str(number), config=stan_conf())
        self.made.append(group)
        group.start()
        return group

    def take(self) -> Group:
        """A whole group that nobody else has had."""
        self._next.append(self._workers.submit(self._start, next(self._count)))
        return self._next.popleft().result()

    def close(self) -> None:
        """End every group; the one that is just being started gives up when its servers are gone."""
        self._stop()
        self._workers.shutdown(cancel_futures=True)
        self._stop()

    def _stop(self) -> None:
        for group in self.made:
            group.stop()


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Groups in stock, for the whole session."""
    pool = Pool(tmp_path_factory.mktemp("pool"))
    yield pool
    pool.close()


@pytest.fixture
def group(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Group]:
    """Three servers with the chart's defaults, whole: one active, two standing by, routes between all."""
    group = pool.take()
    request.node.stash[_GROUPS] = [group]
    yield group
    group.stop()


@pytest.fixture(scope="module")
def shared_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Three servers for the tests of a module that do not harm them, with room for a channel of each test's own."""
    config = stan_conf({"config": {"streaming": {"store_limits": {"max_channels": 1000}}}})
    with Group(tmp_path_factory.mktemp("shared"), config=config) as group:
        group.start()
        yield group


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each server's log to the report of a failed test."""
    report = yield
    if report.failed:
        report.sections += [("server logs", group.tails()) for group in item.stash.get(_GROUPS, [])]
    return report
