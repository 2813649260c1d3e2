"""Invariants on what the server is told: its FT group, its store, its keys."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from stanft.conf import keys, versions
from stanft.conf.parse import Variable
from stanft.invariants.model import Manifests, Severity, Unseen, invariant
from stanft.invariants.servers import Server
from stanft.kube import objects
from stanft.kube.objects import dig

LAST = (0, 25)  # the minor release whose options and keys are known here; older ones know some more options


def servers(manifests: Manifests) -> list[Server]:
    """Every server."""
    return manifests.servers


def readable(manifests: Manifests) -> list[Server]:
    """The servers whose configuration the objects hold."""
    return [server for server in manifests.servers if server.known]


@invariant(
    "config-readable",
    servers,
    "Put the server's configuration file into a ConfigMap or Secret that it mounts, and correct its syntax.",
)
def config_readable(_: Manifests, server: Server) -> Iterator[str | Unseen]:
    """The configuration file that a server is started with is mounted from an object here, and can be parsed."""
    yield from (f"{each.path} cannot be parsed: {each.error}" for each in server.told.sources if each.error)
    files = [server.file(each.path) for each in server.told.sources if each.document is None]
    yield from (f"{each.why}, so the server ends at its start" for each in files if each.absent)
    yield from (Unseen(why) for why in server.unseen)


@invariant(
    "server-starts", servers, "Write the option or key as nats-streaming-server -help and its documentation say."
)
def server_starts(_: Manifests, server: Server) -> Iterator[str]:
    """The server takes its options and its configuration: otherwise it ends at its start, and so does each restart."""
    running = server.version or LAST
    if running >= LAST:
        yield from (f"flag provided but not defined: -{each}" for each in server.told.flags.gone)
    for option in server.told.flags.given:
        if first := versions.since(versions.OPTIONS, option, running):
            yield f"flag provided but not defined: -{option} (servers know it since {first})"
    yield from _late(server)
    if server.command.problem:
        yield server.command.problem
    problems = {entry.problem for entry in server.entries}
    yield from (each for each in server.told.refusals if each not in problems)
    for option, value in server.told.flags.given.items():
        if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            yield (
                f"-{option} has the value {value}, quotes included: no shell takes them off in a list of arguments, "
                "write it without them"
            )


@invariant("ft-group", readable, "Set ft_group_name in the streaming block of every replica, to one name.")
def ft_group(_: Manifests, server: Server) -> Iterator[str]:
    """Every server is in a fault-tolerance group: otherwise each replica is a server of its own over the same files."""
    refused = {key.name for each in server.entries if each.problem for key in each.meanings}
    if server.group[1] is None and "ft_group_name" not in refused:
        yield f"{server.replicas} replicas and no ft_group_name"
    for what, value in zip(("cluster id", "FT group"), server.group, strict=True):
        if server.differs(value):
            yield f"the {what} {_shown(value)} differs from pod to pod, so each server is a group of its own"
        elif server.group[1] is not None and isinstance(value, str) and "$" not in value:
            # Seen with 0.25.6: the heartbeat's subject is _STAN.ft.<cluster id>.<FT group>.
            if re.search(r"\s|\.\.|^\.|\.$|^$", value):
                yield f"the {what} {value!r} is no part of a subject, and the server ends at its start"
            elif re.search(r"(^|\.)[*>](\.|$)", value):
                yield f"the {what} {value!r} is a wildcard, so the server takes other groups' heartbeats for its own"


def _late(server: Server) -> Iterator[str]:
    """What ends the server after it has read everything; each was seen with 0.25.6 and 0.16.2."""
    plain, secured = server.nats.get("http_port"), server.nats.get("https_port")
    if plain and secured:
        yield "both an http and an https port for monitoring: the server can't start monitoring, and ends"
    elif secured and not server.nats.get("tls.cert_file") and "tlscert" not in server.told.flags.given:
        yield "an https port for monitoring and no certificate (tls.cert_file, tls.key_file): the server ends"
    encrypts = server.streaming.get("encrypt") is True and not server.streaming.get("encryption_key")
    if encrypts and "NATS_STREAMING_ENCRYPTION_KEY" not in server.environment:
        yield "encrypt without a key (NATS_STREAMING_ENCRYPTION_KEY): the server ends"
    if said := versions.ping_problem(server.nats.get("ping_interval"), server.version or LAST):
        yield said


def _shown(value: object) -> str:
    return f"${value.name}" if isinstance(value, Variable) else str(value)


@invariant(
    "ft-without-raft",
    readable,
    "Remove the cluster block inside streaming, or give up fault-tolerance mode: the server cannot do both.",
)
def ft_without_raft(_: Manifests, server: Server) -> Iterator[str]:
    """A server in an FT group does not also cluster by Raft (nats-streaming-server cannot do both)."""
    if server.group[1] is None or not server.streaming.get("clustered"):
        return
    blocks = [each for each in server.entries if each.path == ("streaming",)]
    if server.clustered and not blocks and "clustered" not in server.told.flags.given:
        yield (
            "the file has no block streaming, so the server takes its block cluster for a Raft cluster too: "
            "put the streaming keys into a block streaming (an empty one will do)"
        )
    else:
        yield "both an FT group and a Raft cluster are configured"


@invariant("lasting-store", readable, "Set store: file (or sql) and dir in the streaming block.")
def lasting_store(_: Manifests, server: Server) -> Iterator[str]:
    """The store is kept in files or in a database: FT with a memory store is refused by the server."""
    kind = server.store
    if kind not in ("file", "sql"):
        yield f"the store is {kind}"
    elif kind == "file" and not server.store_directory:
        yield "the file store has no dir"


@invariant(
    "known-keys", readable, "Correct or remove the key: the server ignores what it does not know, without a word."
)
def known_keys(_: Manifests, server: Server) -> Iterator[str]:
    """Every key of the configuration is one that the server knows."""
    for entry in server.entries:
        if not entry.meanings and entry.path not in server.used_keys:
            yield f"unknown key {entry.label}"
    for key in server.streaming if server.version else ():
        if first := versions.since(versions.KEYS, key, server.version or LAST):
            yield f"{key} is unknown to this server, which ignores it (servers know it since {first})"


@invariant(
    "typed-keys",
    readable,
    'Write sizes bare (32mb), durations in quotes ("1h"), numbers and true or false without quotes.',
)
def typed_keys(_: Manifests, server: Server) -> Iterator[str]:
    """Every value has the type that the server demands: a size in quotes ends the server at its start."""
    for entry in server.entries:
        bare_is_right = (server.version or LAST) < versions.PING_AS_DURATION and isinstance(entry.value, int)
        if entry.problem and not (bare_is_right and entry.path == ("ping_interval",)):
            yield entry.problem


@invariant(
    "durable-acks",
    readable,
    "Leave sync_on_flush at its default (true), unless that loss is accepted.",
    Severity.WARNING,
)
def durable_acks(_: Manifests, server: Server) -> Iterator[str]:
    """An acknowledged message is on the volume, not only in a node's memory."""
    if server.store == "file" and server.streaming.get("file_options.sync_on_flush") is False:
        window = server.streaming.get("file_options.auto_sync", "1m")
        yield f"sync_on_flush is false: a node that dies takes up to {window} of acknowledged messages with it"


