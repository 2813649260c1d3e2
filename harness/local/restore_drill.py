"""A backup of a live group on the local cluster, and its restore into an emptied store: what is there, what is not.

The group publishes all the time. What counts is what was acknowledged to its publisher before the backup began, under
which sequence numbers it is there afterwards, and what durables with open messages get then.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster import kind
from harness.ground import system
from harness.ground.paths import REPO
from harness.local import volume_faults
from stanft import words
from stanft.faults.scene import Scene
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.stan.client import Client
from stanft.stan.options import Start
from stanft.stan.outcome import Outcome, PublishResult
from stanft.stan.subscription import Message

CHANNEL = "orders"
SIZE = 512  # bytes of a message
WINDOW = 256  # messages that wait for their acknowledgement
LATER = 50  # messages published after the restore, which each durable must get too
SETTLE = 1.5  # seconds until acknowledgements of clients are on the volume (auto_sync of the durable preset is 1 s)
PATIENCE = 300.0  # seconds for one durable to take what it takes before the backup
IDLE = 40.0  # seconds without a message after which a durable has got all that it gets; the server repeats after 30 s


@dataclass
class Durable:
    """One durable: which of the messages it acknowledged before the backup, and what it got after the restore."""

    name: str
    goes: int  # it gets so many messages, then goes away
    acks: Callable[[int], bool] = lambda _number: True
    acked: set[int] = field(default_factory=set)
    got: set[int] = field(default_factory=set)

    @property
    def again(self) -> int:
        """Messages that it had acknowledged, and got again."""
        return len(self.got & self.acked)


@dataclass
class Drilled:
    """What a drill saw; messages are numbered from 1 in the order of their publication.

    before: acknowledged to the publisher before the backup began; stored: in the backup; lost: published after it, and
    acknowledged. sequences: number of each message in the restored channel -> its sequence there; later: the first
    sequence given after the restore. seconds: how long each step took.
    """

    before: int
    durables: list[Durable]
    stored: int = 0
    size: int = 0  # bytes of the backup
    lost: int = 0
    sequences: dict[int, int] = field(default_factory=dict)
    later: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def missing(self) -> list[int]:
        """Messages that were acknowledged before the backup began and are not there."""
        return [number for number in range(1, self.before + 1) if number not in self.sequences]

    def left_out(self, durable: Durable) -> list[int]:
        """Messages that a durable had not acknowledged, or that came later, and that it never got."""
        due = set(range(1, self.stored + LATER + 1)) - durable.acked
        return sorted(due - durable.got)


class _Publisher:
    """Publishes numbered messages to the channel; last is the number up to which all are acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client, self.sent, self.failed = client, 0, list[str]()
        self._open: set[int] = set()

    @property
    def last(self) -> int:
        return min(self._open) - 1 if self._open else self.sent

    async def send(self, count: int) -> None:
        """So many messages, and until each is acknowledged. Raises UserError when one is not."""
        for _ in range(count):
            while self.client.in_flight >= WINDOW:
                await asyncio.sleep(0.001)
            self.sent += 1
            self._open.add(self.sent)
            payload = b"%d" % self.sent
            await self.client.publish_async(CHANNEL, payload.ljust(SIZE), self._settled(self.sent), timeout=60)
        while self._open and not self.failed:
            await asyncio.sleep(0.01)
        if self.failed:
            raise UserError(
                f"a message of the drill was not stored ({self.failed[0]}): look at the group, run it again."
            )

    def _settled(self, number: int) -> Callable[[PublishResult], None]:
        def end(result: PublishResult) -> None:
            self._open.discard(number)
            if result.outcome is not Outcome.STORED:
                self.failed.append(result.error or result.outcome.value)

        return end


