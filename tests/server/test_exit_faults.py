"""The copy under faults: takeovers of the group, lost leaders of JetStream, a copier that is killed again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import run
from moving import equal, numbered, planned

from harness.dev import exit_kills
from harness.dev.exit_play import both, publish
from harness.loopback.jetstream import LINES, JetStream
from harness.loopback.server import Group
from stanft.exit.copy import Copier, Progress

LIMIT = 110.0  # seconds: each lost leader or active is a pause, and there are two


async def reached(copier: Copier, copying: asyncio.Task[list[Progress]], at: int) -> None:
    """Wait until so many messages are copied; a copy that ends before tells why."""
    while copier.progress.get("orders") is None or copier.progress["orders"].copied < at:
        if copying.done():
            copying.result()
        await asyncio.sleep(0.01)


def test_takeovers_of_the_group_in_the_middle_cost_time_and_no_message(group: Group, tmp_path: Path) -> None:
    async def work(js: JetStream) -> None:
        await publish(group, "orders", numbered(1, 12_000))
        async with both(group, js) as (source, target):
            copier = Copier(await planned(source), source, target)
            copying = asyncio.create_task(copier.run())
            for at in (1000, 5000):
                await reached(copier, copying, at)
                assert not copying.done()
                active = await asyncio.to_thread(group.wait_active)
                active.kill()
            await copying
            assert (await equal(source, target))[0].messages == 12_000

    with JetStream(tmp_path / "js") as js:
        run(work(js), LIMIT)


@pytest.mark.parametrize("line", LINES)
def test_a_lost_leader_in_the_middle_costs_time_and_no_message(
    line: str, make_group: Callable[..., Group], tmp_path: Path
) -> None:
    group = make_group(size=1)
    group.start()

    async def work(js: JetStream) -> None:
        await publish(group, "orders", numbered(1, 12_000))
        async with both(group, js) as (source, target):
            copier = Copier(await planned(source, replicas=3), source, target)
            copying = asyncio.create_task(copier.run())
            for at in (1000, 5000):
                await reached(copier, copying, at)
                leader = await asyncio.to_thread(js.leader, "orders")
                leader.kill()
                leader.start()
            await copying
            assert (await equal(source, target))[0].messages == 12_000

    with JetStream(tmp_path / "js", line, size=3) as js:
        run(work(js), LIMIT)


KILLS = 20  # of the copier, at random points of its run; scripts/bench exit kills makes 100, and servers die too


def test_a_copier_that_is_killed_at_any_point_leaves_nothing_out_and_nothing_twice(
    make_group: Callable[..., Group], tmp_path: Path
) -> None:
    group = make_group(size=1)
    group.start()
    with JetStream(tmp_path / "js") as js:
        done = run(exit_kills.play(group, js, tmp_path, KILLS, seed=4), 3 * LIMIT)
    assert done.wrong == [], done.text()
    assert (done.kills, done.messages >= 3 * KILLS * exit_kills.EACH + done.acknowledged) == (KILLS, True)
    assert done.moved >= 5, f"too few kills came in the middle of the copy: {done.stored}"
