"""Limits that are tighter than what a store holds: what is told before is what the real server then does."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from loopback import run

from harness.loopback.server import Group, Server
from stanft.cli import verify as command
from stanft.stan.client import Client

CHANNELS = ("orders", "orders.eu", "orders.eu.bills", "other")
KINDS = {  # limits -> what is left of the five messages of each channel
    "": [5, 5, 5, 5],
    "max_msgs: 3": [3, 3, 3, 3],
    "max_bytes: 500": [3, 3, 2, 3],  # a channel's name is stored with each message
    'max_age: "1s"': [0, 0, 0, 0],
    'max_msgs: 4, channels { "orders.>" { max_msgs: 2 }, "orders.eu" { max_msgs: -1 } }': [4, 5, 2, 4],
    'max_msgs: 4, channels { "orders.*" { max_msgs: 0, max_bytes: 200 }, "*" { max_age: "1s" } }': [0, 1, 4, 0],
    "max_channels: 2, max_subs: 1": [5, 5, 5, 5],
}


def configuration(limits: str) -> str:
    """A server by itself, which starts at once."""
    return f'streaming {{\n id: "orders"\n store: file\n dir: /data/stan/store\n store_limits {{ {limits} }}\n}}\n'


def started(directory: Path, limits: str, store: Path) -> Server:
    """A server over this store that has read it."""
    server = Group(directory, size=1, config=configuration(limits), store=store)[0]
    server.start()
    server.wait_log("Streaming Server is ready", timeout=30)
    return server


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five messages in each channel, older than a second, and two durables."""
    directory = tmp_path_factory.mktemp("limits")
    server = started(directory, "max_subs: 0", directory / "store")

    async def work() -> None:
        async with await Client.connect([server.url], client_id="app", cluster_id="orders") as client:
            for name in CHANNELS:
                for _ in range(5):
                    await client.publish(name, bytes(100))
            for durable in ("a", "b"):
                await client.subscribe("other", durable=durable)

    run(work())
    server.stop()
    time.sleep(1.1)
    return directory / "store"


def said(capsys: pytest.CaptureFixture[str], store: Path, text: str, tmp_path: Path) -> tuple[int, list[str]]:
    """Exit code, and what is said of limits and identity."""
    (tmp_path / "stan.conf").write_text(text)
    code = command.main([str(store), "--config", str(tmp_path / "stan.conf")])
    return code, [
        each for each in capsys.readouterr().out.splitlines() if ": limit: " in each or ": identity: " in each
    ]


@pytest.mark.parametrize("limits", KINDS)
def test_what_is_told_is_what_the_server_drops(
    written: Path, tmp_path: Path, limits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = said(capsys, written, configuration(limits), tmp_path)
    told = dict.fromkeys(CHANNELS, 5)
    for line in lines:
        if line.startswith("loses: "):
            _, name, _, words = line.split(": ", 3)
            told[name] -= int(words.split()[0])
    store = tmp_path / "store"
    shutil.copytree(written, store)
    server = started(tmp_path / "run", limits, store)
    held = server.json("/streaming/channelsz?channels=1&subs=1") or {}
    server.stop()
    assert [told[name] for name in CHANNELS] == KINDS[limits]
    assert {each["name"]: each["msgs"] for each in held["channels"]} == told
    assert code == (0 if KINDS[limits] == [5, 5, 5, 5] else 1)


def test_what_stays_although_it_is_beyond_a_limit_is_noted(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines = said(capsys, written, configuration("max_channels: 2, max_subs: 1"), tmp_path)
    assert lines == [
        "note: other: limit: 2 durables, max_subs is 1: they stay, new ones are refused",
        "note: store: limit: 4 channels, max_channels is 2: they stay, new ones are refused",
    ]


def test_another_cluster_id_is_told_before_the_server_ends_over_it(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = configuration("").replace('"orders"', '"release-name"')
    code, (line,) = said(capsys, written, text, tmp_path)
    assert code == 1
    assert "it is the cluster orders's, the configuration says release-name: no server would start on it" in line
    store = shutil.copytree(written, tmp_path / "store")
    server = Group(tmp_path / "run", size=1, config=text, store=Path(store))[0]
    server.start()
    assert server.wait_exit() == 1