@invariant("cluster-name", readable, "Set cluster.name, the same in every replica.", Severity.WARNING)
def cluster_name(_: Manifests, server: Server) -> Iterator[str]:
    """The embedded servers share an explicit cluster name (each invents one where none is set)."""
    if server.clustered and server.embedded and not server.nats.get("cluster.name"):
        yield "the cluster block has no name"


@invariant("files-mounted", readable, "Mount the Secret or ConfigMap that holds the file, at that path.")
def files_mounted(_: Manifests, server: Server) -> Iterator[str]:
    """Every file that the configuration names lies on a volume of the container."""
    mounts = [str(mount["mountPath"]).rstrip("/") for mount in server.container.get("volumeMounts") or []]
    named = [(f"include of {name}", name) for name in server.included]
    for entry in server.entries:
        if entry.path[-1].lower() in keys.FILES and isinstance(entry.value, str):
            named.append((f"{entry.label} names {entry.value}", entry.value))
    for said, name in named:
        full = posixpath.normpath(posixpath.join(str(server.container.get("workingDir") or "/"), name))
        if not any(full == mount or full.startswith(f"{mount}/") for mount in mounts):
            yield f"{said}: no volume provides " + ("it" if said.endswith(full) else full)


@invariant(
    "config-rolls-pods",
    readable,
    "Put a checksum of the configuration into the pod template's annotations.",
    Severity.WARNING,
)
def config_rolls_pods(_: Manifests, server: Server) -> Iterator[str]:
    """A change of the configuration restarts the pods: the streaming block is read only at the start."""
    annotations = dig(objects.pod_template(server.workload) or {}, "metadata.annotations", {})
    if any(name and server.file(name).kind == "Pod" for name in [source.path for source in server.told.sources]):
        return  # the pod template carries the file itself
    if server.has_file and not any("checksum" in key or "hash" in key for key in annotations):
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
