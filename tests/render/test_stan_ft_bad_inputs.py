"""Bad values stop `helm install` with a message that names the key: schema for one value, `validate` for several."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from harness.charts.render import RenderError, at, layered, render

Values = dict[str, Any]
DIGEST = "sha256:" + "a" * 64


def both(*parts: Values) -> Values:
    return layered(*parts)


# What the schema refuses: the key (dotted) and a value that it must not have. The message names the key's path.
WRONG_VALUES: list[tuple[str, Any]] = [
    # identity
    ("nameOverride", "has space"),
    ("fullnameOverride", "Stan"),
    ("fullnameOverride", "1stan"),
    ("fullnameOverride", "s" * 46),
    ("clusterDomain", "cluster_local"),
    ("clusterDomain", ""),
    ("clusterDomain", ".cluster.local"),
    ("commonLabels", {"team": "has space"}),
    ("commonLabels", {"team": 7}),
    ("commonLabels", ["team"]),
    ("commonAnnotations", {"owner": True}),
    ("global.imageRegistry", "https://mirror.example"),
    ("global.imagePullSecrets", "secret"),
    ("global.imagePullSecrets", [{"name": "secret"}]),
    # replicas
    ("replicas", 0),
    ("replicas", -1),
    ("replicas", 10),
    ("replicas", 2.5),
    ("replicas", "3"),
    ("replicas", None),
    ("allowSingleReplica", "yes"),
    # images
    ("image.registry", "docker.io/"),
    ("image.repository", "Nats-Streaming"),
    ("image.repository", ""),
    ("image.tag", "0.25.6@sha256"),
    ("image.tag", 0.25),
    ("image.digest", "sha256:abc"),
    ("image.digest", "a" * 64),
    ("image.pullPolicy", "always"),
    ("image.pullSecrets", {"name": "secret"}),
    # ports
    ("ports.client", 0),
    ("ports.client", 65536),
    ("ports.cluster", "6222"),
    ("ports.monitor", 82.5),
    ("ports.metrics", None),
    # streaming
    ("streaming.id", ""),
    ("streaming.id", "test cluster"),
    ("streaming.id", "test.cluster"),
    ("streaming.id", 5),
    ("streaming.ftGroup", "a.b"),
    ("streaming.discoverPrefix", "_STAN.>"),
    ("streaming.discoverPrefix", "_STAN..discover"),
    ("streaming.partitioning", "false"),
    ("streaming.heartbeat.interval", 30),
    ("streaming.heartbeat.interval", "30"),
    ("streaming.heartbeat.timeout", "10 s"),
    ("streaming.heartbeat.failCount", 0),
    ("streaming.heartbeat.failCount", "10"),
    ("streaming.replaceDurables", 1),
    ("streaming.ioBatchSize", 0),
    ("streaming.ioSleepTime", -1),
    ("streaming.debug", "true"),
    ("streaming.trace", 1),
    ("streaming.login.method", "user"),
    ("streaming.login.existingSecret", "Secret_Name"),
    ("streaming.login.usernameKey", ""),
    ("streaming.login.passwordKey", "pass word"),
    ("streaming.extraConfig", ["a"]),
    # store
    ("store.type", "memory"),
    ("store.type", "FILE"),
    ("store.dir", "data/stan/store"),
    ("store.dir", "/data/stan/store/"),
    ("store.dir", "/data/with space"),
    ("store.durability", "safe"),
    ("store.durability", None),
    ("store.limits.maxChannels", -1),
    ("store.limits.maxChannels", "10"),
    ("store.limits.maxChannels", 1.5),
    ("store.limits.maxSubs", -5),
    ("store.limits.maxMsgs", "1k"),
    ("nats", None),
    ("persistence.claim", None),
    ("store.limits.maxBytes", "256 gb"),
    ("store.limits.maxBytes", "256gigabytes"),
    ("store.limits.maxBytes", -1),
    ("store.limits.maxBytes", "1.5gb"),
    ("store.limits.maxAge", 3600),
    ("store.limits.maxAge", "1d"),
    ("store.limits.maxAge", "-1h"),
    ("store.limits.maxInactivity", "1 week"),
    ("store.limits.channels", ["orders"]),
    ("store.limits.channels", {"a/b": {"maxMsgs": 1}}),
    ("store.limits.channels", {"a b": {"maxMsgs": 1}}),
    ("store.limits.channels", {"orders": {"maxMsgs": -1}}),
    ("store.limits.channels", {"orders": {"maxAge": 60}}),
    ("store.limits.channels", {"orders": {"maxChannels": 3}}),
    ("store.limits.channels", {"orders": {"max_msgs": 3}}),
    ("store.fileOptions.compact", "yes"),
    ("store.fileOptions.compactFragmentation", 0),
    ("store.fileOptions.compactFragmentation", 101),
    ("store.fileOptions.compactInterval", "5m"),
    ("store.fileOptions.compactInterval", 0),
    ("store.fileOptions.compactMinSize", "1 mb"),
    ("store.fileOptions.bufferSize", "32megs"),
    ("store.fileOptions.bufferSize", True),
    ("store.fileOptions.readBufferSize", "-1"),
    ("store.fileOptions.crc", "on"),
    ("store.fileOptions.crcPoly", 0),
    ("store.fileOptions.syncOnFlush", "false"),
    ("store.fileOptions.autoSync", "1"),
    ("store.fileOptions.autoSync", 1),
    ("store.fileOptions.sliceMaxMsgs", -1),
    ("store.fileOptions.sliceMaxBytes", "half"),
    ("store.fileOptions.sliceMaxAge", "15"),
    ("store.fileOptions.sliceArchiveScript", "archive.sh"),
    ("store.fileOptions.fileDescriptorsLimit", -1),
    ("store.fileOptions.parallelRecovery", 0),
    ("store.encryption.enabled", "true"),
    ("store.encryption.cipher", "aes"),
    ("store.encryption.cipher", "DES"),
    ("store.encryption.secretKey", ""),
    ("store.sql.driver", "sqlite"),
    ("store.sql.maxOpenConns", -1),
    ("store.sql.noCaching", "no"),
    ("store.sql.bulkInsertLimit", "10"),
    # persistence
    ("persistence.existingClaim", "EFS"),
    ("persistence.existingClaim", None),
    ("persistence.mountPath", "data/stan"),
    ("persistence.mountPath", "/"),
    ("persistence.subPath", "/absolute"),
    ("persistence.subPath", "../other"),
    ("persistence.claim.accessModes", []),
    ("persistence.claim.accessModes", "ReadWriteMany"),
    ("persistence.claim.accessModes", ["ReadOnlyMany"]),
    ("persistence.claim.accessModes", ["RWX"]),
    ("persistence.claim.accessModes", ["ReadWriteMany", "ReadWriteMany"]),
    ("persistence.claim.size", "0"),
    ("persistence.claim.size", "10GB"),
    ("persistence.claim.size", 10),
    ("persistence.claim.storageClassName", "AWS EFS"),
    ("persistence.claim.keep", "no"),
    ("persistence.staticVolume.driver", "efs"),
    ("persistence.staticVolume.nfs.path", "exports"),
    ("persistence.staticVolume.nfs.server", "nfs server"),
    ("persistence.staticVolume.nfs.mountOptions", "hard"),
    ("persistence.staticVolume.nfs.mountOptions", ["hard,nolock"]),
    ("persistence.staticVolume.efs.volumeHandle", "efs-123"),
    ("persistence.staticVolume.efs.volumeHandle", "fs-XYZ"),
    ("persistence.staticVolume.efs.encryptInTransit", "true"),
    ("persistence.volumePermissions.image.digest", "latest"),
    ("fence.enabled", "true"),
    ("fence.intervalSeconds", 0),
    ("guard.enabled", "true"),
    ("guard.intervalSeconds", 0),
    ("guard.image.pullPolicy", "Sometimes"),
    ("fence.limitSeconds", "30s"),
    ("fence.image.pullPolicy", "Sometimes"),
    # NATS
    ("nats.external.url", "nats.example:4222"),
    ("nats.external.url", "nats://user:pass@nats.example:4222"),
    ("nats.external.url", "http://nats.example"),
    ("nats.clientAdvertise", "nats://nats.example"),
    ("nats.limits.maxConnections", -1),
    ("nats.limits.maxConnections", 5),  # as many as the server makes to itself
    ("nats.limits.maxPayload", "1gb"),
    ("nats.limits.maxSubscriptions", 7),  # the server itself needs eight
    ("nats.limits.maxSubscriptionTokens", 256),
    ("nats.limits.maxControlLine", 44),  # no room for the server's own connect
    ("nats.limits.maxControlLine", "6tb"),
    ("nats.pingInterval", "0.313us"),  # the server would take its own connections for dead
    ("nats.writeDeadline", "10us"),
    ("store.limits.maxAge", "83532825702515535ms"),  # more than the 292 years of a duration in Go
    ("store.limits.maxAge", "999999h999999h999999h"),
    ("store.fileOptions.sliceMaxAge", "1h1.0000000000000000001s"),
    ("streaming.heartbeat.interval", "191352578968672047920us"),
    ("streaming.discoverPrefix", "a\x05.b"),
    ("store.limits.maxBytes", "716136935804335244110GB"),  # more than 64 bits
    ("store.fileOptions.bufferSize", "99999999tb"),
    ("nats.limits.maxPayload", "1 MB"),
    ("nats.limits.maxPending", "big"),
    ("nats.limits.maxSubscriptions", "10"),
    ("nats.limits.maxControlLine", -4),
    ("nats.pingInterval", 120),
    ("nats.pingInterval", "2"),
    ("nats.pingMax", 0),
    ("nats.writeDeadline", "ten seconds"),
    ("nats.logging.debug", "yes"),
    ("nats.logging.time", 0),
    ("nats.logging.connectErrorReports", "1"),
    ("nats.cluster.name", "my cluster"),
    ("nats.cluster.connectRetries", -1),
    ("nats.cluster.noAdvertise", "true"),
    ("nats.cluster.auth.timeout", "1s"),
    ("nats.cluster.auth.existingSecret", "a/b"),
    ("nats.cluster.tls.enabled", 1),
    ("nats.cluster.tls.certKey", ""),
    ("nats.cluster.tls.pinnedCerts", ["abc"]),
    ("nats.auth.mode", "basic"),
    ("nats.auth.timeout", 0),
    ("nats.tls.enabled", "true"),
    ("nats.tls.verify", "yes"),
    ("nats.tls.timeout", 0),
    ("nats.tls.cipherSuites", ["AES128-SHA"]),
    ("nats.tls.curvePreferences", ["P256"]),
    ("nats.tls.pinnedCerts", ["AB" * 32]),
    ("nats.tls.certManager.issuerRef.kind", "clusterissuer"),
    ("nats.tls.certManager.duration", "90d"),
    ("nats.tls.certManager.extraDnsNames", ["https://x"]),
    # configuration file
    ("config.existingConfigMap", "My_Config"),
    ("config.existingConfigMapKey", ""),
    ("config.checksum", "off"),
    # Services and network
    ("clientService.type", "Headless"),
    ("clientService.type", "ExternalName"),
    ("clientService.port", 0),
    ("clientService.nodePort", 70000),
    ("clientService.loadBalancerSourceRanges", ["10.0.0.1"]),
    ("clientService.externalTrafficPolicy", "local"),
    ("clientService.trafficDistribution", "Near"),
    ("clientService.annotations", {"a": 1}),
    ("service.labels", {"a": "b c"}),
    ("networking.ipFamilyPolicy", "DualStack"),
    ("networking.ipFamilies", ["ipv4"]),
    ("networking.ipFamilies", ["IPv4", "IPv4"]),
    ("networkPolicy.enabled", "true"),
    ("networkPolicy.clients", [{"from": []}]),
    ("networkPolicy.extraIngress", {}),
    # probes and life cycle
    ("startupProbe.path", "/streaming/serverz"),
    ("livenessProbe.path", "/streaming/serverz"),
    ("livenessProbe.path", "/streaming/isFTActive"),
    ("readinessProbe.path", "/streaming/isFTActive"),
    ("livenessProbe.periodSeconds", 0),
    ("livenessProbe.timeoutSeconds", "2"),
    ("livenessProbe.terminationGracePeriodSeconds", 0),
    ("startupProbe.failureThreshold", 0),
    ("readinessProbe.initialDelaySeconds", -1),
    ("terminationGracePeriodSeconds", 0),
    ("terminationGracePeriodSeconds", "30s"),
    ("podManagementPolicy", "parallel"),
    ("minReadySeconds", -1),
    ("revisionHistoryLimit", "10"),
    ("lifecycle", {"preStop": "sleep 5"}),
    # scheduling
    ("antiAffinity.preset", "required"),
    ("antiAffinity.topologyKey", ""),
    ("affinity", {"podAntiAffinities": {}}),
    ("topologySpreadConstraints", [{"maxSkew": 1}]),
    ("topologySpreadConstraints", {"zone": {}}),
    ("topologySpreadConstraints", [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
    ("topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "Never"}]),
    ("nodeSelector", ["disk"]),
    ("nodeSelector", {"disk": True}),
    ("tolerations", [{"key": "a", "operator": "Is"}]),
    ("tolerations", [{"keys": "a"}]),
    ("nodeLossTolerationSeconds", -1),
    ("nodeLossTolerationSeconds", "30s"),
    ("podDisruptionBudget.maxUnavailable", "all"),
    ("podDisruptionBudget.maxUnavailable", -1),
    ("podDisruptionBudget.minAvailable", "200%"),
    ("podDisruptionBudget.unhealthyPodEvictionPolicy", "Always"),
    # security
    ("serviceAccount.create", "yes"),
    ("serviceAccount.name", "A"),
    ("podSecurityContext.runAsUser", -1),
    ("podSecurityContext.runAsUser", "nobody"),
    ("podSecurityContext.runAsNonRoot", "true"),
    ("podSecurityContext.fsGroupChangePolicy", "Never"),
    ("podSecurityContext.supplementalGroups", [-1]),
    ("podSecurityContext.seccompProfile", {"type": "Default"}),
    ("containerSecurityContext.readOnlyRootFilesystem", "yes"),
    ("containerSecurityContext.capabilities", {"drop": "ALL"}),
    # pod
    ("resources", {"limits": {"memory": "2 GB"}}),
    ("resources", {"limit": {"memory": "2Gi"}}),
    ("goMemoryLimit", "90%"),
    ("podLabels", {"a": "b c"}),
    ("extraEnv", [{"name": "A", "value": "b"}]),
    ("extraEnv", {"A": 1}),
    ("extraEnv", {"1A": "b"}),
    ("extraEnv", {"A": {"from": "x"}}),
    ("extraArgs", ["debug"]),
    ("extraArgs", "-D"),
    ("extraVolumes", [{"emptyDir": {}}]),
    ("sidecars", {"a": {}}),
    ("initContainers", [{"image": "busybox"}]),
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
    ("stan", ""),
    ("volumeClaimTemplates", ""),
    ("global.registry", "/global"),
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
    ("persistence.claim.selector.labels", "/persistence/claim/selector"),
    ("persistence.staticVolume.mountOptions", "/persistence/staticVolume"),
    ("persistence.staticVolume.nfs.host", "/persistence/staticVolume/nfs"),
    ("persistence.staticVolume.efs.fileSystemId", "/persistence/staticVolume/efs"),
    ("persistence.volumePermissions.image.name", "/persistence/volumePermissions/image"),
    ("fence.interval", "/fence"),
    ("nats.jetstream", "/nats"),
    ("nats.external.urls", "/nats/external"),
    ("nats.external.tls.ca", "/nats/external/tls"),
    ("nats.limits.max_payload", "/nats/limits"),
    ("nats.logging.level", "/nats/logging"),
    ("nats.cluster.routes", "/nats/cluster"),
    ("nats.cluster.auth.password", "/nats/cluster/auth"),
    ("nats.cluster.tls.secret", "/nats/cluster/tls"),
    ("nats.auth.password", "/nats/auth"),
    ("nats.tls.secretName", "/nats/tls"),
    ("nats.tls.certManager.issuer", "/nats/tls/certManager"),
    ("nats.tls.certManager.issuerRef.names", "/nats/tls/certManager/issuerRef"),
    ("config.existingSecret", "/config"),
    ("service.type", "/service"),
    ("clientService.ports", "/clientService"),
    ("networking.ipFamily", "/networking"),
    ("networkPolicy.allowExternal", "/networkPolicy"),
    ("startupProbe.httpGet", "/startupProbe"),
    ("livenessProbe.exec", "/livenessProbe"),
    ("readinessProbe.tcpSocket", "/readinessProbe"),
    ("antiAffinity.type", "/antiAffinity"),
    ("podDisruptionBudget.minavailable", "/podDisruptionBudget"),
    ("serviceAccount.automount", "/serviceAccount"),
    ("podSecurityContext.privileged", "/podSecurityContext"),
    ("podSecurityContext.seccompProfile.profile", "/podSecurityContext/seccompProfile"),
    ("containerSecurityContext.runAsRoot", "/containerSecurityContext"),
    ("containerSecurityContext.capabilities.remove", "/containerSecurityContext/capabilities"),
    ("resources.request", "/resources"),
]

CLAIM = at("persistence.existingClaim", "")
STATIC = both(CLAIM, at("persistence.staticVolume", {"enabled": True, "nfs": {"server": "nfs.example"}}))
SQL = {"store": {"type": "sql", "sql": {"existingSecret": "dsn"}}}
TLS = at("nats.tls", {"enabled": True, "existingSecret": "tls"})
EXTERNAL = at("nats.external.url", "nats://nats.example:4222")


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
    (at("store.dir", "/var/lib/stan"), "store.dir", "/data/stan/store"),
    (at("store.dir", "/data/stan"), "store.dir", "persistence.mountPath"),
    (at("store.dir", "/data/stanstore"), "store.dir", "/data/stan/store"),
    (at("store.dir", "/data/stan/../store"), "store.dir", "/data/stan/store"),
    (at("persistence.mountPath", "/mnt/efs"), "store.dir", "/mnt/efs/store"),
    (at("store.type", "sql"), "store.sql.existingSecret", "Secret"),
    (at("store.encryption.enabled", True), "store.encryption.existingSecret", "encryption-key"),
    (
        at("store.limits", {"maxChannels": 1, "channels": {"a": {}, "b": {}}}),
        "store.limits.channels",
        "maxChannels",
    ),
    (at("streaming.partitioning", True), "streaming.partitioning", "store.limits.channels"),
    (both(STATIC, SQL), "persistence.staticVolume.enabled", "store.type=file"),
    (both(SQL, at("fence.enabled", True)), "fence.enabled", "lock of its own"),
    (both(SQL, at("guard.enabled", True)), "guard.enabled", "the SQL store has none"),
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
        (option(text), "persistence.staticVolume.nfs.mountOptions", "nfsvers=4.1")
        for text in (
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
        "locks are not shared",
    ),
    (at("streaming.login.method", "password"), "streaming.login.existingSecret", "Secret"),
    (at("streaming.login", {"method": "token", "existingSecret": "x"}), "streaming.login.method", "none"),
    (at("nats.auth.mode", "password"), "nats.auth.existingSecret", "Secret"),
    (at("nats.auth.mode", "token"), "nats.auth.existingSecret", "Secret"),
    (at("nats.auth.existingSecret", "x"), "nats.auth.mode", "password"),
    (at("nats.auth", {"mode": "users", "existingSecret": "x"}), "streaming.login.method", "_STAN.>"),
    (at("nats.tls.enabled", True), "nats.tls.existingSecret", "certManager"),
    (at("nats.cluster.tls.enabled", True), "nats.cluster.tls.existingSecret", "certManager"),
    (both(TLS, at("nats.tls.certManager.enabled", True)), "nats.tls.certManager.issuerRef.name", "issuer"),
    (
        at("nats.tls.certManager", {"enabled": True, "issuerRef": {"name": "ca"}}),
        "nats.tls.certManager.enabled",
        "nats.tls.enabled=true",
    ),
    (at("nats.tls.verify", True), "nats.tls.verify", "nats.tls.enabled=true"),
    (at("nats.tls.verifyAndMap", True), "nats.tls.verifyAndMap", "nats.tls.enabled=true"),
    (at("nats.tls.allowNonTLS", True), "nats.tls.allowNonTLS", "nats.tls.enabled=true"),
    (both(TLS, at("nats.tls.verifyAndMap", True)), "nats.tls.verifyAndMap", "nats.auth.mode=users"),
    (at("nats.limits.maxPayload", "65mb"), "nats.limits.maxPayload", "maxPending"),
    (at("nats.limits", {"maxPayload": 2048, "maxPending": "1kb"}), "nats.limits.maxPayload", "maxPending"),
    (
        both(EXTERNAL, at("nats.auth", {"mode": "password", "existingSecret": "x"})),
        "nats.auth.mode",
        "streaming.login",
    ),
    (both(EXTERNAL, TLS), "nats.tls.enabled", "nats.external.tls"),
    (
        both(EXTERNAL, at("nats.cluster.tls", {"enabled": True, "existingSecret": "x"})),
        "nats.cluster.tls.enabled",
        "nats.external.tls",
    ),
    (both(EXTERNAL, at("nats.cluster.auth.existingSecret", "x")), "nats.cluster.auth.existingSecret", "Empty it"),
    (both(EXTERNAL, at("nats.external.tls.enabled", True)), "nats.external.tls.existingSecret", "authority"),
    (both(EXTERNAL, at("nats.external.tls.certKey", "tls.crt")), "nats.external.tls.certKey", "keyKey"),
    (at("nats.external.tls.enabled", True), "nats.external.tls.enabled", "nats.tls"),
    (
        at("config", {"override": "streaming { ft_group_name: a }", "existingConfigMap": "x"}),
        "config.override",
        "one of the two",
    ),
    (at("config.override", "streaming {\n  store: file\n}"), "config.override", "ft_group_name"),
    (
        at("config.override", "streaming {\n  ft_group: a\n  store: memory\n}"),
        "config.override",
        "file or sql",
    ),
    (at("streaming.extraConfig", "cluster { node_id: a }"), "streaming.extraConfig", "Raft"),
    (at("streaming.extraConfig", "dir: /elsewhere"), "streaming.extraConfig", "dir"),
    (at("streaming.extraConfig", 'ft_group_name: "other"'), "streaming.extraConfig", "ft_group_name"),
    (at("streaming.extraConfig", "password: secret"), "streaming.extraConfig", "streaming.login"),
    (at("nats.extraConfig", "streaming { id: a }"), "nats.extraConfig", "streaming"),
    (at("nats.extraConfig", "port: 4223"), "nats.extraConfig", "port"),
    (at("nats.extraConfig", "cluster { port: 1 }"), "nats.extraConfig", "cluster"),
    (at("extraArgs", ["--pass=secret"]), "extraArgs", "monitoring port"),
    (at("extraArgs", ["-encryption_key=secret"]), "extraArgs", "Secret"),
    (at("extraArgs", ["-clustered"]), "extraArgs", "fault-tolerant mode"),
    (at("extraArgs", ["-store=memory"]), "extraArgs", "-store"),
    (at("extraArgs", ["-sc=/other"]), "extraArgs", "-sc"),
    (at("extraEnv", {"POD_NAME": "x"}), "extraEnv", "POD_NAME"),
    (at("extraEnv", {"NATS_STREAMING_ENCRYPTION_KEY": "x"}), "extraEnv", "NATS_STREAMING_ENCRYPTION_KEY"),
    (at("extraVolumes", [{"name": "efs", "emptyDir": {}}]), "extraVolumes", "another name"),
    (
        at("extraVolumeMounts", [{"name": "x", "mountPath": "/data/stan"}]),
        "extraVolumeMounts",
        "another mountPath",
    ),
    (at("sidecars", [{"name": "stan", "image": "x"}]), "sidecars", "another name"),
    (at("initContainers", [{"name": "metrics", "image": "x"}]), "initContainers", "another name"),
    (
        both(at("podSecurityContext.runAsUser", None), at("persistence.volumePermissions.enabled", True)),
        "persistence.volumePermissions.enabled",
        "runAsUser",
    ),
    (at("podSecurityContext.runAsUser", 0), "podSecurityContext.runAsUser", "runAsNonRoot"),
    (at("ports.client", 8222), "ports.monitor", "ports.client"),
    (at("resources.limits.memory", None), "goMemoryLimit", "resources.limits.memory"),
    (at("podDisruptionBudget.minAvailable", 3), "podDisruptionBudget.minAvailable", "maxUnavailable"),
    (at("clientService.nodePort", 30000), "clientService.nodePort", "NodePort"),
    (at("clientService.externalTrafficPolicy", "Local"), "clientService.externalTrafficPolicy", "LoadBalancer"),
    (at("clientService.loadBalancerClass", "x"), "clientService.loadBalancerClass", "LoadBalancer"),
    (
        at("clientService.loadBalancerSourceRanges", ["10.0.0.0/8"]),
        "clientService.loadBalancerSourceRanges",
        "LoadBalancer",
    ),
    (
        both(SQL, at("networkPolicy", {"enabled": True, "restrictEgress": True})),
        "networkPolicy.extraEgress",
        "database",
    ),
    (
        both(EXTERNAL, at("networkPolicy", {"enabled": True, "restrictEgress": True})),
        "networkPolicy.extraEgress",
        "nats.external.url",
    ),
    (at("networkPolicy.restrictEgress", True), "networkPolicy.restrictEgress", "networkPolicy.enabled"),
    ({"commonLabels": {"app": "mine"}}, "commonLabels", "fullnameOverride"),
    ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels", "nameOverride"),
    (at("service.labels", {"app.kubernetes.io/instance": "mine"}), "service.labels", "Use another label"),
    (at("clientService.labels", {"app": "mine"}), "clientService.labels", "Use another label"),
    (at("persistence.claim.labels", {"helm.sh/chart": "mine"}), "persistence.claim.labels", "Use another label"),
    (at("metrics.podMonitor.labels", {"app": "mine"}), "metrics.podMonitor.labels", "Use another label"),
    ({"commonAnnotations": {"helm.sh/hook": "test"}}, "commonAnnotations", "Take it out"),
    (
        at("metrics.prometheusRule.alertLabels", {"severity": "info"}),
        "metrics.prometheusRule.alertLabels",
        "metrics.prometheusRule.severities",
    ),
]


def refusal(values: Values, **options: Any) -> str:
    """What helm says to these values; fails if it takes them."""
    with pytest.raises(RenderError) as caught:
        render("stan-ft", values, **options)
    return caught.value.message


def overlap(one: str, other: str) -> bool:
    """Whether one dotted key is the other or inside it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def batches(cases: Iterable[tuple[str, Any]]) -> dict[int, Values]:
    """Cases put together so that no two of a batch share a key: helm tells every schema error of one render at once."""
    taken: list[list[str]] = []
    together: list[Values] = []
    of_case: dict[int, Values] = {}
    for number, (key, value) in enumerate(cases):
        free = [place for place, keys in enumerate(taken) if not any(overlap(key, other) for other in keys)]
        if not free:
            taken.append([])
            together.append({})
        place = free[0] if free else len(taken) - 1
        taken[place].append(key)
        together[place].update(layered(together[place], at(key, value)))
        of_case[number] = together[place]
    return of_case


