"""Stores that were changed by hand, read again by a real server: the drill's judge names what is wrong with each."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import run

from harness.loopback.server import Group
from harness.nfs_lab import disk
from harness.nfs_lab.pod import Pod
from stanft.drill.judge import Seen, judge
from stanft.faults import Injection, find
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.options import Start
from stanft.stan.outcome import Outcome
from stanft.stan.subscription import Message
from stanft.store import records
from stanft.traffic.ledger import Ledger, View, encode
from stanft.traffic.reading import Reader
from stanft.traffic.verdict import Judgement, Word

CHANNEL, DURABLE = "orders", "bills"
MESSAGES = 100
WINDOW = 5  # unacknowledged messages of the durable

Contents = list[bytes]  # of the channel's records, in order
Change = Callable[[Contents], Contents]


class Case:
    """A server with a store of 100 acknowledged messages, all of them delivered to a durable subscriber."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.ledger = Ledger("case")
        self.track = self.ledger.track(CHANNEL, "pub")
        self.live: View = self.ledger.view("sub-0", CHANNEL, window=WINDOW)
        group.start()

    @property
    def folder(self) -> Path:
        """The channel's files."""
        return self.group.store / CHANNEL

    async def publish(self, count: int) -> None:
        """Send so many messages, each acknowledged."""
        async with await Client.connect(self.group.urls, client_id="writer") as client:
            for _ in range(count):
                number = self.track.send(time.monotonic())
                await client.publish(CHANNEL, encode("case", "pub", number, 100))
                self.track.end(number, Outcome.STORED, time.monotonic())

    async def follow(self, idle: float = 0.5) -> None:
        """Let the durable have what there is for it, until nothing comes for a while."""
        last = time.monotonic()

        def take(message: Message) -> None:
            nonlocal last
            last = message.received
            self.ledger.deliver(self.live, message.data, message.sequence, message.redelivered, last)

        async with await Client.connect(self.group.urls, client_id="reader") as client:
            await client.subscribe(CHANNEL, take, durable=DURABLE, start=Start.first(), max_in_flight=WINDOW)
            last = time.monotonic()
            while time.monotonic() - last < idle:
                await asyncio.sleep(0.05)

    def restart(self, *change: Callable[[Path], None]) -> None:
        """Stop the server, change its files, and start it again."""
        self.group[0].stop()
        for each in change:
            each(self.folder)
        self.group.start()

    def judged(self) -> Judgement:
        """Read the channel again, and judge."""
        run(Reader(self.group.urls, quiet=3, limit=20).read(self.ledger, CHANNEL))
        soak = Injection("soak", at=self.track.ended[49] + 1e-6)
        return judge(Seen(find("soak"), 1, soak, self.ledger, minimum_rate=0.0))


@pytest.fixture
def case(make_group: Callable[..., Group]) -> Case:
    """All published and delivered."""
    made = Case(make_group(size=1))
    run(made.publish(MESSAGES))
    run(made.follow())
    return made


def rewritten(change: Change) -> Callable[[Path], None]:
    """Give the channel's only slice other messages, numbered from one on; the server makes the index anew."""

    def work(folder: Path) -> None:
        [path] = folder.glob("msgs.*.dat")
        contents = change([record.content for record in records.RecordFile(path, typed=False)])
        written = records.preamble()
        for sequence, content in enumerate(contents, 1):
            message = pb.MsgProto.FromString(content)
            message.sequence = sequence
            written += records.encode(0, message.SerializeToString())
        path.write_bytes(written)
        path.with_suffix(".idx").unlink()

    return work


def without(contents: Contents) -> Contents:
    """Three messages from the middle are gone."""
    return contents[:40] + contents[43:]


def without_most(contents: Contents) -> Contents:
    """90 of 100 are gone from the front."""
    return contents[90:]


def doubled(contents: Contents) -> Contents:
    """One more record of a message that is there."""
    return [*contents, contents[20]]


def swapped(contents: Contents) -> Contents:
    """Two messages in each other's place."""
    return [*contents[:10], contents[12], contents[11], contents[10], *contents[13:]]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without, "3 lost (acknowledged, never delivered), such as orders/pub/41"),
        (without_most, "90 lost (acknowledged, never delivered), such as orders/pub/1"),
        (doubled, "1 duplicated (stored twice: one message under two sequence numbers), such as orders/pub/21"),
        (swapped, "2 reordered (first delivered after a later message of the same publisher), such as orders/pub/12"),
    ],
)
def test_a_store_whose_messages_were_changed_by_hand_convicts(case: Case, change: Change, named: str) -> None:
    case.restart(rewritten(change))
    found = case.judged()
    assert found.word is Word.LOST
    assert any(problem.startswith(named) for problem in found.lost), found.lost