def play(scene: Scene, messages: int) -> Drilled:
    """Publish, back up while it goes on, empty the store, restore, start, and read everything. The group ends whole.

    The group must be on the local cluster and its channel orders unused. Raises UserError, shell.CommandError.
    """
    store = kind.shared_directory() / volume_faults.store_directory(scene).rsplit("/", 1)[1] / "store"
    found = Drilled(
        messages,
        [
            Durable("done", messages),
            Durable("half", messages // 2),
            Durable("open", min(1000, messages // 4), lambda number: number % 2 == 0),
        ],
    )
    with tempfile.TemporaryDirectory(prefix="stan-ft-restore-") as folder:
        backup = Path(folder) / "backup"
        asyncio.run(_before(_urls(scene), found, store, backup))
        replicas = scene.group.replicas()
        with _timed(found, "stop"):
            volume_faults.scale(scene, 0)
        shell.run(system.as_root(["find", store, "-mindepth", "1", "-delete"]))
        with _timed(found, "restore"):
            _command("restore", backup, store)
        with _timed(found, "start"):
            volume_faults.scale(scene, replicas)
        shell.run(system.as_root(["rm", "-rf", backup]))
    asyncio.run(_after(_urls(scene), found))
    return found


def _urls(scene: Scene) -> list[str]:
    return [words.url(server.ip) for server in scene.group.servers() if server.ip]


class _timed:  # noqa: N801 (reads as a word)
    def __init__(self, found: Drilled, step: str) -> None:
        self._found, self._step = found, step

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._found.seconds[self._step] = round(time.monotonic() - self._began, 1)


def _command(name: str, *paths: Path) -> str:
    """What stan-ft backup or restore prints, run as the root that owns a volume's files or may read them."""
    return shell.run(
        system.as_root([sys.executable, "-m", "stanft.cli.main", name, *paths]), cwd=REPO, timeout=600
    ).stdout


async def _before(urls: list[str], found: Drilled, store: Path, backup: Path) -> None:
    async with await Client.connect(urls, client_id="publisher") as client:
        publisher = _Publisher(client)
        with _timed(found, "publish"):
            await publisher.send(found.before)
        with _timed(found, "acknowledge"):
            await asyncio.gather(*(_use(urls, durable) for durable in found.durables))
        await asyncio.sleep(SETTLE)
        over = asyncio.Event()

        async def go_on() -> None:
            while not over.is_set():
                await publisher.send(10)

        running = asyncio.create_task(go_on())
        await asyncio.sleep(0.2)
        found.before = publisher.last
        with _timed(found, "backup"):
            said = await asyncio.to_thread(_command, "backup", store, backup)
        over.set()
        await running
    numbers = re.search(r"proven while a server wrote: 1 channels, (\d+) messages, 3 durables, (\d+) bytes", said)
    if numbers is None:
        raise UserError(
            f"the backup is not of this drill's channel and durables alone ({said.strip()}): use a new group."
        )
    found.stored, found.size = int(numbers[1]), int(numbers[2])
    found.lost = publisher.sent - found.stored


async def _use(urls: list[str], durable: Durable) -> None:
    """Take messages as the durable does, and go."""
    came: set[int] = set()
    async with await Client.connect(urls, client_id=f"app-{durable.name}") as client:
        subscription = await client.subscribe(
            CHANNEL, durable=durable.name, start=Start.first(), manual_acks=True, max_in_flight=1024
        )
        async with asyncio.timeout(PATIENCE):
            while len(came) < durable.goes:
                message = await subscription.next(PATIENCE)
                number = int(message.data)
                came.add(number)
                if durable.acks(number) and await message.ack():
                    durable.acked.add(number)
        await subscription.close()


async def _after(urls: list[str], found: Drilled) -> None:
    with _timed(found, "read"):
        async with await Client.connect(urls, client_id="reader") as client:
            whole = await client.subscribe(CHANNEL, start=Start.first())
            for _ in range(found.stored):
                message = await whole.next(60)
                found.sequences[int(message.data)] = message.sequence
    later: dict[int, int] = {}

    def take(message: Message) -> None:
        later[int(message.data)] = message.sequence

    async with await Client.connect(urls, client_id="publisher") as client:
        new = await client.subscribe(CHANNEL, take, start=Start.new())
        publisher = _Publisher(client)
        publisher.sent = found.stored
        await publisher.send(LATER)
        async with asyncio.timeout(60):
            while len(later) < LATER:
                await asyncio.sleep(0.05)
        await new.close()
    found.later = min(later.values())
    with _timed(found, "deliver"):
        await asyncio.gather(*(_catch_up(urls, found, durable) for durable in found.durables))


async def _catch_up(urls: list[str], found: Drilled, durable: Durable) -> None:
    """What the durable gets until it has its due, or nothing comes any more."""
    async with await Client.connect(urls, client_id=f"app-{durable.name}") as client:
        subscription = await client.subscribe(CHANNEL, durable=durable.name, max_in_flight=1024)
        due = set(found.left_out(durable))
        with contextlib.suppress(TimeoutError):  # what is left then is left out
            while due:
                number = int((await subscription.next(IDLE)).data)
                durable.got.add(number)
                due.discard(number)
        await subscription.close()
