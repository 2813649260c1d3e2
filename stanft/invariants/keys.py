"""The keys that the server knows, and the type of each: it silently ignores any other key.

Source: nats-streaming-server v0.25.6 server/conf.go (streaming block) and nats-server v2.9.24 server/opts.go.
Kinds: text, number (also bare sizes), flag, time (a duration as text), map, list, any.
"""

from __future__ import annotations

from typing import Final


def _table(**kinds: str) -> dict[str, str]:
    return {key: kind for kind, keys in kinds.items() for key in keys.split()}


STREAMING: Final = _table(
    text="id cid cluster_id discover_prefix st store_type store storetype dir datastore ns nats_server nats_server_url "
    "credentials ft_group ft_group_name syslog_name encryption_cipher encryption_key username user password pass token "
    "nkey_seed_file",
    flag="sd stan_debug sv stan_trace secure partitioning encrypt replace_durable replace_durables "
    "replace_duplicate_durable replace_duplicate_durables",
    number="hbf hb_fail_count server_to_client_hb_fail_count",
    time="hbi hb_interval server_to_client_hb_interval hbt hb_timeout server_to_client_hb_timeout",
    map="tls limits store_limits storelimits file file_options sql sql_options cluster",
)
CHANNEL_LIMITS: Final = _table(
    number="msu max_subs max_subscriptions maxsubscriptions mm max_msgs maxmsgs max_count maxcount mb max_bytes "
    "maxbytes",
    time="ma max_age maxage mi max_inactivity maxinactivity",
)
STORE_LIMITS: Final = {
    **CHANNEL_LIMITS,
    **_table(
        number="mc max_channels maxchannels",
        map="channels channels_limits channelslimits per_channel per_channel_limits",
    ),
}
FILE_OPTIONS: Final = _table(
    flag="compact compact_enabled crc do_crc sync do_sync sync_on_flush",
    number="compact_frag compact_fragmentation compact_interval compact_min_size buffer_size crc_poly slice_max_msgs "
    "slice_max_count slice_msgs slice_count slice_max_bytes slice_max_size slice_bytes slice_size "
    "file_descriptors_limit fds_limit parallel_recovery file_read_buffer_size read_buffer_size",
    text="slice_archive_script slice_archive slice_script",
    time="slice_max_age slice_age slice_max_time slice_time_limit file_auto_sync auto_sync",
)
SQL_OPTIONS: Final = _table(
    text="driver source", flag="no_caching", number="max_open_conns max_conns bulk_insert_limit"
)
STREAMING_TLS: Final = _table(
    text="client_cert client_key client_ca client_cacert server_name server_hostname", flag="skip_verify insecure"
)
RAFT: Final = _table(
    text="node_id log_path",
    flag="bootstrap sync proceed_on_restore_failure allow_add_remove_node raft_logging bolt_free_list_sync "
    "bolt_free_list_map nodes_connections",
    list="peers",
    number="log_cache_size log_snapshots trailing_logs",
    time="raft_heartbeat_timeout raft_election_timeout raft_lease_timeout raft_commit_timeout",
)
NATS: Final = _table(
    any="listen http https mappings maps accounts operator operators roots root root_operators root_operator resolver "
    "account_resolver accounts_resolver resolver_preload resolver_pinned_accounts ping_interval write_deadline "
    "lame_duck_duration lame_duck_grace_period trusted trusted_keys server_tags jetstream ocsp ocsp_cache include "
    "resolver_tls gateway leaf leafnodes websocket ws mqtt streaming",
    text="client_advertise server_name host net http_base_path store_dir storedir logfile log_file remote_syslog "
    "pidfile "
    "pid_file ports_file_dir no_auth_user system_account system default_js_domain",
    flag="debug trace trace_verbose logtime logtime_utc disable_sublist_cache no_sublist_cache syslog "
    "no_system_account "
    "no_system no_sys_acc no_header_support allow_non_tls",
    number="port http_port monitor_port https_port logfile_size_limit log_size_limit prof_port max_control_line "
    "max_payload max_pending max_connections max_conn max_traced_msg_len max_subscriptions max_subs max_sub_tokens "
    "max_subscription_tokens ping_max connect_error_reports reconnect_error_reports",
    map="authorization cluster tls",
)
CLUSTER: Final = _table(
    any="listen include",
    text="name host net cluster_advertise advertise",
    number="port connect_retries",
    flag="no_advertise",
    map="authorization tls permissions",
    list="routes",
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
    any="timeout default_permission default_permissions permissions include auth_callout",
    text="user username pass password token",
    list="users",
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
        "include",
    ]
)
# Keys whose value is a secret.
SECRETS: Final = frozenset(["password", "pass", "token", "encryption_key", "source"])
