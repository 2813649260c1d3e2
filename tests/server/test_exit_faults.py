"""The copy under faults: takeovers of the group, lost leaders of JetStream, a copier that is killed again and again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import run
from moving import both, equal, held, monitors, moved, numbered, planned, publish

from harness.loopback.jetstream import LINES, JetStream
from harness.loopback.server import Group
from stanft.exit import plan as planning
from stanft.exit.copy import Copier
from stanft.exit.target import Target

LIMIT = 110.0  # seconds: each lost leader or active is a pause, and there are two


def test_takeovers_of_the_group_in_the_middle_cost_time_and_no_message(group: Group, tmp_path: Path) -> None:
    async def work(js: JetStream) -> None:
        await publish(group, "orders", numbered(1, 12_000))
        async with both(group, js) as (source, target):
            copier = Copier(await planned(source), source, target)
            copying = asyncio.create_task(copier.run())
            for at in (1000, 5000):
                while copier.progress.get("orders") is None or copier.progress["orders"].copied < at:
                    await asyncio.sleep(0.01)
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
                while copier.progress.get("orders") is None or copier.progress["orders"].copied < at:
                    await asyncio.sleep(0.01)
                leader = await asyncio.to_thread(js.leader, "orders")
                leader.kill()
                leader.start()
            await copying
            assert (await equal(source, target))[0].messages == 12_000

    with JetStream(tmp_path / "js", line, size=3) as js:
        run(work(js), LIMIT)


KILLS = 25  # of the copier, at random points of its run


def test_a_copier_that_is_killed_at_any_point_leaves_nothing_out_and_nothing_twice(
    make_group: Callable[..., Group], tmp_path: Path
) -> None:
    group = make_group(size=1)
    group.start()
    file = tmp_path / "plan.yaml"
    chance = random.Random(4)

    async def prepare() -> None:
        for name in ("first", "second", "third"):
            await publish(group, name, numbered(1, 6000))
        async with both(group, js) as (source, _):
            file.write_text(planning.as_yaml(await planned(source)))

    async def stored() -> int:
        target = await Target.connect(js.urls)
        found = await target.streams()
        await target.close()
        return sum(int(one["state"]["messages"]) for one in found)

    async def ends() -> None:
        async with both(group, js) as (source, target):
            await moved(source, target)
            assert [one.messages for one in await equal(source, target)] == [6000] * 3
            for name in ("first", "second", "third"):
                assert [sequence for sequence, _, _ in await held(target, name)] == list(range(1, 6001))

    with JetStream(tmp_path / "js") as js:
        run(prepare())
        command = [sys.executable, "-m", "stanft.cli.main", "exit", "copy", str(file), "--servers", group.urls[0]]
        command += ["--monitor", monitors(group)[0], "--target", js.urls[0], "--rate", "3000"]
        seen = set()
        for _ in range(KILLS):
            copier = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            assert copier.stderr is not None
            assert copier.stderr.readline() == "copying 3 channels\n"
            time.sleep(chance.uniform(0, 0.5))
            os.kill(copier.pid, signal.SIGKILL)
            copier.wait()
            seen.add(run(stored()))
        assert len(seen - {0, 18_000}) >= 5, f"too few kills came in the middle of the copy: {sorted(seen)}"
        run(ends())
