"""What of a message is carried in headers, and the fingerprint by which both sides are compared."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping

from stanft.store.channel import Message

EXPECTED = "Nats-Expected-Last-Sequence"  # the server refuses a message that would get another number
TIMESTAMP = "Nats-Streaming-Timestamp"  # UTC, RFC 3339 with nanoseconds; the name is that of stan2js
REPLY = "Nats-Streaming-Reply"
TTL = "Nats-TTL"
_SECOND = 1_000_000_000


def stamp(nanoseconds: int) -> str:
    """A time as text, without loss."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def block(message: Message, ttl: int = 0) -> bytes:
    """The header block of a copied message; ttl in seconds, 0 for none."""
    reply = f"{REPLY}: {message.reply}\r\n" if message.reply else ""
    life = f"{TTL}: {ttl}s\r\n" if ttl else ""
    text = f"{EXPECTED}: {message.sequence - 1}\r\n{TIMESTAMP}: {stamp(message.timestamp)}\r\n{reply}{life}"
    return f"NATS/1.0\r\n{text}\r\n".encode()


def fingerprint(sequence: int, timestamp: str, reply: str, data: bytes) -> bytes:
    """What must be equal on both sides."""
    head = f"{sequence}\n{timestamp}\n{reply}\n{len(data)}\n".encode()
    return hashlib.sha256(head + data).digest()


def of_source(message: Message) -> bytes:
    """The fingerprint of a message at the source."""
    return fingerprint(message.sequence, stamp(message.timestamp), message.reply, message.data)


def of_copy(sequence: int, headers: Mapping[str, str], data: bytes, native: str = "") -> bytes:
    """The fingerprint of a message in JetStream; native is the time to take for one that no copier wrote."""
    timestamp = headers.get(TIMESTAMP, "") if EXPECTED in headers else native
    return fingerprint(sequence, timestamp, headers.get(REPLY, ""), data)
