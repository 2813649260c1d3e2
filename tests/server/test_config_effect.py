"""Each streaming and store key of stan-ft has the effect on the real server that its description says.

The server ignores what it does not know, so that a start alone proves nothing: every key is read back from an
endpoint, from the files of the store, from the log, or from what clients and the kernel see.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from effects import eventually, fleet, make, traced
from loopback import run

from harness.charts import schema
from harness.charts.render import at, layered
from harness.loopback.server import Server
from stanft.conf import edit
from stanft.kube.objects import dig, leaves
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.errors import RefusedError
from stanft.stan.options import ConnectOptions, Start

MB = 1024**2
KB = 1024
IEEE, CASTAGNOLI = 3988292384, 2197175160  # Go hash/crc32, reversed polynomials


def options(**more: Any) -> dict[str, Any]:
    return at("config.streaming.file_options", more)


# Compaction shows on clients.dat, which grows with each client that comes and goes.
COMPACTING = {"compact_interval": 1, "compact_fragmentation": 10, "compact_min_size": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "limits": layered(
        {"config": {"streaming": {"id": "orders", "ft_group_name": "blue", "discover_prefix": "_X.d"}}},
        {
            "config": {
                "streaming": {
                    "store_limits": {
                        "max_channels": 7,
                        "max_subs": 8,
                        "max_msgs": 5000000,
                        "max_bytes": "32MB",
                        "max_age": "90m",
                        "max_inactivity": "2h",
                        "channels": {
                            "a": {"max_msgs": 3, "max_bytes": "1kb", "max_subs": 0, "max_age": "5s"},
                            "b.*": {"max_msgs": 0},
                        },
                    }
                }
            }
        },
    ),
    "no limits": at(
        "config.streaming.store_limits",
        dict.fromkeys(("max_channels", "max_subs", "max_msgs", "max_bytes", "max_age")),
    ),
    "partitioned": layered(
        at("config.streaming", {"partitioning": True, "store_limits": {"channels": {"mine": {}}}}),
        at("config.cluster.routes", ["nats://127.0.0.1:1"]),  # to the group that serves the others
    ),
    "heartbeat": {"config": {"streaming": {"hb_interval": "300ms", "hb_timeout": "200ms", "hb_fail_count": 3}}},
    "replacing": at("config.streaming.replace_durables", True),
    "sleeping": {"container": {"args": ["--io_sleep_time=400000"]}},
    "sleeping alone": {"container": {"args": ["--io_sleep_time=400000", "--io_batch_size=1"]}},
    "talking": {"config": {"streaming": {"stan_debug": True, "stan_trace": True}}},
    "by number": options(slice_max_msgs=5),
    "by size": options(slice_max_bytes="4kb"),
    "by age": options(slice_max_age="300ms"),
    "compacting": options(**COMPACTING),
    "not compacting": options(**COMPACTING, compact=False),
    "compacting late": options(**{**COMPACTING, "compact_min_size": "1gb"}),
    "compacting seldom": options(**{**COMPACTING, "compact_interval": 3600}),
    "compacting ruins": options(**{**COMPACTING, "compact_fragmentation": 100}),
    "synced": options(sync_on_flush=True, auto_sync="0s"),
    "never synced": options(sync_on_flush=False, auto_sync="0s"),
    "synced later": options(sync_on_flush=False, auto_sync="300ms"),
    "few files": options(file_descriptors_limit=8),
    "buffered": options(buffer_size="1mb"),
    "unbuffered": options(buffer_size=0),
    "reading ahead": options(read_buffer_size="1mb"),
    "reading singly": options(read_buffer_size=0),
    "checked": options(crc=True),
    "unchecked": options(crc=False),
    "ieee": options(crc_poly=IEEE),
    "castagnoli": options(crc_poly=CASTAGNOLI),
    "archived": layered(
        options(slice_max_msgs=1, slice_archive_script="/bin/echo"), at("config.streaming.store_limits.max_msgs", 2)
    ),
    "durable": at("store.durability", "durable"),
    "throughput": at("store.durability", "throughput"),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """An active server for each variant."""
    with fleet(tmp_path_factory.mktemp("fleet"), VARIANTS) as found:
        yield found


def store(server: Server) -> Path:
    """The directory of a server's store."""
    return server.config.parent.parent / "store"


