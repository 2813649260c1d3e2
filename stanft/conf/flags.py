"""The server's command-line options, read as Go's flag package reads them.

Source: nats-streaming-server v0.25.6 server/conf.go ConfigureOptions, nats-server v2.9.24 server/opts.go
ConfigureOptions and server/server.go ProcessCommandLineArgs, Go flag/flag.go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stanft.conf import duration, parse

_NUMBER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]*|[1-9][0-9_]*)", re.ASCII)
GONE: Final = ("ack_subs",)  # numbers that older servers took, and 0.25.6 refuses
_TRUE: Final = frozenset(["1", "t", "T", "TRUE", "true", "True"])
_FALSE: Final = frozenset(["0", "f", "F", "FALSE", "false", "False"])
# What the kubelet or a shell puts in place of a variable cannot be seen.
_UNKNOWN = re.compile(r"[\w.+-]*(\$\(\w+\)|\$\w+|\$\{\w+\})[\w.+-]*")

# kind -> options; an option that the configuration file knows too names the key behind "=", in the streaming block
# without a mark, at the top of the file with "/".
_OPTIONS: Final = {
    "text": "cluster_id=id cid=id store=store st=store dir=dir nats_server=nats_server_url ns=nats_server_url "
    "ft_group=ft_group_name tls_client_cert=tls.client_cert tls_client_key=tls.client_key "
    "tls_client_cacert=tls.client_ca file_slice_archive_script=file_options.slice_archive_script "
    "cluster_node_id=cluster.node_id cluster_peers=cluster.peers cluster_log_path=cluster.log_path "
    "sql_driver=sql_options.driver sql_source=sql_options.source syslog_name=syslog_name "
    "encryption_cipher=encryption_cipher encryption_key=encryption_key sc stan_config c config n=/server_name "
    "name=/server_name server_name=/server_name addr=/host a=/host net=/host client_advertise=/client_advertise "
    "user=/authorization.user pass=/authorization.password auth=/authorization.token sl signal P pid "
    "ports_file_dir l log r remote_syslog routes cluster cluster_listen "
    "cluster_advertise=/cluster.cluster_advertise cluster_name=/cluster.name tlscert tlskey tlscacert sd store_dir",
    "number": "max_channels=store_limits.max_channels mc=store_limits.max_channels max_subs=store_limits.max_subs "
    "msu=store_limits.max_subs max_msgs=store_limits.max_msgs mm=store_limits.max_msgs hbf=hb_fail_count "
    "hb_fail_count=hb_fail_count file_compact_frag=file_options.compact_fragmentation "
    "file_compact_interval=file_options.compact_interval file_crc_poly=file_options.crc_poly "
    "file_slice_max_msgs=file_options.slice_max_msgs file_fds_limit=file_options.file_descriptors_limit "
    "file_parallel_recovery=file_options.parallel_recovery io_batch_size io_sleep_time "
    "cluster_log_cache_size=cluster.log_cache_size cluster_log_snapshots=cluster.log_snapshots "
    "cluster_trailing_logs=cluster.trailing_logs sql_max_open_conns=sql_options.max_open_conns "
    "sql_bulk_insert_limit=sql_options.bulk_insert_limit port=/port p=/port m=/http_port http_port=/http_port "
    "ms=/https_port https_port=/https_port log_size_limit profile connect_retries=/cluster.connect_retries "
    "max_traced_msg_len",
    "size": "max_bytes=store_limits.max_bytes mb=store_limits.max_bytes "
    "file_compact_min_size=file_options.compact_min_size file_buffer_size=file_options.buffer_size "
    "file_read_buffer_size=file_options.read_buffer_size file_slice_max_bytes=file_options.slice_max_bytes",
    "time": "max_age=store_limits.max_age ma=store_limits.max_age max_inactivity=store_limits.max_inactivity "
    "mi=store_limits.max_inactivity hbi=hb_interval hb_interval=hb_interval hbt=hb_timeout hb_timeout=hb_timeout "
    "file_slice_max_age=file_options.slice_max_age file_auto_sync=file_options.auto_sync",
    "flag": "SD=stan_debug stan_debug=stan_debug SV=stan_trace stan_trace=stan_trace SDV secure=secure "
    "file_compact_enabled=file_options.compact_enabled file_crc=file_options.crc file_sync=file_options.sync_on_flush "
    "file_truncate_bad_eof clustered=clustered cluster_bootstrap=cluster.bootstrap cluster_sync=cluster.sync "
    "cluster_raft_logging=cluster.raft_logging "
    "cluster_proceed_on_restore_failure=cluster.proceed_on_restore_failure "
    "cluster_allow_add_remove_node=cluster.allow_add_remove_node sql_no_caching=sql_options.no_caching encrypt=encrypt "
    "replace_durable=replace_durable h help D debug V VV trace DV DVV T logtime logtime_utc t s syslog version v "
    "no_advertise=/cluster.no_advertise help_tls tls tlsverify js jetstream",
}
KINDS: Final = {
    word.partition("=")[0]: (kind, word.partition("=")[2]) for kind, words in _OPTIONS.items() for word in words.split()
}
_PRINTS: Final = ("version", "v", "help", "h", "help_tls")
_NAMES: Final = {
    "number": "a whole number",
    "size": "a size such as 64mb",
    "time": "a duration such as 1h",
    "flag": "true or false (--option=false; a word behind a blank is no value of such an option)",
}


@dataclass
class Flags:
    """What a command line gives: by option in the order of their first use, the last one of each name wins."""

    given: dict[str, Any] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)  # why the server ends at once
    gone: list[str] = field(default_factory=list)  # options that only older servers know

    def last(self, *names: str) -> Any:
        """The value of the spelling that was given last, None if none was."""
        return next((value for name, value in reversed(self.given.items()) if name in names), None)


def read(words: Sequence[str]) -> Flags:
    """The options in the words behind the program's name. Raises nothing: what the server refuses is in refusals."""
    made = Flags()
    at = 0
    while at < len(words) and not made.refusals:
        word = words[at]
        at += 1
        if len(word) < 2 or not word.startswith("-") or word == "--":
            rest = words[at:] if word == "--" else words[at - 1 :]
            _command(made, rest)
            break
        name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            made.refusals.append(f"bad flag syntax: {word}")
        elif name in GONE:
            made.gone.append(name)
            at += 0 if equals else 1
        elif name not in KINDS:
            two = " (option and value are two members of the list, or one with = between them)"
            made.refusals.append(f"flag provided but not defined: -{name}{two if ' ' in name else ''}")
        elif KINDS[name][0] == "flag":
            _set(made, name, text if equals else "true")
        elif equals:
            _set(made, name, text)
        elif at < len(words):
            _set(made, name, words[at])
            at += 1
        else:
            made.refusals.append(f"flag needs an argument: -{name}")
    for name in [name for name in made.given if KINDS[name][0] == "size"]:
        _set(made, name, made.given[name], final=True)
    printing = [name for name in _PRINTS if made.given.get(name) is True]
    if printing and not made.refusals:
        made.refusals.append(f"-{printing[0]} prints a text and ends")
    return made


