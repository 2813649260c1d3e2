"""A copier that is killed at random points again and again, while publishers publish and servers of both sides die."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from harness.dev import exit_play
from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.cli import main
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.stan.client import Client
from stanft.stan.errors import StanError

CHANNELS = ("first", "second", "third")
EACH = 240  # messages of each channel that are there before, per kill: the copier shall not get to their end
RATE = 3000  # messages per second that the copier may copy
PAUSE = 0.02  # seconds between two messages of a publisher
LEADER_EVERY, ACTIVE_EVERY = 10, 25  # kills of the copier, where there are three servers
IN_COPY, BEFORE = 1.5, 0.5  # seconds in which the copier dies: after it said that it copies, after its start
LARGEST = 2000  # bytes after a message's number
READY = 60.0  # seconds


@dataclass
class Played:
    """What was done, and what was found at the end; wrong is empty when nothing is."""

    kills: int = 0
    at_start: int = 0  # of the kills: before the copier had connected
    leaders: int = 0
    actives: int = 0
    stored: list[int] = field(default_factory=list)  # messages in all streams after each kill
    messages: int = 0  # at the end
    acknowledged: int = 0  # of the publishers that ran meanwhile
    seconds: float = 0.0
    verified: str = ""  # the last line of stan-ft exit verify
    wrong: list[str] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """Kills after which the streams had more than after the kill before: the copier died in its work."""
        return sum(now > before for before, now in zip([0, *self.stored], self.stored, strict=False))

    def text(self) -> str:
        """For people."""
        return "\n".join(
            [
                f"{self.kills} kills of the copier in {self.seconds:.0f} s, {self.at_start} of them while it started; "
                f"{self.moved} runs had added messages",
                f"{self.leaders} kills of a leader of JetStream, {self.actives} of an active of the group",
                f"{self.messages} messages in {len(CHANNELS)} streams, {self.acknowledged} published meanwhile",
                f"verify: {self.verified}",
                *(f"WRONG: {one}" for one in self.wrong),
            ]
        )


def content(chance: random.Random, writer: str, number: int) -> bytes:
    """A message that says who sent it and which one it is."""
    return b"%s-%d " % (writer.encode(), number) + chance.randbytes(chance.randrange(LARGEST))


async def play(
    group: Group, js: JetStream, directory: Path, kills: int, *, seed: int, say: Callable[[str], None] = lambda _: None
) -> Played:
    """Kill a copier so many times, then let one go to the end, and compare in three ways. The group has to be empty."""
    chance, done = random.Random(seed), Played()  # noqa: S311 - it shall be the same each time
    for name in CHANNELS:
        await exit_play.publish(group, name, (content(chance, "before", n) for n in range(EACH * kills)))
    file = directory / "plan.yaml"
    await exit_play.write_plan(group, js, file, replicas=min(len(js.servers), 3))
    acknowledged: dict[str, list[int]] = {name: [] for name in CHANNELS}
    stop = asyncio.Event()
    publishing = [asyncio.create_task(_publisher(group, name, acknowledged[name], stop, seed)) for name in CHANNELS]
    started = time.monotonic()
    arguments = exit_play.arguments("copy", file, group, js, "--follow", f"--rate={RATE}")
    # Each fork runs the main module again, which is quick when all that it imports is there.
    own = [name for name in sys.modules if name.partition(".")[0] in ("harness", "stanft")]
    _FORKS.set_forkserver_preload([*own, "stanft.cli.exit"])
    for number in range(1, kills + 1):
        await _kill(arguments, chance, done)
        if number % LEADER_EVERY == 0 and len(js.servers) > 1:
            leader = await asyncio.to_thread(js.leader, chance.choice(CHANNELS))
            leader.kill()
            leader.start()
            done.leaders += 1
        if number % ACTIVE_EVERY == 0 and len(group.servers) > 1:
            active = await asyncio.to_thread(group.wait_active)
            active.kill()
            active.start()
            done.actives += 1
        done.stored.append(await _stored(group, js))
        if number % 10 == 0:
            say(f"{number} kills, {done.stored[-1]} messages in the streams")
    stop.set()
    await asyncio.gather(*publishing)
    done.seconds = time.monotonic() - started
    for step in ("copy", "verify"):
        ran = await asyncio.to_thread(exit_play.run, exit_play.arguments(step, file, group, js))
        if ran.code != 0:
            done.wrong.append(f"{step} ends with {ran.code}: {(ran.out + ran.err).strip()[-500:]}")
        done.verified = (ran.out.strip().splitlines() or ["(it printed nothing)"])[-1]
    async with exit_play.both(group, js) as (_, target):
        for name in CHANNELS:
            await _count(target, name, EACH * kills, acknowledged[name], done)
    return done


def _copier(arguments: list[str], told: Connection) -> None:
    """A process that copies; what it says goes to told."""
    os.dup2(told.fileno(), 2)
    sys.exit(main.main(arguments))


# Python with everything imported, of which each copier is a fork: starting took longer than copying.
_FORKS = multiprocessing.get_context("forkserver")


async def _kill(arguments: list[str], chance: random.Random, done: Played) -> None:
    """Start a copier and kill it: one of four while it connects, the others after it said that it copies."""
    ours, theirs = _FORKS.Pipe(duplex=False)
    copier = _FORKS.Process(target=_copier, args=(arguments, theirs))
    copier.start()
    theirs.close()
    early = chance.random() < 0.25
    told = await asyncio.to_thread(_line, ours, chance.uniform(0, BEFORE) if early else READY)
    if told.startswith("copying "):
        await asyncio.sleep(chance.uniform(0, IN_COPY))
    alive = copier.is_alive() and (early or bool(told))
    copier.kill()
    await asyncio.to_thread(copier.join)
    if not alive:
        raise UserError(f"the copier ended by itself or did nothing: {told + _line(ours, 1)}")
    ours.close()
    done.at_start += not told
    done.kills += 1


def _line(told: Connection, patience: float) -> str:
    """The first that a copier says within so many seconds, "" if it says nothing."""
    return os.read(told.fileno(), 4096).decode() if told.poll(patience) else ""


async def _publisher(group: Group, name: str, acknowledged: list[int], stop: asyncio.Event, seed: int) -> None:
    """Publish numbered messages until stop; what was acknowledged is noted, what is unknown is not sent again."""
    chance, number = random.Random(f"{seed} {name}"), 0  # noqa: S311
    async with await Client.connect(group.urls, client_id=name, cluster_id=group.cluster_id) as client:
        while not stop.is_set():
            number += 1
            with contextlib.suppress(StanError):
                await client.publish(name, content(chance, "meanwhile", number), timeout=5)
                acknowledged.append(number)
            await asyncio.sleep(PAUSE)


async def _stored(group: Group, js: JetStream) -> int:
    async with exit_play.both(group, js) as (_, target):
        return sum(int(one["state"]["messages"]) for one in await target.streams())


async def _count(target: Target, name: str, before: int, acknowledged: list[int], done: Played) -> None:
    """Judge a stream by the numbers in its messages' contents, with nothing of what copied or compared them."""
    seen: dict[str, list[int]] = {"before": [], "meanwhile": []}
    expected = 1
    while batch := await target.read(name, expected, 500):
        for sequence, _, data in batch:
            if sequence != expected:
                done.wrong.append(f"{name}: {sequence} comes after {expected - 1}")
            expected = sequence + 1
            writer, _, number = data.split(b" ", 1)[0].decode().partition("-")
            seen[writer].append(int(number))
    done.messages += len(seen["before"]) + len(seen["meanwhile"])
    done.acknowledged += len(acknowledged)
    if seen["before"] != list(range(before)):
        done.wrong.append(f"{name}: what was there before is not there once and in order")
    if seen["meanwhile"] != sorted(set(seen["meanwhile"])):
        done.wrong.append(f"{name}: what was published meanwhile is there twice, or in another order")
    if missing := set(acknowledged) - set(seen["meanwhile"]):
        done.wrong.append(f"{name}: {len(missing)} acknowledged messages are missing, such as {min(missing)}")
