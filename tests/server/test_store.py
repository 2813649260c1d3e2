"""What happens when the shared store is full, damaged, another cluster's, or not this user's: seen on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import MISSED, run

from harness.ground import toolchain
from harness.loopback.server import ACTIVE, STANDBY, Group, Server
from stanft.ground import shell, wait
from stanft.stan.client import Client
from stanft.stan.errors import StanError
from stanft.stan.options import Start
from stanft.stan.outcome import PublishResult
from stanft.traffic.ledger import Ledger, encode

OWNER, STRANGER = 10001, 10002  # uids that nobody has


def publish(group: Group, count: int, channel: str = "channel", size: int = 100) -> None:
    """Store so many messages."""

    async def work() -> None:
        async with await Client.connect(group.urls, client_id="writer") as client:
            for number in range(1, count + 1):
                await client.publish(channel, b"%d " % number + bytes(size))

    run(work())


def read(group: Group, count: int, channel: str = "channel") -> list[int]:
    """The numbers of the stored messages, count of them."""

    async def work() -> list[int]:
        async with await Client.connect(group.urls, client_id="reader") as client:
            subscription = await client.subscribe(channel, start=Start.first())
            return [int((await subscription.next(10)).data.split()[0]) for _ in range(count)]

    return run(work())


def stop(group: Group) -> None:
    """End all servers gracefully."""
    for server in group.servers:
        server.stop()


def damage(group: Group, lost: int = 30) -> None:
    """Cut bytes off the end of the message file, as a node does that loses power in the middle of a write."""
    data = next(group.store.rglob("msgs.1.dat"))
    os.truncate(data, data.stat().st_size - lost)


# --- damaged ------------------------------------------------------------------------------------------------------


def test_every_server_refuses_a_store_with_a_torn_tail_and_says_which_file(group: Group) -> None:
    publish(group, 10)
    stop(group)
    damage(group)
    for server in group.servers:
        server.start()
    for server in group.servers:
        assert server.wait_exit(timeout=3 * MISSED + 10) == 1
        assert 'unable to recover message store for [channel](file: "channel/msgs.1.idx"): unexpected EOF' in server.log


def test_one_server_with_the_truncate_flag_mends_a_torn_tail_and_loses_the_torn_message_only(group: Group) -> None:
    publish(group, 10)
    stop(group)
    damage(group)
    group[0].start("--file_truncate_bad_eof")
    group[0].wait_state(ACTIVE)
    assert 'msgs.1.dat" has been truncated to offset' in group[0].log
    assert read(group, 9) == list(range(1, 10))

    # A second start with the flag is refused, be it another replica or a restart of the same one.
    group[1].start("--file_truncate_bad_eof")
    assert group[1].wait_exit() == 1
    assert "should not be opened consecutively with the TruncateUnexpectedEOF option" in group[1].log

    group[0].stop()
    group.start()
    assert read(group, 9) == list(range(1, 10))


def test_a_tail_of_zeroes_is_cut_off_without_being_asked(group: Group) -> None:
    publish(group, 10)
    stop(group)
    with next(group.store.rglob("msgs.1.dat")).open("ab") as data:
        data.write(bytes(512))
    group.start()
    assert read(group, 10) == list(range(1, 11))


def test_an_index_that_is_missing_is_made_again_from_the_messages(group: Group) -> None:
    publish(group, 10)
    stop(group)
    next(group.store.rglob("msgs.1.idx")).unlink()
    group.start()
    assert read(group, 10) == list(range(1, 11))


def test_a_flipped_bit_is_found_by_its_checksum_and_no_server_serves_it(make_group: Callable[..., Group]) -> None:
    group = make_group(size=1)
    group.start()
    publish(group, 10)
    group[0].stop()
    data = next(group.store.rglob("msgs.1.dat"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    next(group.store.rglob("msgs.1.idx")).unlink()
    group[0].start()
    assert group[0].wait_exit(timeout=15) == 1
    assert "corrupted data" in group[0].log


def test_every_folder_in_the_store_is_taken_for_a_channel(make_group: Callable[..., Group]) -> None:
    # So the store must not be the root of a volume, with its lost+found or .snapshot.
    group = make_group(size=1)
    (group.store / "lost+found").mkdir(parents=True)
    group.start()
    publish(group, 1)
    group[0].stop()
    group[0].start()
    group[0].wait_log("Recovered 2 channel(s)")


# --- another cluster's --------------------------------------------------------------------------------------------


def test_a_store_of_another_cluster_id_is_refused_by_each_server_when_its_turn_comes(
    make_group: Callable[..., Group], group: Group
) -> None:
    publish(group, 1)
    stop(group)
    other = make_group({"config": {"streaming": {"id": "other-cluster"}}}, store=group.store)
    for server in other.servers:
        server.start()
    for server in other.servers:
        assert server.wait_exit(timeout=3 * MISSED + 10) == 1
        assert 'cluster ID "other-cluster" does not match recovered value of "test-cluster"' in server.log


# --- full ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_volume() -> Iterator[Path]:
    """A file system of one MiB of its own."""
    folder = Path(tempfile.mkdtemp(prefix="stan-volume-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small file system cannot be mounted here (needs root): {mounted.stderr.decode().strip()}")
    yield folder
    shell.run(["umount", "--lazy", folder])
    folder.rmdir()


def test_a_full_store_ends_one_active_after_the_other_and_with_room_again_nothing_acknowledged_is_lost(
    make_group: Callable[..., Group], small_volume: Path
) -> None:
    group = make_group(store=small_volume / "store")
    active = group.start()
    ledger = Ledger("full")
    track, view = ledger.track("channel", "pub"), ledger.view("sub", "channel")

    async def fill() -> None:
        client = await Client.connect(group.urls, client_id="writer")
        while active.alive:
            number = track.send(time.monotonic())

            def settled(result: PublishResult, number: int = number) -> None:
                track.end(number, result.outcome, time.monotonic(), result.error)

            try:
                await client.publish_async("channel", encode("full", "pub", number, 7000), settled, timeout=1)
            except StanError:
                break
            while client.in_flight > 20:
                await asyncio.sleep(0.001)
        await client.abandon()

    async def read_all() -> None:
        async with await Client.connect(group.urls, client_id="reader") as client:
            subscription = await client.subscribe("channel", start=Start.first())
            while ledger.missing(view):
                message = await subscription.next(10)
                ledger.deliver(view, message.data, message.sequence, message.redelivered, message.received)

    run(fill())
    assert active.wait_exit() == 2
    assert "unable to flush msg store" in active.log
    assert "no space left on device" in active.log
    # The next one finds the same store, so making room is the only way out.
    group.wait_active(other_than=active)
    shell.run(["mount", "-o", "remount,size=16m", small_volume])
    run(read_all())
    assert ledger.verdict().valid, ledger.verdict().sentence()
    publish(group, 1, "another")


def test_a_file_that_may_not_grow_ends_the_active_as_a_full_disk_does(group: Group) -> None:
    active = group.wait_active()
    publish(group, 5, size=1000)
    shell.run(["prlimit", f"--pid={active.pid}", "--fsize=10000"])

    async def fill() -> None:
        client = await Client.connect(group.urls, client_id="writer")
        while active.alive:
            with contextlib.suppress(StanError):
                await client.publish("channel", bytes(1000), timeout=0.2)
        await client.abandon()

    run(fill())
    assert active.wait_exit() == 2
    assert "file too large" in active.log
    group.wait_active(other_than=active)
    assert read(group, 5) == [1, 2, 3, 4, 5]


# --- not this user's ----------------------------------------------------------------------------------------------


@pytest.fixture
def reachable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that every user can reach, with a copy of the server program in it."""
    if os.geteuid() != 0:
        pytest.skip("servers can be started as another user by root only")
    folder = Path(tempfile.mkdtemp(prefix="stan-users-"))
    folder.chmod(0o755)
    shutil.copy(toolchain.ensure("nats-streaming-server"), folder / "nats-streaming-server")
    yield folder
    shutil.rmtree(folder)


