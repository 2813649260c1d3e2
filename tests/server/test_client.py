"""The streaming client against a whole group that nobody disturbs: publishing, subscribing, sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import pytest
from loopback import run

from harness.loopback.server import Group
from stanft.stan import protocol_pb2 as pb
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError, ConnectionLostError, RefusedError, UnknownError
from stanft.stan.options import ConnectOptions, Start
from stanft.stan.outcome import Outcome, PublishResult
from stanft.stan.subscription import Message, Subscription

Use = Callable[[Client], Awaitable[None]]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A client id, and a channel, of this test's own."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:60]


def use(group: Group, name: str, work: Use) -> None:
    """Do something with a client of the shared group."""

    async def connected() -> None:
        async with await Client.connect(group.urls, client_id=name) as client:
            await work(client)

    run(connected())


async def take(subscription: Subscription, count: int) -> list[bytes]:
    """The contents of the next messages."""
    return [(await subscription.next(10)).data for _ in range(count)]


async def fill(client: Client, channel: str, count: int = 5) -> list[bytes]:
    """Publish numbered messages; gives their contents."""
    contents = [b"%d" % number for number in range(1, count + 1)]
    for content in contents:
        await client.publish(channel, content)
    return contents


# --- publishing ---------------------------------------------------------------------------------------------------


def test_published_messages_arrive_in_order_with_their_sequence_and_the_servers_time(
    shared_group: Group, name: str
) -> None:
    async def work(client: Client) -> None:
        contents = await fill(client, name)
        subscription = await client.subscribe(name, start=Start.first())
        messages = [await subscription.next(10) for _ in contents]
        assert [message.data for message in messages] == contents
        assert [message.sequence for message in messages] == [1, 2, 3, 4, 5]
        assert {message.subject for message in messages} == {name}
        assert not any(message.redelivered for message in messages)
        assert all(abs(message.timestamp / 1e9 - time.time()) < 60 for message in messages)

    use(shared_group, name, work)


def test_each_publication_has_a_guid_of_its_own(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        guids = [await client.publish(name, b"") for _ in range(5)]
        assert len(set(guids)) == 5

    use(shared_group, name, work)


def test_many_messages_in_flight_are_each_told_stored_once(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        results: list[PublishResult] = []
        guids = [await client.publish_async(name, b"x" * 100, results.append) for _ in range(500)]
        assert client.in_flight > 1
        while len(results) < 500:
            await asyncio.sleep(0.01)
        assert client.in_flight == 0
        assert {result.outcome for result in results} == {Outcome.STORED}
        assert sorted(result.guid for result in results) == sorted(guids)

    use(shared_group, name, work)


def test_a_callback_may_be_asynchronous(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        done = asyncio.Event()

        async def heard(result: PublishResult) -> None:
            await asyncio.sleep(0)
            assert result.outcome is Outcome.STORED
            done.set()

        await client.publish_async(name, b"hello", heard)
        await done.wait()

    use(shared_group, name, work)


def test_a_message_for_a_wildcard_is_refused_in_the_servers_words(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(RefusedError, match="invalid publish request"):
            await client.publish("any.*", b"hello")

    use(shared_group, name, work)


def test_a_message_above_the_servers_limit_is_refused_before_it_is_sent(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(RefusedError, match=r"2000000 bytes are too many: max_payload is 1048576"):
            await client.publish(name, bytes(2_000_000))
        assert client.in_flight == 0

    use(shared_group, name, work)


def test_a_channel_beyond_the_limit_is_refused_and_the_session_lives_on(make_group: Callable[..., Group]) -> None:
    group = make_group({"config": {"streaming": {"store_limits": {"max_channels": 1}}}}, size=1)
    group.start()

    async def work(client: Client) -> None:
        await client.publish("one", b"hello")
        with pytest.raises(RefusedError, match="too many channels"):
            await client.publish("two", b"hello")
        await client.publish("one", b"again")

    use(group, "client", work)


# --- subscribing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Start.first(), [b"1", b"2", b"3", b"4", b"5", b"new"]),
        (Start.last(), [b"5", b"new"]),
        (Start.sequence(3), [b"3", b"4", b"5", b"new"]),
        (Start.since(60), [b"1", b"2", b"3", b"4", b"5", b"new"]),
        (Start.since(0.001), [b"new"]),
        (Start.new(), [b"new"]),
    ],
    ids=["first", "last value", "sequence", "last minute", "last millisecond", "new only"],
)
def test_a_subscription_starts_where_it_was_asked_to(
    shared_group: Group, name: str, start: Start, expected: list[bytes]
) -> None:
    async def work(client: Client) -> None:
        await fill(client, name)
        await asyncio.sleep(0.01)
        subscription = await client.subscribe(name, start=start)
        await client.publish(name, b"new")
        assert await take(subscription, len(expected)) == expected

    use(shared_group, name, work)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain handler", "asynchronous handler"])
def test_messages_go_to_the_handler_and_are_acknowledged_after_it(
    shared_group: Group, name: str, asynchronous: bool
) -> None:
    async def work(client: Client) -> None:
        seen: list[bytes] = []

        def plain(message: Message) -> None:
            seen.append(message.data)

        async def slow(message: Message) -> None:
            await asyncio.sleep(0)
            seen.append(message.data)

        await client.subscribe(name, slow if asynchronous else plain, ack_wait=1)
        contents = await fill(client, name)
        # Longer than ack_wait: what was not acknowledged would come again.
        await asyncio.sleep(1.3)
        assert seen == contents

    use(shared_group, name, work)


def test_iterating_gives_messages_until_the_subscription_ends(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        contents = await fill(client, name)
        subscription = await client.subscribe(name, start=Start.first())
        seen = []
        async for message in subscription:
            seen.append(message.data)
            if len(seen) == len(contents):
                await subscription.close()
        assert seen == contents
        with pytest.raises(ConnectionLostError, match="has ended"):
            await subscription.next(1)

    use(shared_group, name, work)


def test_waiting_for_a_message_that_does_not_come_times_out(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        subscription = await client.subscribe(name)
        with pytest.raises(TimeoutError):
            await subscription.next(0.05)

    use(shared_group, name, work)


def test_an_unacknowledged_message_comes_again_marked_and_an_acknowledged_one_does_not(
    shared_group: Group, name: str
) -> None:
    async def work(client: Client) -> None:
        await fill(client, name, 2)
        subscription = await client.subscribe(name, start=Start.first(), manual_acks=True, ack_wait=1)
        first, second = await subscription.next(10), await subscription.next(10)
        assert await first.ack()
        again = await subscription.next(10)
        assert (again.sequence, again.data) == (second.sequence, second.data)
        assert again.redelivered
        assert again.redelivery_count == 1

    use(shared_group, name, work)


def test_no_more_than_max_in_flight_messages_wait_for_their_acknowledgement(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        await fill(client, name, 5)
        subscription = await client.subscribe(name, start=Start.first(), manual_acks=True, max_in_flight=2)
        first = await subscription.next(10)
        await subscription.next(10)
        with pytest.raises(TimeoutError):
            await subscription.next(0.3)
        await first.ack()
        assert (await subscription.next(10)).sequence == 3

    use(shared_group, name, work)


def test_a_durable_subscription_goes_on_where_it_was_closed(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        await fill(client, name, 6)
        subscription = await client.subscribe(name, durable="position", start=Start.first(), max_in_flight=1)
        assert await take(subscription, 2) == [b"1", b"2"]
        await subscription.close()
        again = await client.subscribe(name, durable="position", start=Start.first())
        assert await take(again, 4) == [b"3", b"4", b"5", b"6"]

    use(shared_group, name, work)


def test_a_durable_subscription_goes_on_for_the_next_client_of_the_same_name(shared_group: Group, name: str) -> None:
    async def first(client: Client) -> None:
        await fill(client, name, 3)
        subscription = await client.subscribe(name, durable="position", start=Start.first(), max_in_flight=1)
        assert await take(subscription, 1) == [b"1"]

    async def second(client: Client) -> None:
        subscription = await client.subscribe(name, durable="position", start=Start.first())
        assert await take(subscription, 2) == [b"2", b"3"]

    use(shared_group, name, first)
    use(shared_group, name, second)


def test_unsubscribing_a_durable_forgets_its_position(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        await fill(client, name, 3)
        subscription = await client.subscribe(name, durable="position", start=Start.first())
        assert await take(subscription, 3) == [b"1", b"2", b"3"]
        await subscription.unsubscribe()
        again = await client.subscribe(name, durable="position", start=Start.first())
        assert await take(again, 3) == [b"1", b"2", b"3"]

    use(shared_group, name, work)


def test_the_members_of_a_queue_group_share_the_messages(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        seen: list[list[bytes]] = [[], []]
        for member in seen:
            await client.subscribe(name, lambda message, to=member: to.append(message.data), queue="workers")  # type: ignore[misc]
        contents = await fill(client, name, 40)
        while sum(map(len, seen)) < 40:
            await asyncio.sleep(0.01)
        assert sorted(seen[0] + seen[1]) == sorted(contents)
        assert seen[0]
        assert seen[1]

    use(shared_group, name, work)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "workers", "durable": "a:b"}, "durable"),
        ({"ack_wait": 0}, "ack wait"),
        ({"max_in_flight": 0}, "MaxInflight"),
    ],
    ids=["colon in a durable queue name", "no time to acknowledge", "nothing in flight"],
)
def test_a_wrong_subscription_is_refused_in_the_servers_words(
    shared_group: Group, name: str, options: dict[str, object], words: str
) -> None:
    async def work(client: Client) -> None:
        await client.publish(name, b"hello")
        with pytest.raises(RefusedError, match=rf"(?i){words}"):
            await client.subscribe(name, **options)  # type: ignore[arg-type]

    use(shared_group, name, work)


# --- sessions -----------------------------------------------------------------------------------------------------


def test_a_second_client_of_the_same_name_is_refused_while_the_first_lives(shared_group: Group, name: str) -> None:
    async def work(_: Client) -> None:
        with pytest.raises(ConnectError, match="was refused by test-cluster: stan: clientID already registered"):
            await Client.connect(shared_group.urls, client_id=name, wait=5)

    use(shared_group, name, work)


def test_a_client_that_died_is_replaced_by_the_next_of_its_name(shared_group: Group, name: str) -> None:
    async def work() -> None:
        first = await Client.connect(shared_group.urls, client_id=name)
        await first.abandon()
        async with await Client.connect(shared_group.urls, client_id=name) as second:
            assert await second.publish(name, b"hello")

    run(work())


def test_a_name_that_the_server_does_not_allow_is_refused_at_once(shared_group: Group) -> None:
    with pytest.raises(ConnectError, match="invalid clientID"):
        run(Client.connect(shared_group.urls, client_id="not/allowed", wait=20))


def test_a_wrong_cluster_id_finds_nobody(shared_group: Group, name: str) -> None:
    with pytest.raises(ConnectError, match=r"no session with other-cluster as .*nobody answers"):
        run(Client.connect(shared_group.urls, client_id=name, cluster_id="other-cluster", wait=0.3))


def test_a_last_try_without_time_does_not_hide_why_the_ones_before_failed(
    shared_group: Group, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Client._ask

    async def ask(self: Client, subject: str, request: Any, kind: Any, timeout: float) -> Any:
        monkeypatch.setattr(Client, "_ask", too_late)
        return await first(self, subject, request, kind, timeout)

    async def too_late(self: Client, subject: str, request: Any, kind: Any, timeout: float) -> Any:
        raise UnknownError(f"no answer on {subject} within {timeout:.3g} s")

    monkeypatch.setattr(Client, "_ask", ask)
    with pytest.raises(ConnectError, match=r"nobody answers"):
        run(Client.connect(shared_group.urls, client_id=name, cluster_id="other-cluster", wait=0.3))


def test_a_server_that_is_not_there_is_named_without_its_password(make_group: Callable[..., Group]) -> None:
    url = make_group(size=1).urls[0]
    with pytest.raises(ConnectError) as caught:
        run(Client.connect(url.replace("//", "//user:secret@"), client_id="client", wait=0.3))
    assert url.removeprefix("nats://") in str(caught.value)
    assert "secret" not in str(caught.value)


async def end_from_outside(group: Group, name: str) -> None:
    """Make the active forget a client, as it does with one that does not answer its heartbeats."""
    other = await nats.connect(group.urls[0])
    await other.request("_STAN.close.test-cluster", pb.CloseRequest(client_id=name).SerializeToString(), timeout=5)
    await other.close()


def test_a_client_learns_by_its_pings_that_its_session_is_gone(shared_group: Group, name: str) -> None:
    async def work() -> None:
        client = await Client.connect(shared_group.urls, client_id=name, options=ConnectOptions(ping_interval=1))
        subscription = await client.subscribe(name)
        heard: list[str] = []
        client.on_lost = heard.append
        await end_from_outside(shared_group, name)
        with pytest.raises(ConnectionLostError):
            await subscription.next(10)
        assert heard == [client.lost]
        assert "client has been replaced or is no longer registered" in client.lost
        with pytest.raises(ConnectionLostError, match="no longer registered"):
            await client.publish(name, b"hello")
        with pytest.raises(ConnectionLostError, match="no longer registered"):
            await client.subscribe(name)
        await client.close()

    run(work())


def test_publishing_without_a_session_is_refused(shared_group: Group, name: str) -> None:
    async def work(client: Client) -> None:
        await end_from_outside(shared_group, name)
        with pytest.raises(RefusedError, match="invalid publish request"):
            await client.publish(name, b"hello")

    use(shared_group, name, work)


def test_the_servers_heartbeats_are_answered_and_a_silent_client_is_forgotten(
    make_group: Callable[..., Group],
) -> None:
    group = make_group(
        {"config": {"streaming": {"hb_interval": "100ms", "hb_timeout": "100ms", "hb_fail_count": 1}}}, size=1
    )
    group.start()

    def clients() -> set[str]:
        listing = group[0].json("/streaming/clientsz")
        assert listing is not None
        return {client["id"] for client in listing["clients"]}

    async def work() -> None:
        alive = await Client.connect(group.urls, client_id="alive")
        silent = await Client.connect(group.urls, client_id="silent")
        assert clients() == {"alive", "silent"}
        await silent.abandon()
        while "silent" in await asyncio.to_thread(clients):
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(clients) == {"alive"}
        await alive.close()
        assert await asyncio.to_thread(clients) == set()

    run(work())


def test_a_closed_client_does_nothing_more(shared_group: Group, name: str) -> None:
    async def work() -> None:
        client = await Client.connect(shared_group.urls, client_id=name)
        assert client.connected
        assert client.server in {url.removeprefix("nats://") for url in shared_group.urls}
        await client.close()
        assert not client.connected
        assert client.server == ""
        with pytest.raises(ConnectionLostError, match="closed"):
            await client.publish(name, b"hello")
        assert not await client.send("any", b"hello")

    run(work())
