"""Each key of a configuration file with what the server makes of it: known or not, of the right type or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from stanft.conf import duration, keys, url
from stanft.conf.keys import Key, Table
from stanft.conf.parse import Document, Variable

_WANTED: Final = {
    "text": "a text",
    "number": "a number or a bare size such as 32mb",
    "flag": "true or false",
    "time": 'a duration such as "1h" (there are no days; a bare number is none, a bare 30m is a size)',
    "period": 'a duration such as "20s" (a bare number ends the server where the file is given by -sc alone)',
    "address": "a port or host:port",
    "store": "file, memory or sql",
    "map": "a block",
    "list": "a list in [ ]",
}
_CHANNEL = re.compile(r"[^.\s*>]+(\.[^.\s*>]+)*(\.[*>])?")
_SHORTEST_LAME_DUCK = 30 * 10**9


@dataclass(frozen=True)
class Entry:
    """One key: where it stands, its value, and what it is to the tables of its block (none where nobody knows it)."""

    path: tuple[str, ...]
    value: Any
    meanings: tuple[Key, ...]
    names: tuple[tuple[str, ...], ...]  # the path in first spellings, one for each meaning
    warnings_end: bool = False  # whether the server ends where it would else go on with a warning

    @property
    def label(self) -> str:
        """The path as it is written; characters that are not to be seen (a byte order mark) by their numbers."""
        return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in ".".join(self.path))

    @property
    def problem(self) -> str | None:
        """What is wrong with the value, None if the server takes it (or it cannot be seen)."""
        for key in self.meanings:
            if isinstance(self.value, Variable) or (key.kind == "period" and self._seconds):
                continue
            if said := _misfit(key, self.value):
                return f"{self.label} is {_words(self.value)}, the server wants {said}"
        return None

    @property
    def _seconds(self) -> bool:
        """Whether a bare number passes as seconds, with a warning."""
        return isinstance(self.value, int) and not isinstance(self.value, bool) and not self.warnings_end


def entries(
    document: Document, *, nats: bool = True, streaming: bool = True, warnings_end: bool = True
) -> Iterator[Entry]:
    """The keys of all blocks whose keys are known, those that are unknown among them.

    nats and streaming say which of the two servers reads the file (both do where one file is given); warnings_end that
    warnings of the NATS half end the server (where -sc alone gives the file). Without a block streaming the streaming
    server takes its keys from the top.
    """
    block = streaming_block(document)
    roots: list[tuple[Table, tuple[str, ...]]] = [(keys.NATS, ("",))] if nats else []
    if streaming and block is None:
        roots.append((keys.STREAMING, ()))
    if roots:
        for entry in _walk(document.values, (), roots):
            yield replace(entry, warnings_end=warnings_end)
    if streaming and block is not None and isinstance(document.values[block], Mapping):
        yield from _walk(document.values[block], (block,), [(keys.STREAMING, ())])


def streaming_block(document: Document) -> str | None:
    """The key of the block streaming as it is written; None where there is none."""
    return next((key for key in document.values if key.lower() == "streaming"), None)


def _walk(
    block: Mapping[str, Any], path: tuple[str, ...], tables: list[tuple[Table, tuple[str, ...]]]
) -> Iterator[Entry]:
    """Yield the keys of a block; tables are what they are looked up in, with the block's path in first spellings."""
    for key, value in block.items():
        inner: list[tuple[Table, tuple[str, ...]]] = []
        meanings: list[Key] = []
        names: list[tuple[str, ...]] = []
        for table, base in tables:
            if table.every is not None:
                meanings.append(Key("channel", key))
                names.append((*base, key))
                inner.append((table.every, (*base, key)))
                continue
            known = table.keys.get(key.lower())
            if known is None:
                continue
            meanings.append(known)
            names.append((*base, known.name))
            if known.inner is not None:
                inner.append((known.inner, (*base, known.name)))
        yield Entry((*path, key), value, tuple(meanings), tuple(names))
        if inner and isinstance(value, Mapping):
            yield from _walk(value, (*path, key), inner)


def _misfit(key: Key, value: Any) -> str | None:
    """What the server wants instead of a value; None if it takes it."""
    match key.kind:
        case "text":
            fits = isinstance(value, str)
        case "number":
            fits = isinstance(value, int) and not isinstance(value, bool)
        case "flag":
            fits = isinstance(value, bool)
        case "time" | "period":
            fits = _is_time(value)
            if fits and key.name == "lame_duck_duration" and duration.nanoseconds(value) < _SHORTEST_LAME_DUCK:
                return "30s or more"
        case "address":
            fits = (isinstance(value, int) and not isinstance(value, bool)) or _is_address(value)
        case "store":
            fits = isinstance(value, str) and value.upper() in ("FILE", "MEMORY", "SQL")
        case "map":
            fits = isinstance(value, Mapping)
        case "channel":
            if not _CHANNEL.fullmatch(key.name) and key.name not in (">", "*"):
                return "the name of a channel"
            return None if isinstance(value, Mapping) else _WANTED["map"]
        case "list":
            return _list_misfit(key, value)
        case _:
            fits = True
    return None if fits else _WANTED[key.kind]


def _list_misfit(key: Key, value: Any) -> str | None:
    if not isinstance(value, list):
        return _WANTED["list"]
    if key.name == "routes":
        for each in value:
            if not isinstance(each, str | Variable):
                return "addresses in its list"
            if isinstance(each, str) and (problem := url.problem(each.strip())):
                return f"addresses such as nats://host:6222 ({each}: {problem})"
    return None


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and duration.nanoseconds(value) is not None
    except ValueError:
        return False


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    host, colon, port = value.rpartition(":")
    inside = host[1:-1] if host.startswith("[") and host.endswith("]") else host.replace(":", "[")
    return bool(colon) and "[" not in inside and "]" not in inside and re.fullmatch(r"[-+]?\d+", port) is not None


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value}"'
    if isinstance(value, datetime):
        return "a date"
    if isinstance(value, Mapping):
        return "a block"
    return "a list" if isinstance(value, list) else str(value)