def _command(made: Flags, rest: Sequence[str]) -> None:
    if rest:
        made.refusals.append(f'unrecognized command: "{rest[0]}"')


def _set(made: Flags, name: str, text: str, *, final: bool = False) -> None:
    """Take one value; sizes are read only when the last one of their name is known, as the server does."""
    kind = KINDS[name][0]
    try:
        value = text if kind == "size" and not final else _value(kind, text)
    except ValueError:
        if _UNKNOWN.fullmatch(text):
            value = parse.Variable(text)
        else:
            made.refusals.append(f'invalid value "{text}" for flag -{name}: it wants {_NAMES[kind]}')
            return
    made.given.pop(name, None)
    made.given[name] = value


def _value(kind: str, text: str) -> Any:
    match kind:
        case "number":
            return _number(text)
        case "size":
            try:
                size = parse.parse(f"bytes: {text}").get("bytes")
            except parse.ConfError as error:
                raise ValueError(text) from error
            if not isinstance(size, int) or isinstance(size, bool):
                raise ValueError(text)
            return size
        case "time":
            duration.nanoseconds(text)
        case "flag":
            if text not in _TRUE and text not in _FALSE:
                raise ValueError(text)
            return text in _TRUE
    return text


def _number(text: str) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None or "__" in text or text.endswith("_"):
        raise ValueError(text)
    digits = match.group(2)
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xXbBoO"
    number = int(digits.replace("_", ""), 8) if octal else int(digits, 0)
    if not -(2**63) <= (-number if match.group(1) == "-" else number) < 2**63:
        raise ValueError(text)
    return -number if match.group(1) == "-" else number
