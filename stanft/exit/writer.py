"""Puts messages into a stream, each under the number that it has at the source, many on their way at once.

Only some are answered: as each names the number before it, an answer to one says that all before it are stored too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from stanft.exit import record
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.store.channel import Message

ASK_EVERY = 64  # messages
ASK_BYTES = 256 << 10
UNANSWERED = 1024  # messages on their way at most; a server buffers 10,000 for a stream before it refuses any
UNANSWERED_BYTES = 2 << 20
ANSWER = 5.0  # seconds
FULL = {
    10002: "storage for the account",
    10047: "storage",
    10023: "memory",
    10028: "memory",
    10077: "max_msgs or max_bytes",
    10122: "memory",
}


class WriteInterruptedError(Exception):
    """Something was not stored: look at what the stream has and go on from there."""


class Writer:
    """Writes to one stream; a context manager."""

    def __init__(self, target: Target, stream: str, subject: str) -> None:
        self.target = target
        self.stream = stream
        self.subject = subject
        self.sent = 0  # the highest sequence sent
        self.stored = 0  # the highest sequence that is surely stored
        self._sizes: list[tuple[int, int]] = []  # sequence and bytes since the start at each question
        self._bytes = self._asked_bytes = self._stored_bytes = 0
        self._asked = 0
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._inbox = ""
        self._answers: Subscription | None = None

    async def __aenter__(self) -> Writer:
        self._inbox = self.target.connection.new_inbox()
        self._answers = await self.target.connection.subscribe(f"{self._inbox}.*", cb=self._answered)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._answers is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._answers.unsubscribe()

    async def put(self, message: Message, *, ttl: int = 0, final: bool = False) -> None:
        """Send one message; final asks for an answer at once. Raises WriteInterruptedError, UserError."""
        if self._error:
            raise self._error
        connection, sequence, data = self.target.connection, message.sequence, message.data
        self._bytes += len(data)
        ask = final or sequence - self._asked >= ASK_EVERY or self._bytes - self._asked_bytes >= ASK_BYTES
        if ask:
            self._asked, self._asked_bytes = sequence, self._bytes
            self._sizes.append((sequence, self._bytes))
        header = record.block(message, ttl)
        total = len(header) + len(data)
        if total > connection.max_payload:
            raise UserError(
                f"{self.stream}: message {sequence} is {total} bytes with its headers and the target takes "
                f"{self.target.max_payload}: raise max_payload on the target, then go on."
            )
        if not connection.is_connected:
            raise WriteInterruptedError("not connected")
        reply = f" {self._inbox}.{sequence}" if ask else ""
        command = f"HPUB {self.subject}{reply} {len(header)} {total}\r\n".encode()
        try:
            await connection._send_command(b"".join((command, header, data, b"\r\n")))
            if connection._flush_queue is not None and connection._flush_queue.empty():
                await connection._flush_pending()
        except (nats.errors.Error, OSError) as error:
            raise WriteInterruptedError(str(error) or type(error).__name__) from error
        self.sent = sequence
        if not self.stored:
            self.stored = sequence - 1
        while self.sent - self.stored > UNANSWERED or self._bytes - self._stored_bytes > UNANSWERED_BYTES:
            if self.stored >= self._asked:
                break
            await self._wait()

    async def finish(self) -> None:
        """Wait until everything that was asked about is stored. Raises WriteInterruptedError, UserError."""
        while self.stored < self._asked:
            await self._wait()
        if self._error:
            raise self._error

    async def _wait(self) -> None:
        if self._error:
            raise self._error
        self._news.clear()
        try:
            async with asyncio.timeout(ANSWER):
                await self._news.wait()
        except TimeoutError as error:
            raise WriteInterruptedError(f"no answer within {ANSWER:.0f} s") from error
        if self._error:
            raise self._error

    async def _answered(self, answer: Msg) -> None:
        sequence = int(answer.subject.rpartition(".")[2])
        if b'"error"' in answer.data or not answer.data:
            self._fail(answer)
        elif sequence > self.stored:
            self.stored = sequence
            while self._sizes and self._sizes[0][0] <= sequence:
                self._stored_bytes = self._sizes.pop(0)[1]
        self._news.set()

    def _fail(self, answer: Msg) -> None:
        if self._error:
            return
        if not answer.data:
            self._error = WriteInterruptedError("no stream takes the message now")
            return
        error = json.loads(answer.data).get("error", {})
        number, text = int(error.get("err_code", 0)), str(error.get("description", ""))
        if number in FULL:
            self._error = UserError(
                f"{self.stream}: the target is full ({text}): give it more {FULL[number]}; the copy then goes on."
            )
        else:
            self._error = WriteInterruptedError(text)
