"""The JetStream side: its API as JSON requests, so that what this program does not know of a stream is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Sequence
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from stanft.exit import record
from stanft.ground.errors import UserError
from stanft.stan.connection import Connection
from stanft.stan.errors import ConnectError
from stanft.stan.options import ConnectOptions

OLDEST = (2, 11)  # per-message TTL, batched reads, and start positions beyond the end that are kept
REACH = 20.0  # seconds in which there must be a first connection
PATIENCE = 60.0  # seconds for which a request is made again while there is no leader
_CLUSTER, _CHANNEL = "stan-ft-cluster", "stan-ft-channel"  # in a stream's metadata: whose copy it is
BATCH_BYTES = 4 << 20  # what one batched read may bring
NO_STREAM, NO_CONSUMER = 10059, 10014  # nats-server server/errors.json
ELECTION = (10005, 10008)  # no peers now, no leader: with the code 400 or 503, as the server found out
SWITCHED_OFF = (10039, 10076)  # JetStream, for this account or on the server


class ApiError(Exception):
    """JetStream answered with an error."""

    def __init__(self, code: int, number: int, text: str) -> None:
        super().__init__(f"{text} ({number})")
        self.code, self.number, self.text = code, number, text


def private(cluster_id: str, stream: str) -> str:
    """The subject that a stream listens on until it is opened to producers."""
    return f"_exit.{cluster_id}.{stream}"


class Target:
    """A connection to a NATS system with JetStream; make it with connect()."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    async def connect(cls, servers: str | Sequence[str], login: ConnectOptions | None = None) -> Target:
        """Connect and look whether it is new enough. Raises UserError."""
        opened = Connection()
        try:
            await opened.reach(
                [servers] if isinstance(servers, str) else list(servers),
                REACH,
                name="stan-ft exit",
                connect_timeout=5,
                reconnect_time_wait=1,
                **(login or ConnectOptions()).login(),
            )
        except (ConnectError, ValueError) as error:
            await opened.close()
            raise UserError(f"{error}.") from error
        made = cls(opened)
        try:
            made.check_version()
            await made.account()
        except BaseException:
            await made.close()
            raise
        return made

    def check_version(self) -> None:
        """Raises UserError if the server is too old."""
        found = str(self.connection._server_info.get("version", ""))
        parts = re.match(r"(\d+)\.(\d+)", found)
        if not parts or (int(parts[1]), int(parts[2])) < OLDEST:
            raise UserError(
                f"the target is nats-server {found or 'of an unknown version'}: {OLDEST[0]}.{OLDEST[1]} is the oldest "
                "that can take messages with their sequence numbers and positions; upgrade it first."
            )

    async def account(self) -> dict[str, Any]:
        """The account's limits and use. Raises UserError without JetStream."""
        try:
            return await self.api("INFO", nobody=10)
        except ApiError as error:
            raise UserError(f"JetStream is not there for this account: {error}: enable it on the target.") from error

    @property
    def max_payload(self) -> int:
        """Bytes of the largest message, headers included."""
        return int(self.connection.max_payload)

    async def api(self, subject: str, body: dict[str, Any] | None = None, nobody: float = PATIENCE) -> dict[str, Any]:
        """One request, again while no answer comes. Raises ApiError, UserError when PATIENCE is over.

        nobody is for how many seconds it is asked again when no server listens to such requests.
        """
        began = time.monotonic()
        payload = json.dumps(body).encode() if body is not None else b""
        while True:
            try:
                answer = await self.connection.request(f"$JS.API.{subject}", payload, timeout=5)
                found: dict[str, Any] = json.loads(answer.data)
                if "error" not in found:
                    return found
                error = found["error"]
                number = int(error.get("err_code", 0))
                passing = error.get("code") == 503 or number in ELECTION
                limit = nobody if number in SWITCHED_OFF else PATIENCE
                if not passing or time.monotonic() > began + limit:
                    raise ApiError(int(error.get("code", 0)), number, error.get("description", ""))
            except (nats.errors.Error, TimeoutError, OSError) as error:
                limit = nobody if isinstance(error, nats.errors.NoRespondersError) else PATIENCE
                if time.monotonic() > began + limit:
                    raise UserError(
                        f"JetStream gives no answer to {subject} within {limit:.0f} s "
                        f"({error or type(error).__name__}): check that it has a leader and that this login may use it."
                    ) from error
            await asyncio.sleep(0.2)

    # --- streams ----------------------------------------------------------------------------------------------

    async def stream(self, name: str) -> dict[str, Any] | None:
        """Configuration and state of a stream, None if there is none."""
        try:
            return await self.api(f"STREAM.INFO.{name}")
        except ApiError as error:
            if error.number == NO_STREAM:
                return None
            raise

    async def last(self, name: str) -> int:
        """The last sequence of a stream."""
        found = await self.api(f"STREAM.INFO.{name}")
        return int(found["state"]["last_seq"])

    async def streams(self) -> list[dict[str, Any]]:
        """Configuration and state of all streams."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.api("STREAM.LIST", {"offset": len(found)})
            found += page.get("streams") or []
            if len(found) >= int(page.get("total", 0)):
                return found

    async def create(self, config: dict[str, Any]) -> None:
        """Make a stream."""
        await self.api(f"STREAM.CREATE.{config['name']}", config)

    async def change(self, name: str, **changes: Any) -> None:
        """Change some settings of a stream; None takes one away, all others are kept as they are."""
        found = await self.api(f"STREAM.INFO.{name}")
        config = {**found["config"], **changes}
        await self.api(f"STREAM.UPDATE.{name}", {key: value for key, value in config.items() if value is not None})

    async def purge_before(self, name: str, sequence: int) -> None:
        """Let a stream begin with this sequence, also beyond its end."""
        await self.api(f"STREAM.PURGE.{name}", {"seq": sequence})

    async def get(self, stream: str, sequence: int) -> tuple[dict[str, str], bytes] | None:
        """Headers and content of one message, None if there is none."""
        found = await self.read(stream, sequence, 1)
        return (found[0][1], found[0][2]) if found and found[0][0] == sequence else None

    async def read(self, stream: str, sequence: int, count: int) -> list[tuple[int, dict[str, str], bytes]]:
        """At most so many messages from a sequence on, in order, as sequence, headers and content.

        Raises UserError when the target gives none within PATIENCE seconds though it answers nothing else.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            found = await self._batch(stream, {"seq": sequence, "batch": count, "max_bytes": BATCH_BYTES})
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise UserError(f"the stream {stream} cannot be read from message {sequence} on: has it a leader?")
            await asyncio.sleep(0.2)

    async def _batch(self, stream: str, question: dict[str, int]) -> list[tuple[int, dict[str, str], bytes]] | None:
        """One batched read: what came, None if nobody answered."""
        found: list[tuple[int, dict[str, str], bytes]] = []
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def take(headers: bytes, data: bytes) -> None:
            if headers.startswith(b"NATS/1.0 ") or not headers:
                if not ended.done():
                    # 204 is the end of the batch, 404 that there is nothing from there on.
                    ended.set_result(headers[9:12] in (b"204", b"404"))
            else:
                known = record.headers_of(headers)
                found.append((int(known["Nats-Sequence"]), known, data))

        inbox = self.connection.new_inbox()
        try:
            answers = await self.connection.subscribe(inbox, cb=_nothing)
            self.connection.take(answers, take)
            try:
                await self.connection.publish(
                    f"$JS.API.DIRECT.GET.{stream}", json.dumps(question).encode(), reply=inbox
                )
                async with asyncio.timeout(5):
                    whole = await ended
            finally:
                with contextlib.suppress(nats.errors.Error):
                    await self.connection.leave(answers)
        except (nats.errors.Error, TimeoutError, OSError):
            whole = False
        return found if whole or found else None

    # --- consumers --------------------------------------------------------------------------------------------

    async def consumer(self, stream: str, name: str) -> dict[str, Any] | None:
        """Configuration and state of a consumer, None if there is none."""
        try:
            return await self.api(f"CONSUMER.INFO.{stream}.{name}")
        except ApiError as error:
            if error.number in (NO_CONSUMER, NO_STREAM):
                return None
            raise

    async def set_consumer(self, stream: str, config: dict[str, Any], action: str = "") -> dict[str, Any]:
        """Make or change a consumer; action "create" refuses one that is there with another configuration."""
        body = {"stream_name": stream, "config": config, "action": action}
        return await self.api(f"CONSUMER.CREATE.{stream}.{config['name']}", body)

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer."""
        await self.api(f"CONSUMER.DELETE.{stream}.{name}")

    async def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self.connection.close()


async def _nothing(_answer: Msg) -> None:
    """nats-py wants a callback also where it is passed by."""


def metadata(cluster_id: str, channel: str) -> dict[str, str]:
    """What marks a stream as the copy of a channel."""
    return {_CLUSTER: cluster_id, _CHANNEL: channel}


def is_copy(config: dict[str, Any], cluster_id: str, channel: str) -> bool:
    """Whether a stream's configuration is that of a copy of this channel."""
    found = config.get("metadata") or {}
    return found.get(_CLUSTER) == cluster_id and found.get(_CHANNEL) == channel