NUMBERS = itertools.count()


def connect(server: Server) -> Coroutine[Any, Any, Client]:
    """A new client of that server."""
    prefix = (edit.find(server.config.read_text(), "streaming", "discover_prefix") or "").strip('"')
    options = ConnectOptions(discover_prefix=prefix) if prefix else ConnectOptions()
    return Client.connect([server.url], client_id=f"c-{next(NUMBERS)}", cluster_id=server.cluster_id, options=options)


def publish(server: Server, *messages: tuple[str, bytes], at_once: bool = False) -> list[float]:
    """Publish channel and data pairs; gives the seconds until each was acknowledged."""

    async def work() -> list[float]:
        async with await connect(server) as client:

            async def one(channel: str, data: bytes) -> float:
                began = time.monotonic()
                await client.publish(channel, data)
                return time.monotonic() - began

            if at_once:
                return list(await asyncio.gather(*(one(*message) for message in messages)))
            return [await one(*message) for message in messages]

    return run(work())


def received(server: Server, channel: str, count: int, timeout: float = 5.0) -> list[bytes]:
    """The first messages of a channel; fewer if they do not come within timeout seconds."""

    async def work() -> list[bytes]:
        async with await connect(server) as client:
            subscription = await client.subscribe(channel, start=Start.first())
            found: list[bytes] = []
            try:
                while len(found) < count:
                    found.append((await subscription.next(timeout)).data)
            except TimeoutError:
                pass
            return found

    return run(work())


def slices(server: Server, channel: str) -> int:
    return len(list((store(server) / channel).glob("msgs.*.dat")))


def subjects(server: Server) -> set[str]:
    """What the server's own connections subscribe to."""
    content = server.json("/connz?subs=1") or {}
    return {subject for each in content["connections"] for subject in each.get("subscriptions_list", [])}


def test_every_key_of_the_streaming_block_and_its_store_is_tried_here() -> None:
    elsewhere = {  # in test_config_effect_security.py, by the chart itself, or with what it needs
        *("credentials", "username", "password", "token", "nkey_seed_file", "secure", "tls", "nats_server_url"),
        *("encrypt", "encryption_cipher", "encryption_key", "store", "dir", "sql_options", "cluster", "syslog_name"),
    }
    blocks = {"": "streaming", "store_limits.": "store_limits", "file_options.": "file_options"}
    known = {
        f"config.streaming.{prefix}{key}"
        for prefix, block in blocks.items()
        for key in schema.spellings(block)
        if key not in (*elsewhere, "store_limits", "file_options")
    }
    tried = {".".join(path) for values in VARIANTS.values() for path, _ in leaves(values)}
    tried |= {"config.streaming.store_limits.channels", "config.streaming.file_options.parallel_recovery"}
    assert known - tried == set()


# --- limits, read back from /streaming/storez ----------------------------------------------------------------------

SECOND = 10**9


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("max_channels", 7),
        ("max_subscriptions", 8),
        ("max_msgs", 5000000),
        ("max_bytes", 32 * MB),
        ("max_age", 5400 * SECOND),
        ("max_inactivity", 7200 * SECOND),
        ("channels.a.max_msgs", 3),
        ("channels.a.max_bytes", KB),
        ("channels.a.max_age", 5 * SECOND),
        ("channels.a.max_subscriptions", 0),  # 0 in the file means no limit
        ("channels.a.max_inactivity", 7200 * SECOND),  # inherited
    ],
)
def test_a_limit_of_the_store_is_what_was_set(servers: dict[str, Server], path: str, expected: int) -> None:
    assert dig((servers["limits"].json("/streaming/storez") or {})["limits"], path) == expected


