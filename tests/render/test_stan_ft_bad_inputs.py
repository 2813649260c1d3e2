"""Bad values stop `helm install` with a message that names the key: schema for one value, `validate` for several."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from harness.charts.render import RenderError, at, chart_values, layered, render, stan_conf
from harness.ground.paths import CHARTS

Values = dict[str, Any]
DIGEST = "sha256:" + "a" * 64


def both(*parts: Values) -> Values:
    return layered(*parts)


# What the schema refuses: the key (dotted) and a value that it must not have. The message names the key's path.
WRONG_VALUES: list[tuple[str, Any]] = [
    # identity
    ("fullnameOverride", "Stan"),
    ("fullnameOverride", "1stan"),
    ("fullnameOverride", "s" * 46),
    ("clusterDomain", "cluster_local"),
    ("clusterDomain", ""),
    ("clusterDomain", ".cluster.local"),
    ("commonLabels", {"team": 7}),
    ("commonLabels", ["team"]),
    ("commonAnnotations", {"owner": True}),
    ("global.imagePullSecrets", "secret"),
    # replicas
    ("replicas", 0),
    ("replicas", -1),
    ("replicas", 10),
    ("replicas", 2.5),
    ("replicas", "3"),
    ("replicas", None),
    ("allowSingleReplica", "yes"),
    # images
    ("image.repository", "Nats-Streaming"),
    ("image.repository", ""),
    ("image.tag", "0.25.6@sha256"),
    ("image.tag", 0.25),
    ("image.digest", "sha256:abc"),
    ("image.digest", "a" * 64),
    ("image.pullPolicy", "always"),
    ("image.pullSecrets", {"name": "secret"}),
    # ports
    ("config.port", 0),
    ("config.port", 65536),
    ("config.cluster.port", "6222"),
    ("config.http", 82.5),
    ("promExporter.port", None),
    # streaming
    ("config.streaming.id", ""),
    ("config.streaming.id", "test cluster"),
    ("config.streaming.id", "test.cluster"),
    ("config.streaming.id", 5),
    ("config.streaming.ft_group_name", "a.b"),
    ("config.streaming.discover_prefix", "_STAN.>"),
    ("config.streaming.discover_prefix", "_STAN..discover"),
    ("config.streaming.partitioning", "false"),
    ("config.streaming.hb_interval", 30),
    ("config.streaming.hb_interval", "30"),
    ("config.streaming.hb_timeout", "10 s"),
    ("config.streaming.hb_fail_count", 0),
    ("config.streaming.replace_durables", 1),
    ("streaming.ioBatchSize", 0),
    ("streaming.ioSleepTime", -1),
    ("config.streaming.stan_debug", "true"),
    ("config.streaming.stan_trace", 1),
    ("auth.server.method", "user"),
    ("streaming.extraConfig", ["a"]),
    # store
    ("store.type", "memory"),
    ("store.type", "FILE"),
    ("config.streaming.dir", "data/stan/store"),
    ("config.streaming.dir", "/data/with space"),
    ("store.durability", "safe"),
    ("store.durability", None),
    ("config.streaming.store_limits.max_channels", -1),
    ("config.streaming.store_limits.max_channels", 1.5),
    ("config.streaming.store_limits.max_subs", -5),
    ("config.streaming.store_limits.max_msgs", "1k"),
    ("persistence.claim", None),
    ("config.streaming.store_limits.max_bytes", "256 gb"),
    ("config.streaming.store_limits.max_bytes", "256gigabytes"),
    ("config.streaming.store_limits.max_bytes", -1),
    ("config.streaming.store_limits.max_bytes", "1.5gb"),
    ("config.streaming.store_limits.max_age", 3600),
    ("config.streaming.store_limits.max_age", "1d"),
    ("config.streaming.store_limits.max_age", "-1h"),
    ("config.streaming.store_limits.max_inactivity", "1 week"),
    ("config.streaming.store_limits.channels", ["orders"]),
    ("config.streaming.store_limits.channels", {"a/b": {"maxMsgs": 1}}),
    ("config.streaming.store_limits.channels", {"a b": {"maxMsgs": 1}}),
    ("config.streaming.store_limits.channels", {"orders": {"maxMsgs": -1}}),
    ("config.streaming.store_limits.channels", {"orders": {"maxAge": 60}}),
    ("config.streaming.store_limits.channels", {"orders": {"max_channels": 3}}),
    ("config.streaming.file_options.compact", "yes"),
    ("config.streaming.file_options.compact_fragmentation", 0),
    ("config.streaming.file_options.compact_fragmentation", 101),
    ("config.streaming.file_options.compact_interval", "5m"),
    ("config.streaming.file_options.compact_interval", 0),
    ("config.streaming.file_options.compact_min_size", "1 mb"),
    ("config.streaming.file_options.buffer_size", "32megs"),
    ("config.streaming.file_options.buffer_size", True),
    ("config.streaming.file_options.read_buffer_size", "-1"),
    ("config.streaming.file_options.crc", "on"),
    ("config.streaming.file_options.crc_poly", 0),
    ("config.streaming.file_options.sync_on_flush", "false"),
    ("config.streaming.file_options.auto_sync", "1"),
    ("config.streaming.file_options.auto_sync", 1),
    ("config.streaming.file_options.slice_max_msgs", -1),
    ("config.streaming.file_options.slice_max_bytes", "half"),
    ("config.streaming.file_options.slice_max_age", "15"),
    ("config.streaming.file_options.file_descriptors_limit", -1),
    ("config.streaming.file_options.parallel_recovery", 0),
    ("store.encryption.enabled", "true"),
    ("store.encryption.cipher", "aes"),
    ("store.encryption.cipher", "DES"),
    ("store.sql.driver", "sqlite"),
    ("config.streaming.sql_options.max_open_conns", -1),
    ("config.streaming.sql_options.no_caching", "no"),
    # persistence
    ("persistence.existingClaim", None),
    ("persistence.mountPath", "data/stan"),
    ("persistence.mountPath", "/"),
    ("persistence.claim.accessModes", []),
    ("persistence.claim.accessModes", "ReadWriteMany"),
    ("persistence.claim.accessModes", ["ReadOnlyMany"]),
    ("persistence.claim.accessModes", ["RWX"]),
    ("persistence.claim.size", 10),
    ("persistence.claim.keep", "no"),
    ("persistence.staticVolume.driver", "efs"),
    ("persistence.staticVolume.nfs.mountOptions", "hard"),
    ("persistence.staticVolume.nfs.mountOptions", ["hard,nolock"]),
    ("persistence.staticVolume.efs.encryptInTransit", "true"),
    # fencing
    ("fencing.mode", "on"),
    ("fencing.mode", True),
    ("fencing.leaseSeconds", -1),
    ("fencing.leaseSeconds", "90s"),
    ("fencing.beyondLockQuota", "allow"),
    ("fencing.port", 0),
    ("fencing.image.pullPolicy", "Sometimes"),
    # NATS
    ("config.streaming.nats_server_url", "nats.example:4222"),
    ("config.streaming.nats_server_url", "nats://user:pass@nats.example:4222"),
    ("config.streaming.nats_server_url", "http://nats.example"),
    ("config.max_connections", -1),
    ("config.max_payload", "1gb"),
    ("config.ping_interval", "0.313us"),  # the server would take its own connections for dead
    ("config.streaming.store_limits.max_age", "83532825702515535ms"),  # more than the 292 years of a duration in Go
    ("config.streaming.store_limits.max_age", "999999h999999h999999h"),
    ("config.streaming.file_options.slice_max_age", "1h1.0000000000000000001s"),
    ("config.streaming.hb_interval", "191352578968672047920us"),
    ("config.streaming.discover_prefix", "a\x05.b"),
    ("config.streaming.store_limits.max_bytes", "716136935804335244110GB"),  # more than 64 bits
    ("config.streaming.file_options.buffer_size", "99999999tb"),
    ("config.max_payload", "1 MB"),
    ("config.max_pending", "big"),
    ("config.max_control_line", -4),
    ("config.ping_interval", "2"),
    ("config.write_deadline", "ten seconds"),
    ("config.debug", "yes"),
    ("config.logtime", 0),
    ("config.cluster.connect_retries", -1),
    ("config.cluster.no_advertise", "true"),
    ("tls.routes.enabled", 1),
    ("auth.mode", "basic"),
    ("tls.client.enabled", "true"),
    ("config.tls.verify", "yes"),
    # configuration file
    ("config.checksum", "off"),
    # Services and network
    ("service.type", "Headless"),
    ("service.type", "ExternalName"),
    ("service.port", 0),
    ("service.nodePort", 70000),
    ("serviceAccount.annotations", {"a": 1}),
    ("service.labels", {"a": "b c"}),
    ("networkPolicy.enabled", "true"),
    ("networkPolicy.extraIngress", {}),
    # probes and life cycle
    ("container.startupProbe.httpGet.path", "/streaming/serverz"),
    ("container.livenessProbe.httpGet.path", "/streaming/serverz"),
    ("container.livenessProbe.httpGet.path", "/streaming/isFTActive"),
    ("container.readinessProbe.httpGet.path", "/streaming/isFTActive"),
    ("podTemplate.terminationGracePeriodSeconds", "30s"),
    ("statefulSet.podManagementPolicy", "parallel"),
    ("statefulSet.minReadySeconds", -1),
    ("revisionHistoryLimit", "10"),
    ("lifecycle", {"preStop": "sleep 5"}),
    # scheduling
    ("podTemplate.antiAffinity.preset", "required"),
    ("podTemplate.topologySpreadConstraints", {"zone": {}}),
    ("podTemplate.nodeSelector", ["disk"]),
    ("podTemplate.nodeSelector", {"disk": True}),
    ("podTemplate.nodeLossTolerationSeconds", -1),
    ("podTemplate.nodeLossTolerationSeconds", "30s"),
    ("podDisruptionBudget.maxUnavailable", -1),
    ("podDisruptionBudget.unhealthyPodEvictionPolicy", "Always"),
    # security
    ("serviceAccount.create", "yes"),
    ("podTemplate.securityContext.runAsUser", "nobody"),
    # pod
    ("goMemoryLimit", "90%"),
    ("container.env", [{"name": "A", "value": "b"}]),
    ("container.args", "-D"),
    ("podTemplate.extraContainers", {"a": {}}),
    ("shareProcessNamespace", "true"),
    ("dnsPolicy", "Cluster"),
    ("dnsConfig", {"ndots": 1}),
    ("hostAliases", [{"ip": "127.0.0.1"}]),
    ("extraObjects", {"kind": "ConfigMap"}),
    ("extraObjects", [1]),
]

# Keys that do not exist, at every level: a mistake in writing must not become the server's default in silence.
UNKNOWN_KEYS: list[tuple[str, str]] = [
    ("replicaCount", ""),
    ("volumeClaimTemplates", ""),
    ("image.name", "/image"),
    ("ports.clients", "/ports"),
    ("streaming.clusterID", "/streaming"),
    ("streaming.cluster", "/streaming"),
    ("streaming.heartbeat.hbInterval", "/streaming/heartbeat"),
    ("streaming.login.password", "/streaming/login"),
    ("store.directory", "/store"),
    ("store.limits.max_channels", "/store/limits"),
    ("store.limits.maxChanels", "/store/limits"),
    ("store.fileOptions.buffer_size", "/store/fileOptions"),
    ("store.fileOptions.sync", "/store/fileOptions"),
    ("store.encryption.key", "/store/encryption"),
    ("store.sql.source", "/store/sql"),
    ("persistence.storageClass", "/persistence"),
    ("persistence.claim.accessMode", "/persistence/claim"),
    ("persistence.staticVolume.mountOptions", "/persistence/staticVolume"),
    ("persistence.staticVolume.nfs.host", "/persistence/staticVolume/nfs"),
    ("persistence.staticVolume.efs.fileSystemId", "/persistence/staticVolume/efs"),
    ("persistence.volumePermissions.image.name", "/persistence/volumePermissions/image"),
    ("fencing.interval", "/fencing"),
    ("nats.jetstream", "/nats"),
    ("nats.external.urls", "/nats/external"),
    ("tls.external.ca", "/nats/external/tls"),
    ("nats.limits.max_payload", "/nats/limits"),
    ("nats.logging.level", "/nats/logging"),
    ("nats.cluster.routes", "/nats/cluster"),
    ("nats.cluster.auth.password", "/nats/cluster/auth"),
    ("nats.cluster.tls.secret", "/nats/cluster/tls"),
    ("nats.auth.password", "/nats/auth"),
    ("nats.tls.secretName", "/nats/tls"),
    ("tls.certManager.issuer", "/nats/tls/certManager"),
    ("clientService.ports", "/clientService"),
    ("networkPolicy.allowExternal", "/networkPolicy"),
    ("podTemplate.antiAffinity.type", "/antiAffinity"),
    ("podDisruptionBudget.minavailable", "/podDisruptionBudget"),
    ("serviceAccount.automount", "/serviceAccount"),
]

CLAIM = at("persistence.existingClaim", "")
STATIC = both(CLAIM, at("persistence.staticVolume", {"enabled": True, "nfs": {"server": "nfs.example"}}))
SQL = {"store": {"type": "sql", "sql": {"existingSecret": "dsn"}}}
TLS = {"tls": {"client": {"enabled": True, "existingSecret": "tls"}}}
EXTERNAL = at("config.streaming.nats_server_url", "nats://nats.example:4222")


def option(text: str) -> Values:
    return both(STATIC, at("persistence.staticVolume.nfs.mountOptions", ["nfsvers=4.1", text]))


# What only several values together make wrong: the values, the key that the message names, a word of the remedy.
COMBINATIONS: list[tuple[Values, str, str]] = [
    ({"replicas": 1}, "replicas", "allowSingleReplica=true"),
    (
        both(CLAIM, at("persistence.claim.accessModes", ["ReadWriteOnce"])),
        "persistence.claim.accessModes",
        "ReadWriteMany",
    ),
    (
        both(CLAIM, at("persistence.claim.accessModes", ["ReadWriteOncePod"])),
        "persistence.claim.accessModes",
        "replicas=1",
    ),
    (
        both(CLAIM, at("persistence.claim.accessModes", ["ReadWriteMany", "ReadWriteOnce"])),
        "persistence.claim.accessModes",
        "ReadWriteMany",
    ),
    (at("config.streaming.dir", "/var/lib/stan"), "config.streaming.dir", "/data/stan/store"),
    (at("config.streaming.dir", "/data/stan"), "config.streaming.dir", "persistence.mountPath"),
    (at("config.streaming.dir", "/data/stanstore"), "config.streaming.dir", "/data/stan/store"),
    (at("config.streaming.dir", "/data/stan/../store"), "config.streaming.dir", "/data/stan/store"),
    (at("store.type", "sql"), "store.sql.existingSecret", "Secret"),
    (at("store.encryption.enabled", True), "store.encryption.existingSecret", "encryption-key"),
    (
        {"config": {"streaming": {"store_limits": {"max_channels": 1, "channels": {"a": {}, "b": {}}}}}},
        "config.streaming.store_limits.channels",
        "max_channels",
    ),
    (
        at("config.streaming.partitioning", True),
        "config.streaming.partitioning",
        "store_limits.channels",
    ),
    (both(STATIC, SQL), "persistence.staticVolume.enabled", "store.type=file"),
    (
        both(STATIC, at("persistence.existingClaim", "efs")),
        "persistence.staticVolume.enabled",
        "persistence.existingClaim",
    ),
    (both(STATIC, at("persistence.claim.volumeName", "pv")), "persistence.claim.volumeName", "Empty one"),
    (both(CLAIM, at("persistence.staticVolume.enabled", True)), "persistence.staticVolume.nfs.server", "NFS server"),
    (
        both(CLAIM, at("persistence.staticVolume", {"enabled": True, "driver": "efs-csi"})),
        "persistence.staticVolume.efs.volumeHandle",
        "fs-",
    ),
    *[
        (option(text), "persistence.staticVolume.nfs.mountOptions", f"{text}: ")
        for text in (
            *(
                "nobrl",
                "local_lock=posix",
                "nocto",
                "ro",
                "udp",
                "proto=udp",
                "tls",
                "iam",
                "accesspoint=fsap-1",
                "soft",
            ),
            "nolock",
            "NoLock",
            "local_lock=all",
            "local_lock=posix",
            "local_lock=flock",
            "nfsvers=3",
            "vers=3",
            "nfsvers=2",
            "v3",
        )
    ],
    (option("soft"), "persistence.staticVolume.nfs.mountOptions", "hard"),
    (
        at("persistence.staticVolume.efs.mountOptions", ["nolock"]),
        "persistence.staticVolume.efs.mountOptions",
        "locks stay on the node",
    ),
    (at("auth.server.method", "password"), "auth.server.existingSecret", "Secret"),
    ({"auth": {"server": {"method": "token", "existingSecret": "x"}}}, "auth.server.method", "none"),
    (at("auth.mode", "password"), "auth.existingSecret", "Secret"),
    (at("auth.mode", "token"), "auth.existingSecret", "Secret"),
    (at("auth.existingSecret", "x"), "auth.mode", "password"),
    ({"auth": {"mode": "users", "existingSecret": "x"}}, "auth.server.method", "_STAN.>"),
    (at("tls.client.enabled", True), "tls.client.existingSecret", "certManager"),
    (at("tls.routes.enabled", True), "tls.routes.existingSecret", "certManager"),
    (both(TLS, at("tls.certManager.enabled", True)), "tls.certManager.issuerRef.name", "issuer"),
    (
        at("tls.certManager", {"enabled": True, "issuerRef": {"name": "ca"}}),
        "tls.certManager.enabled",
        "tls.client.enabled=true",
    ),
    (at("config.tls.verify", True), "config.tls", "tls.client.enabled=true"),
    (at("config.tls.verify_and_map", True), "config.tls", "tls.client.enabled=true"),
    (at("config.allow_non_tls", True), "config.allow_non_tls", "tls.client.enabled=true"),
    (both(TLS, at("config.tls.verify_and_map", True)), "config.tls.verify_and_map", "auth.mode=users"),
    (at("config.max_payload", "65mb"), "config.max_payload", "config.max_pending"),
    ({"config": {"max_payload": 2048, "max_pending": "1kb"}}, "config.max_payload", "config.max_pending"),
    (
        both(EXTERNAL, {"auth": {"mode": "password", "existingSecret": "x"}}),
        "auth.mode",
        "auth.server",
    ),
    (both(EXTERNAL, TLS), "tls.client.enabled", "tls.external"),
    (
        both(EXTERNAL, {"tls": {"routes": {"enabled": True, "existingSecret": "x"}}}),
        "tls.routes.enabled",
        "tls.external",
    ),
    (both(EXTERNAL, at("auth.routes.existingSecret", "x")), "auth.routes.existingSecret", "Empty it"),
    (both(EXTERNAL, at("tls.external.enabled", True)), "tls.external.existingSecret", "authority"),
    (both(EXTERNAL, at("tls.external.certKey", "tls.crt")), "tls.external.certKey", "keyKey"),
    (at("tls.external.enabled", True), "tls.external.enabled", "tls.client"),
    (
        {"configFile": {"override": "streaming { ft_group_name: a }", "existingConfigMap": "x"}},
        "configFile.override",
        "one of the two",
    ),
    (at("configFile.override", "streaming {\n  store: file\n}"), "configFile.override", "ft_group_name"),
    (
        at("configFile.override", "streaming {\n  ft_group: a\n  store: memory\n}"),
        "configFile.override",
        "file or sql",
    ),
    (at("config.streaming.cluster", {"node_id": "a"}), "config.streaming.cluster", "Raft"),
    (at("config.streaming.dir", "/elsewhere"), "config.streaming.dir", "/data/stan/store"),
    (at("config.streaming.store", "memory"), "config.streaming.store", "store.type"),
    (at("config.streaming.password", "secret"), "config.streaming.password", "Secret"),
    (at("config.streaming.pass", "secret"), "config.streaming.password", "Secret"),
    (at("config.streaming.encryption_key", "k"), "config.streaming.encryption_key", "store.encryption"),
    (at("config.authorization", {"user": "a", "password": "b"}), "config.authorization.password", "Secret"),
    (at("config.cluster.authorization", {"user": "a", "pass": "b"}), "config.cluster.authorization.pass", "Secret"),
    (
        at("config.accounts.APP.users", [{"user": "a", "password": "deep"}]),
        "config.accounts.APP.users.password",
        "Secret",
    ),
    (at("config.leafnodes.remotes", [{"url": "nats://a:b@c:1"}]), "config.leafnodes.remotes.url", "Secret"),
    (at("config.listen", "0.0.0.0:4333"), "config.listen", "config.port"),
    (at("config.cluster.listen", "0.0.0.0:1"), "config.cluster", "config.cluster.port"),
    (at("config.streaming.file_options.auto_sync", "5"), "config.streaming.file_options.auto_sync", "90s"),
    (at("config.streaming.file_options.buffer_size", "5 mb"), "config.streaming.file_options.buffer_size", "mb"),
    (at("config.streaming.store_limits.mc", "5m"), "config.streaming.store_limits.max_channels", "whole number"),
    (at("config.streaming.discover_prefix", "a.>"), "config.streaming.discover_prefix", "without * and >"),
    (at("config.streaming.id", "a b"), "config.streaming.id", "letters"),
    (at("config.streaming.nats_server_url", "nats:4222"), "config.streaming.nats_server_url", "nats://HOST:4222"),
    (at("config.streaming.nats_server_url", "nats://a:b@c:1"), "config.streaming.nats_server_url", "auth.server"),
    (at("container.env.GOMEMLIMIT", "3GiB"), "container.env.GOMEMLIMIT", "limits.memory"),
    (
        at("container.resources", {"limits": {"memory": "39Mi"}, "requests": None}),
        "container.resources.limits.memory",
        "39Mi is less than any server starts with beside the supervisor. Set 40Mi or more",
    ),
    (
        layered(at("container.resources", {"limits": {"memory": "15Mi"}, "requests": None}), at("fencing.mode", "off")),
        "container.resources.limits.memory",
        "15Mi is less than any server starts with. Set 16Mi or more",
    ),
    (at("clusterDomain", "cluster_local"), "clusterDomain", "cluster.local"),
    (at("image.registry", "https://x"), "image", "without https://"),
    (at("global.imageRegistry", "https://x"), "tests.image", "without https://"),
    (at("fullnameOverride", "Stan"), "fullnameOverride", "letter"),
    (
        at("container.startupProbe.httpGet.path", "/streaming/serverz"),
        "container.startupProbe.httpGet.path",
        "/healthz",
    ),
    (at("container.args", ["--pass=secret"]), "container.args", "monitoring port"),
    (at("container.args", ["-encryption_key=secret"]), "container.args", "Secret"),
    (at("container.args", ["-clustered"]), "container.args", "fault-tolerant mode"),
    (at("container.args", ["-store=memory"]), "container.args", "-store"),
    (at("container.args", ["-sc=/other"]), "container.args", "-sc"),
    (at("container.env", {"POD_NAME": "x"}), "container.env", "POD_NAME"),
    (at("container.env", {"NATS_STREAMING_ENCRYPTION_KEY": "x"}), "container.env", "NATS_STREAMING_ENCRYPTION_KEY"),
    (
        both(at("podTemplate.securityContext.runAsUser", None), at("persistence.volumePermissions.enabled", True)),
        "persistence.volumePermissions.enabled",
        "runAsUser",
    ),
    (at("podTemplate.securityContext.runAsUser", 0), "podTemplate.securityContext.runAsUser", "runAsNonRoot"),
    (at("config.port", 8222), "config.port", "config.http"),
    (
        both(SQL, {"networkPolicy": {"enabled": True, "restrictEgress": True}}),
        "networkPolicy.extraEgress",
        "database",
    ),
    (
        both(EXTERNAL, {"networkPolicy": {"enabled": True, "restrictEgress": True}}),
        "networkPolicy.extraEgress",
        "config.streaming.nats_server_url",
    ),
    ({"commonAnnotations": {"helm.sh/hook": "test"}}, "commonAnnotations", "Take it out"),
]


def refusal(values: Values, **options: Any) -> str:
    """What helm says to these values; fails if it takes them."""
    with pytest.raises(RenderError) as caught:
        render("stan-ft", values, **options)
    return caught.value.message


@pytest.mark.parametrize(("key", "value"), WRONG_VALUES, ids=lambda part: str(part)[:60])
def test_a_wrong_value_is_refused_by_its_key(key: str, value: Any) -> None:
    message = refusal(at(key, value))
    path = f"/{key.replace('.', '/')}"
    told = [f"at '{path}'", f"at '{path}/", f"- {key}: ", f"- {key}.", f"- {key.rpartition('.')[0]}: "]
    assert any(words in message for words in told), message


@pytest.mark.parametrize("key", [key for key, _ in UNKNOWN_KEYS])
def test_an_unknown_key_is_refused_where_it_stands(key: str) -> None:
    message = refusal(at(key, "x"))
    above, _, name = key.rpartition(".")
    place = re.escape(f"at '/{above.replace('.', '/')}': additional properties ")
    assert re.search(rf"{place}[^\n]*'{name}'[^\n]* not allowed|  - {re.escape(key)}: there is no such value", message)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("config.max_payloadd", "would ignore it without a word. Take it out, or correct its spelling."),
        ("config.cluster.retries", "would ignore it without a word. Take it out, or correct its spelling."),
        ("config.authorization.usr", "would ignore it without a word. Take it out, or correct its spelling."),
        ("config.tls.cert", "would not start. Take it out, or correct its spelling."),
        ("config.cluster.tls.key", "would not start. Take it out, or correct its spelling."),
        ("config.maxPayload", "Write it as max_payload."),
        ("config.max_channels", "Write it as config.streaming.store_limits.max_channels."),
        ("config.store_limits", "Write it as config.streaming.store_limits."),
        ("config.cluster_id", "Write it as config.streaming.id."),
        ("config.advertise", "Write it as config.cluster.advertise."),
        ("config.streaming.maxPayload", "Write it as config.max_payload."),
        ("config.streaming.bogusKey", "Take it out, or correct its spelling."),
        ("config.streaming.ID", "the server reads it as id, beside or instead of the chart's. Write it so."),
        ("config.streaming.store_limits.maxChannels", "the server reads it as max_channels, "),
        ("config.streaming.store_limits.MC", "the server reads it as max_channels, "),
        ("config.streaming.file_options.syncOnFlush", "Write it as sync_on_flush."),
    ],
)
def test_a_key_that_the_server_does_not_read_there_is_refused_with_what_to_write(key: str, remedy: str) -> None:
    line = next(line for line in refusal(at(key, "x")).splitlines() if line.startswith(f"  - {key}: "))
    assert remedy in line


def test_keys_that_are_variables_or_include_a_file_are_taken() -> None:
    cluster = {"HOST": "0.0.0.0", "host": "$HOST"}
    config = {"Depth": 5, "max_sub_tokens": "$Depth", "cluster": cluster, "include": "/etc/more/a.conf"}
    assert "Depth: 5" in stan_conf(render("stan-ft", {"config": config}))


def test_one_bad_value_alone_is_told_alone() -> None:
    message = refusal(at("config.streaming.store_limits.max_bytes", "256 gb"))
    assert message.count("  - ") == 1
    assert "  - config.streaming.store_limits.max_bytes: 256 gb is no number of bytes." in message


OLD: dict[str, str] = yaml.safe_load((CHARTS / "stan-ft" / "files" / "old-keys.yaml").read_text())


@pytest.mark.parametrize("key", OLD)
def test_a_key_of_another_chart_is_refused_with_what_it_is_called_here(key: str) -> None:
    assert (
        f"{key}: it is a value of another chart, or of this one before 1.0. What says the same here: {OLD[key]}."
        in refusal(at(key, "x"))
    )


@pytest.mark.parametrize("key", OLD)
def test_what_a_key_of_another_chart_is_called_here_exists(key: str) -> None:
    words = OLD[key].split(",")[0].split()[0]
    if words not in ("nothing", "helm's"):
        values, path = chart_values("stan-ft"), words.split(".")
        while path and isinstance(values, dict) and path[0] in values:
            values = values[path.pop(0)]
        root = words.split(".")[0]
        assert not path or root == "config" or not values, f"{words}: {path} is nowhere"


@pytest.mark.parametrize(("values", "key", "remedy"), COMBINATIONS, ids=lambda part: str(part)[:60])
def test_values_that_cannot_work_together_are_refused_with_the_remedy(values: Values, key: str, remedy: str) -> None:
    message = refusal(values)
    assert f"  - {key}: " in message
    assert remedy in message


def test_a_release_name_that_no_service_can_have_is_refused() -> None:
    assert "fullnameOverride" in refusal({}, release="1stan")
    assert "fullnameOverride" in refusal({}, release="s" * 50)


def test_every_problem_is_told_at_once() -> None:
    message = refusal(both({"replicas": 1}, at("config.streaming.dir", "/x"), at("auth.mode", "token")))
    assert all(f"  - {key}: " in message for key in ("replicas", "config.streaming.dir", "auth.existingSecret"))


def test_there_are_enough_bad_inputs_to_mean_something() -> None:
    assert len(WRONG_VALUES) + len(UNKNOWN_KEYS) + len(COMBINATIONS) >= 300