def test_a_store_that_nobody_touched_is_ok(case: Case) -> None:
    case.restart()
    run(case.follow())
    assert case.judged() == Judgement()


def test_a_durable_position_that_was_set_back_by_hand_convicts(make_group: Callable[..., Group]) -> None:
    case = Case(make_group(size=1))
    run(case.publish(MESSAGES // 2))
    run(case.follow())
    case.group[0].stop()
    early = (case.folder / "subs.dat").read_bytes()
    case.group.start()
    run(case.publish(MESSAGES // 2))
    run(case.follow())
    case.restart(lambda folder: (folder / "subs.dat").write_bytes(early) and None)
    run(case.follow())
    found = case.judged()
    assert found.word is Word.LOST
    assert found.lost[0].startswith("4"), found.lost
    assert "rewound (came again although it cannot have been unacknowledged" in found.lost[0]


def test_a_durable_position_that_was_set_forward_by_hand_convicts(case: Case, tmp_path: Path) -> None:
    kept = tmp_path / "subs.dat"
    shutil.copy(case.folder / "subs.dat", kept)
    # The same durable further on, as after 20 messages more: taken back is only what was published.
    case.restart()
    saved = {path.name: path.read_bytes() for path in case.folder.glob("msgs.*")}
    ahead = Ledger("case")
    track, views = case.track, case.live
    case.ledger, case.track, case.live = ahead, ahead.track(CHANNEL, "pub"), ahead.view("sub-0", CHANNEL)
    run(case.publish(20))
    run(case.follow())
    case.group[0].stop()
    for name, content in saved.items():
        (case.folder / name).write_bytes(content)
    case.group.start()
    case.ledger = Ledger("case", tracks=[track], views=[views])
    case.track, case.live = track, views
    run(case.publish(40))
    run(case.follow())
    found = case.judged()
    assert found.word is Word.LOST
    assert found.lost[0].startswith("20 skipped (acknowledged and in the store"), found.lost


def test_a_server_that_does_not_answer_makes_the_last_read_unknown(case: Case) -> None:
    case.group[0].kill()
    run(Reader(case.group.urls, quiet=1, limit=2).read(case.ledger, CHANNEL))
    soak = Injection("soak", at=case.track.ended[49] + 1e-6)
    found = judge(Seen(find("soak"), 1, soak, case.ledger, minimum_rate=0.0))
    assert found.word is Word.UNKNOWN
    assert "last read misses 100 acknowledged messages, and its reading did not end" in found.unknown[-1]


def test_a_channel_that_is_gone_is_lost_and_not_unknown(case: Case) -> None:
    case.restart(shutil.rmtree)
    found = case.judged()
    assert found.lost[0].startswith("100 lost"), found


def test_one_server_alone_reads_the_disk_of_a_lab_run(case: Case, tmp_path: Path) -> None:
    run(case.publish(5))  # the live subscriber does not get these
    case.group[0].kill()
    tree, image = tmp_path / "tree" / disk.EXPORT, tmp_path / "disk"
    shutil.copytree(case.group.store, tree / "store")
    subprocess.run(["truncate", "-s", "32M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-d", tree.parent, image], check=True)
    configuration = case.group[0].config.read_text().replace(str(case.group.store), "/data/stan/store")
    pod = Pod("stan", 2, configuration, (), 0, 0, "/data/stan", (), {}, "domain", {})
    before = image.read_bytes()

    [view] = disk.read(image, pod, tmp_path / "alone", case.ledger, [CHANNEL])

    assert not view.unfinished
    assert case.ledger.missing(view) == 0
    assert len(view.times) == MESSAGES + 5
    assert image.read_bytes() == before, "the disk that is kept stays as it was"
    assert disk.keep(image, tmp_path / "kept" / "a.disk") == ""
    assert (tmp_path / "kept" / "a.disk").stat().st_size == image.stat().st_size


def test_a_disk_that_is_no_file_system_is_unknown(case: Case, tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(b"nothing" * 1000)
    pod = Pod("stan", 2, case.group[0].config.read_text(), (), 0, 0, "/", (), {}, "domain", {})
    [view] = disk.read(image, pod, tmp_path / "alone", case.ledger, [CHANNEL])
    assert view.unfinished.startswith("no server reads the kept disk: ")


def test_a_disk_that_is_too_large_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(4096) + b"x" * 8192)
    monkeypatch.setattr(disk, "MOST", 4096)
    assert "at most 0 MiB are kept" in disk.keep(image, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