def test_a_pattern_of_channels_has_limits_of_its_own(servers: dict[str, Server]) -> None:
    channels = (servers["limits"].json("/streaming/storez") or {})["limits"]["channels"]
    assert channels["b.*"]["max_msgs"] == 0
    assert channels["b.*"]["max_bytes"] == 32 * MB


def test_limits_left_out_are_those_that_the_comments_name(servers: dict[str, Server]) -> None:
    limits = (servers["no limits"].json("/streaming/storez") or {})["limits"]
    assert limits["max_channels"] == 100
    assert limits["max_subscriptions"] == 1000
    assert limits["max_msgs"] == 1000000
    assert limits["max_bytes"] == 1000000 * KB
    assert limits["max_age"] == limits["max_inactivity"] == 0


def test_the_defaults_are_the_limits_of_the_recipe(servers: dict[str, Server]) -> None:
    content = servers["defaults"].json("/streaming/storez") or {}
    limits = content["limits"]
    assert content["type"] == "FILE"
    assert (limits["max_channels"], limits["max_subscriptions"], limits["max_msgs"]) == (10, 128, 0)
    assert (limits["max_bytes"], limits["max_age"]) == (256 * 1024**3, 3600 * SECOND)


def test_the_oldest_message_is_dropped_at_the_limit_of_its_channel(servers: dict[str, Server]) -> None:
    publish(servers["limits"], *[("a", str(number).encode()) for number in range(5)])
    assert received(servers["limits"], "a", 3) == [b"2", b"3", b"4"]


# --- names --------------------------------------------------------------------------------------------------------


def test_the_cluster_id_and_the_group_are_in_the_heartbeats_subject(servers: dict[str, Server]) -> None:
    assert (servers["limits"].json("/streaming/serverz") or {})["cluster_id"] == "orders"
    assert "_STAN.ft.orders.blue" in subjects(servers["limits"])
    assert "_STAN.ft.test-cluster.test-cluster" in subjects(servers["defaults"])


def test_clients_find_the_server_under_the_discover_prefix(servers: dict[str, Server]) -> None:
    assert "_X.d.orders" in subjects(servers["limits"])
    assert "_STAN.discover.test-cluster" in subjects(servers["defaults"])


def test_a_partitioned_server_takes_its_own_channels_only(servers: dict[str, Server]) -> None:
    published = {subject for subject in subjects(servers["partitioned"]) if subject.startswith("_STAN.pub.")}
    assert {subject.rsplit(".", 1)[-1] for subject in published} == {"mine"}
    whole = {subject for subject in subjects(servers["defaults"]) if subject.startswith("_STAN.pub.")}
    assert {subject.rsplit(".", 1)[-1] for subject in whole} == {">"}


def test_the_store_is_below_the_volume_and_every_directory_in_it_is_a_channel(servers: dict[str, Server]) -> None:
    publish(servers["by number"], ("orders", b"x"))
    assert (store(servers["by number"]) / "orders" / "msgs.1.dat").is_file()


# --- sessions -----------------------------------------------------------------------------------------------------


