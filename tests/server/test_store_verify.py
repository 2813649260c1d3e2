"""A store that a real server wrote, read without one: what is counted, and each damage named with what it does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import run

from harness.loopback.server import MINIMAL, Group
from stanft.cli import verify as command
from stanft.ground.errors import UserError
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.options import Start
from stanft.store import channel, records, state, verify
from stanft.store.findings import Finding, Harm

SLICED = MINIMAL.replace("store: file", "store: file\n  file_options {\n    slice_max_msgs: 10\n  }")


async def fill(urls: list[str]) -> None:
    """30 messages in orders (three slices), a durable that left 3 and 7 open, a queue group, an empty channel."""
    async with await Client.connect(urls, client_id="app") as client:
        for number in range(1, 31):
            await client.publish("orders", b"%d " % number + bytes(100))
        durable = await client.subscribe("orders", durable="bills", start=Start.first(), manual_acks=True)
        for _ in range(30):
            message = await durable.next(10)
            if message.sequence not in (3, 7):
                await message.ack()
        queue = await client.subscribe(
            "orders", durable="work", queue="crew", start=Start.sequence(29), manual_acks=True
        )
        await queue.next(10)
        await durable.close()
        await queue.close()
        await client.subscribe("empty", durable="waits")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The store of a server that was stopped in order."""
    with Group(tmp_path_factory.mktemp("written"), size=1, config=SLICED) as group:
        group.start()
        run(fill(group.urls))
        group[0].stop()
        yield group.store


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(written, tmp_path / "store"))


def found(store: Path) -> list[Finding]:
    """Everything that is wrong."""
    return state.read(store).findings


def only(store: Path, kind: str) -> Finding:
    """The one finding, which must be of this kind."""
    (finding,) = found(store)
    assert finding.kind == kind
    return finding


def flip(path: Path, offset: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


# --- whole --------------------------------------------------------------------------------------------------------


def test_a_whole_store_is_counted_as_its_server_knew_it(store: Path) -> None:
    read = state.read(store)
    orders = next(one for one in read.channels if one.name == "orders")
    assert (read.cluster_id, read.live, found(store)) == ("test-cluster", False, [])
    assert (orders.messages.count, orders.messages.first, orders.messages.last, orders.messages.slices) == (
        30,
        1,
        30,
        3,
    )
    bills, work = sorted(orders.durables, key=lambda one: one.name)
    assert (bills.label, bills.last_sent, bills.pending, bills.online) == ("app/bills", 30, {3, 7}, False)
    assert (work.label, work.last_sent, work.pending) == ("work:crew", 30, {29, 30})
    assert [one.messages.count for one in read.channels if one.name == "empty"] == [0]


def test_messages_are_read_back_in_order_with_their_content_from_any_sequence(store: Path) -> None:
    messages = list(channel.messages(channel.scan(store / "orders"), start=18))
    assert [one.sequence for one in messages] == list(range(18, 31))
    assert messages[0].data == b"18 " + bytes(100)
    assert all(one.timestamp > 1.7e18 for one in messages)


def test_an_expired_front_is_no_damage(store: Path) -> None:
    for name in ("msgs.1.dat", "msgs.1.idx"):
        (store / "orders" / name).unlink()
    held = channel.scan(store / "orders")
    assert (held.first, held.last, held.count, held.findings) == (11, 30, 20, [])


def test_nothing_is_written_while_reading(store: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.rglob("*")}
    state.read(store)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.rglob("*")} == before


def test_a_store_that_a_server_writes_is_said_to_be_live_and_keeps_its_lock(tmp_path: Path) -> None:
    with Group(tmp_path, size=1) as group:
        group.start()
        assert state.read(group.store).live
        group[0].stop()
        assert not state.read(group.store).live


# --- messages -----------------------------------------------------------------------------------------------------


def test_a_cut_record_stops_servers(store: Path) -> None:
    path = store / "orders" / "msgs.3.dat"
    os.truncate(path, path.stat().st_size - 30)
    assert {(one.kind, one.harm) for one in found(store)} >= {("torn", Harm.STOPS)}
    assert channel.scan(store / "orders").last == 29


def test_a_cut_header_stops_servers(store: Path) -> None:
    with (store / "orders" / "msgs.3.dat").open("ab") as file:
        file.write(b"\1\2\3")
    assert only(store, "torn").harm is Harm.STOPS


