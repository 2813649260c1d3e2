"""Has a server deliver the last message of a channel: as little of the client's protocol as that takes.

Field numbers: nats-io/stan.go v0.10.4 pb/protocol.proto.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

INBOX = "trial.inbox"
_MSG = re.compile(rb"^H?MSG (\S+) (\d+) (?:\S+ )?(?:\d+ )?(\d+)\r\n$")


def _text(number: int, value: str) -> bytes:
    data = value.encode()
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _fields(data: bytes) -> Iterator[tuple[int, str]]:
    """The texts of a message; numbers among them are passed over."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            varint()
        elif tag & 7 == 2:
            length = varint()
            yield tag >> 3, data[at : at + length].decode(errors="replace")
            at += length
        else:
            raise ValueError("an answer of the server is not understood")


def last(port: int, discover: str, channel: str, *, seconds: float) -> bool:
    """Whether the last message came within so many seconds. Raises OSError, ValueError."""
    until = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        stream = connection.makefile("rb")
        stream.readline()  # INFO
        connection.sendall(b'CONNECT {"verbose":false,"protocol":1}\r\n')
        connection.sendall(f"SUB {INBOX}.* 1\r\n".encode())

        def ask(subject: str, reply: str, content: bytes) -> None:
            connection.sendall(f"PUB {subject} {INBOX}.{reply} {len(content)}\r\n".encode() + content + b"\r\n")

        def await_(name: str) -> bytes:
            while (left := until - time.monotonic()) > 0:
                connection.settimeout(left)
                line = stream.readline()
                if line.startswith(b"PING"):
                    connection.sendall(b"PONG\r\n")
                if found := _MSG.match(line):
                    content = stream.read(int(found[3]) + 2)[:-2]
                    if found[1].decode() == f"{INBOX}.{name}":
                        return content
            raise TimeoutError

        client = f"trial-{channel_id(channel)}"
        ask(discover, "welcome", _text(1, client) + _text(2, f"{INBOX}.heartbeat") + _number(3, 1) + _text(4, client))
        welcome = dict(_fields(await_("welcome")))
        if 2 not in welcome:
            raise ValueError(welcome.get(5, "no welcome"))
        wanted = _text(1, client) + _text(2, channel) + _text(4, f"{INBOX}.message")
        wanted += _number(5, 1) + _number(6, 30) + _number(10, 1)  # one in flight, from the last one on
        ask(welcome[2], "subscribed", wanted)
        try:
            await_("message")
        except TimeoutError:
            return False
        return True


def channel_id(channel: str) -> str:
    """A channel's name in the letters that a client id may have."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", channel)
