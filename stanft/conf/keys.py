"""The keys that the server knows, with the type of each and its spellings: it silently ignores any other key.

Source: nats-streaming-server v0.25.6 server/conf.go (streaming block) and nats-server v2.9.24 server/opts.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Key:
    """One key: what its value must be, its first spelling, and the table of what stands inside of it, if that is known.

    Kinds: text, number (also bare sizes), flag, time (a duration as text), period (the same, but a bare number is read
    as seconds with a warning), address (a port or host:port), store, map, list, any.
    """

    kind: str
    name: str
    inner: Table | None = None


@dataclass(frozen=True)
class Table:
    """The keys of one block in lower case; every is the table of each value where the keys are free names."""

    keys: dict[str, Key] = field(default_factory=dict)
    every: Table | None = None


def _table(inner: dict[str, Table] | None = None, /, **kinds: str) -> Table:
    """A table from words by kind; spellings of one key are joined by "|", the first is its name."""
    made: dict[str, Key] = {}
    for kind, words in kinds.items():
        for word in words.split():
            spellings = word.split("|")
            key = Key(kind, spellings[0], (inner or {}).get(spellings[0]))
            made |= dict.fromkeys(spellings, key)
    return Table(made)


CHANNEL_LIMITS: Final = _table(
    number="max_subs|msu|max_subscriptions|maxsubscriptions max_msgs|mm|maxmsgs|max_count|maxcount "
    "max_bytes|mb|maxbytes",
    time="max_age|ma|maxage max_inactivity|mi|maxinactivity",
)
STORE_LIMITS: Final = Table(
    {
        **CHANNEL_LIMITS.keys,
        **_table(
            {"channels": Table(every=CHANNEL_LIMITS)},
            number="max_channels|mc|maxchannels",
            map="channels|channels_limits|channelslimits|per_channel|per_channel_limits",
        ).keys,
    }
)
FILE_OPTIONS: Final = _table(
    flag="compact_enabled|compact crc|do_crc sync_on_flush|sync|do_sync",
    number="compact_fragmentation|compact_frag compact_interval compact_min_size buffer_size crc_poly "
    "slice_max_msgs|slice_max_count|slice_msgs|slice_count slice_max_bytes|slice_max_size|slice_bytes|slice_size "
    "file_descriptors_limit|fds_limit parallel_recovery read_buffer_size|file_read_buffer_size",
    text="slice_archive_script|slice_archive|slice_script",
    time="slice_max_age|slice_age|slice_max_time|slice_time_limit auto_sync|file_auto_sync",
)
SQL_OPTIONS: Final = _table(
    text="driver source", flag="no_caching", number="max_open_conns|max_conns bulk_insert_limit"
)
STREAMING_TLS: Final = _table(
    text="client_cert client_key client_ca|client_cacert server_name|server_hostname", flag="skip_verify|insecure"
)
RAFT: Final = _table(
    text="node_id log_path",
    flag="bootstrap sync proceed_on_restore_failure allow_add_remove_node raft_logging bolt_free_list_sync "
    "bolt_free_list_map nodes_connections",
    list="peers",
    number="log_cache_size log_snapshots trailing_logs",
    time="raft_heartbeat_timeout raft_election_timeout raft_lease_timeout raft_commit_timeout",
)
STREAMING: Final = _table(
    {
        "tls": STREAMING_TLS,
        "store_limits": STORE_LIMITS,
        "file_options": FILE_OPTIONS,
        "sql_options": SQL_OPTIONS,
        "cluster": RAFT,
    },
    text="id|cid|cluster_id discover_prefix dir|datastore nats_server_url|ns|nats_server credentials "
    "ft_group_name|ft_group syslog_name encryption_cipher encryption_key username|user password|pass token "
    "nkey_seed_file",
    store="store|st|store_type|storetype",
    flag="stan_debug|sd stan_trace|sv secure partitioning encrypt "
    "replace_durable|replace_durables|replace_duplicate_durable|replace_duplicate_durables",
    number="hb_fail_count|hbf|server_to_client_hb_fail_count",
    time="hb_interval|hbi|server_to_client_hb_interval hb_timeout|hbt|server_to_client_hb_timeout",
    map="tls store_limits|limits|storelimits file_options|file sql_options|sql cluster",
)
TLS: Final = _table(
    any="timeout",
    text="cert_file key_file ca_file cert_store cert_match_by cert_match",
    flag="insecure verify verify_and_map verify_cert_and_check_known_urls",
    list="cipher_suites curve_preferences pinned_certs",
    number="connection_rate_limit",
    map="ocsp_peer",
)
AUTHORIZATION: Final = _table(
    any="timeout default_permissions|default_permission|permissions auth_callout",
    text="user|username password|pass token",
    list="users",
)
CLUSTER: Final = _table(
    {"authorization": AUTHORIZATION, "tls": TLS},
    address="listen",
    text="name host|net cluster_advertise|advertise",
    number="port connect_retries",
    flag="no_advertise",
    map="authorization tls permissions",
    list="routes",
)
NATS: Final = _table(
    {"authorization": AUTHORIZATION, "cluster": CLUSTER, "tls": TLS},
    any="mappings|maps accounts operator|operators|roots|root|root_operators|root_operator "
    "resolver|account_resolver|accounts_resolver resolver_preload resolver_pinned_accounts trusted|trusted_keys "
    "server_tags jetstream ocsp ocsp_cache resolver_tls gateway leafnodes|leaf websocket|ws mqtt streaming",
    address="listen http https",
    text="client_advertise server_name host|net http_base_path store_dir|storedir logfile|log_file remote_syslog "
    "pidfile|pid_file ports_file_dir no_auth_user system_account|system default_js_domain",
    flag="debug trace trace_verbose logtime logtime_utc disable_sublist_cache|no_sublist_cache syslog "
    "no_system_account|no_system|no_sys_acc no_header_support allow_non_tls",
    number="http_port|monitor_port port https_port logfile_size_limit|log_size_limit prof_port max_control_line "
    "max_payload max_pending max_connections|max_conn max_traced_msg_len max_subscriptions|max_subs "
    "max_sub_tokens|max_subscription_tokens ping_max connect_error_reports reconnect_error_reports",
    period="ping_interval write_deadline",
    time="lame_duck_duration lame_duck_grace_period",
    map="authorization cluster tls",
)

# Keys whose value names a file that must be mounted into the container.
FILES: Final = frozenset(
    [
        "cert_file",
        "key_file",
        "ca_file",
        "client_cert",
        "client_key",
        "client_ca",
        "client_cacert",
        "credentials",
        "nkey_seed_file",
        "slice_archive_script",
        "slice_archive",
        "slice_script",
    ]
)
# Keys whose value is a secret.
SECRETS: Final = frozenset(["password", "pass", "token", "encryption_key", "source"])