def as_user(group: Group, reachable: Path, user: int, umask: int = -1) -> Group:
    """Let all servers of a group run as this user."""
    for path in (group.directory, *group.directory.iterdir()):
        path.chmod(0o777 if path.is_dir() else 0o666)
    for server in group.servers:
        server.user, server.umask, server.binary = user, umask, reachable / "nats-streaming-server"
    return group


def test_a_server_of_another_user_stands_by_for_ever_and_logs_that_it_may_not_have_the_lock(
    make_group: Callable[..., Group], reachable: Path
) -> None:
    store = reachable / "volume" / "store"
    store.parent.mkdir()
    store.parent.chmod(0o777)
    config = "streaming { id: test-cluster, store: file, dir: /data/stan/store, ft_group_name: test-cluster }"

    def one(name: str, user: int) -> Server:
        return as_user(Group(reachable / name, config=config, size=1, store=store), reachable, user)[0]

    first, second = one("first", OWNER), one("second", STRANGER)
    try:
        first.start()
        first.wait_state(ACTIVE)
        first.stop()
        second.start()
        error = "ft: error attempting to get the store lock: ft: fatal error getting the store lock"
        second.wait_log(error, count=2)
        assert "permission denied" in second.log
        assert second.state == STANDBY
    finally:
        first.reap()
        second.reap()


def test_a_compacted_file_is_its_writers_alone_so_a_server_of_another_user_cannot_take_over(
    make_group: Callable[..., Group], reachable: Path
) -> None:
    store = reachable / "volume" / "store"
    store.parent.mkdir()
    store.parent.chmod(0o777)
    config = """streaming {
        id: test-cluster, store: file, dir: /data/stan/store, ft_group_name: test-cluster
        file_options { compact_interval: 1, compact_min_size: 0, compact_fragmentation: 1 }
    }"""
    # With this umask everybody may write what a server creates; compaction makes its file 0600 all the same.
    groups = [Group(reachable / name, config=config, size=1, store=store) for name in ("first", "second")]
    first, second = (
        as_user(group, reachable, user, 0)[0] for group, user in zip(groups, (OWNER, STRANGER), strict=True)
    )
    try:
        first.start()
        first.wait_state(ACTIVE)

        def compacted() -> bool:
            publish(groups[0], 1)
            return (store / "clients.dat").stat().st_mode & 0o777 == 0o600

        wait.until(compacted, 15, "the file of clients was not compacted")
        first.stop()
        second.start()
        assert second.wait_exit(timeout=15) == 1
        assert "clients.dat: permission denied" in second.log
        first.start()
        first.wait_log("Streaming Server is ready", count=2)
    finally:
        first.reap()
        second.reap()
