"""The inventory of a live group: rates, positions, who publishes, limits, and what each part becomes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from loopback import run
from moving import numbered

from harness.dev.exit_play import publish
from harness.loopback.server import MINIMAL, Group
from stanft.cli import main
from stanft.exit import survey
from stanft.exit.source import LiveSource, StoreSource
from stanft.stan.client import Client
from stanft.stan.options import Start

LIMITS = 'store_limits { max_age: "24h", channels: { "orders.*": { max_msgs: 1000 } } }\n  ft_group_name'
CONFIG = MINIMAL.replace("ft_group_name", LIMITS)


@contextlib.asynccontextmanager
async def used(group: Group) -> AsyncIterator[None]:
    """A group in use: a publisher, a queue group of two, a subscription, and a durable that is away."""
    async with contextlib.AsyncExitStack() as opened:
        publisher, reader, *crew = [
            await opened.enter_async_context(await Client.connect(group.urls, client_id=name))
            for name in ("publisher", "reader", "crew-1", "crew-2")
        ]
        for client in crew:
            await client.subscribe("orders.new", lambda _message: None, durable="work", queue="crew")
        await reader.subscribe("bills", lambda _message: None, start=Start.first())

        async def steadily() -> None:
            while True:
                await publisher.publish("bills", bytes(200))

        publishing = asyncio.create_task(steadily())
        yield
        publishing.cancel()


def test_a_group_in_use_is_shown_with_its_rates_and_with_who_publishes(tmp_path: Path) -> None:
    async def look(group: Group) -> survey.Survey:
        await publish(group, "orders.new", numbered(1, 200))
        async with used(group):
            source = LiveSource(group.urls, group.monitors, group.cluster_id)
            try:
                return await survey.look(source, pause=1, sample_seconds=1)
            finally:
                await source.close()

    with Group(tmp_path / "group", size=1, config=CONFIG) as group:
        group.start()
        found = run(look(group))
    channels = {one.name: one for one in found.channels}
    assert (channels["bills"].rate or 0) > 1
    assert channels["orders.new"].rate == 0
    assert (channels["orders.new"].max_messages, channels["bills"].max_messages) == (1000, 1_000_000)
    assert channels["bills"].max_age == 86400
    (crew,) = channels["orders.new"].durables
    assert (crew.label, crew.online, crew.consumer) == ("work:crew", True, "work-crew")
    assert [one.label for one in channels["bills"].others] == ["reader"]
    clients = {one.client_id: one for one in found.clients}
    assert set(clients) == {"publisher", "reader", "crew-1", "crew-2"}
    assert clients["publisher"].publishes == "yes"
    assert clients["reader"].reads == ["bills"]
    assert clients["crew-1"].reads == ["orders.new"]
    assert clients["crew-1"].publishes == "not while looked at"
    assert found.sample is not None
    assert found.sample.messages > 0
    assert (found.copy_seconds or 0) > 0
    told = " ".join(one.what for one in found.differences)
    assert "limits for patterns" in told
    assert "durable:group" in told


def test_table_json_and_page_tell_the_same_and_a_store_is_read_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Group(tmp_path / "group", size=1) as group:
        group.start()
        run(publish(group, "orders", numbered(1, 50)))
        group[0].stop()
        store = group.store
    words = ["exit", "inventory", "--store", str(store)]
    assert main.main(words) == 0
    assert "orders  50 messages (1 to 50)" in capsys.readouterr().out
    assert main.main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["channels"][0]["messages"] == 50
    page = tmp_path / "page.html"
    assert main.main([*words, "--format", "html", "--output", str(page)]) == 0
    assert "in the files of a store" in page.read_text()
    found = run(survey.look(StoreSource(store), sample_seconds=0))
    assert (found.sample, found.copy_seconds, found.channels[0].rate) == (None, None, None)
