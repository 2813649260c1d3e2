"""Traffic for a fault to hit: numbered messages published without pause, and subscribers that must see them all.

The measuring client neither hides nor adds to an outage: it keeps sending new numbered messages, it probes every
25 ms while no acknowledgement comes, "no responders" and a broken connection are noticed at once, it reconnects after
50 ms, and what it sends again is a new attempt, recorded as such. STAN_GO_PLAN with STAN_GO_DEFAULTS behaves as usual
programs do.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from stanft.ground import wait
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError, ConnectionLostError, NoActiveError, StanError
from stanft.stan.options import STAN_GO_DEFAULTS, ConnectOptions, Start
from stanft.stan.outcome import Outcome, PublishResult
from stanft.stan.subscription import Message, Subscription
from stanft.traffic.ledger import MINIMUM_RATE, STORED, Ledger, Track, View, encode

LAST_VALUE_WAIT = 2.0  # seconds to wait for a channel's last message when a run is over
HEARTBEAT = 1.1  # seconds: the longest time between two heartbeats, nats-streaming-server server/ft.go 1 s + 10 %
TICK = 0.002  # seconds between two looks of a publisher at what is due
STRANGER = "invalid publish request"  # the active does not know the session: server/server.go ErrInvalidPubReq
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What traffic to make (times in seconds, rates in messages per second of one publisher, sizes in bytes).

    window is how many messages may wait for their acknowledgement. While nothing is acknowledged for stall seconds, or
    nobody answers, a publisher sends one new message every probe seconds. resend: what was not acknowledged is sent
    again, as a new attempt. subscribers are durable ones that each see everything, queue_members share one queue,
    sleepers are durable ones that are away while rest() to wake() lasts, and go on where they were;
    from_first: they begin with the channel's first message, so the channel must be the run's own.
    """

    channel: str = "drill"
    publishers: int = 2
    rate: float = 1000.0
    window: int = 256
    size: int = 128
    stall: float = 0.1
    probe: float = 0.025
    resend: bool = False
    ack_timeout: float = 2.0
    subscribers: int = 1
    queue_members: int = 0
    sleepers: int = 0
    from_first: bool = True
    ack_wait: int = 2
    max_in_flight: int = 2048
    hang_check: float = 1.0
    connect_wait: float = 60.0
    drain_idle: float = 15.0
    drain_limit: float = 120.0


# A program that publishes one message after the other with stan.go: it learns of a lost message after 30 s only.
STAN_GO_PLAN = Plan(publishers=4, window=1, stall=math.inf, ack_timeout=STAN_GO_DEFAULTS.ack_timeout)


