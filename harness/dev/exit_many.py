"""A thousand channels, and messages up to the payload limit, copied and compared: the time and the memory."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

from harness.dev import exit_play
from harness.dev.exit_play import Ran
from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.stan.client import Client

EACH = 3  # messages of each channel
LARGE = 10  # channels, next to each other, whose messages have what the group takes at most
LIMIT = (
    1 << 20
) - 200  # bytes: max_payload of the group less what its protocol adds; headers go beyond it at the target
ROOM = "max_payload: 2MB\n"  # of the target: with the headers they are larger there
MEMORY = 300.0  # MiB that copying and comparing may take


@dataclass
class Played:
    """What ran, and what was wrong."""

    channels: int
    messages: int
    ran: dict[str, Ran] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.channels} channels, {self.messages} messages; those of {LARGE} channels have {LIMIT} bytes",
            *(
                f"{step}: {ran.seconds:.0f} s, {ran.processor:.0f} s of processor time, {ran.memory:.0f} MiB; "
                f"{(ran.out.strip().splitlines() or ['nothing printed'])[-1]}"
                for step, ran in self.ran.items()
            ),
        ]
        return "\n".join([*lines, *(f"WRONG: {one}" for one in self.wrong)])


async def play(group: Group, js: JetStream, directory: Path, channels: int) -> Played:
    """Fill so many channels, copy and compare them. The group has to be empty and take so many."""
    done = Played(channels, channels * EACH)
    chance = random.Random(1)  # noqa: S311 - it shall be the same each time
    names = [f"shop.{number:04}.orders" for number in range(channels)]
    async with await Client.connect(group.urls, client_id="writer", cluster_id=group.cluster_id) as client:
        for number, name in enumerate(names):
            size = LIMIT if number < LARGE else 300
            await exit_play.fill(client, name, (chance.randbytes(size) for _ in range(EACH)))
        while client.in_flight:
            await asyncio.sleep(0.01)
    file = directory / "plan.yaml"
    await exit_play.write_plan(group, js, file, replicas=1)
    for step, words in (("copy", "copy"), ("copy again", "copy"), ("verify", "verify")):
        ran = await asyncio.to_thread(exit_play.run, exit_play.arguments(words, file, group, js))
        done.ran[step] = ran
        if ran.code != 0:
            done.wrong.append(f"{step} ends with {ran.code}: {(ran.err or ran.out).strip()[-300:]}")
        if ran.memory > MEMORY:
            done.wrong.append(f"{step} took {ran.memory:.0f} MiB, the limit is {MEMORY:.0f}")
    return done