@pytest.mark.parametrize("place", [100, 1000])
def test_a_flipped_bit_is_found_wherever_it_is(store: Path, place: int) -> None:
    flip(store / "orders" / "msgs.2.dat", place)
    kinds = {one.kind for one in found(store)}
    assert "corrupt" in kinds
    assert verify.judged_bad(state.read(store))


def test_every_single_flipped_bit_of_a_message_file_is_named(store: Path) -> None:
    path = store / "orders" / "msgs.3.dat"
    whole = path.read_bytes()
    for offset in range(0, 300, 7):
        flip(path, offset)
        assert verify.judged_bad(state.read(store, only="orders")), f"the bit at byte {offset} was not noticed"
        path.write_bytes(whole)


def test_zeros_at_the_end_are_what_a_server_mends(store: Path) -> None:
    with (store / "orders" / "msgs.3.dat").open("ab") as file:
        file.write(bytes(500))
    assert only(store, "zeros").harm is Harm.NOTHING


def test_zeros_with_records_after_them_are_damage(store: Path) -> None:
    path = store / "orders" / "msgs.3.dat"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(64) + content[4:])
    assert "corrupt" in {one.kind for one in found(store)}


def test_a_message_that_is_stored_twice_is_named_and_the_later_one_counts(store: Path) -> None:
    again = pb.MsgProto(sequence=30, subject="orders", data=b"again", timestamp=1)
    with (store / "orders" / "msgs.3.dat").open("ab") as file:
        file.write(records.encode(0, again.SerializeToString()))
    assert {one.kind for one in found(store)} == {"doubled", "index-behind"}
    held = channel.scan(store / "orders")
    assert [one.data for one in channel.messages(held, start=30)] == [b"again"]
    assert held.count == 30


def test_a_missing_slice_in_the_middle_is_a_gap(store: Path) -> None:
    for name in ("msgs.2.dat", "msgs.2.idx"):
        (store / "orders" / name).unlink()
    assert "messages 11 to 20 are missing" in only(store, "gap").text


def test_a_message_of_another_channel_is_named(store: Path) -> None:
    (store / "orders").rename(store / "moved")
    assert only(store, "foreign").text == "message 1 belongs to the channel 'orders'"


# --- index --------------------------------------------------------------------------------------------------------


def test_a_missing_index_is_no_damage(store: Path) -> None:
    (store / "orders" / "msgs.2.idx").unlink()
    assert only(store, "missing").harm is Harm.NOTHING


def test_an_index_older_than_its_data_hides_messages(store: Path) -> None:
    index = store / "orders" / "msgs.3.idx"
    os.truncate(index, index.stat().st_size - 3 * channel.INDEX.size)
    finding = only(store, "index-behind")
    assert finding.harm is Harm.LOSES
    assert "3 messages (28 to 30)" in finding.text


def test_an_index_newer_than_its_data_tells_what_was_lost(store: Path) -> None:
    data = store / "orders" / "msgs.3.dat"
    spans = channel.scan(store / "orders").spans
    offset, cut = spans[-1].start, data.read_bytes()
    for _ in range(4):
        offset += 8 + int.from_bytes(cut[offset : offset + 4], "little")
    os.truncate(data, offset)
    findings = {one.kind: one for one in found(store)}
    assert "6 messages (25 to 30)" in findings["index-ahead"].text
    assert "the next 6 messages would never be delivered" in findings["ahead"].text


def test_an_index_that_names_other_bytes_is_named(store: Path) -> None:
    index = store / "orders" / "msgs.1.idx"
    content = bytearray(index.read_bytes())
    one = slice(4 + 32, 4 + 64)
    sequence, offset, timestamp, size, _ = channel.INDEX.unpack(content[one])
    moved = channel.INDEX.pack(sequence, offset + 1, timestamp, size, 0)[:-4]
    content[one] = moved + records.zlib.crc32(moved).to_bytes(4, "little")
    index.write_bytes(content)
    assert "index-wrong" in {finding.kind for finding in found(store)}


def test_a_broken_index_is_made_anew_by_servers(store: Path) -> None:
    flip(store / "orders" / "msgs.1.idx", 40)
    assert only(store, "index-broken").harm is Harm.NOTHING


