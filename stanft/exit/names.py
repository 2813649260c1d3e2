"""Names for streams and consumers, made from names of channels and durables so that no two become one."""

from __future__ import annotations

import hashlib
import re

_ALLOWED = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 200  # characters; a stream's name is a directory on the server
_SUBJECT = re.compile(r"[^\s.*>\0]+(\.[^\s.*>\0]+)*\Z")
_RESERVED = ("$JS", "$SYS", "$KV", "$O", "_INBOX", "_STAN", "_exit")


def safe(name: str) -> str:
    """A name that JetStream and file systems take. Dots become _; any other change is told apart by a hash."""
    made = _ALLOWED.sub("_", name)[:_LONGEST]
    return made if made == name.replace(".", "_") else f"{made}-{_hash(name)}"


def distinct(names: list[str]) -> dict[str, str]:
    """safe() of each name, where several would become the same (also in letters' case only) with a hash added."""
    made = {name: safe(name) for name in names}
    count: dict[str, int] = {}
    for stream in made.values():
        count[stream.lower()] = count.get(stream.lower(), 0) + 1
    return {name: stream if count[stream.lower()] == 1 else f"{stream}-{_hash(name)}" for name, stream in made.items()}


def consumer(client_id: str, durable: str, group: str) -> str:
    """The name of the consumer that takes a durable's place."""
    return safe(f"{durable}-{group}" if group else f"{client_id}-{durable}")


def problem(channel: str) -> str:
    """Why a channel's name cannot be the subject of a stream, empty if it can."""
    if not _SUBJECT.match(channel):
        return "is no NATS subject (white space, *, >, or an empty part)"
    if channel.split(".", maxsplit=1)[0] in _RESERVED:
        return "begins with a name that NATS keeps for itself"
    return ""


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
