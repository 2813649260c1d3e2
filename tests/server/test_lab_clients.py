"""The NFS lab's clients on servers of this machine: busy and quiet channels, consumers with late acknowledgements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.loopback.server import Group, Server
from harness.nfs_lab.clients import CHANNEL, UNACKED, Clients
from harness.nfs_lab.scenes import SCENES, Scene
from stanft.ground import wait
from stanft.stan.client import Client
from stanft.traffic.ledger import STORED

QUIET = "lab.quiet-1"


@dataclass(eq=False)
class Node:
    """What the clients know of a machine."""

    name: str
    server: Server
    running: bool = True


class PlayLab:
    """A lab whose nodes are servers on loopback."""

    def __init__(self, group: Group) -> None:
        self.nodes = [Node(server.name, server) for server in group.servers]

    def client_url(self, node: Node) -> str:
        """Where the node's server is."""
        return node.server.url


@pytest.fixture
def begun(make_group: Callable[..., Group]) -> Iterator[Callable[[Scene], tuple[Clients, Group]]]:
    """Starts clients of a scene on two servers, and ends them."""
    made: list[Clients] = []

    def begin(scene: Scene) -> tuple[Clients, Group]:
        group = make_group(scene.values, size=2)
        group.start()
        lab: Any = PlayLab(group)
        clients = Clients(lab, "run", scene)
        made.append(clients)
        clients.start()
        assert wait.happens(lambda: clients.flowing(0.0), 60), "every publisher, also of the quiet channels"
        return clients, group

    yield begin
    for each in made:
        each.close()


def test_a_quiet_channel_gets_one_message_at_the_start_and_none_until_its_time(
    begun: Callable[[Scene], tuple[Clients, Group]],
) -> None:
    clients, _ = begun(Scene("quiet", "", (), quiet=(QUIET,)))
    time.sleep(2)
    quiet = [track for track in clients.ledger.tracks if track.channel == QUIET]
    assert [len(track.sent) for track in quiet] == [1, 1]
    assert list(clients.publishers) == ["stan-0", "stan-1"]
    before = time.monotonic()
    assert clients.flowing(before - 1), "what is quiet on purpose does not count"
    clients.fault(clients.lab.nodes[0])
    assert wait.happens(lambda: clients.flowing(before), 10)
    clients.stop()
    clients.read_all(20)
    assert all(len(track.sent) > 1 for track in quiet)
    assert clients.ledger.verdict().passed, clients.ledger.verdict().sentence()
    assert sorted(view.channel for view in clients.ledger.views) == sorted([CHANNEL, QUIET])


def test_many_quiet_channels_are_together_no_busier_than_the_busy_one_and_are_all_read(
    begun: Callable[[Scene], tuple[Clients, Group]],
) -> None:
    quiet = tuple(f"lab.many-{number}" for number in range(40))
    clients, _ = begun(Scene("channels", "", (), SCENES["channels"].values, quiet=quiet))
    before = time.monotonic()
    clients.fault(clients.lab.nodes[0])
    assert wait.happens(lambda: clients.flowing(before), 30)
    clients.stop()
    since = [(track.channel, at) for track in clients.ledger.tracks for at in track.sent if at > before]
    busy = sum(channel == CHANNEL for channel, _ in since)
    assert 80 <= len(since) - busy <= busy + 80, "one of each at once, as the task of each wakes in its turn"
    clients.read_all(20)
    assert {view.channel for view in clients.ledger.views if view.last} == {t.channel for t in clients.ledger.tracks}
    assert clients.ledger.verdict().passed, clients.ledger.verdict().sentence()


def test_only_the_consumer_beside_the_active_may_miss_what_the_limits_of_its_scene_drop(
    begun: Callable[[Scene], tuple[Clients, Group]],
) -> None:
    clients, _ = begun(Scene("limits", "", (), consumers=2, keeps=100))
    assert wait.happens(lambda: all(view.times for view in clients.ledger.views), 30)
    assert all(view.complete for view in clients.ledger.views)
    clients.fault(clients.lab.nodes[1])
    assert {view.name: view.complete for view in clients.ledger.views} == {"consumer-0": True, "consumer-1": False}


def test_without_limits_every_consumer_must_see_everything(begun: Callable[[Scene], tuple[Clients, Group]]) -> None:
    clients, _ = begun(Scene("consumers", "", (), consumers=2))
    clients.fault(clients.lab.nodes[1])
    assert all(view.complete for view in clients.ledger.views)


def test_consumers_that_acknowledge_late_get_everything_over_a_takeover(
    begun: Callable[[Scene], tuple[Clients, Group]],
) -> None:
    clients, group = begun(Scene("consumers", "", (), consumers=2, acks_after=0.3))
    group.wait_active().kill()
    at = time.monotonic()
    [dead] = [server for server in group.servers if not server.alive]
    dead.start()
    assert wait.happens(lambda: clients.flowing(at), 60)
    clients.stop()
    clients.read_all(20)
    verdict = clients.ledger.verdict()
    assert verdict.passed, verdict.sentence()
    consumers = [view for view in clients.ledger.views if not view.last]
    assert [view.name for view in consumers] == ["consumer-0", "consumer-1"]
    assert all(clients.ledger.missing(view) == 0 for view in consumers)


def test_a_consumer_whose_session_is_over_goes_on_where_it_was(
    begun: Callable[[Scene], tuple[Clients, Group]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Client] = []
    connect = Client.connect

    async def recorded(servers: Any, **options: Any) -> Client:
        client = await connect(servers, **options)
        connected.append(client)
        return client

    monkeypatch.setattr("harness.nfs_lab.clients.Client.connect", recorded)
    clients, _ = begun(Scene("consumers", "", (), consumers=1))
    [view] = clients.ledger.views
    assert wait.happens(lambda: len(view.times) > 2 * UNACKED, 30)
    first = next(client for client in connected if client.client_id == view.name)
    clients._loop.call_soon_threadsafe(first._lose, "the server does not know it any more")
    assert wait.happens(lambda: [client.client_id for client in connected].count(view.name) == 2, 30)
    came = len(view.times)
    assert wait.happens(lambda: len(view.times) > came, 30)
    clients.stop()
    clients.read_all(20)
    assert clients.ledger.verdict().passed, clients.ledger.verdict().sentence()


def test_what_a_limit_dropped_is_known_from_the_consumers(begun: Callable[[Scene], tuple[Clients, Group]]) -> None:
    clients, group = begun(Scene("limits", "", (), consumers=1, keeps=20))
    assert wait.happens(lambda: sum(track.codes.count(STORED) for track in clients.ledger.tracks) > 100, 20)
    clients.stop()
    # The servers of this test have no such limit, so all is there, and nothing is excused that is missing.
    clients.read_all(20)
    [last] = [view for view in clients.ledger.views if view.last]
    assert last.first == max(last.sequences) - 19
    assert clients.ledger.verdict().passed
    for track in last.seen.values():
        track[5] = 0
    assert clients.ledger.verdict().findings["dropped"].count == 2
    assert group.wait_active().is_active