def test_an_index_without_its_version_stops_servers(store: Path) -> None:
    (store / "orders" / "msgs.1.idx").write_bytes(b"")
    assert only(store, "index-broken").harm is Harm.STOPS


def test_an_index_without_its_data_is_lost_messages(store: Path) -> None:
    (store / "orders" / "msgs.3.dat").unlink()
    assert "missing" in {one.kind for one in found(store) if one.harm is Harm.LOSES}


# --- positions, clients, server -----------------------------------------------------------------------------------


def test_positions_newer_than_the_messages_are_named_with_what_they_would_lose(store: Path) -> None:
    for name in ("msgs.3.dat", "msgs.3.idx"):
        (store / "orders" / name).unlink()
    ahead = [one for one in found(store) if one.kind == "ahead"]
    assert {one.harm for one in ahead} == {Harm.LOSES}
    assert "app/bills was sent up to 30, and the last message is 20" in ahead[0].text
    assert len(ahead) == 2


def test_positions_over_a_channel_without_messages_are_named(store: Path) -> None:
    for path in (store / "orders").glob("msgs.*"):
        path.unlink()
    assert {one.kind for one in found(store)} == {"ahead"}


@pytest.mark.parametrize("name", ["orders/subs.dat", "clients.dat"])
def test_a_cut_typed_file_stops_servers(store: Path, name: str) -> None:
    os.truncate(store / name, (store / name).stat().st_size - 2)
    assert {(one.where, one.kind, one.harm) for one in found(store)} >= {(name, "torn", Harm.STOPS)}


@pytest.mark.parametrize("name", ["orders/msgs.3.dat", "orders/subs.dat", "clients.dat"])
@pytest.mark.parametrize("left", [b"", b"\1"])
def test_a_file_without_its_version_stops_servers(store: Path, name: str, left: bytes) -> None:
    (store / name).write_bytes(left)
    assert (name, "torn", Harm.STOPS) in {(one.where, one.kind, one.harm) for one in found(store)}


@pytest.mark.parametrize(("name", "kind"), [("orders/subs.dat", "corrupt"), ("clients.dat", "corrupt")])
def test_a_flipped_bit_in_a_typed_file_stops_servers(store: Path, name: str, kind: str) -> None:
    flip(store / name, 20)
    assert (name, kind, Harm.STOPS) in {(one.where, one.kind, one.harm) for one in found(store)}


def test_a_missing_subs_file_means_that_no_durable_is_known(store: Path) -> None:
    (store / "orders" / "subs.dat").unlink()
    assert only(store, "missing").harm is Harm.LOSES


def test_a_member_of_a_queue_group_without_its_client_would_be_dropped(store: Path) -> None:
    member = pb.SubscriptionRecord(
        number=99, client_id="nobody", queue_group="work:crew", last_sent=30, is_durable=True
    )
    with (store / "orders" / "subs.dat").open("ab") as file:
        file.write(records.encode(1, member.SerializeToString()))
    assert "work:crew has a member of nobody" in only(store, "ghost").text


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b""), "corrupt"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "corrupt"),
        (lambda path: flip(path, 15), "corrupt"),
        (lambda path: flip(path, 0), "unreadable"),
    ],
)
def test_a_server_file_that_is_not_exactly_its_record_stops_servers(
    store: Path, change: Callable[[Path], None], kind: str
) -> None:
    change(store / "server.dat")
    finding = only(store, kind)
    assert (finding.where, finding.harm) == ("server.dat", Harm.STOPS)


def test_a_folder_that_is_no_channel_is_pointed_out(store: Path) -> None:
    (store / "lost+found").mkdir()
    assert only(store, "stranger").harm is Harm.NOTHING


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_says_whole_and_ends_with_0(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(store)]) == 0
    told = capsys.readouterr().out
    assert "2 channels, 30 messages, 3 durables, 0 clients\nwhole\n" in told


def test_the_command_names_damage_as_json_and_ends_with_1(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(store / "orders" / "msgs.1.dat", 50)
    assert command.main([str(store), "--json", "--channel", "orders"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    assert told["findings"][0]["where"] == "orders/msgs.1.dat"


@pytest.mark.parametrize("place", ["missing", "empty"])
def test_what_is_no_store_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="give the"):
        command.main([str(tmp_path / place)])
