"""A fault-tolerant group on its own: who becomes active, when another takes over, and that nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from loopback import HEARTBEAT, MISSED, run

from harness.loopback.server import ACTIVE, STANDBY, Group, Server
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError
from stanft.stan.options import Start
from stanft.traffic.clients import Plan, Traffic
from stanft.traffic.ledger import Outage, Verdict

SLACK = 3.0  # seconds for a busy machine
PLAN = Plan(publishers=2, rate=600, subscribers=1)
MINIMUM_RATE = 100.0  # acknowledged messages per second; the default needs a machine that does nothing else


def publish_over(group: Group, fault: Callable[[Server], object], plan: Plan = PLAN) -> tuple[Verdict, Outage]:
    """Publish, cause the fault on the active, go on until publishing recovered; how it went."""
    active = group.wait_active()
    traffic = Traffic(group.urls, cluster_id=group.cluster_id, plan=plan)
    with traffic.running():
        traffic.warm_up(1.0, minimum=MINIMUM_RATE, spread=0)
        at = traffic.mark("fault")
        fault(active)
        traffic.wait_recovered(at, acks=200)
    return traffic.ledger.verdict(at, minimum_rate=MINIMUM_RATE), traffic.ledger.outage(at)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["first to last", "last first"])
def test_whatever_the_order_of_starts_one_is_active_and_two_stand_by(
    make_group: Callable[..., Group], order: tuple[int, ...]
) -> None:
    group = make_group()
    active = group.start(order)
    assert sorted(server.state or "" for server in group.servers) == [ACTIVE, STANDBY, STANDBY]
    assert [server.routes for server in group.servers] == [2, 2, 2]
    assert group.actives() == [active]


def test_a_server_that_is_alone_becomes_active_and_those_that_come_later_stand_by(
    make_group: Callable[..., Group],
) -> None:
    group = make_group()
    group[1].start()
    assert group.wait_active() is group[1]
    group[0].start()
    group[2].start()
    assert group.wait_whole() is group[1]


def test_never_are_two_active_while_all_start_at_once(make_group: Callable[..., Group]) -> None:
    group = make_group()
    for server in group.servers:
        server.start()
    most, until = 0, time.monotonic() + 2 * MISSED
    while time.monotonic() < until:
        most = max(most, len(group.actives()))
    assert most == 1
    assert sum(server.log.count("Server is active") for server in group.servers) == 1


def test_after_the_active_is_killed_a_standby_takes_over_and_no_acknowledged_message_is_lost(group: Group) -> None:
    verdict, outage = publish_over(group, lambda active: active.kill())
    assert verdict.passed, verdict.sentence()
    assert outage.recovered
    assert outage.seconds <= MISSED + SLACK
    assert len(group.actives()) == 1


def test_after_a_graceful_end_a_standby_takes_over_and_no_acknowledged_message_is_lost(group: Group) -> None:
    codes: list[int] = []
    verdict, outage = publish_over(group, lambda active: codes.append(active.stop()))
    assert verdict.passed, verdict.sentence()
    assert outage.seconds <= MISSED + SLACK
    assert codes == [143]


def test_two_kills_one_after_the_other_leave_the_third_active_with_every_message(group: Group) -> None:
    def kill_two(active: Server) -> None:
        active.kill()
        group.wait_active(other_than=active).kill()

    verdict, outage = publish_over(group, kill_two)
    assert verdict.passed, verdict.sentence()
    assert outage.total <= 2 * (2 * MISSED + SLACK)
    assert sum(server.alive for server in group.servers) == 1


def test_a_killed_standby_costs_no_message_of_those_connected_elsewhere(group: Group) -> None:
    active = group.wait_active()
    standby = group.standbys()[0]
    traffic = Traffic([server.url for server in group.servers if server is not standby], plan=PLAN)
    with traffic.running():
        traffic.warm_up(1.0, minimum=MINIMUM_RATE, spread=0)
        at = traffic.mark("fault")
        standby.kill()
        traffic.wait_recovered(at, acks=600)
    verdict = traffic.ledger.verdict(at, minimum_rate=MINIMUM_RATE)
    assert verdict.passed, verdict.sentence()
    assert verdict.acknowledged == verdict.attempted
    assert group.actives() == [active]


def test_a_server_that_comes_back_stands_by_and_can_take_over_again(group: Group) -> None:
    first = group.wait_active()
    first.kill()
    second = group.wait_active(other_than=first)
    first.start()
    assert group.wait_whole() is second
    for server in group.servers:
        if server is not first:
            server.kill()
    assert group.wait_active() is first


def test_a_stopped_process_keeps_the_lock_and_no_standby_takes_over(group: Group) -> None:
    active = group.wait_active()
    others = [server for server in group.servers if server is not active]
    active.pause()
    for server in others:
        server.wait_log("unable to get store lock at this time, going back to standby")
    assert [server.state for server in others] == [STANDBY, STANDBY]

    active.kill()
    assert group.wait_active() in others


def test_a_stopped_process_that_goes_on_is_active_as_before_and_nothing_is_lost(group: Group) -> None:
    def pause(active: Server) -> None:
        active.pause()
        time.sleep(2 * MISSED)
        active.resume()

    active = group.wait_active()
    verdict, outage = publish_over(group, pause)
    assert verdict.passed, verdict.sentence()
    assert outage.seconds >= 2 * MISSED - HEARTBEAT
    assert group.actives() == [active]


def test_after_all_are_restarted_every_message_is_still_there(group: Group) -> None:
    async def publish() -> None:
        async with await Client.connect(group.urls, client_id="writer") as client:
            for number in range(50):
                await client.publish("kept", b"%d" % number)

    async def read() -> list[bytes]:
        async with await Client.connect(group.urls, client_id="reader") as client:
            subscription = await client.subscribe("kept", start=Start.first())
            return [(await subscription.next(10)).data for _ in range(50)]

    run(publish())
    for server in group.servers:
        server.stop()
    group.start()
    assert run(read()) == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_client_of_any_server_can_publish(shared_group: Group, number: int) -> None:
    async def publish() -> str:
        async with await Client.connect(shared_group[number].url, client_id=f"client-{number}") as client:
            return await client.publish("any", b"hello")

    assert run(publish())


def test_a_standby_without_a_route_to_the_active_stands_by_and_serves_nobody(make_group: Callable[..., Group]) -> None:
    config = """
        port: 4222
        http: 8222
        streaming { id: test-cluster, store: file, dir: /data/stan/store, ft_group_name: test-cluster }
    """
    one, two = make_group(config=config, size=1), make_group(config=config, size=1)
    one[0].start()
    one.wait_active()
    two[0].config.write_text(two[0].config.read_text().replace(str(two.store), str(one.store)))
    two[0].start()
    two[0].wait_log("unable to get store lock at this time, going back to standby")
    assert two[0].state == STANDBY

    async def connect() -> None:
        await Client.connect(two.urls, client_id="lonely", wait=0.5)

    with pytest.raises(ConnectError, match="nobody answers"):
        run(connect())
