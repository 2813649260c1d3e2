"""Invariants on what the server is told: its FT group, its store, its keys."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from stanft.conf.parse import Quoted, Variable, plain
from stanft.invariants import keys
from stanft.invariants.model import (
    Container,
    Manifests,
    Server,
    Severity,
    Unseen,
    invariant,
)
from stanft.kube import objects
from stanft.kube.objects import dig


def servers(manifests: Manifests) -> list[Server]:
    """Every server."""
    return manifests.servers


def readable(manifests: Manifests) -> list[Server]:
    """The servers whose configuration the objects hold."""
    return [server for server in manifests.servers if server.known]


@invariant(
    "config-readable",
    servers,
    "Put the server's configuration file into a ConfigMap that it mounts, and correct its syntax.",
)
def config_readable(_: Manifests, server: Server) -> Iterator[str | Unseen]:
    """The configuration file that a server is started with is mounted from a ConfigMap and can be parsed."""
    if server.conf_error:
        yield f"{server.conf_path} cannot be parsed: {server.conf_error}"
    elif not server.known:
        yield Unseen(f"the ConfigMap behind {server.conf_path} is not among these objects")


@invariant("ft-group", readable, "Set ft_group_name in the streaming block of every replica, to one name.")
def ft_group(_: Manifests, server: Server) -> Iterator[str]:
    """Every server is in a fault-tolerance group: otherwise each replica is a server of its own over the same files."""
    if server.group[1] is None:
        yield f"{server.replicas} replicas and no ft_group_name"


@invariant(
    "ft-without-raft",
    readable,
    "Remove the cluster block inside streaming, or give up fault-tolerance mode: the server cannot do both.",
)
def ft_without_raft(_: Manifests, server: Server) -> Iterator[str]:
    """A server in an FT group does not also cluster by Raft (nats-streaming-server cannot do both)."""
    words = Container(server.workload, server.container).arguments
    clustered = "cluster" in server.streaming or any(
        word.lstrip("-").partition("=")[0] == "clustered" for word in words
    )
    if server.group[1] is not None and clustered:
        yield "both an FT group and a Raft cluster are configured"


@invariant("lasting-store", readable, "Set store: file (or sql) and dir in the streaming block.")
def lasting_store(_: Manifests, server: Server) -> Iterator[str]:
    """The store is kept in files or in a database: FT with a memory store is refused by the server."""
    kind = str(server.option("store", "store_type", "st", "storetype", default="memory")).lower()
    if kind not in ("file", "sql"):
        yield f"the store is {kind}"
    elif kind == "file" and not server.store_directory:
        yield "the file store has no dir"


@invariant(
    "known-keys", readable, "Correct or remove the key: the server ignores what it does not know, without a word."
)
def known_keys(_: Manifests, server: Server) -> Iterator[str]:
    """Every key of the configuration is one that the server knows."""
    for path, key, _value, table in _keys(server.conf):
        if key.lower() not in table:
            yield f"unknown key {'.'.join((*path, key))}"


@invariant(
    "typed-keys",
    readable,
    'Write sizes bare (32mb), durations in quotes ("1h"), numbers and true or false without quotes.',
)
def typed_keys(_: Manifests, server: Server) -> Iterator[str]:
    """Every value has the type that the server demands: a size in quotes ends the server at its start."""
    for path, key, value, table in _keys(server.conf):
        kind = table.get(key.lower(), "any")
        if not _fits(kind, value):
            yield f"{'.'.join((*path, key))} is {_words(value)}, the server wants {_KINDS[kind]}"


@invariant(
    "durable-acks",
    readable,
    "Leave sync_on_flush at its default (true), unless that loss is accepted.",
    Severity.WARNING,
)
def durable_acks(_: Manifests, server: Server) -> Iterator[str]:
    """An acknowledged message is on the volume, not only in a node's memory."""
    options = server.option("file_options", "file", default={})
    sync = next((options[key] for key in ("sync_on_flush", "do_sync", "sync") if key in options), True)
    if server.file_store and sync is False:
        window = next((options[key] for key in ("auto_sync", "file_auto_sync") if key in options), "1m")
        yield f"sync_on_flush is false: a node that dies takes up to {window} of acknowledged messages with it"


@invariant("cluster-name", readable, "Set cluster.name, the same in every replica.", Severity.WARNING)
def cluster_name(_: Manifests, server: Server) -> Iterator[str]:
    """The embedded servers share an explicit cluster name (each invents one where none is set)."""
    if server.cluster and not server.cluster.get("name") and "cluster_name" not in _argument_names(server):
        yield "the cluster block has no name"


