"""What can go wrong between a client and the active server, told apart by what it means for the request."""

from __future__ import annotations


class StanError(Exception):
    """Any failure of the streaming layer."""


class ConnectError(StanError):
    """No session was made within the time allowed, or the server refused it; the text says which and why."""


class ConnectionLostError(StanError):
    """The server no longer knows this session (replaced or timed out), or it was closed here: connect again."""


class NoActiveError(StanError):
    """Nobody took the request (no responders, or no connection): surely nothing was done, no message stored."""


class RefusedError(StanError):
    """The active server answered with an error, which is the text."""


class UnknownError(StanError):
    """No answer in time: the server may or may not have done what was asked."""
