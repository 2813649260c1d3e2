"""A backup taken while a server writes, restored under another one: nothing acknowledged before it is missing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from loopback import run

from harness.loopback.server import Group
from stanft.cli import backup as command
from stanft.ground.errors import UserError
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.options import Start
from stanft.store import backup, channel, records, state

CHANNEL = "orders"


async def publish(client: Client, first: int, count: int) -> None:
    """Messages whose content is their number."""
    for number in range(first, first + count):
        await client.publish(CHANNEL, b"%d" % number)


async def received(urls: list[str], count: int, *, ack: bool = True) -> set[int]:
    """The next so many messages of the durable app/bills; acknowledged unless said otherwise."""
    async with await Client.connect(urls, client_id="app") as client:
        durable = await client.subscribe(CHANNEL, durable="bills", start=Start.first(), manual_acks=True)
        numbers = set()
        while len(numbers) < count:
            message = await durable.next(10)
            numbers.add(int(message.data))
            if ack:
                await message.ack()
        await durable.close()
        return numbers


def restored(folder: Path, group: Group) -> backup.Copied:
    """Put the backup under a group that was not started yet."""
    return backup.restore(folder, group.store)


def test_a_backup_under_load_has_every_message_acknowledged_before_it_began(tmp_path: Path) -> None:
    async def load(source: Group) -> int:
        async with await Client.connect(source.urls, client_id="app") as client:
            durable = await client.subscribe(CHANNEL, durable="bills", start=Start.first())
            await publish(client, 1, 500)
            running = asyncio.create_task(publish(client, 501, 3000))
            await asyncio.sleep(0.1)
            before = state.read(source.store).channels[0].messages.last
            done = await asyncio.to_thread(backup.backup, source.store, tmp_path / "backup")
            assert done.live
            await running
            await durable.close()
            return before

    with Group(tmp_path / "source", size=1) as source:
        source.start()
        before = run(load(source))
    with Group(tmp_path / "other", size=1) as other:
        done = restored(tmp_path / "backup", other)
        assert done.messages >= before >= 500
        other.start()

        async def check() -> None:
            async with await Client.connect(other.urls, client_id="reader") as client:
                everything = await client.subscribe(CHANNEL, start=Start.first())
                numbers = [int((await everything.next(10)).data) for _ in range(done.messages)]
            assert numbers == list(range(1, done.messages + 1))
            # What the durable had acknowledged by then may come again, but nothing after it is left out.
            async with await Client.connect(other.urls, client_id="writer") as client:
                await publish(client, done.messages + 1, 50)
            after = set(range(done.messages + 1, done.messages + 51))
            async with await Client.connect(other.urls, client_id="app") as client:
                durable = await client.subscribe(CHANNEL, durable="bills")
                seen: set[int] = set()
                while not after <= seen:
                    seen.add(int((await durable.next(10)).data))
            assert seen == set(range(min(seen), done.messages + 51))

        run(check())


def test_unacknowledged_messages_come_again_after_a_restore_and_acknowledged_ones_do_not(tmp_path: Path) -> None:
    async def use(urls: list[str]) -> None:
        async with await Client.connect(urls, client_id="app") as client:
            await publish(client, 1, 20)
            durable = await client.subscribe(CHANNEL, durable="bills", start=Start.first(), manual_acks=True)
            for _ in range(20):
                message = await durable.next(10)
                if message.sequence not in (5, 11):
                    await message.ack()
            await durable.close()

    with Group(tmp_path / "source", size=1) as source:
        source.start()
        run(use(source.urls))
        source[0].stop()
        backup.backup(source.store, tmp_path / "backup")
    with Group(tmp_path / "other", size=1) as other:
        restored(tmp_path / "backup", other)
        other.start()
        assert run(received(other.urls, 2)) == {5, 11}


def test_a_queue_groups_open_messages_are_kept_when_its_only_member_was_online(tmp_path: Path) -> None:
    async def use(source: Group) -> None:
        async with await Client.connect(source.urls, client_id="member") as client:
            await publish(client, 1, 10)
            crew = await client.subscribe(
                CHANNEL, durable="work", queue="crew", start=Start.first(), manual_acks=True, ack_wait=1
            )
            for _ in range(10):
                await crew.next(10)
            await publish(client, 11, 1)  # a publish writes what was sent so far through to subs.dat
            backup.backup(source.store, tmp_path / "backup")

    async def again(urls: list[str]) -> set[int]:
        async with await Client.connect(urls, client_id="other") as client:
            crew = await client.subscribe(CHANNEL, durable="work", queue="crew", manual_acks=True, ack_wait=1)
            seen: set[int] = set()
            while len(seen) < 11:
                seen.add(int((await crew.next(10)).data))
            return seen

    with Group(tmp_path / "source", size=1) as source:
        source.start()
        run(use(source))
    with Group(tmp_path / "other", size=1) as other:
        restored(tmp_path / "backup", other)
        assert not [one for one in state.read(other.store).findings if one.kind == "ghost"]
        other.start()
        assert run(again(other.urls)) == set(range(1, 12))


@pytest.fixture
def torn_apart(tmp_path: Path) -> Path:
    """What copying file by file in the wrong order gives: positions of now over messages of before."""
    with Group(tmp_path / "torn", size=1) as source:
        source.start()

        async def use() -> None:
            async with await Client.connect(source.urls, client_id="writer") as client:
                await publish(client, 1, 20)
                assert len(await received(source.urls, 20)) == 20
                shutil.copytree(source.store, tmp_path / "naive")
                await publish(client, 21, 10)
            assert len(await received(source.urls, 10)) == 10

        run(use())
        source[0].stop()
        shutil.copy(source.store / CHANNEL / "subs.dat", tmp_path / "naive" / CHANNEL / "subs.dat")
    return tmp_path / "naive"


async def first_after(urls: list[str]) -> int:
    """Publish 12 messages, and give which of them the durable gets first."""
    async with await Client.connect(urls, client_id="writer") as client:
        await publish(client, 21, 12)
    return min(await received(urls, 1))


def test_a_copy_in_the_wrong_order_loses_messages_without_a_word(torn_apart: Path, tmp_path: Path) -> None:
    with Group(tmp_path / "other", size=1, store=torn_apart) as other:
        other.start()
        assert run(first_after(other.urls)) == 31  # 21 to 30 are never delivered
    assert "level=error" not in other[0].log


def test_a_backup_of_such_a_copy_mends_it_and_says_so(torn_apart: Path, tmp_path: Path) -> None:
    done = backup.backup(torn_apart, tmp_path / "backup")
    assert any("30 became 20" in note for note in done.notes)
    with Group(tmp_path / "other", size=1) as other:
        restored(tmp_path / "backup", other)
        other.start()
        assert run(first_after(other.urls)) == 21


def filled(folder: Path) -> Path:
    """A small store, made by hand."""
    (folder / CHANNEL).mkdir(parents=True)
    (folder / "server.dat").write_bytes(
        records.preamble() + records.encode(0, pb.ServerRecord(cluster_id="test-cluster").SerializeToString())
    )
    content = [
        records.encode(0, pb.MsgProto(sequence=n, subject=CHANNEL, data=b"%d" % n, timestamp=n).SerializeToString())
        for n in range(1, 11)
    ]
    (folder / CHANNEL / "msgs.1.dat").write_bytes(records.preamble() + b"".join(content))
    (folder / CHANNEL / "subs.dat").write_bytes(records.preamble())
    (folder / "clients.dat").write_bytes(records.preamble())
    return folder


def test_a_torn_end_is_left_out_and_a_repeated_message_counts_once(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    data = store / CHANNEL / "msgs.1.dat"
    again = pb.MsgProto(sequence=8, subject=CHANNEL, data=b"later", timestamp=1).SerializeToString()
    data.write_bytes(data.read_bytes() + records.encode(0, again) + b"\7\0\0\0")
    done = backup.backup(store, tmp_path / "backup")
    assert len(done.notes) == 2
    held = channel.scan(tmp_path / "backup" / backup.FILES / CHANNEL)
    assert [one.data for one in channel.messages(held, 7)] == [b"7", b"later"]


@pytest.mark.parametrize("place", [30, 100])
def test_a_store_that_is_damaged_inside_is_not_backed_up(tmp_path: Path, place: int) -> None:
    store = filled(tmp_path / "store")
    content = bytearray((store / CHANNEL / "msgs.1.dat").read_bytes())
    content[place] ^= 1
    (store / CHANNEL / "msgs.1.dat").write_bytes(content)
    with pytest.raises(UserError, match="a backup would hide that"):
        backup.backup(store, tmp_path / "backup")
    assert not list((tmp_path / "backup").iterdir())


def test_a_backup_goes_into_a_new_folder_outside_the_store_only(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    with pytest.raises(UserError, match="inside the store"):
        backup.backup(store, store / "backup")
    (tmp_path / "full" / backup.FILES).mkdir(parents=True)
    (tmp_path / "full" / backup.FILES / "precious").touch()
    with pytest.raises(UserError, match="is not empty"):
        backup.backup(store, tmp_path / "full")
    assert (tmp_path / "full" / backup.FILES / "precious").exists()


def test_a_backup_that_was_changed_is_not_restored(tmp_path: Path) -> None:
    backup.backup(filled(tmp_path / "store"), tmp_path / "backup")
    data = tmp_path / "backup" / backup.FILES / CHANNEL / "msgs.1.dat"
    whole = data.read_bytes()
    for change, said in (
        (lambda: data.write_bytes(whole[:-1]), "was changed"),
        (data.unlink, "is missing"),
        (lambda: (data.write_bytes(whole), data.with_name("msgs.2.dat").touch()), "is not of this backup"),
    ):
        change()
        with pytest.raises(UserError, match=said):
            backup.restore(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unfinished_backup_is_not_restored(tmp_path: Path) -> None:
    backup.backup(filled(tmp_path / "store"), tmp_path / "backup")
    (tmp_path / "backup" / backup.MANIFEST).unlink()
    with pytest.raises(UserError, match="no finished backup"):
        backup.restore(tmp_path / "backup", tmp_path / "new")


def test_a_restore_never_overwrites(tmp_path: Path) -> None:
    backup.backup(filled(tmp_path / "store"), tmp_path / "backup")
    with pytest.raises(UserError, match=r"is not empty \(clients\.dat, orders, server\.dat\)"):
        backup.restore(tmp_path / "backup", tmp_path / "store")


def test_what_servers_lock_in_an_empty_store_is_in_no_restores_way(tmp_path: Path) -> None:
    backup.backup(filled(tmp_path / "store"), tmp_path / "backup")
    (tmp_path / "new").mkdir()
    for name in (".rootdir.lck", ".lease.stan-0"):
        (tmp_path / "new" / name).touch()
    assert backup.restore(tmp_path / "backup", tmp_path / "new").channels == 1


def test_a_restore_under_a_running_server_is_refused(tmp_path: Path) -> None:
    backup.backup(filled(tmp_path / "store"), tmp_path / "backup")
    with Group(tmp_path / "group", size=1) as group:
        group.start()
        with pytest.raises(UserError, match="a server holds"):
            backup.restore(tmp_path / "backup", group.store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_restored_files_belong_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    backup.backup(filled(tmp_path / "store"), tmp_path / "backup")
    (tmp_path / "new").mkdir()
    os.chown(tmp_path / "new", 10001, 10001)
    backup.restore(tmp_path / "backup", tmp_path / "new")
    assert {path.stat().st_uid for path in (tmp_path / "new").rglob("*")} == {10001}


def test_the_commands_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = filled(tmp_path / "store")
    assert command.main([str(store), str(tmp_path / "backup")]) == 0
    assert "backed up and proven: 1 channels, 10 messages, 0 durables" in capsys.readouterr().out
    assert command.restore_main([str(tmp_path / "backup"), str(tmp_path / "new")]) == 0
    assert "restored and proven: 1 channels, 10 messages" in capsys.readouterr().out
    assert json.loads((tmp_path / "backup" / backup.MANIFEST).read_text())["store"]["cluster_id"] == "test-cluster"
