"""Command lines and configuration texts are read as the real server reads them: compared over generated ones."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from goodgroup import GOOD
from reference import Reference, tagged

from harness.ground import toolchain
from harness.loopback.server import free_ports
from stanft import invariants
from stanft.conf import parse
from stanft.conf.parse import ConfError, Document
from stanft.conf.told import told
from stanft.kube import objects

TEXTS = 4000
COMMANDS = 4000
ENVIRONMENT = {"SIZE": "12k", "NAME": "orders", "BAD": "1m30s"}

# Pieces that mean something to the reader, whole or broken.
SCALARS = [
    r"a",
    r"b",
    r"1",
    r"-1",
    r"1k",
    r"10mb",
    r"1kbb",
    r"99999999999999999999",
    r"1.5",
    r"1.",
    r"1.2.3.4:5",
    r"2020-01-02T03:04:05Z",
    r"2020-13-02T03:04:05Z",
    r"2020-1",
    r"30m",
    r"1h",
    r"1m30s",
    r"true",
    r"off",
    r"YES",
    r"$SIZE",
    r"$NAME",
    r"$a",
    r"$NONE",
    r"$BAD",
    r"$2a$10$abc",
    r"'q'",
    r'"d"',
    r'"a\tb"',
    r'"\x41"',
    r'"\q"',
    r"x\ny",
    r"a'b",
    r"nats://h:1",
    r"-",
    r".",
]
MARKS = [*"{}[]:=,; \n\t/'\"\xa0", "\r\n", "#c", "//c", "(\ntext\n)\n"]
KEYS = ["a", "b", "Key", "'q k'", '"dk"', "$x", "x.y", "foo.>"]


def text(pick: random.Random) -> str:
    """A configuration text: often a good one, often nearly one."""
    if pick.random() < 0.35:
        return "".join(pick.choice(SCALARS + MARKS * 2) for _ in range(pick.randint(1, 14)))
    return _members(pick, 0)


def _members(pick: random.Random, depth: int) -> str:
    return "".join(
        pick.choice(KEYS)
        + pick.choice([": ", " = ", " ", ":", "=", "", " :\t"])
        + _value(pick, depth)
        + pick.choice(["\n", ", ", ";", " # c\n", " // c\n", " ", "\r\n", ""])
        for _ in range(pick.randint(0, 4))
    )


def _value(pick: random.Random, depth: int) -> str:
    kind = pick.random()
    if depth < 3 and kind < 0.2:
        return "{" + _members(pick, depth + 1) + "}"
    if depth < 3 and kind < 0.35:
        between = pick.choice([", ", ",", "\n", " ,"])
        inside = between.join(_value(pick, depth + 1) for _ in range(pick.randint(0, 3)))
        return f"[{inside}{pick.choice(['', ' '])}]"
    return pick.choice(SCALARS)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    """The server's own reader."""
    with Reference() as running:
        yield running


def test_texts_are_read_as_the_server_reads_them(reference: Reference) -> None:
    pick = random.Random(20)
    agreed = {"read": 0, "refused": 0}
    for _ in range(TEXTS):
        given = text(pick)
        theirs = reference.ask(conf=given, env=ENVIRONMENT)
        try:
            document = parse.read(given, environment=ENVIRONMENT)
        except ConfError:
            document = Document(unset=["it is refused"])
        if "error" in theirs:
            assert document.unset, (given, theirs)
        else:
            assert not document.unset, (given, theirs)
            assert tagged(document.values) == theirs.get("values", {}), given
        agreed["refused" if "error" in theirs else "read"] += 1
    assert min(agreed.values()) > TEXTS / 10, f"the generated texts are of one kind: {agreed}"


