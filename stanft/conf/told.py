"""What a server is told by its command line and its configuration files together, as the server itself adds them up.

Source: nats-streaming-server v0.25.6 server/conf.go ConfigureOptions: one file given by -sc or -c serves both halves,
options come on top. With -sc alone, warnings of the NATS half end the server, and -routes and -cluster come below the
file, not above it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from stanft.conf import flags, url
from stanft.conf.entries import Entry, entries, streaming_block
from stanft.conf.flags import Flags
from stanft.conf.parse import ConfError, Document, Variable


@dataclass
class Source:
    """One configuration file: its name, what it says (None if it cannot be seen), or why it cannot be read."""

    path: str
    document: Document | None = None
    error: str | None = None
    nats: bool = True
    streaming: bool = True
    warnings_end: bool = True  # -sc alone gives the file

    def entries(self) -> list[Entry]:
        """The keys that the server looks at."""
        if self.document is None:
            return []
        return list(entries(self.document, nats=self.nats, streaming=self.streaming, warnings_end=self.warnings_end))


@dataclass
class Told:
    """The settings of a server by dotted first spelling: streaming ones, and those of the NATS server inside."""

    flags: Flags
    sources: list[Source] = field(default_factory=list)
    streaming: dict[str, Any] = field(default_factory=dict)
    nats: dict[str, Any] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)  # why the server ends at its start

    @property
    def known(self) -> bool:
        """Whether every file could be seen and read, and every option was understood."""
        return not self.flags.refusals and all(source.document is not None for source in self.sources)


def told(words: Sequence[str], file: Callable[[str], Document | None]) -> Told:
    """What a server is told. words follow the program's name; file reads a file, None if it cannot be seen.

    file may raise ConfError, which is kept with its source.
    """
    given = flags.read(words)
    made = Told(given, refusals=list(given.refusals))
    for source in _sources(given):
        made.sources.append(source)
        try:
            source.document = file(source.path)
        except ConfError as error:
            source.error = str(error)
        _take(made, source)
    _override(made)
    return made


def _sources(given: Flags) -> list[Source]:
    streaming, nats = given.last("sc", "stan_config") or "", given.last("c", "config") or ""
    if streaming and nats and streaming != nats:
        return [Source(nats, streaming=False, warnings_end=False), Source(streaming, nats=False)]
    path = streaming or nats
    return [Source(path, warnings_end=not nats)] if path else []


def _take(made: Told, source: Source) -> None:
    """Put a file's keys into the settings, and what the server refuses into the refusals."""
    if source.document is None:
        return
    block = streaming_block(source.document)
    if source.streaming and block is not None and not isinstance(source.document.values[block], dict | Variable):
        made.refusals.append("streaming is no block")
    if source.nats and not source.document.values and not source.document.unseen and _only_by_sc(made):
        made.refusals.append(f"{source.path} is empty")
    for name in source.document.unset:
        hint = " (the server knows $NAME alone, no ${NAME})" if name.startswith("{") else ""
        made.refusals.append(f"${name} is set neither in {source.path} nor in the environment{hint}")
    for entry in source.entries():
        if entry.problem:
            made.refusals.append(entry.problem)
            continue
        for key, path in zip(entry.meanings, entry.names, strict=True):
            into, dotted = (made.nats, ".".join(path[1:])) if path[0] == "" else (made.streaming, ".".join(path))
            if key.kind == "address":
                _listen(into, dotted, entry.value)
            elif dotted == "cluster.routes":
                into["routes"] = entry.value
            elif key.kind != "map":
                into[dotted] = entry.value
            elif dotted == "cluster":
                into["clustered" if into is made.streaming else "cluster"] = True


def _only_by_sc(made: Told) -> bool:
    return not made.flags.last("c", "config")


def _listen(into: dict[str, Any], name: str, value: Any) -> None:
    """Take listen, http and https, which are a host and a port in one."""
    prefix = name.rpartition("listen")[0] if name.endswith("listen") else ""
    port = {"http": "http_port", "https": "https_port"}.get(name, f"{prefix}port")
    if isinstance(value, str):
        host, _, number = value.rpartition(":")
        into[f"{prefix}host" if name.endswith("listen") else "http_host"] = host.strip("[]")
        into[port] = int(number)
    else:
        into[port] = value


def _override(made: Told) -> None:
    """Put the options on top of the files."""
    for option, value in made.flags.given.items():
        target = flags.KINDS[option][1]
        if target.startswith("/"):
            made.nats[target[1:]] = value
        elif target:
            made.streaming[target] = value
    if "SDV" in made.flags.given:  # it counts last wherever it stands
        made.streaming["stan_debug"] = made.streaming["stan_trace"] = made.flags.given["SDV"]
    if made.streaming.get("encryption_key"):
        made.streaming["encrypt"] = made.flags.given.get("encrypt", True)
    peers = made.streaming.get("cluster.peers")
    if isinstance(peers, str):
        node = made.flags.given.get("cluster_node_id", "")
        named = [each.strip() for each in peers.split(",")] if peers else []
        made.streaming["cluster.peers"] = [each for each in named if each != node]
    _cluster_options(made)


def _cluster_options(made: Told) -> None:
    """-cluster and -routes: without -c they are read before the file, which then wins."""
    by_file = {"cluster.host", "cluster.port", "routes"} & made.nats.keys()
    first = _only_by_sc(made)
    listen, routes = made.flags.last("cluster", "cluster_listen"), made.flags.last("routes")
    if isinstance(listen, str):
        found = _listen_address(listen)
        if isinstance(found, str):
            made.refusals.append(found)
            return
        made.nats["cluster"] = made.nats.get("cluster") or bool(listen)
        for key, value in zip(("cluster.host", "cluster.port"), found, strict=True):
            if value is not None and not (first and key in by_file):
                made.nats[key] = value
    if not isinstance(routes, str):
        return
    in_time = {} if first else made.nats  # what is known when the server looks for a cluster that the routes are for
    if routes and not listen and not in_time.get("cluster.host") and not in_time.get("cluster.port"):
        made.refusals.append("solicited routes require cluster capabilities, e.g. --cluster")
    if not (first and "routes" in by_file):
        made.nats["routes"] = [each.strip() for each in routes.split(",")] if routes else []
        for each in made.nats["routes"]:
            if problem := url.problem(each):
                made.refusals.append(f"the server panics at the route {each}: {problem}")


def _listen_address(text: str) -> tuple[str | None, int | None] | str:
    """Host and port of -cluster, or why the server refuses it."""
    if not text:
        return None, 0
    random = text.endswith(":-1")
    text = f"{text[:-3]}:0" if random else text
    if problem := url.problem(text):
        return f"the server cannot read -cluster {text}: {problem}"
    parts = urlsplit(text)
    host, colon, port = parts.netloc.rpartition("@")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return f"-cluster {text} has no port"
    if "@" in parts.netloc and ":" not in parts.netloc.rpartition("@")[0]:
        return "-cluster names a user without a password"
    return host.strip("[]"), -1 if random else int(port)