@invariant("files-mounted", readable, "Mount the Secret or ConfigMap that holds the file, at that path.")
def files_mounted(_: Manifests, server: Server) -> Iterator[str]:
    """Every file that the configuration names lies on a volume of the container."""
    mounts = [str(mount["mountPath"]).rstrip("/") for mount in server.container.get("volumeMounts") or []]
    base = str(server.conf_path or "").rpartition("/")[0]
    for path, key, value in _walk(server.conf):
        if key.lower() not in keys.FILES:
            continue
        for file in value if isinstance(value, list) else [value]:
            if isinstance(plain(file), str):
                full = posixpath.normpath(posixpath.join(base, str(plain(file))))
                if not any(full == mount or full.startswith(f"{mount}/") for mount in mounts):
                    yield f"{'.'.join((*path, key))} names {full}, which no volume provides"


@invariant(
    "config-rolls-pods",
    readable,
    "Put a checksum of the configuration into the pod template's annotations.",
    Severity.WARNING,
)
def config_rolls_pods(_: Manifests, server: Server) -> Iterator[str]:
    """A change of the configuration restarts the pods: the streaming block is read only at the start."""
    annotations = dig(objects.pod_template(server.workload) or {}, "metadata.annotations", {})
    if server.conf_text is not None and not any("checksum" in key or "hash" in key for key in annotations):
        yield "no checksum of the configuration among the pod template's annotations"


@invariant("one-store-one-group", readable, "Give each FT group its own claim or its own dir.")
def one_store_one_group(manifests: Manifests, server: Server) -> Iterator[str]:
    """Servers that use the same store directory of the same claim belong to the same cluster id and FT group."""
    for other in manifests.servers:
        same_store = server.claim is not None and (other.claim, other.store_directory) == (
            server.claim,
            server.store_directory,
        )
        if other is not server and same_store and other.group != server.group:
            yield f"{other.name} uses the same store as group {other.group}, this is group {server.group}"


def _argument_names(server: Server) -> set[str]:
    words = Container(server.workload, server.container).arguments
    return {word.lstrip("-").partition("=")[0] for word in words if word.startswith("-")}


_KINDS = {
    "text": "a text",
    "number": "a number or a bare size such as 32mb",
    "flag": "true or false",
    "time": 'a duration such as "1h"',
    "map": "a block",
    "list": "a list",
    "any": "anything",
}


def _fits(kind: str, value: Any) -> bool:
    if isinstance(value, Variable) or kind == "any":
        return True
    if kind == "number":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "list" and isinstance(value, str | Quoted):
        return True  # one element without brackets
    expected: dict[str, Any] = {"text": (str, Quoted), "time": (str, Quoted), "flag": bool, "map": dict, "list": list}
    return isinstance(value, expected[kind])


def _words(value: Any) -> str:
    return f'"{value}" in quotes' if isinstance(value, Quoted) else repr(value)


def _walk(block: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    for key, value in block.items():
        yield path, key, value
        if isinstance(value, Mapping):
            yield from _walk(value, (*path, key))


def _keys(
    block: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, Any, Mapping[str, str]]]:
    """Each key of the blocks whose keys are known, with the table of its block."""
    table = _table(path)
    if table is None:
        return
    for key, value in block.items():
        if path and path[-1].lower() in _PER_CHANNEL:
            if isinstance(value, Mapping):
                yield from ((path, f"{key}.{inner}", each, _suffixed(key)) for inner, each in value.items())
            continue
        yield path, key, value, table
        if isinstance(value, Mapping):
            yield from _keys(value, (*path, key))


_PER_CHANNEL = ("channels", "channels_limits", "channelslimits", "per_channel", "per_channel_limits")


def _suffixed(channel: str) -> dict[str, str]:
    return {f"{channel}.{key}".lower(): kind for key, kind in keys.CHANNEL_LIMITS.items()}


def _table(path: tuple[str, ...]) -> Mapping[str, str] | None:
    match tuple(part.lower() for part in path):
        case ():
            return keys.NATS
        case ("streaming",):
            return keys.STREAMING
        case ("streaming", "store_limits" | "limits" | "storelimits"):
            return keys.STORE_LIMITS
        case ("streaming", "store_limits" | "limits" | "storelimits", last) if last in _PER_CHANNEL:
            return keys.CHANNEL_LIMITS
        case ("streaming", "file" | "file_options"):
            return keys.FILE_OPTIONS
        case ("streaming", "sql" | "sql_options"):
            return keys.SQL_OPTIONS
        case ("streaming", "tls"):
            return keys.STREAMING_TLS
        case ("streaming", "cluster"):
            return keys.RAFT
        case ("cluster",):
            return keys.CLUSTER
        case ("tls",) | ("cluster", "tls"):
            return keys.TLS
        case ("authorization",) | ("cluster", "authorization"):
            return keys.AUTHORIZATION
    return None