# Our names -> the fields of the server's structs.
STREAMING = {
    "id": "ID",
    "store": "StoreType",
    "dir": "FilestoreDir",
    "ft_group_name": "FTGroupName",
    "nats_server_url": "NATSServerURL",
    "clustered": "Clustering.Clustered",
    "partitioning": "Partitioning",
    "encrypt": "Encrypt",
    "hb_fail_count": "ClientHBFailCount",
    "file_options.sync_on_flush": "FileStoreOpts.DoSync",
    "file_options.slice_max_bytes": "FileStoreOpts.SliceMaxBytes",
    "file_options.read_buffer_size": "FileStoreOpts.ReadBufferSize",
    "file_options.parallel_recovery": "FileStoreOpts.ParallelRecovery",
    "store_limits.max_channels": "StoreLimits.MaxChannels",
    "store_limits.max_msgs": "StoreLimits.ChannelLimits.MsgStoreLimits.MaxMsgs",
    "store_limits.max_bytes": "StoreLimits.ChannelLimits.MsgStoreLimits.MaxBytes",
    "stan_debug": "Debug",
    "stan_trace": "Trace",
    "cluster.peers": "Clustering.Peers",
    "username": "Username",
}
NATS = {
    "port": "Port",
    "host": "Host",
    "http_port": "HTTPPort",
    "https_port": "HTTPSPort",
    "server_name": "ServerName",
    "client_advertise": "ClientAdvertise",
    "cluster.port": "Cluster.Port",
    "cluster.host": "Cluster.Host",
    "cluster.name": "Cluster.Name",
    "cluster.cluster_advertise": "Cluster.Advertise",
    "routes": "Routes",
}
OPTIONS = (
    """
-cid=a|--cluster_id b|-st=FILE|-store file|--store=SQL|-dir /d|-dir=$(POD)|-ft_group ft|--ft_group=|-ns nats://n:4222
--nats_server nats://m:4222|--clustered|--clustered=false|-clustered=T|--clustered false|-file_sync=false|-file_sync
--file_slice_max_bytes 1mb|-file_slice_max_bytes=1h|-mc 5|-mc=0x10|-mc=017|-mc=1_0|-mc=09|-mm=x|-mb 5k|-ma 1h|-ma 1d
-ma=1h30m|-hbf=3|-hbi 10|-SDV|-SDV=false|-SV|-DV|-D|-p 4223|--port=1|-p|-m 8222|-m=8223|--http_port 8224|-ms 8443
-a 1.2.3.4|-n x|--server_name=y|-cluster_name c|--cluster nats://0.0.0.0:6222|-cluster=nats://h:-1
-cluster nats://u:p@h:1|-cluster=|-cluster="nats://0.0.0.0:6222"|-routes nats://a:1,nats://b:2|--routes="nats://a:1"
-routes=|--|-|word|-no_such|--=x|---x|-v|help|-cluster_advertise a:1|--file_parallel_recovery=2|--no_advertise|-user u
-pass p|--cluster_peers a,b|--cluster_node_id a|-encryption_key k|-js
""".strip()
    .replace("\n", "|")
    .split("|")
)
LINES = (
    """
port: 4333|listen: 1.1.1.1:4444|listen: x|http: 8222|http: "0.0.0.0:8223"|http_port: 8224|monitor_port: abc
server_name: s|ping_interval: 20|ping_interval: "20s"|lame_duck_duration: 40|lame_duck_duration: 31s|debug: 1
lame_duck_duration: "3s"|write_deadline: 5s|cluster { port: 6222, name: c }|unknown: 1|keep: 1h|id: top|store: file
cluster { listen: 0.0.0.0:6223, routes: [nats://a:1] }|cluster { host: h, port: 1, routes: nats://a:1 }
cluster { port: 1, routes: ["x:y:z"] }|cluster: 5|dir: /top|ft_group: ft|nats_server: nats://x:1|partitioning: true
hbf: 3|max_payload: 1mb|file_options { sync: false, slice_size: 1mb }|limits { mc: 5, channels { foo { mm: 1 } } }
store_limits { max_bytes: '5' }|store_limits { channels { 'foo.>': { ma: 1h } } }|username: u
streaming { id: s, st: file, datastore: /s }|streaming { store: files }|streaming: 5|streaming { hbi: 5 }
Streaming { cluster_id: s, ft_group_name: g, file { do_sync: false } }|streaming { sd: yes, sv: off }
streaming { cluster { peers: [a, b], bootstrap: true } }|streaming { limits { mm: 5, ma: 30m } }
streaming { limits { mm: 5, ma: 30s, mb: $SIZE } }
""".strip()
    .replace("\n", "|")
    .split("|")
)
# Of two spellings of one key the server takes either, at random: no file gets both.
SPELLINGS = (("port:", "listen:"), ("http", "monitor_port"), ("streaming", "Streaming"))


