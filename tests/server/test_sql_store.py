"""store.type sql on a real PostgreSQL: the pair takes over, and each tuning key does what its description says."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from database import Database, postgres
from effects import eventually, make
from loopback import run

from harness.charts.render import at, layered
from harness.loopback.server import Group
from stanft.stan.client import Client
from stanft.stan.options import Start

# A standby looks at the lock 3 times, 1.5 s apart, before it takes it (nats-streaming-server stores/sqlstore.go), after
# it has missed the active's heartbeats for up to 1.375 s.
LEAST_TAKEOVER = 3 * 1.5
LONGEST_TAKEOVER = 3 * 1.5 + 1.375
BURST = 200  # messages at once
CHANNELS = 8
INSERT = "INSERT INTO Messages"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with postgres() as found:
        yield found


# Each over a database of its own: how many servers, the SQL options, and what else is set.
# Where batches matter the server waits for them to fill, however slowly the messages come in.
FILLING = {"container": {"args": ["--io_sleep_time=200000"]}}
VARIANTS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "pair": (2, {}, {}),
    "polite": (2, {}, {}),
    "cached": (1, {}, FILLING),
    "uncached": (1, {"no_caching": True}, FILLING),
    "bulk": (1, {"bulk_insert_limit": 10}, FILLING),
    "free": (1, {}, at("config.streaming.store_limits.max_age", "1s")),
    "tight": (1, {"max_open_conns": 2}, at("config.streaming.store_limits.max_age", "1s")),
}


@pytest.fixture(scope="module")
def groups(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Group]]:
    """Running servers for each variant, all started at once: each start waits for heartbeats."""
    directory = tmp_path_factory.mktemp("groups")
    made = {}
    for name, (size, options, more) in VARIANTS.items():
        store = {"type": "sql", "sql": {"driver": "postgres", "existingSecret": "database"}}
        given = at("config.streaming.sql_options", options)
        secrets = {"database": {"source": database.make(name)}}
        made[name] = make(directory / name, layered({"store": store}, given, more), secrets=secrets, size=size)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda group: group.start(timeout=30), made.values()))
        yield made
    finally:
        for group in made.values():
            group.stop()


def publish(group: Group, channels: int = 1, count: int = BURST) -> None:
    """Publish so many messages to each channel, all at once."""

    async def work() -> None:
        async with await Client.connect(group.urls, client_id="writer") as client:
            numbers = [(channel, number) for number in range(1, count + 1) for channel in range(channels)]
            await asyncio.gather(*(client.publish(f"c{channel}", b"%d" % number) for channel, number in numbers))

    run(work())


def read(group: Group, count: int = BURST) -> list[int]:
    """The numbers of the first channel's messages, in order."""

    async def work() -> list[int]:
        async with await Client.connect(group.urls, client_id="reader") as client:
            subscription = await client.subscribe("c0", start=Start.first())
            return sorted([int((await subscription.next(10)).data) for _ in range(count)])

    return run(work())


def statements(database: Database, name: str) -> list[str]:
    """What the connections that store messages in a database did, from the first message to the end of the last one."""
    lines = [line for line in database.statements if line.startswith(f"{name} ")]
    storing = {line.split()[1] for line in lines if INSERT in line}
    lines = [line for line in lines if line.split()[1] in storing and " DETAIL: " not in line]
    numbers = [number for number, line in enumerate(lines) if INSERT in line]
    return lines[numbers[0] : numbers[-1] + 2]


def inserts(database: Database, name: str) -> list[int]:
    """How many messages each statement of that database has stored."""
    return [len(re.findall(r"\(\$", line)) for line in statements(database, name) if INSERT in line]


def commits(database: Database, name: str) -> int:
    """In how many transactions the messages of that database were stored, not counting those of one statement."""
    return sum("COMMIT" in line for line in statements(database, name))


def test_a_standby_takes_over_from_the_database_what_was_acknowledged(groups: dict[str, Group]) -> None:
    group = groups["pair"]
    publish(group)
    active = group.wait_active()
    began = time.monotonic()
    active.kill()
    other = group.wait_active(30, other_than=active)
    assert LEAST_TAKEOVER < time.monotonic() - began < 2 * LONGEST_TAKEOVER
    assert (other.json("/streaming/storez") or {})["type"] == "SQL"
    assert read(group) == list(range(1, BURST + 1))


def test_a_standby_takes_over_sooner_from_an_active_that_gives_the_lock_back(groups: dict[str, Group]) -> None:
    group = groups["polite"]
    active = group.wait_active()
    began = time.monotonic()
    active.stop()
    group.wait_active(30, other_than=active)
    assert time.monotonic() - began < LEAST_TAKEOVER


def test_messages_are_stored_in_batches_or_one_by_one(groups: dict[str, Group], database: Database) -> None:
    publish(groups["cached"])
    publish(groups["uncached"])
    assert inserts(database, "cached") == [1] * BURST
    assert 0 < commits(database, "cached") < BURST / 2
    assert inserts(database, "uncached") == [1] * BURST
    assert commits(database, "uncached") == 0


def test_a_bulk_insert_holds_up_to_the_limit(groups: dict[str, Group], database: Database) -> None:
    publish(groups["bulk"])
    stored = inserts(database, "bulk")
    assert sum(stored) == BURST
    assert max(stored) == 10


@pytest.mark.parametrize(("name", "most"), [("tight", 2), ("free", CHANNELS)])
def test_no_more_connections_than_allowed_are_opened(
    groups: dict[str, Group], database: Database, name: str, most: int
) -> None:
    publish(groups[name], CHANNELS, 1)
    # Every channel's messages expire now, each by a connection of its own if it may, and all of them have to wait.
    with database.locked(name, "Messages"):
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'"
        eventually(lambda: database.query(waiting.format(name)) == [str(most)], f"{most} connections wait")
        time.sleep(0.3)
        assert database.query(waiting.format(name)) == [str(most)]
    assert groups[name][0].is_active
