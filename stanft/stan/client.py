"""A streaming client: publish with acknowledgement, durable, plain and queue subscriptions, pings both ways.

What a takeover means for a message is told exactly: stored, surely not stored, refused, or unknown; nothing is sent
again behind the caller's back. It reconnects by itself and its session outlives a takeover. Protocol: protocol.proto.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import nats.aio.client
import nats.errors
from nats.aio.msg import Msg
from nats.nuid import NUID

from stanft.stan import protocol_pb2 as pb
from stanft.stan.connection import Connection, Taker, end
from stanft.stan.errors import ConnectError, ConnectionLostError, NoActiveError, RefusedError, StanError, UnknownError
from stanft.stan.options import ConnectOptions, Start
from stanft.stan.outcome import Outcome, PublishResult
from stanft.stan.publishing import Publications, PublishCallback, nobody_answered
from stanft.stan.subscription import Handler, RawHandler, Subscription

RETRY_PAUSE = 0.02  # seconds between two tries while there is no active
SWEEP = 0.025  # seconds between two looks for overdue acknowledgements
TAKEN = "clientID already registered"  # the server's words: nats-streaming-server server/server.go ErrInvalidClient

Response = TypeVar("Response", pb.ConnectResponse, pb.SubscriptionResponse, pb.CloseResponse)
_nuid = NUID()


def _new_id() -> str:
    return _nuid.next().decode()


def _taker(raw: RawHandler) -> Taker:
    """What takes messages from the wire for raw; what is no streaming message (no responders, say) is left out."""
    parsed = pb.MsgProto.FromString

    def take(_headers: bytes, data: bytes) -> None:
        if data:
            raw(parsed(data))

    return take


class Client:
    """A session with the active server; make it with connect(), end it with close()."""

    def __init__(self, cluster_id: str, client_id: str, options: ConnectOptions) -> None:
        self.cluster_id = cluster_id
        self.client_id = client_id
        self.options = options
        self.lost: str = ""  # why the session is over; empty while it is not
        self.disconnects = 0
        self.last_error: Exception | None = None
        self.on_lost: Callable[[str], None] | None = None
        self._core = Connection()
        self._wire: pb.ConnectResponse = pb.ConnectResponse()
        self._connection_id = b""
        self._subscriptions: set[Subscription] = set()
        self._unit = _new_id()
        self._publications = Publications(self._unit, patient=options.patient)
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._pings_out = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._reconnecting: asyncio.Task[Any] | None = None
        self._targets: list[str] = []
        self._target = self._tries = 0

    # --- connecting -------------------------------------------------------------------------------------------

    @classmethod
    async def connect(
        cls,
        servers: str | Sequence[str],
        *,
        client_id: str,
        cluster_id: str = "test-cluster",
        options: ConnectOptions | None = None,
        wait: float = 30.0,
    ) -> Client:
        """Open a session through any of the servers ("nats://host:4222"), trying until there is an active.

        wait is in seconds, for everything together. client_id may hold letters, digits, - and _.
        Raises ConnectError when the time is over, or at once when the server refuses the client.
        """
        client = cls(cluster_id, client_id, options or ConnectOptions())
        deadline = time.monotonic() + wait
        try:
            await client._reach([servers] if isinstance(servers, str) else list(servers), deadline)
            await client._register(deadline)
        except BaseException:
            await client.abandon()
            raise
        return client

    async def _reach(self, servers: list[str], deadline: float) -> None:
        """Open the NATS connection."""
        options = self.options
        self._targets = [urlsplit(server if "://" in server else f"nats://{server}").netloc for server in servers]
        settings: dict[str, Any] = {
            "name": self.client_id,
            **options.login(),
            "connect_timeout": options.connect_timeout,
            "reconnect_time_wait": options.reconnect_wait,
            "disconnected_cb": self._on_disconnect,
            "closed_cb": self._on_closed,
        }
        if not options.discover:
            settings["reconnect_to_server_handler"] = self._next_server
        await self._core.reach(servers, deadline - time.monotonic(), self._on_error, **settings)

    def _next_server(
        self, servers: list[nats.aio.client.Server], _info: dict[str, Any]
    ) -> tuple[nats.aio.client.Server | None, float]:
        """Take the given servers in turn, without a pause until each was tried once."""
        known = {server.uri.netloc: server for server in servers}
        self._target += 1
        wanted = self._targets[self._target % len(self._targets)]
        pause = 0.0 if self._tries < len(self._targets) else self.options.reconnect_wait
        self._tries += 1
        return known.get(wanted), pause

    def learn(self, servers: Sequence[str]) -> None:
        """Take these servers in turn from now on, as when pods came back under other addresses.

        While there are none (all pods gone at once), those known before stay the ones to try.
        """
        if not servers:
            return
        with contextlib.suppress(nats.errors.ConnectionClosedError):
            self._core.set_server_pool(list(servers))
            self._targets = [urlsplit(server).netloc for server in servers]

    async def _on_error(self, error: Exception) -> None:
        if str(error):
            self.last_error = error

    async def _on_disconnect(self) -> None:
        """Forget what was not sent yet, so that it is not replayed; what waits for an answer is now unknown."""
        if not self._core.is_closed:  # else it is the end of the connection that tells
            self._reconnecting = asyncio.current_task()
        self._tries = 0
        self.disconnects += not self.lost
        self._forget_unsent()
        if not self.options.patient:
            await self._publications.give_up("connection lost before an answer came")

    def _forget_unsent(self) -> None:
        self._core._pending = []
        self._core._pending_data_size = 0

    async def _on_closed(self) -> None:
        """nats-py gives up for good when a server turns the client away, after a change of password for example."""
        self._lose(f"connection closed: {self._core.last_error or 'by the server'}")

    async def _register(self, deadline: float) -> None:
        """Get a session from the active, again and again while there is none."""
        await self._core.subscribe(self._publications.answers, cb=self._publications.answered)
        await self._core.subscribe(f"_INBOX.{self._unit}.echo", cb=self._on_echo)
        pings = f"_INBOX.{self._unit}.pings"
        await self._core.subscribe(pings, cb=self._on_ping_answer)
        discover = f"{self.options.discover_prefix}.{self.cluster_id}"
        asked_before, last = False, ""
        while (left := deadline - time.monotonic()) > 0:
            # A new inbox for each try: the server asks the old one whether a client of this name still lives.
            inbox = f"_INBOX.{self._unit}.heartbeat.{_new_id()}"
            heartbeats = await self._core.subscribe(inbox, cb=self._on_heartbeat)
            self._connection_id = _new_id().encode()
            request = pb.ConnectRequest(
                client_id=self.client_id,
                heartbeat_inbox=inbox,
                protocol=1,
                connection_id=self._connection_id,
                ping_interval=self.options.ping_interval,
                ping_max_out=self.options.ping_max_out,
            )
            try:
                self._wire = await self._ask(
                    discover, request, pb.ConnectResponse, min(left, self.options.request_timeout)
                )
            except RefusedError as error:
                if TAKEN not in str(error) or not asked_before:
                    raise ConnectError(f"{self.client_id} was refused by {self.cluster_id}: {error}") from error
                last = str(error)
            except NoActiveError as error:
                last = str(error)
            except UnknownError as error:
                asked_before = True
                # A try for which hardly any time was left says nothing of the server.
                last = last if last and left < self.options.request_timeout else str(error)
            else:
                loop = asyncio.get_running_loop()
                self._tasks = [loop.create_task(self._sweep()), loop.create_task(self._ping(pings))]
                return
            with contextlib.suppress(nats.errors.Error):
                await heartbeats.unsubscribe()
            await asyncio.sleep(min(RETRY_PAUSE, left))
        raise ConnectError(
            f"no session with {self.cluster_id} as {self.client_id}: {last or 'no active server answers'}"
        )

    # --- asking the server ------------------------------------------------------------------------------------

    async def _ask(self, subject: str, request: Any, kind: type[Response], timeout: float) -> Response:
        """One request and its answer. Raises NoActiveError, UnknownError, RefusedError or ConnectionLostError."""
        self._check()
        try:
            answer = await self._core.request(subject, request.SerializeToString(), timeout=timeout)
        except (nats.errors.NoRespondersError, nats.errors.OutboundBufferLimitError) as error:
            raise NoActiveError(f"nobody answers on {subject}") from error
        except nats.errors.ConnectionClosedError as error:
            raise ConnectionLostError("the connection is closed") from error
        except (nats.errors.TimeoutError, TimeoutError) as error:
            raise UnknownError(f"no answer on {subject} within {timeout:.3g} s") from error
        response = kind.FromString(answer.data)
        if response.error:
            raise RefusedError(response.error)
        return response

    def _check(self) -> None:
        if self.lost:
            raise ConnectionLostError(self.lost)

    async def send(self, subject: str, data: bytes) -> bool:
        """Send without waiting for an answer; False if there is no connection to send on."""
        try:
            await self._core.publish(subject, data)
        except (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError):
            return False
        return True

    # --- publishing -------------------------------------------------------------------------------------------

    async def publish(self, channel: str, data: bytes, *, timeout: float | None = None) -> str:
        """Publish and wait until the message is stored; gives its guid.

        timeout is in seconds (default options.ack_timeout). Raises NoActiveError (surely not stored),
        RefusedError (the server said no), UnknownError (no answer), ConnectionLostError (session over).
        """
        done: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()

        def settle(result: PublishResult) -> None:
            if not done.done():
                done.set_result(result)

        await self.publish_async(channel, data, settle, timeout=timeout)
        result = await done
        if result.outcome is Outcome.NOT_STORED:
            raise NoActiveError(f"nobody took the message for {channel}")
        if result.outcome is Outcome.REFUSED:
            raise RefusedError(result.error)
        if result.outcome is Outcome.UNKNOWN:
            raise UnknownError(result.error)
        return result.guid

    async def publish_async(
        self, channel: str, data: bytes, callback: PublishCallback | None = None, *, timeout: float | None = None
    ) -> str:
        """Publish and return at once with the guid; callback hears how it ended, within timeout seconds.

        It is called once more, with late=True, if an answer comes after it was told UNKNOWN.
        Raises NoActiveError if it cannot even be sent (then callback is not called), ConnectionLostError.
        """
        self._check()
        number, guid, reply = self._publications.begin(
            callback, self.options.ack_timeout if timeout is None else timeout
        )
        wire = pb.PubMsg(
            client_id=self.client_id, guid=guid, subject=channel, data=data, connection_id=self._connection_id
        )
        try:
            await self._core.publish(f"{self._wire.publish_prefix}.{channel}", wire.SerializeToString(), reply=reply)
        except BaseException as error:
            self._publications.cancel(number)
            if isinstance(error, nats.errors.OutboundBufferLimitError):
                raise NoActiveError("not connected to any server") from error
            if isinstance(error, nats.errors.ConnectionClosedError):
                raise ConnectionLostError("the connection is closed") from error
            if isinstance(error, nats.errors.MaxPayloadError):
                raise RefusedError(
                    f"{len(data)} bytes are too many: max_payload is {self._core.max_payload}"
                ) from error
            raise
        return guid

    @property
    def in_flight(self) -> int:
        """How many publications wait for their acknowledgement."""
        return len(self._publications)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            await self._publications.sweep()

    # --- subscribing ------------------------------------------------------------------------------------------

    async def subscribe(
        self,
        channel: str,
        handler: Handler | None = None,
        *,
        queue: str = "",
        durable: str = "",
        start: Start | None = None,
        manual_acks: bool = False,
        ack_wait: int = 30,
        max_in_flight: int = 1024,
        wait: float = 30.0,
        raw: RawHandler | None = None,
    ) -> Subscription:
        """Subscribe to a channel; tries again for wait seconds while there is no active.

        ack_wait (whole seconds, at least 1) is after what time an unacknowledged message comes again, max_in_flight
        how many may be unacknowledged. raw gets each message as it is on the wire, in place of handler, at once, and
        none is acknowledged; it must not raise. Raises NoActiveError, UnknownError, RefusedError, ConnectionLostError.
        """
        start = start or Start.new()
        deadline = time.monotonic() + wait
        while True:
            subscription = Subscription(
                self, channel, f"_INBOX.{self._unit}.{_new_id()}", queue, durable, manual_acks, handler
            )
            subscription.core = await self._core.subscribe(subscription.inbox, cb=subscription.receive)
            if raw is not None:
                self._core.take(subscription.core, _taker(raw))
            request = pb.SubscriptionRequest(
                client_id=self.client_id,
                subject=channel,
                queue_group=queue,
                inbox=subscription.inbox,
                max_in_flight=max_in_flight,
                ack_wait=ack_wait,
                durable_name=durable,
                start_position=start.position,
                start_sequence=start.first_sequence,
                start_time_delta=round(start.seconds * 1e9),
            )
            try:
                answer = await self._ask(
                    self._wire.subscribe_subject, request, pb.SubscriptionResponse, self.options.request_timeout
                )
            except StanError as error:
                await self._drop(subscription, maybe_known=isinstance(error, UnknownError))
                if not isinstance(error, (NoActiveError, UnknownError)) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_PAUSE)
                continue
            subscription.accept(answer.ack_inbox)
            self._subscriptions.add(subscription)
            return subscription

    async def _drop(self, subscription: Subscription, *, maybe_known: bool) -> None:
        """Undo a failed subscription; a server that did make it is told so (0.21.0 and later take the inbox)."""
        with contextlib.suppress(nats.errors.Error):
            if subscription.core is not None:
                await self._core.leave(subscription.core)
        if maybe_known:
            request = pb.UnsubscribeRequest(
                client_id=self.client_id,
                subject=subscription.subject,
                inbox=subscription.inbox,
                durable_name=subscription.durable,
            )
            await self.send(self._wire.subscription_close_subject, request.SerializeToString())

    async def end_subscription(self, subscription: Subscription, *, forget: bool) -> None:
        """Tell the server that the subscription ends; forget = delete its durable position too."""
        request = pb.UnsubscribeRequest(
            client_id=self.client_id,
            subject=subscription.subject,
            inbox=subscription.ack_inbox,
            durable_name=subscription.durable,
        )
        wire = self._wire
        subject = wire.unsubscribe_subject if forget else wire.subscription_close_subject
        self._subscriptions.discard(subscription)
        subscription.end()
        with contextlib.suppress(nats.errors.Error):
            if subscription.core is not None:
                await self._core.leave(subscription.core)
        await self._ask(subject, request, pb.SubscriptionResponse, self.options.request_timeout)

    # --- pings and the connection -----------------------------------------------------------------------------

    async def _on_heartbeat(self, raw: Msg) -> None:
        if raw.reply:
            await self.send(raw.reply, b"")

    async def _ping(self, inbox: str) -> None:
        """Ask the active regularly whether it still knows this session (the interval is the server's word)."""
        if self._wire.protocol < 1 or self._wire.ping_interval <= 0:
            return
        ping = pb.Ping(connection_id=self._connection_id).SerializeToString()
        while True:
            await asyncio.sleep(self._wire.ping_interval)
            self._pings_out += 1
            if self._pings_out > self._wire.ping_max_out:
                self._lose(f"no answer to {self._wire.ping_max_out} pings")
                return
            with contextlib.suppress(nats.errors.Error):
                await self._core.publish(self._wire.ping_subject, ping, reply=inbox)

    async def _on_ping_answer(self, raw: Msg) -> None:
        if nobody_answered(raw):
            return
        error = pb.PingResponse.FromString(raw.data).error
        if error:
            self._lose(error)
        self._pings_out = 0

    def _lose(self, why: str) -> None:
        """The session is over, by the server's word or by our own close."""
        if self.lost:
            return
        self.lost = why
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()
        if self.on_lost is not None:
            self.on_lost(why)

    async def _on_echo(self, raw: Msg) -> None:
        waiting = self._echoes.get(raw.data)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def answers(self, timeout: float) -> bool:
        """Whether the NATS server at the other end handles our messages, seen by one that comes back to us."""
        token = _new_id().encode()
        self._echoes[token] = asyncio.get_running_loop().create_future()
        try:
            if not await self.send(f"_INBOX.{self._unit}.echo", token):
                return False
            async with asyncio.timeout(timeout):
                await self._echoes[token]
            return True
        except TimeoutError:
            return False
        finally:
            del self._echoes[token]

    async def move_on(self) -> None:
        """Leave the present server, which may hang, and connect to the next one."""
        transport = self._core._transport
        writer = getattr(transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()  # closing politely would wait until a hung server has read everything
        await self._core.force_reconnect()

    @property
    def connected(self) -> bool:
        """Whether there is a NATS connection now (there need not be an active behind it)."""
        return bool(self._core.is_connected)

    @property
    def server(self) -> str:
        """host:port of the NATS server that this client is connected to, empty if to none."""
        url = self._core.connected_url
        return url.netloc.rpartition("@")[2] if url else ""

    # --- the end ----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End the session with the server (its plain subscriptions go, its durables stay) and the connection.

        Raises UnknownError or NoActiveError if no server heard it; the connection is closed in any case.
        """
        try:
            if not self.lost and self._wire.close_subject:
                request = pb.CloseRequest(client_id=self.client_id)
                await self._ask(self._wire.close_subject, request, pb.CloseResponse, self.options.request_timeout)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Cut the connection without a word to the server, as a client does that dies."""
        self._lose("closed")
        for task in self._tasks:
            task.cancel()
        await self._publications.give_up("client closed before an answer came")
        if not self.connected:
            self._forget_unsent()
        if self._reconnecting is not None:
            await end(self._reconnecting)
        # nats-py sends what is left, which fails if the server has just gone.
        try:
            with contextlib.suppress(OSError):
                await self._core.close()
        except asyncio.CancelledError:
            # Unless somebody cancels the caller: nats-py cancelled its own wait for the end of the lost connection.
            caller = asyncio.current_task()
            if caller is None or caller.cancelling():
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(StanError):
            await self.close()