def test_heartbeats_come_at_the_interval_and_a_silent_client_is_dropped_after_the_failures(
    servers: dict[str, Server],
) -> None:
    async def work() -> tuple[list[float], list[float]]:
        connection = await nats.connect(servers["heartbeat"].url)
        beats: dict[str, list[float]] = {"answering": [], "silent": []}

        async def answer(message: Any) -> None:
            beats["answering"].append(time.monotonic())
            await message.respond(b"")

        async def ignore(message: Any) -> None:
            beats["silent"].append(time.monotonic())

        for name, handler in (("answering", answer), ("silent", ignore)):
            await connection.subscribe(f"hb.{name}", cb=handler)
            request = pb.ConnectRequest(client_id=name, heartbeat_inbox=f"hb.{name}")
            await connection.request("_STAN.discover.test-cluster", request.SerializeToString(), timeout=5)
        await asyncio.sleep(4)
        await connection.close()
        return beats["answering"], beats["silent"]

    answering, silent = run(work())
    # interval 300 ms between answers; 300 ms + 200 ms of waiting where there is none; closed at the 4th failure
    gaps = sorted(after - before for before, after in itertools.pairwise(answering))
    assert 0.25 < gaps[len(gaps) // 2] < 0.45
    gaps = sorted(after - before for before, after in itertools.pairwise(silent))
    assert 0.45 < gaps[len(gaps) // 2] < 0.7
    assert len(silent) == 4
    names = {each["id"] for each in (servers["heartbeat"].json("/streaming/clientsz") or {})["clients"]}
    assert "silent" not in names


@pytest.mark.parametrize("name", ["replacing", "defaults"])
def test_a_registered_durable_is_replaced_only_where_that_is_allowed(servers: dict[str, Server], name: str) -> None:
    async def work() -> bool:
        async with await connect(servers[name]) as client:
            await client.subscribe("durables", durable="d")
            try:
                await client.subscribe("durables", durable="d")
            except RefusedError:
                return False
            return True

    assert run(work()) is (name == "replacing")


def test_a_batch_waits_for_more_messages_unless_it_holds_only_one(servers: dict[str, Server]) -> None:
    [waited] = publish(servers["sleeping"], ("c", b"x"))
    [alone] = publish(servers["sleeping alone"], ("c", b"x"))
    assert waited >= 0.4  # io_sleep_time of 400,000 microseconds
    assert alone < 0.4  # io_batch_size 1 is full at once


def test_debug_and_trace_show_in_the_log(servers: dict[str, Server]) -> None:
    publish(servers["talking"], ("c", b"x"))
    publish(servers["defaults"], ("c", b"x"))
    for level in ("[DBG] STREAM:", "[TRC] STREAM:"):
        assert level in servers["talking"].log
        assert level not in servers["defaults"].log


# --- slices -------------------------------------------------------------------------------------------------------


def test_a_slice_ends_after_its_number_of_messages(servers: dict[str, Server]) -> None:
    publish(servers["by number"], *[("n", b"x")] * 20)
    assert slices(servers["by number"], "n") == 4


def test_a_slice_ends_at_its_size(servers: dict[str, Server]) -> None:
    publish(servers["by size"], *[("n", b"x" * 1000)] * 20)
    assert 4 <= slices(servers["by size"], "n") <= 10
    publish(servers["defaults"], *[("n", b"x" * 1000)] * 20)
    assert slices(servers["defaults"], "n") == 1


def test_a_slice_ends_at_its_age(servers: dict[str, Server]) -> None:
    def after_another(name: str) -> int:
        publish(servers[name], ("aged", b"x"))
        time.sleep(0.3)
        return slices(servers[name], "aged")

    eventually(
        lambda: after_another("by age") >= 2, "a message in a second slice"
    )  # the server's clock ticks once a second
    assert [after_another("defaults") for _ in range(5)] == [1] * 5


def test_a_dropped_slice_goes_to_the_archive_program(servers: dict[str, Server]) -> None:
    publish(servers["archived"], *[("n", b"x")] * 6)
    servers["archived"].wait_log("Output of archive script for n (")
    assert "msgs.1.dat.bak" in servers["archived"].log


# --- compaction ---------------------------------------------------------------------------------------------------


def come_and_go(server: Server, times: int) -> None:
    async def work() -> None:
        for number in range(times):
            async with await Client.connect([server.url], client_id=f"client-{number:04}"):
                pass

    run(work())


@pytest.mark.parametrize(
    ("name", "shrinks"),
    [
        ("compacting", True),
        ("not compacting", False),
        ("compacting late", False),
        ("compacting seldom", False),
    ],
)
def test_the_file_of_clients_is_compacted_as_told(servers: dict[str, Server], name: str, shrinks: bool) -> None:
    file = store(servers[name]) / "clients.dat"
    come_and_go(servers[name], 40)
    grown = file.stat().st_size
    time.sleep(1.1)  # compact_interval is 1 second at least
    come_and_go(servers[name], 2)
    assert (file.stat().st_size < grown) is shrinks


def test_a_file_is_compacted_only_from_its_fragmentation_on(servers: dict[str, Server]) -> None:
    async def work() -> int:
        server = servers["compacting ruins"]
        async with await Client.connect(
            [server.url], client_id="stays"
        ):  # one live record among dead ones: below 100 %
            for number in range(40):
                async with await Client.connect([server.url], client_id=f"client-{number:04}"):
                    pass
            await asyncio.sleep(1.1)
            before = (store(server) / "clients.dat").stat().st_size
            for number in range(2):
                async with await Client.connect([server.url], client_id=f"later-{number}"):
                    pass
            return (store(server) / "clients.dat").stat().st_size - before

    assert run(work()) > 0


# --- what reaches the volume, seen as system calls ------------------------------------------------------------------


def syncs(server: Server, log: Path, seconds: float, messages: int = 5) -> int:
    """How often the server syncs files of messages while it stores so many and for some seconds after."""
    publish(server, ("s", b"first"))
    with traced(server, "fsync,fdatasync", log) as lines:
        publish(server, *[("s", b"x")] * messages)
        time.sleep(seconds)
        return sum("sync(" in line and "msgs." in line for line in lines())


def test_sync_on_flush_writes_every_acknowledged_message_through(servers: dict[str, Server], tmp_path: Path) -> None:
    assert syncs(servers["synced"], tmp_path / "trace", 0.3) >= 5
    assert syncs(servers["never synced"], tmp_path / "trace-2", 1.5) == 0


def test_auto_sync_writes_through_in_the_background(servers: dict[str, Server], tmp_path: Path) -> None:
    assert 1 <= syncs(servers["synced later"], tmp_path / "trace", 1.5) <= 10


def test_the_durable_preset_syncs_at_once_and_the_throughput_preset_does_not(
    servers: dict[str, Server], tmp_path: Path
) -> None:
    assert syncs(servers["durable"], tmp_path / "trace", 0.1) >= 5
    assert syncs(servers["throughput"], tmp_path / "trace-2", 0.1) == 0


def test_a_write_buffer_saves_writes(servers: dict[str, Server], tmp_path: Path) -> None:
    def writes(name: str) -> int:
        publish(servers[name], ("w", b"first"))
        with traced(servers[name], "write", tmp_path / name) as lines:
            publish(servers[name], *[("w", b"x" * 200)] * 200, at_once=True)
            time.sleep(0.2)
            return sum("msgs." in line for line in lines())

    assert writes("buffered") < 0.8 * writes("unbuffered")


def test_reading_ahead_saves_reads(servers: dict[str, Server], tmp_path: Path) -> None:
    def reads(name: str) -> int:
        publish(servers[name], *[("r", b"x" * 100)] * 300, at_once=True)
        servers[name].stop()
        servers[name].start()
        servers[name].wait_state("FT_ACTIVE")
        with traced(servers[name], "read,pread64", tmp_path / name.replace(" ", "-")) as lines:
            assert len(received(servers[name], "r", 300)) == 300
            return sum("msgs." in line for line in lines())

    assert reads("reading ahead") * 5 < reads("reading singly")


def test_a_limit_of_open_files_closes_those_that_are_idle(servers: dict[str, Server]) -> None:
    def open_files(name: str) -> int:
        publish(servers[name], *[(f"channel-{number}", b"x") for number in range(6)])
        return int((servers[name].json("/streaming/serverz") or {})["open_fds"])

    assert open_files("few files") + 6 <= open_files("by size")


# --- checksums and recovery -----------------------------------------------------------------------------------------


def damaged(server: Server) -> list[bytes]:
    """What a subscriber gets after one letter of the first of two messages was changed on the volume."""
    publish(server, ("d", b"letters"), ("d", b"others"))
    server.stop()
    [file] = (store(server) / "d").glob("msgs.*.dat")
    file.write_bytes(file.read_bytes().replace(b"letters", b"lettets"))
    server.start()
    server.wait_state("FT_ACTIVE")
    return received(server, "d", 2, timeout=2)


def test_a_damaged_message_is_held_back_unless_checksums_are_off(servers: dict[str, Server]) -> None:
    assert b"lettets" not in damaged(servers["checked"])
    assert damaged(servers["unchecked"]) == [b"lettets", b"others"]


def crc32(polynomial: int, data: bytes) -> int:
    """The checksum of a reversed polynomial, as Go's hash/crc32 computes it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@pytest.mark.parametrize(("name", "polynomial"), [("ieee", IEEE), ("castagnoli", CASTAGNOLI)])
def test_checksums_are_of_the_polynomial_that_was_set(servers: dict[str, Server], name: str, polynomial: int) -> None:
    publish(servers[name], ("p", b"payload"))
    content = (store(servers[name]) / "p" / "msgs.1.dat").read_bytes()[4:]  # after the file's version
    size, checksum = struct.unpack("<II", content[:8])  # record header: stores/filestore.go writeRecord
    assert crc32(polynomial, content[8 : 8 + (size & 0xFFFFFF)]) == checksum


def test_channels_are_recovered_together_as_many_as_told(tmp_path: Path) -> None:
    def peak(parallel: int, attempt: int = 0) -> int:
        """Megabytes of writable memory after a recovery of 30 channels, each with a read buffer of 10 MiB."""
        values = layered(
            options(parallel_recovery=parallel),
            at("config.streaming.store_limits.max_channels", 40),
            {"container": {"env": {"GOMEMLIMIT": ""}}},
        )
        with make(tmp_path / f"{parallel}-{attempt}", values) as group:
            server = group.start()
            publish(server, *[(f"channel-{number}", b"x") for number in range(30)])
            server.stop()
            server.start()
            server.wait_state("FT_ACTIVE")
            status = Path(f"/proc/{server.pid}/status").read_text()
            return int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1]) // 1024

    alone = peak(1)
    # On a busy machine the recoveries may not overlap.
    assert any(peak(30, attempt) > alone + 64 for attempt in range(3))


# --- encryption -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", ["AES", "CHACHA"])
def test_payloads_are_encrypted_with_the_key_of_the_secret(tmp_path: Path, cipher: str) -> None:
    values = at("store.encryption", {"enabled": True, "cipher": cipher, "existingSecret": "s"})
    files: dict[str, bytes] = {}
    with make(tmp_path, values, secrets={"s": {"encryption-key": "right"}}) as group:
        server = group.start()
        publish(server, ("e", b"in clear"))
        assert received(server, "e", 1) == [b"in clear"]
        files[cipher] = (tmp_path / "store" / "e" / "msgs.1.dat").read_bytes()
        server.stop()
        server.env["NATS_STREAMING_ENCRYPTION_KEY"] = "wrong"
        server.start()
        server.wait_state("FT_ACTIVE")
        assert received(server, "e", 1, timeout=1) == []
    assert b"in clear" not in files[cipher]


def test_the_cipher_is_the_one_that_was_named(tmp_path: Path) -> None:
    """A payload begins with a byte that tells its cipher (stores/cryptostore.go)."""
    first: dict[str, bytes] = {}
    for cipher in ("AES", "CHACHA"):
        values = at("store.encryption", {"enabled": True, "cipher": cipher, "existingSecret": "s"})
        with make(tmp_path / cipher, values, secrets={"s": {"encryption-key": "k"}}) as group:
            publish(group.start(), ("e", b"in clear"))
            content = (tmp_path / cipher / "store" / "e" / "msgs.1.dat").read_bytes()[12:]
            message = pb.MsgProto()
            size = (
                struct.unpack("<I", (tmp_path / cipher / "store" / "e" / "msgs.1.dat").read_bytes()[4:8])[0] & 0xFFFFFF
            )
            message.ParseFromString(content[:size])
            first[cipher] = message.data[:1]
    assert first["AES"] != first["CHACHA"]
