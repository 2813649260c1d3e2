"""The short way of messages from the wire to their taker: however the bytes are cut, each comes once and in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from stanft.stan.connection import Connection

HEADERS = b"NATS/1.0\r\nA: b\r\n\r\n"


def plain(sid: int, data: bytes, reply: bytes = b"") -> bytes:
    return b"MSG in.box %d %s%d\r\n%s\r\n" % (sid, reply and reply + b" ", len(data), data)


def with_headers(sid: int, data: bytes) -> bytes:
    return b"HMSG in.box %d %d %d\r\n%s%s\r\n" % (sid, len(HEADERS), len(HEADERS) + len(data), HEADERS, data)


@pytest.mark.parametrize("seed", range(20))
def test_however_the_bytes_are_cut_each_message_comes_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    wire, wanted = b"", []
    for number in range(200):
        data = b"%d MSG in.box 1 3\r\n" % number + chance.randbytes(chance.choice((0, 5, 300, 5000)))
        match chance.randrange(5):
            case 0:
                wire += plain(2, data) + b"+OK\r\n"  # for nobody: it goes nats-py's way
            case 1:
                wire += with_headers(1, data)
                wanted.append((HEADERS, data))
            case 2:
                wire += plain(1, data, b"an.answer")
                wanted.append((b"", data))
            case _:
                wire += plain(1, data)
                wanted.append((b"", data))
    seen: list[tuple[bytes, bytes]] = []

    async def feed() -> None:
        connection = Connection()
        connection.takers[1] = lambda headers, data: seen.append((headers, data))
        rest = wire
        while rest:
            size = chance.choice((1, 2, 7, 100, 32768))
            await connection._ps.parse(rest[:size])
            rest = rest[size:]

    asyncio.run(feed())
    assert seen == wanted


def test_a_new_connection_begins_with_nothing_of_the_old_one() -> None:
    seen: list[bytes] = []

    async def feed() -> None:
        connection = Connection()
        connection.takers[1] = lambda _headers, data: seen.append(data)
        await connection._ps.parse(plain(1, bytes(1000))[:500])
        connection._ps.reset()
        await connection._ps.parse(plain(1, b"whole"))

    asyncio.run(feed())
    assert seen == [b"whole"]


def test_a_taker_that_leaves_in_the_middle_of_a_message_holds_nothing_up() -> None:
    seen: list[bytes] = []
    large, small = plain(1, bytes(5000)), plain(2, b"small")

    async def feed() -> None:
        connection = Connection()
        connection.takers[1] = lambda _headers, data: seen.append(data)
        await connection._ps.parse(large[:100])
        del connection.takers[1]
        await connection._ps.parse(large[100:] + small[:3])
        connection.takers[2] = lambda _headers, data: seen.append(data)
        await connection._ps.parse(small[3:])

    asyncio.run(feed())
    assert seen == [b"small"]
