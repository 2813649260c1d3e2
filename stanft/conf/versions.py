"""What changed between releases of the server: options and keys by the first minor release that knows them.

Source: server/conf.go of nats-streaming-server v0.12.2, 0.14.3, 0.15.1, 0.16.2, 0.17.0, 0.18.0, 0.19.0, 0.20.0, 0.21.2,
0.22.0, 0.22.1, 0.23.2, 0.24.1, 0.24.6 and 0.25.0, compared; server/opts.go of the nats-server in 0.16.2 to 0.18.0.
0.16.2 and 0.25.6 were run.
"""

from __future__ import annotations

from typing import Any, Final

Version = tuple[int, ...]

OPTIONS: Final[dict[str, Version]] = {
    "file_auto_sync": (0, 16),
    "file_read_buffer_size": (0, 16),
    "cluster_proceed_on_restore_failure": (0, 17),
    "cluster_allow_add_remove_node": (0, 19),
    "replace_durable": (0, 20),
    "sql_bulk_insert_limit": (0, 20),
}
KEYS: Final[dict[str, Version]] = {  # of the streaming block, by the first spelling
    "credentials": (0, 16),
    "file_options.auto_sync": (0, 16),
    "file_options.read_buffer_size": (0, 16),
    "tls.server_name": (0, 17),
    "tls.insecure": (0, 17),
    "username": (0, 19),
    "password": (0, 19),
    "token": (0, 19),
    "nkey_seed_file": (0, 19),
    "replace_durable": (0, 20),
    "sql_options.bulk_insert_limit": (0, 20),
}
PING_AS_DURATION: Final[Version] = (0, 18)  # before, ping_interval is a bare number of seconds, and a text is a panic
GOMEMLIMIT: Final[Version] = (0, 25)  # the first built by Go 1.19, which knows the variable (.travis.yml)


def since(table: dict[str, Version], name: str, running: Version) -> str | None:
    """The release that first knew an option or key, None if the running one does."""
    first = table.get(name)
    return ".".join(map(str, first)) if first is not None and running < first else None


def ping_problem(value: Any, running: Version) -> str | None:
    """What an old server makes of this ping_interval, None if it takes it."""
    if running >= PING_AS_DURATION or not isinstance(value, str):
        return None
    return (
        f'ping_interval is the text "{value}", at which servers before 0.18 panic: write the seconds as a bare number'
    )
