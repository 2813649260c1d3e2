"""stan-ft exit from the inventory to the cut-over and back, as its user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from loopback import run
from moving import numbered

from harness.dev.exit_play import publish
from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.cli import exit as cli
from stanft.cli import exit_sides as sides
from stanft.cli import main
from stanft.exit.source import Source
from stanft.ground.errors import UserError
from stanft.stan.client import Client
from stanft.stan.options import Start


async def durable(group: Group) -> None:
    """The durable app/bills with messages 1 and 2 acknowledged, 3 open."""
    async with await Client.connect(group.urls, client_id="app") as client:
        subscription = await client.subscribe(
            "orders", durable="bills", start=Start.first(), manual_acks=True, max_in_flight=3
        )
        for _ in range(2):
            await (await subscription.next(10)).ack()
        await subscription.next(10)
        await subscription.close()


def test_a_whole_move_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.yaml"

    def exit_(*words: str) -> tuple[int, str]:
        code = main.main(["exit", *words])
        return code, capsys.readouterr().out

    with Group(tmp_path / "group", size=1) as group, JetStream(tmp_path / "js") as js:
        group.start()
        run(publish(group, "orders", numbered(1, 50)))
        run(durable(group))
        source = ["--servers", group.urls[0], "--monitor", group.monitors[0]]
        both = [*source, "--target", js.urls[0]]

        code, told = exit_("inventory", *source)
        assert code == 0
        assert "orders  50 messages (1 to 50)" in told
        assert "app/bills: sent up to" in told
        found = json.loads(exit_("inventory", "--format", "json", *source)[1])
        assert found["channels"][0]["durables"][0]["name"] == "bills"

        assert exit_("plan", str(plan), "--replicas", "1", *both)[0] == 0
        with pytest.raises(UserError, match=r"plan\.yaml exists"):
            main.main(["exit", "plan", str(plan), *both])
        body = yaml.safe_load(plan.read_text())
        body["channels"][0]["stream"] = "a.b"
        (tmp_path / "bad.yaml").write_text(yaml.safe_dump(body))
        code, told = exit_("plan", str(tmp_path / "bad.yaml"), "--check", *both)
        assert (code, "problem: orders: 'a.b' is no name for a stream" in told) == (1, True)

        assert "orders: not copied yet" in exit_("status", str(plan), *both)[1]
        code, told = exit_("verify", str(plan), *both)
        assert (code, "DIFFERENT: there is no stream orders" in told) == (1, True)
        code, told = exit_("copy", str(plan), *both)
        assert (code, "orders: copied 50, the stream ends with 50, 0 behind" in told) == (0, True)
        code, told = exit_("verify", str(plan), *both)
        assert (code, "orders: equal, 50 messages, 1 to 50" in told) == (0, True)

        code, told = exit_("cutover", "consumers", str(plan), *both)
        assert (code, "is the consumer app-bills of orders" in told) == (0, True)
        code, told = exit_("cutover", "producers", str(plan), *both)
        assert (code, "orders is open" in told) == (0, True)
        told = exit_("status", str(plan), *both)[1]
        assert "orders: producers: JetStream, the group ends with 50, the stream with 50" in told
        assert "app/bills: moved" in told

        code, told = exit_("back", "producers", str(plan), *both)
        assert (code, "orders is closed, 0 messages went to the group" in told) == (0, True)
        code, told = exit_("back", "consumers", str(plan), *both)
        assert (code, "app/bills goes on at the group after message 2" in told) == (0, True)
        assert "app/bills: at the group" in exit_("status", str(plan), *both)[1]


def test_a_comparison_and_a_copy_of_one_channel_run_beside_a_copy_that_follows(tmp_path: Path) -> None:
    def opened(*words: str) -> Source:
        both = ["--servers", group.urls[0], "--monitor", group.monitors[0], "--target", "nats://not-asked"]
        return sides.open_source(cli.parser().parse_args([words[0], "plan.yaml", *both, *words[1:]]))

    async def read(source: Source) -> int:
        return len([message async for message in source.messages("orders", 1, 50)])

    async def work() -> None:
        sources = [opened("copy", "--follow"), opened("verify"), opened("copy", "--channel", "orders")]
        assert [await read(one) for one in sources] == [50, 50, 50]
        for one in sources:
            await one.close()

    with Group(tmp_path / "group", size=1) as group:
        group.start()
        run(publish(group, "orders", numbered(1, 50)))
        run(work())


def test_without_a_source_one_is_told_what_to_give() -> None:
    with pytest.raises(UserError, match="Give --servers and --monitor"):
        main.main(["exit", "inventory"])


def test_a_plan_is_not_copied_from_a_group_that_has_other_channels(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        yaml.safe_dump({"format": 1, "cluster_id": "test-cluster", "channels": [{"channel": "x", "stream": "x"}]})
    )
    with Group(tmp_path / "group", size=1) as group, JetStream(tmp_path / "js") as js:
        group.start()
        both = ["--servers", group.urls[0], "--monitor", group.monitors[0], "--target", js.urls[0]]
        with pytest.raises(UserError, match="the plan does not fit: x: the source has no such channel"):
            main.main(["exit", "copy", str(plan), *both])