class _Member:
    """One client of the traffic: keeps its session over takeovers, hung servers and lost sessions."""

    def __init__(self, traffic: Traffic, name: str) -> None:
        self.traffic = traffic
        self.client_id = f"{traffic.ledger.run}-{name}"
        self.client: Client | None = None
        self._guard: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Connect, and keep watch from now on."""
        await self._connect()
        self._guard = asyncio.create_task(self._watch())

    async def _connect(self) -> Client:
        traffic = self.traffic
        self.client = await Client.connect(
            traffic.servers,
            client_id=self.client_id,
            cluster_id=traffic.cluster_id,
            options=traffic.options,
            wait=traffic.plan.connect_wait,
        )
        return self.client

    async def _watch(self) -> None:
        """Leave a NATS server that accepts our bytes but does not answer, as a stopped process does."""
        interval = self.traffic.plan.hang_check
        while True:
            await asyncio.sleep(interval)
            client = self.client
            if client is None or not client.connected or await client.answers(interval / 2):
                continue
            # Twice, so that a busy machine is not taken for a hung server.
            if client is self.client and client.connected and not await client.answers(interval / 2):
                await client.move_on()

    async def close(self, *, politely: bool = True) -> None:
        """Disconnect; politely = tell the server."""
        self._closing = True
        if self._guard is not None:
            self._guard.cancel()
        if self.client is not None:
            with contextlib.suppress(StanError):
                await (self.client.close() if politely else self.client.abandon())


class Publisher(_Member):
    """Sends numbered messages to one channel without pause."""

    def __init__(self, traffic: Traffic, name: str) -> None:
        super().__init__(traffic, name)
        self.track: Track = traffic.ledger.track(traffic.plan.channel, name)
        self.stopping = False
        self._progress = 0.0  # when an acknowledgement came last
        self._stalled = False
        self._stranger = False
        self._again: deque[int] = deque()

    def _settled(self, number: int, result: PublishResult) -> None:
        now = time.monotonic()
        self.track.end(number, result.outcome, now, result.error)
        if result.outcome is Outcome.STORED:
            self._progress, self._stalled = now, False
            return
        self._stalled = True
        self._stranger = self._stranger or STRANGER in result.error
        if self.traffic.plan.resend:
            self._again.append(number)

    async def _send(self) -> None:
        """Publish the next message: a new attempt at an old one, if there is one to send again."""
        assert self.client is not None
        plan, ledger = self.traffic.plan, self.traffic.ledger
        old = self._again.popleft() if self._again else None
        number = self.track.send(time.monotonic(), retry_of=old)
        payload = encode(ledger.run, self.track.publisher, number, plan.size)
        if not self.client.in_flight:
            self._progress = max(self._progress, self.track.sent[-1])
        try:
            await self.client.publish_async(
                plan.channel, payload, lambda result: self._settled(number, result), timeout=plan.ack_timeout
            )
        except (NoActiveError, ConnectionLostError) as error:
            self._settled(number, PublishResult("", Outcome.NOT_STORED, str(error)))

    async def run(self) -> None:
        """Publish until stopping, then wait for the last acknowledgements."""
        plan = self.traffic.plan
        started = self._progress = time.monotonic()
        done = 0
        while not self.stopping:
            assert self.client is not None
            if self.client.lost or self._stranger:
                await self._renew()
                continue
            now = time.monotonic()
            if self._stalled or (self.client.in_flight and now - self._progress > plan.stall):
                await self._send()
                await asyncio.sleep(plan.probe)
                # What could not be sent meanwhile is not made up for in a burst.
                started, done = time.monotonic(), 0
                continue
            due = int((now - started) * plan.rate) - done
            for _ in range(min(due, plan.window - self.client.in_flight)):
                await self._send()
                done += 1
            if due > plan.window:
                started, done = now, 0
            await asyncio.sleep(TICK)
        deadline = time.monotonic() + plan.ack_timeout + 1
        while self.client is not None and self.client.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(TICK)

    async def _renew(self) -> None:
        """The server does not know us any more: make a new session."""
        if self.client is not None:
            await self.client.abandon()
        with contextlib.suppress(ConnectError):
            await self._connect()
            self._stranger = False


class Subscriber(_Member):
    """Sees one channel through one durable subscription, alone or as a member of a queue group."""

    def __init__(self, traffic: Traffic, name: str, view: View, queue: str = "") -> None:
        super().__init__(traffic, name)
        self.view = view
        self.queue = queue
        self.subscription: Subscription | None = None
        self.last: float | None = None  # when a message came last

    def _take(self, message: Message) -> None:
        self.last = message.received
        self.traffic.ledger.deliver(self.view, message.data, message.sequence, message.redelivered, message.received)

    async def open(self) -> None:
        """Connect and subscribe."""
        await super().open()
        await self._subscribe()

    async def _subscribe(self) -> None:
        assert self.client is not None
        plan = self.traffic.plan
        self.client.on_lost = self._renew_later
        self.subscription = await self.client.subscribe(
            plan.channel,
            self._take,
            queue=self.queue,
            durable=self.view.name,
            start=Start.first() if plan.from_first else Start.new(),
            ack_wait=plan.ack_wait,
            max_in_flight=plan.max_in_flight,
            wait=plan.connect_wait,
        )

    def _renew_later(self, _why: str) -> None:
        if not self._closing:
            self.traffic.spawn(self._renew())

    async def _renew(self) -> None:
        if self.client is not None:
            await self.client.abandon()
        await self._connect()
        await self._subscribe()

    async def restart(self, *, crash: bool = False) -> None:
        """End the client, as a crash does or politely (the durable position stays), and start it again."""
        await self.rest(crash=crash)
        await self.wake()

    async def wake(self) -> None:
        """Go on after rest()."""
        self._closing = False
        await self._renew()

    async def rest(self, *, crash: bool = False) -> None:
        """End the client, as a crash does or politely; its durable position stays at the server."""
        self._closing = True
        assert self.client is not None
        if crash:
            await self.client.abandon()
        else:
            with contextlib.suppress(StanError):
                await self.client.close()

    async def leave(self) -> None:
        """Delete the durable position, so that nothing of the run stays behind."""
        if self.subscription is not None and not self.subscription.closed:
            with contextlib.suppress(StanError):
                await self.subscription.unsubscribe()


class Traffic:
    """Publishers and subscribers against any of the servers; everything they see goes into the ledger.

    servers are URLs such as nats://host:4222. Use start() and finish() within a running loop, or running() from
    ordinary code.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        cluster_id: str = "test-cluster",
        plan: Plan | None = None,
        options: ConnectOptions | None = None,
        run: str | None = None,
    ) -> None:
        self.servers = [servers] if isinstance(servers, str) else list(servers)
        self.cluster_id = cluster_id
        self.plan = plan or Plan()
        self.options = options or ConnectOptions()
        self.ledger = Ledger(run or f"run-{secrets.token_hex(4)}")
        self.publishers = [Publisher(self, f"pub-{n}") for n in range(self.plan.publishers)]
        self.subscribers = [self._alone(f"sub-{n}") for n in range(self.plan.subscribers)]
        if self.plan.queue_members:
            window = self.plan.max_in_flight * self.plan.queue_members
            shared = self.ledger.view("workers", self.plan.channel, ordered=False, window=window)
            self.subscribers += [
                Subscriber(self, f"worker-{n}", shared, queue="group") for n in range(self.plan.queue_members)
            ]
        self.sleepers = [self._alone(f"sleeper-{n}") for n in range(self.plan.sleepers)]
        self.subscribers += self.sleepers
        self.failures: list[BaseException] = []  # of background work; raised by finish()
        self._work: set[asyncio.Task[None]] = set()
        self._runs: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def _alone(self, name: str) -> Subscriber:
        view = self.ledger.view(name, self.plan.channel, window=self.plan.max_in_flight)
        return Subscriber(self, name, view)

    # --- within a loop ----------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background; its failure is raised by finish()."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def start(self) -> None:
        """Connect everybody, subscribers first, then begin to publish. Raises ConnectError if that fails."""
        self._loop = asyncio.get_running_loop()
        for member in (*self.subscribers, *self.publishers):
            await member.open()
        for publisher in self.publishers:
            self.spawn(publisher.run())

    async def finish(self) -> Ledger:
        """Stop publishing, wait until every subscription has caught up or gets no further, disconnect.

        Raises what failed in the background.
        """
        for publisher in self.publishers:
            publisher.stopping = True
        runs = list(self._work)
        if runs:
            await asyncio.wait(runs, timeout=self.plan.ack_timeout + 5)
        try:
            await self._drain()
            await self._ask_last_value()
            self._note_unfinished()
        finally:
            await self._close()
        if self.failures:
            raise self.failures[0]
        return self.ledger

    async def _ask_last_value(self) -> None:
        """Ask the server for the channel's last message, for the ledger to compare."""
        client = next((each.client for each in self.subscribers if each.client and not each.client.lost), None)
        if client is None:
            return
        # A group that is down cannot be asked; that is an outage, not a wrong answer.
        with contextlib.suppress(StanError, TimeoutError):
            channel = self.plan.channel
            subscription = await client.subscribe(channel, start=Start.last(), wait=LAST_VALUE_WAIT)
            message = await subscription.next(LAST_VALUE_WAIT)
            self.ledger.last_value(channel, message.sequence)
            await subscription.close()

    def _note_unfinished(self) -> None:
        """What a subscription misses is lost only if it got as far as the channel's last message."""
        last = max((sequence for _, sequence in self.ledger.last_values), default=None)
        for view in self.ledger.views:
            newest = max(view.sequences, default=0)
            if self.ledger.missing(view) and (last is None or newest < last):
                told = "nobody told the last one" if last is None else f"the last one is {last}"
                view.unfinished = f"it got no further than sequence {newest}, and {told}"

    async def _close(self) -> None:
        # First, for a publisher that finds its client closed would make a new session.
        for task in list(self._work):
            task.cancel()
        for subscriber in self.subscribers:
            await subscriber.leave()
        for member in (*self.publishers, *self.subscribers):
            await member.close()

    async def _drain(self) -> None:
        """Wait for deliveries until none is missing, none has come for drain_idle, or drain_limit is over."""
        ledger, plan = self.ledger, self.plan
        limit = time.monotonic() + plan.drain_limit
        seen, since = -1, time.monotonic()
        while any(ledger.missing(view) for view in ledger.views):
            now, count = time.monotonic(), sum(len(view.times) for view in ledger.views)
            if count != seen:
                seen, since = count, now
            if now > limit or now - since > plan.drain_idle:
                return
            await asyncio.sleep(0.1)

    # --- from ordinary code -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[Traffic]:
        """Publish in a thread of its own while the block runs; afterwards the ledger is complete.

        Raises what start() and finish() raise.
        """
        started: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

        async def live() -> None:
            over = asyncio.Event()
            started.put((asyncio.get_running_loop(), over))
            await over.wait()

        # asyncio.run also ends what is left over when the block is done.
        thread = threading.Thread(target=lambda: asyncio.run(live()), name="traffic", daemon=True)
        thread.start()
        loop, over = started.get()
        try:
            self._run(loop, self.start())
            try:
                yield self
            except BaseException:
                # The block's own error is the one to show.
                with contextlib.suppress(Exception):
                    self._run(loop, self._close())
                raise
            self._run(loop, self.finish())
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def learn(self, servers: Sequence[str]) -> None:
        """From any thread: the servers are under these addresses from now on; those connected stay where they are."""
        self.servers = list(servers)
        if self._loop is not None:
            for member in (*self.publishers, *self.subscribers):
                if member.client is not None:
                    self._loop.call_soon_threadsafe(member.client.learn, self.servers)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """From ordinary code, while it runs: do something in the traffic's loop and give its result."""
        assert self._loop is not None
        return self._run(self._loop, work)

    def restart_subscriber(self, number: int = 0, *, crash: bool = False) -> None:
        """From ordinary code: end a subscriber's client and start it again (see Subscriber.restart)."""
        self.call(self.subscribers[number].restart(crash=crash))

    def rest(self) -> None:
        """From ordinary code: end the sleepers' clients; their durable positions stay."""
        for sleeper in self.sleepers:
            self.call(sleeper.rest())

    def wake(self) -> None:
        """From ordinary code: start the sleepers' clients again. Raises ConnectError if nobody serves them."""
        for sleeper in self.sleepers:
            self.call(sleeper.wake())

    def mark(self, name: str) -> float:
        """Record an event of the run, such as "fault", as happening now; gives the time."""
        now = time.monotonic()
        self.ledger.mark(name, now)
        return now

    def warm_up(
        self,
        seconds: float = 2.0,
        *,
        minimum: float = MINIMUM_RATE,
        timeout: float = 30.0,
        spread: float = HEARTBEAT,
    ) -> float:
        """Wait until the last seconds had enough acknowledgements per second; gives the rate.

        Then waits for a random part of spread seconds, so that a fault comes at any point between two heartbeats:
        at a fixed time after the last takeover it would always meet the same one, and outages would all be alike.
        Raises TimeoutError with the rate that was reached, after timeout seconds.
        """
        rate, begin = 0.0, time.monotonic()

        def enough() -> bool:
            nonlocal rate
            now = time.monotonic()
            rate = self._acks_since(now - seconds) / seconds
            return now - begin >= seconds and rate >= minimum

        wait.until(
            enough,
            timeout,
            lambda: f"only {rate:.0f} acknowledged messages per second, {minimum:.0f} are needed",
            every=0.05,
            error=TimeoutError,
        )
        time.sleep(random.uniform(0, spread))  # noqa: S311
        return rate

    def wait_recovered(self, since: float, *, acks: int = 500, timeout: float = 120.0) -> float:
        """Wait until so many messages that were sent after since (monotonic seconds) are acknowledged, some to each.

        Gives how many seconds after since that was; raises TimeoutError after timeout seconds, which names who waits.
        """
        stored: dict[str, int] = {}

        def goes_on() -> bool:
            stored.update({track.publisher: _stored_after(track, since) for track in self.ledger.tracks})
            return sum(stored.values()) >= acks and all(stored.values())

        def why() -> str:
            waiting = ", ".join(name for name, count in stored.items() if not count) or "too few messages"
            return f"publishing did not go on within {timeout:g} s: {waiting}"

        wait.until(goes_on, timeout, why, every=0.02, error=TimeoutError)
        return time.monotonic() - since

    def _acks_since(self, since: float) -> int:
        """How many acknowledgements came after since (ledger.rate() would look at the whole run, again and again)."""
        count = 0
        for track in self.ledger.tracks:
            for index in range(len(track.codes) - 1, -1, -1):
                if track.sent[index] < since - self.plan.ack_timeout:
                    break
                count += track.codes[index] == STORED and track.ended[index] >= since
        return count


def _stored_after(track: Track, since: float) -> int:
    """How many of a publisher's messages that were sent after since are acknowledged."""
    count = 0
    for index in range(len(track.codes) - 1, -1, -1):
        if track.sent[index] <= since:
            break
        count += track.codes[index] == STORED
    return count