def file(pick: random.Random) -> str:
    """A configuration file of lines that each may be wrong."""
    lines = pick.sample(LINES, pick.randint(0, 4))
    for spellings in SPELLINGS:
        same = [line for line in lines if line.startswith(spellings)]
        lines = [line for line in lines if line not in same[1:]]
    return "\n".join(lines)


def command(pick: random.Random, files: list[str]) -> list[str]:
    """A command line over these files."""
    words = [word for option in pick.sample(OPTIONS, pick.randint(0, 4)) for word in option.split(" ")]
    for each in pick.sample(files, pick.choice([0, 1, 1, 1, 2])):
        option = pick.choice(["-sc {}", "--stan_config={}", "-c {}", "--config {}", "-c={}"])
        these = [part.format(each) for part in option.split(" ")]
        words = [*these, *words] if pick.random() < 0.7 else [*words, *these]
    return words


def test_command_lines_and_files_are_added_up_as_the_server_does(reference: Reference, tmp_path: Path) -> None:
    pick = random.Random(21)
    names = [str(tmp_path / name) for name in ("a.conf", "b.conf")]
    agreed = {"taken": 0, "refused": 0}
    untold = reference.ask(args=[])
    for _ in range(COMMANDS):
        for name in names:
            Path(name).write_text(file(pick))
        words = command(pick, names)
        theirs = reference.ask(args=words, env=ENVIRONMENT)
        ours = told(words, lambda name: parse.read(Path(name).read_text(), environment=ENVIRONMENT))
        said = (words, [Path(name).read_text() for name in names], theirs.get("error"), ours.refusals)
        early = [each for each in ours.refusals if "panics" not in each]  # it panics later, when it uses the route
        assert bool(theirs.get("error")) == bool(early), said
        agreed["refused" if ours.refusals else "taken"] += 1
        if not ours.refusals:
            _compare(ours.streaming, theirs["stan"], untold["stan"], STREAMING, said)
            _compare(ours.nats, theirs["nats"], untold["nats"], NATS, said)
    assert min(agreed.values()) > COMMANDS / 10, f"the generated commands are of one kind: {agreed}"


def _compare(
    ours: dict[str, Any], theirs: dict[str, Any], untold: dict[str, Any], names: dict[str, str], said: object
) -> None:
    """Each setting is the server's; one that we do not have is as if nothing had been said of it."""
    for name, field in names.items():
        mine: Any = ours.get(name, untold.get(field))
        real: Any = theirs.get(field)
        if name == "store":
            mine, real = mine.upper(), real.upper()
        assert mine == real, (name, mine, real, said)


LATE = {  # what the server reads, and then ends over -> a piece of its last words
    "http: $PORT\nhttps: 1": "can't specify both HTTP",
    "https: $PORT": "TLS cert and key required",
    "streaming { encrypt: true }": "encryption key required",
    'streaming { ft_group_name: "my group", store: file, dir: $DIRECTORY }': "invalid subject",
    'streaming { ft_group_name: "a.", store: file, dir: $DIRECTORY }': "invalid subject",
    "ping_interval: 20": "should be converted to a duration",
}


@pytest.mark.parametrize("text", LATE)
def test_what_ends_the_server_after_it_has_read_everything_is_an_error_of_the_check(text: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    used = text.replace("$PORT", f'"127.0.0.1:{port}"').replace("$DIRECTORY", f'"{tmp_path}"')
    (tmp_path / "stan.conf").write_text(f"listen: 127.0.0.1:-1\n{used}\n")
    command = [toolchain.ensure("nats-streaming-server"), "-sc", tmp_path / "stan.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert LATE[text] in done.stdout + done.stderr
    items = objects.parse(GOOD)
    objects.find(items, "ConfigMap")["data"]["stan.conf"] = used
    found = invariants.findings(invariants.check(items, only=["server-starts", "typed-keys", "ft-group"]))
    assert [each for each in found if "no ft_group_name" not in each.problem]
