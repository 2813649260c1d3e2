"""What a caller may choose: how to connect, and where a subscription starts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stanft.stan import protocol_pb2 as pb


@dataclass(frozen=True)
class ConnectOptions:
    """How to reach the servers and how patient to be (times in seconds).

    The defaults keep the client's own share of an outage small; NATS_PY_DEFAULTS and
    STAN_GO_DEFAULTS are what the usual clients do.
    nkey is a file with an NKey seed, credentials one with a user's JWT and seed.
    The session is given up after ping_interval x ping_max_out without an answer (440 s, as stan.go has it).
    discover: reconnect also to the addresses that the servers announce (inside a cluster they are pod addresses).
    patient: wait for an acknowledgement until ack_timeout is over, whatever "no responders" or a broken connection say
    of its message before.
    """

    user: str | None = None
    password: str | None = None
    token: str | None = None
    nkey: Path | None = None
    credentials: Path | None = None
    tls: ssl.SSLContext | None = None
    tls_hostname: str | None = None
    reconnect_wait: float = 0.05
    connect_timeout: float = 1.0
    request_timeout: float = 2.0
    ack_timeout: float = 30.0
    ping_interval: int = 5
    ping_max_out: int = 88
    discover: bool = False
    patient: bool = False
    discover_prefix: str = "_STAN.discover"

    def login(self) -> dict[str, Any]:
        """What nats-py's connect() takes of it to log in."""
        return {
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "nkeys_seed": None if self.nkey is None else str(self.nkey),
            "user_credentials": self.credentials,
            "tls": self.tls,
            "tls_hostname": self.tls_hostname,
        }


# nats-py 2.16 aio/client.py DEFAULT_RECONNECT_TIME_WAIT, DEFAULT_CONNECT_TIMEOUT; it follows announced addresses.
NATS_PY_DEFAULTS = ConnectOptions(reconnect_wait=2.0, connect_timeout=2.0, discover=True)
# stan.go v0.10.4 stan.go DefaultAckWait, nats.go DefaultReconnectWait; it drops answers that carry no guid.
STAN_GO_DEFAULTS = ConnectOptions(
    reconnect_wait=2.0, connect_timeout=2.0, ack_timeout=30.0, discover=True, patient=True
)


@dataclass(frozen=True)
class Start:
    """Where a new subscription begins; a durable one that exists already goes on where it was instead."""

    position: pb.StartPosition
    first_sequence: int = 0
    seconds: float = 0.0

    @classmethod
    def new(cls) -> Start:
        """Only messages stored from now on."""
        return cls(pb.NEW_ONLY)

    @classmethod
    def first(cls) -> Start:
        """Every message that the channel still has."""
        return cls(pb.FIRST)

    @classmethod
    def last(cls) -> Start:
        """The last message stored, then the new ones."""
        return cls(pb.LAST_RECEIVED)

    @classmethod
    def sequence(cls, number: int) -> Start:
        """From this sequence number of the channel on."""
        return cls(pb.SEQUENCE, first_sequence=number)

    @classmethod
    def since(cls, seconds: float) -> Start:
        """Messages stored in the last so many seconds, then the new ones."""
        return cls(pb.TIME_DELTA, seconds=seconds)
