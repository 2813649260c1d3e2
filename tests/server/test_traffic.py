"""The measuring traffic on real servers: it goes on over every fault, records what it does, and does not lie."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable

import nats
import pytest
from loopback import run

from harness.loopback.server import Group
from stanft.ground import wait
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.options import STAN_GO_DEFAULTS, ConnectOptions, Start
from stanft.stan.outcome import Outcome, PublishResult
from stanft.traffic.clients import STAN_GO_PLAN, Plan, Traffic
from stanft.traffic.ledger import STORED, Ledger, encode

MINIMUM_RATE = 100.0  # acknowledged messages per second; the default needs a machine that does nothing else


def traffic_on(group: Group, **plan: object) -> Traffic:
    """Traffic through any server of the group."""
    return Traffic(group.urls, cluster_id=group.cluster_id, plan=Plan(**{"rate": 600, **plan}))  # type: ignore[arg-type]


def forget(group: Group, client_id: str) -> None:
    """Make the active forget a client."""

    async def work() -> None:
        connection = await nats.connect(group.urls[0])
        request = pb.CloseRequest(client_id=client_id).SerializeToString()
        await connection.request("_STAN.close.test-cluster", request, timeout=5)
        await connection.close()

    run(work())


def test_undisturbed_traffic_keeps_its_rate_and_its_verdict_is_clean(shared_group: Group) -> None:
    traffic = traffic_on(shared_group, channel="calm", publishers=2, rate=400, size=256)
    with traffic.running():
        rate = traffic.warm_up(1.0, minimum=MINIMUM_RATE, spread=0)
        now = traffic.mark("now")
        traffic.wait_recovered(now, acks=100)
    verdict = traffic.ledger.verdict(now, minimum_rate=MINIMUM_RATE)
    assert verdict.passed, verdict.sentence()
    assert MINIMUM_RATE <= rate <= 2 * 400 * 1.25
    assert verdict.acknowledged == verdict.attempted == verdict.delivered
    assert traffic.ledger.last_values == [("calm", verdict.acknowledged)]
    assert traffic.ledger.marks == [("now", now)]


def test_traffic_below_the_minimum_does_not_warm_up(shared_group: Group) -> None:
    traffic = traffic_on(shared_group, channel="quiet", publishers=1, rate=20)
    with traffic.running(), pytest.raises(TimeoutError, match=r"only \d+ acknowledged messages per second, 500 are"):
        traffic.warm_up(0.5, timeout=0.6)


def test_the_run_leaves_no_client_and_no_durable_behind(shared_group: Group) -> None:
    traffic = traffic_on(shared_group, channel="clean", queue_members=1)
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
    active = shared_group.wait_active()
    channel = active.json("/streaming/channelsz?channel=clean&subs=1", timeout=5)
    assert channel is not None
    assert channel["msgs"] >= 50
    assert channel.get("subscriptions") is None
    clients = active.json("/streaming/clientsz", timeout=5)
    assert clients is not None
    assert not [each for each in clients["clients"] or [] if each["id"].startswith(traffic.ledger.run)]


def test_what_was_not_acknowledged_is_sent_again_as_a_new_attempt(group: Group) -> None:
    traffic = traffic_on(group, resend=True, publishers=1)
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        at = traffic.mark("fault")
        group.wait_active().kill()
        traffic.wait_recovered(at, acks=200)
    (track,) = traffic.ledger.tracks
    assert traffic.ledger.verdict(at, minimum_rate=MINIMUM_RATE).passed, traffic.ledger.verdict(
        at, minimum_rate=MINIMUM_RATE
    ).sentence()
    assert track.retries
    failed = {number for number, code in enumerate(track.codes, 1) if code != STORED}
    # What was given up before the last messages were sent has had its turn.
    assert {number for number in failed if track.ended[number - 1] < track.sent[-100]} <= set(track.retries.values())
    assert all(new > old for new, old in track.retries.items())


def test_queue_group_and_restarted_subscribers_miss_nothing_over_a_takeover(group: Group) -> None:
    traffic = traffic_on(group, subscribers=2, queue_members=2)
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        traffic.restart_subscriber(0)
        traffic.restart_subscriber(2, crash=True)
        at = traffic.mark("fault")
        group.wait_active().kill()
        traffic.restart_subscriber(1, crash=True)
        traffic.wait_recovered(at, acks=200)
    verdict = traffic.ledger.verdict()
    assert verdict.valid, verdict.sentence()
    assert [view.name for view in traffic.ledger.views] == ["sub-0", "sub-1", "workers"]
    assert all(traffic.ledger.missing(view) == 0 for view in traffic.ledger.views)


def test_clients_leave_a_server_that_hangs_and_go_on_through_another(group: Group) -> None:
    standby = group.standbys()[0]
    others = [server.url for server in group.servers if server is not standby]
    traffic = Traffic([standby.url, *others], plan=Plan(publishers=1, rate=600, hang_check=0.5))
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        for member in (*traffic.publishers, *traffic.subscribers):
            assert member.client is not None
            while member.client.server != standby.url.removeprefix("nats://"):
                traffic.call(member.client.move_on())
                time.sleep(0.1)
        at = traffic.mark("fault")
        standby.pause()
        traffic.wait_recovered(at, acks=200)
    assert traffic.ledger.verdict().valid, traffic.ledger.verdict().sentence()
    assert all(member.client is not None and member.client.disconnects for member in traffic.publishers)


def test_a_lost_session_is_replaced_by_a_new_one(shared_group: Group) -> None:
    options = ConnectOptions(ping_interval=1)
    traffic = Traffic(shared_group.urls, plan=Plan(channel="sessions", publishers=1, rate=600), options=options)
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        at = traffic.mark("fault")
        for member in (*traffic.publishers, *traffic.subscribers):
            forget(shared_group, member.client_id)
        traffic.wait_recovered(at, acks=200)
    verdict = traffic.ledger.verdict(at, minimum_rate=MINIMUM_RATE)
    assert verdict.passed, verdict.sentence()
    assert verdict.refused >= 1
    assert any("invalid publish request" in error for error in traffic.ledger.tracks[0].errors)


def test_publishing_that_does_not_go_on_is_told_within_the_time_allowed(group: Group) -> None:
    traffic = traffic_on(group, publishers=1, drain_idle=0.2, ack_timeout=0.5)
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        for server in group.servers:
            server.kill()
        # What was answered before the servers went has come once the client knows that they are gone.
        assert wait.happens(lambda: (client := traffic.publishers[0].client) is None or not client.connected, 5)
        at = traffic.mark("fault")
        with pytest.raises(TimeoutError, match="publishing did not go on within 1 s"):
            traffic.wait_recovered(at, timeout=1)
    outage = traffic.ledger.outage(at)
    assert not outage.recovered
    assert outage.first_ack is None
    assert outage.seconds >= 0.5


def test_traffic_that_learns_new_addresses_goes_on_when_the_old_server_is_gone(group: Group) -> None:
    first, *others = sorted(group.servers, key=lambda server: server.is_active)
    traffic = Traffic(first.url, plan=Plan(publishers=1, rate=600))
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        traffic.learn([server.url for server in others])
        at = traffic.mark("fault")
        first.kill()
        traffic.wait_recovered(at, acks=200)
    assert traffic.ledger.verdict().valid, traffic.ledger.verdict().sentence()


def test_a_program_that_waits_for_each_message_in_turn_feels_its_own_wait_and_loses_nothing(group: Group) -> None:
    plan = dataclasses.replace(STAN_GO_PLAN, ack_timeout=2.5)
    traffic = Traffic(group.urls, plan=plan, options=dataclasses.replace(STAN_GO_DEFAULTS, reconnect_wait=0.1))
    with traffic.running():
        traffic.warm_up(0.5, minimum=MINIMUM_RATE, spread=0)
        at = traffic.mark("fault")
        active = group.wait_active()
        # Every publisher has its message in the hung server before that dies.
        active.pause()
        time.sleep(0.2)
        active.kill()
        traffic.wait_recovered(at, acks=100)
    assert traffic.ledger.verdict().valid, traffic.ledger.verdict().sentence()
    assert traffic.ledger.outage(at).seconds >= plan.ack_timeout * 0.9


def test_a_message_that_really_was_lost_is_found_lost(make_group: Callable[..., Group]) -> None:
    group = make_group(size=1)
    group.start()
    ledger = Ledger("bad")
    track, view = ledger.track("channel", "pub"), ledger.view("sub", "channel")

    async def publish() -> None:
        async with await Client.connect(group.urls, client_id="writer") as client:
            for _ in range(20):
                number = track.send(time.monotonic())
                await client.publish("channel", encode("bad", "pub", number, 100))
                track.end(number, Outcome.STORED, time.monotonic())

    async def read() -> None:
        async with await Client.connect(group.urls, client_id="reader") as client:
            subscription = await client.subscribe("channel", start=Start.first())
            with contextlib.suppress(TimeoutError):
                while True:
                    message = await subscription.next(0.5)
                    ledger.deliver(view, message.data, message.sequence, message.redelivered, message.received)

    run(publish())
    group[0].kill()
    # The last three messages go with the tail of the file, as they do when a node dies before it has written them.
    data = next(group.store.rglob("msgs.1.dat"))
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size - 2 * data.stat().st_size // 20 - 10)
    group[0].start("--file_truncate_bad_eof")
    group[0].wait_log("Streaming Server is ready", count=2)
    run(read())
    verdict = ledger.verdict()
    assert not verdict.valid
    assert verdict.findings["lost"].examples == tuple(f"channel/pub/{number} to sub" for number in (18, 19, 20))
    assert verdict.lost_where == {"prefix": 0, "middle": 0, "postfix": 3}


def test_an_error_of_the_block_is_the_one_that_shows_and_ends_the_traffic(shared_group: Group) -> None:
    traffic = traffic_on(shared_group, channel="broken")
    with pytest.raises(ZeroDivisionError), traffic.running():
        _ = 1 / 0
    assert all(member.client is not None and not member.client.connected for member in traffic.publishers)


def test_a_failure_in_the_background_is_raised_at_the_end(shared_group: Group) -> None:
    traffic = traffic_on(shared_group, channel="background")

    async def fail() -> None:
        raise RuntimeError("something went wrong in the background")

    async def spawn() -> None:
        traffic.spawn(fail())

    with pytest.raises(RuntimeError, match="in the background"), traffic.running():
        traffic.call(spawn())


def test_traffic_runs_within_a_loop_as_well(shared_group: Group) -> None:
    async def work() -> Ledger:
        traffic = traffic_on(shared_group, channel="inside")
        await traffic.start()
        while traffic.ledger.count(Outcome.STORED) < 50:
            await asyncio.sleep(0.01)
        return await traffic.finish()

    verdict = run(work()).verdict()
    assert verdict.valid, verdict.sentence()
    assert verdict.delivered >= 50


def test_a_refused_message_keeps_its_reason(make_group: Callable[..., Group]) -> None:
    group = make_group({"config": {"streaming": {"store_limits": {"max_channels": 1}}}}, size=1)
    group.start()

    async def work() -> PublishResult:
        results: list[PublishResult] = []
        async with await Client.connect(group.urls, client_id="client") as client:
            await client.publish("one", b"hello")
            await client.publish_async("two", b"hello", results.append)
            while not results:
                await asyncio.sleep(0.01)
        return results[0]

    result = run(work())
    assert (result.outcome, result.error) == (Outcome.REFUSED, "too many channels")
