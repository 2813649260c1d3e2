"""One subscription of a streaming client: its messages, their acknowledgement, its end."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from stanft.stan import protocol_pb2 as pb
from stanft.stan.errors import ConnectionLostError


class Session(Protocol):
    """What a subscription needs of its client."""

    async def send(self, subject: str, data: bytes) -> bool:
        """Send without waiting for an answer; False if there is no connection to send on."""

    async def end_subscription(self, subscription: Subscription, *, forget: bool) -> None:
        """Tell the server that the subscription ends; forget = delete its durable position too."""


@dataclass(frozen=True, slots=True)
class Message:
    """A delivered message; timestamp is the server's clock in nanoseconds, received our monotonic one in seconds."""

    sequence: int
    subject: str
    data: bytes
    timestamp: int
    redelivered: bool
    redelivery_count: int
    reply: str
    received: float
    subscription: Subscription = field(repr=False)

    async def ack(self) -> bool:
        """Tell the server that it is handled; False if that could not be sent, so that it will come again."""
        return await self.subscription.ack(self.sequence)


Handler = Callable[[Message], Awaitable[None] | None]
RawHandler = Callable[[pb.MsgProto], None]


@dataclass(eq=False)
class Subscription:
    """Messages come to the handler if there is one, else by next() or `async for`.

    Without manual_acks each message is acknowledged when its handler is done, or when next() hands it out.
    """

    session: Session
    subject: str
    inbox: str
    queue: str
    durable: str
    manual_acks: bool
    handler: Handler | None
    ack_inbox: str = ""
    core: NatsSubscription | None = None
    closed: bool = False

    def __post_init__(self) -> None:
        self._accepted = asyncio.Event()
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    def accept(self, ack_inbox: str) -> None:
        """The server has agreed: messages that came before its answer may be handled now."""
        self.ack_inbox = ack_inbox
        self._accepted.set()

    def end(self) -> None:
        """No more messages: wakes whoever waits in next()."""
        self.closed = True
        self._messages.put_nowait(None)

    async def receive(self, raw: Msg) -> None:
        """Take one message from the wire; what is no streaming message (no responders, say) is left out."""
        if not raw.data:
            return
        received = time.monotonic()
        if not self._accepted.is_set():
            await self._accepted.wait()
        wire = pb.MsgProto.FromString(raw.data)
        message = Message(
            wire.sequence,
            wire.subject,
            wire.data,
            wire.timestamp,
            wire.redelivered,
            wire.redelivery_count,
            wire.reply,
            received,
            self,
        )
        if self.handler is None:
            self._messages.put_nowait(message)
            return
        result = self.handler(message)
        if inspect.isawaitable(result):
            await result
        if not self.manual_acks:
            await self.ack(wire.sequence)

    async def ack(self, sequence: int) -> bool:
        """Acknowledge one message by its sequence number; False if it could not be sent."""
        return await self.session.send(
            self.ack_inbox, pb.Ack(subject=self.subject, sequence=sequence).SerializeToString()
        )

    async def next(self, timeout: float) -> Message:
        """The next message. Raises TimeoutError after timeout seconds, ConnectionLostError once it has ended."""
        async with asyncio.timeout(timeout):
            message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            raise ConnectionLostError(f"the subscription to {self.subject} has ended")
        if not self.manual_acks:
            await message.ack()
        return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            message = await self._messages.get()
            if message is None:
                self._messages.put_nowait(None)
                return
            if not self.manual_acks:
                await message.ack()
            yield message

    async def close(self) -> None:
        """Stop the deliveries; a durable keeps its position. Raises what a request to the server can raise."""
        await self.session.end_subscription(self, forget=False)

    async def unsubscribe(self) -> None:
        """Stop the deliveries and delete the durable position. Raises what a request to the server can raise."""
        await self.session.end_subscription(self, forget=True)