WRONG = batches(WRONG_VALUES)
UNKNOWN = batches((key, "x") for key, _ in UNKNOWN_KEYS)


@pytest.mark.parametrize(("number", "key", "value"), [(n, *case) for n, case in enumerate(WRONG_VALUES)])
def test_a_wrong_value_is_refused_by_its_key(number: int, key: str, value: Any) -> None:
    message = refusal(WRONG[number])
    path = f"/{key.replace('.', '/')}"
    parent, _, name = path.rpartition("/")
    told = [f"at '{path}'", f"at '{path}/"] if value is not None else [f"at '{parent}': missing property '{name}'"]
    assert any(words in message for words in told), message


@pytest.mark.parametrize(("number", "key", "where"), [(n, *case) for n, case in enumerate(UNKNOWN_KEYS)])
def test_an_unknown_key_is_refused_where_it_stands(number: int, key: str, where: str) -> None:
    name = key.rsplit(".", 1)[-1]
    place = re.escape(f"at '{where}': additional properties ")
    assert re.search(rf"{place}[^\n]*'{name}'[^\n]* not allowed", refusal(UNKNOWN[number]))


def test_one_bad_value_alone_is_told_alone() -> None:
    message = refusal(at("store.limits.maxBytes", "256 gb"))
    assert message.count("- at '") == 1
    assert "at '/store/limits/maxBytes'" in message


@pytest.mark.parametrize(("values", "key", "remedy"), COMBINATIONS, ids=lambda part: str(part)[:60])
def test_values_that_cannot_work_together_are_refused_with_the_remedy(values: Values, key: str, remedy: str) -> None:
    message = refusal(values)
    assert f"  - {key}: " in message
    assert remedy in message


def test_a_release_name_that_no_service_can_have_is_refused() -> None:
    assert "fullnameOverride" in refusal({}, release="1stan")
    assert "fullnameOverride" in refusal({}, release="s" * 50)


def test_every_problem_is_told_at_once() -> None:
    message = refusal(both({"replicas": 1}, at("store.dir", "/x"), at("nats.auth.mode", "token")))
    assert all(f"  - {key}: " in message for key in ("replicas", "store.dir", "nats.auth.existingSecret"))


def test_there_are_enough_bad_inputs_to_mean_something() -> None:
    assert len(WRONG_VALUES) + len(UNKNOWN_KEYS) + len(COMBINATIONS) >= 350
