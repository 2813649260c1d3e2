"""Values as people write them by mistake: refused in one sentence that names the place, before anything is made."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

from harness.charts import render

VOLUME: Final = "persistence: {existingClaim: '', staticVolume: {enabled: true, nfs: {server: a}"
FILE: Final = "'streaming { ft_group_name: a, store: file, dir: /data/stan/store,"
REFUSED: Final = {
    # A merge that takes from the group what the chart's other objects count on.
    "podTemplate: {merge: {spec: {volumes: [{name: data, emptyDir: {}}]}}}": r"merge\.spec\.volumes: .* data is",
    "podTemplate: {merge: {spec: {volumes: null}}}": r"podTemplate\.merge\.spec\.volumes: .*extraVolumes",
    "podTemplate: {merge: {spec: {initContainers: []}}}": r"initContainers: .*extraInit",
    "container: {merge: {ports: null}}": r"container\.merge\.ports: .* client is missing",
    "container: {merge: {livenessProbe: {httpGet: {path: /streaming/serverz}}}}": r"merge\.livenessProbe\.httpGet",
    "headlessService: {merge: {spec: {clusterIP: 10.0.0.1}}}": r"headlessService\.merge\.spec\.clusterIP: ",
    "headlessService: {merge: {spec: {publishNotReadyAddresses: false}}}": r"\.spec\.publishNotReadyAddresses: ",
    "headlessService: {merge: {spec: {selector: {a: b}}}}": r"headlessService\.merge\.spec\.selector: ",
    "service: {merge: {spec: {selector: {role: active}}}}": r"service\.merge\.spec\.selector: ",
    "service: {merge: {spec: {ports: []}}}": r"service\.merge\.spec\.ports: .* client is missing",
    "networkPolicy: {merge: {spec: {podSelector: {a: b}}}}": r"networkPolicy\.merge\.spec\.podSelector: ",
    "podDisruptionBudget: {merge: {spec: {selector: null}}}": r"podDisruptionBudget\.merge\.spec\.selector: ",
    "persistence: {existingClaim: '', claim: {merge: {spec: {accessModes: [ReadWriteOnce]}}}}": r"accessModes: ",
    "statefulSet: {merge: {spec: {ordinals: {start: 1}}}}": r"statefulSet\.merge\.spec\.ordinals: ",
    "statefulSet: {merge: {metadata: {annotations: null}}}": r"annotations: a later change of the store is noticed by ",
    "podTemplate: {annotations: {stan-ft/stan.conf: 'port: 1'}}": r"stan-ft/stan\.conf is the server's configuration",
    "podTemplate: {merge: {metadata: {annotations: null}}}": r"merge: .* stan-ft/stan\.conf is the server's",
    "podTemplate: {merge: {spec: {hostNetwork: true}}}": r"dnsPolicy: .* Set it to ClusterFirstWithHostNet",
    "podTemplate: {merge: {spec: {dnsPolicy: Default}}}": r"podTemplate\.merge\.spec\.dnsPolicy: ",
    "container: {merge: {resources: {limits: {memory: 64Mi}}}}": r"limits\.memory: GOMEMLIMIT follows",
    "container: {extraVolumeMounts: [{name: logs, mountPath: /x}]}": r"mounts logs, and the pods have no such volume",
    "podDisruptionBudget: {merge: {spec: {maxUnavailable: 3}}}": r"merge\.spec\.maxUnavailable: ",
    "podDisruptionBudget: {merge: {spec: {minAvailable: 67%}}}": r"67% of 3 servers would have to stay, so no drain",
    "podDisruptionBudget: {merge: {spec: {minAvailable: 0}}}": r"minAvailable: with 0 of 3 servers a drain may ",
    "podDisruptionBudget: {merge: {spec: {minAvailable: '2'}}}": r"minAvailable: 2 is no number of servers",
    f"{VOLUME}, merge: {{spec: {{mountOptions: [nolock]}}}}}}}}": r"staticVolume\.merge\.spec\.mountOptions: ",
    f"{VOLUME}, driver: efs-csi, efs: {{volumeHandle: fs-01234567}}, merge: {{spec: {{mountOptions: [nolock]}}}}}}}}": (
        r"staticVolume\.merge\.spec\.mountOptions: "
    ),
    # Servers that would not find or not know each other.
    "config: {server_name: a}": r"config\.server_name: all 3 servers would be called a",
    "config: {cluster: {name: $POD_NAME}}": r"config\.cluster\.name: \$POD_NAME differs from pod to pod",
    "config: {streaming: {ft_group_name: $POD_NAME}}": r"ft_group_name: \$POD_NAME differs from pod to pod",
    # A file that the server would not read.
    "config: {include: auth.conf}": r"config\.include: auth\.conf would be looked for beside stan\.conf",
    "config: {authorization: {include: [/etc/a/b.conf, c.conf]}}": r"config\.authorization\.include: c\.conf would",
    "config: {write_deadline: 2}": r"config\.write_deadline: 2 is no duration",
    "config: {system_account: SYS}": r"config\.system_account: config\.accounts has no account SYS",
    "container: {args: [-l, /stan.log]}": r"container\.args: -l names a file, .* read-only",
    "container: {args: [--encrypt]}": r"container\.args: -encrypt would overrule",
    # Secrets in other places.
    "config: {tls: {cert_file: /a, key_file: '-----BEGIN PRIVATE KEY-----'}}": r"config\.tls\.key_file: a private key",
    "config: {APP: hunter2, authorization: {user: a, password: $APP}}": r"config\.authorization\.password: it would be",
    "config: {authorization: {user: a, password: $2a$11$abcdefghijk}}": r"config\.authorization\.password: it would be",
    "config: {leafnodes: {remotes: [{url: 'nats://u:p@h:7422'}]}}": r"take the whole URL from a variable of ",
    "config: {operator: a, note: 'seed SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY'}": r"an NKey seed ",
    f"configFile: {{override: {FILE} sql_options {{ source: a:b@tcp(db)/d }} }}'}}": r"override: a password, token or ",
    # A key of NATS in another spelling, which the server would read beside the chart's.
    "config: {Port: 4223}": r"config\.Port: .* reads it as port",
    "config: {Streaming: {id: a}}": r"config\.Streaming: .* reads it as streaming",
    "config: {stan: {id: a}}": r"config\.stan: .* reads it as streaming",
    # What the API server would refuse after other objects were changed.
    "persistence: {mountPath: /etc/stan-config}": r"would be mounted at /etc/stan-config in the container stan",
    "podTemplate: {extraVolumes: [{name: data, emptyDir: {}}]}": r"extraVolumes: two volumes .* called data\.",
    "podTemplate: {extraContainers: [{name: stan, image: a}]}": r"two containers of the pods would be called stan\.",
    "promExporter: {merge: {name: stan}}": r"cannot work:\s+- \S+, \S+: two containers .* called stan\.",
    "podTemplate: {extraContainers: [{name: a, image: b, volumeMounts: [x]}]}": r"mounts one without a name",
    "podTemplate: {extraInitContainers: [{name: metrics, image: a}]}": r"two containers .* called metrics\.",
    "persistence: {existingClaim: a b}": r"persistence\.existingClaim: .* no name of a claim",
    "persistence: {staticVolume: {efs: {volumeHandle: fs-1}}}": r"volumeHandle: .* no file system of EFS",
    "podTemplate: {antiAffinity: {topologyKey: ''}}": r"topologyKey': minLength",
    # Ports that two programs of a pod would take, and files that nobody may write.
    "fencing: {port: 4222}": r"fencing\.port: 4222 is the port of config\.port already",
    "promExporter: {port: 8223}": r"promExporter\.port: 8223 is the port of fencing\.port already",
    "config: {logfile: /var/log/stan.log}": r"config\.logfile: .* read-only",
    "config: {pid_file: /run/stan.pid}": r"config\.pid_file: .* read-only",
    # What would harm later.
    "config: {streaming: {encrypt: true}}": r"config\.streaming\.encrypt: .* Use store\.encryption",
    "podTemplate: {terminationGracePeriodSeconds: 0}": r"terminationGracePeriodSeconds': minimum",
    "podDisruptionBudget: {maxUnavailable: 3}": r"maxUnavailable: with 3 of 3 servers a drain may take all",
    "podDisruptionBudget: {maxUnavailable: 100%}": r"maxUnavailable: with 100% of 3 ",
    "image: {tag: 0.25.6-scratch}": r"image\.tag: .* there is no 0\.25\.6-scratch-alpine",
    "image: {tag: latest}": r"image\.tag: .* there is no latest-alpine",
    # One key in two spellings with two values, of which the server would take either.
    "config: {streaming: {id: a, cid: b}}": r"streaming\.id: it is a, and cid, another spelling of it, is b",
    "config: {streaming: {cluster_id: a, cid: b}}": r"streaming\.id: it is b, and cluster_id, ",
    "config: {http: 9000, http_port: 9001}": r"config\.http: it is 9000, and http_port, ",
    "config: {streaming: {limits: {mc: 5}, store_limits: {max_channels: 6}}}": r"max_channels: it is 6, and limits\.",
    "config: {streaming: {store_limits: {channels: {a: {mm: 1, max_msgs: 3}}}}}": r"\.channels\.a\.max_msgs: it is 3, ",
    "config: {cluster: {NoAdvertise: true}}": r"config\.cluster\.NoAdvertise: ",
    "config: {cluster: {routes: ['stan-0:6222']}}": r"config\.cluster\.routes\[0\]: stan-0:6222 is no address",
    "config: {cluster: {routes: [null]}}": r"config\.cluster\.routes\[0\]: ",
    # What the API server, Prometheus or a probe would not take.
    "container: {livenessProbe: {tcpSocket: {port: 4222}}}": r"httpGet and tcpSocket\. Set httpGet to null",
    "container: {resources: {limits: {memory: 1GB}}}": r"container\.resources\.limits\.memory: .* is no amount",
    "container: {resources: {requests: {memory: 8Mi}, limits: {memory: 8Mi}}}": r"limits\.memory: 8Mi is less than any",
    "container: {resources: {limits: {memory: 128Mi}}}": r"requests\.memory: 256Mi is more than the limit of 128Mi",
    "promExporter: {resources: {limits: {cpu: half}}}": r"promExporter\.resources\.limits\.cpu: .* is no amount",
    "persistence: {existingClaim: '', claim: {size: 10GB}}": r"persistence\.claim\.size: .* is no size",
    "persistence: {subPath: /stan}": r"persistence\.subPath: .* no directory of the volume",
    "persistence: {subPath: a/../b}": r"persistence\.subPath: .* no directory of the volume",
    "podDisruptionBudget: {maxUnavailable: 0%}": r"podDisruptionBudget\.maxUnavailable: with 0% ",
    "podDisruptionBudget: {maxUnavailable: one}": r"podDisruptionBudget\.maxUnavailable: with one ",
    f"commonLabels: {{team: {'x' * 64}}}": r"commonLabels\.team: .* no value of a label",
    "podTemplate: {labels: {team: a b}}": r"podTemplate\.labels\.team: .* no value of a label",
    "tests: {channel: a.*}": r"tests\.channel: .* no name of a channel",
    "promExporter: {serviceMonitor: {interval: 5s}}": r"serviceMonitor\.scrapeTimeout: 10s is longer than interval",
    "promExporter: {prometheusRule: {runbookUrl: docs/runbook.md}}": r"runbookUrl: .* https://",
    "promExporter: {prometheusRule: {overrides: {StanNoActive: off}}}": r"/overrides/StanNoActive': got",
}
TAKEN: Final = (
    "serviceAccount: {merge: {spec: x}}",
    "container: {startupProbe: null, merge: {startupProbe: {httpGet: x}}}",
    "promExporter: {serviceMonitor: {enabled: true, interval: ''}}",
    "container: {livenessProbe: {httpGet: null, tcpSocket: {port: 4222}}}",
    "container: {resources: {limits: {cpu: 1.5, memory: 3Gi}, requests: {cpu: 100m, ephemeral-storage: 1e9}}}",
    "commonLabels: {team: ''}",
    "persistence: {existingClaim: ''}",
    "fencing: {mode: 'off', port: 4222}",
    "config: {logfile: /logs/stan.log}\ncontainer: {extraVolumeMounts: [{name: logs, mountPath: /logs}]}\n"
    "podTemplate: {extraVolumes: [{name: logs, emptyDir: {}}]}",
    "replicas: 1\nallowSingleReplica: true",
    "image: {repository: team/nats-streaming-mine, tag: latest}",
    "service: {merge: {spec: {ports: [{name: client, port: 4222, targetPort: client}, {name: more, port: 1}]}}}",
    "podDisruptionBudget: {maxUnavailable: 50%}",
    "config: {cluster: {routes: ['nats://[fd00::1]:6222', $MORE]}}",
    "persistence: {subPath: .stan/prod}",
    "promExporter: {args: []}",
    "podTemplate: {extraContainers: [{name: a, image: b, volumeMounts: x}], merge: {spec: {dnsPolicy: 5}}}",
    "config: {accounts: [a], system_account: $G}\nauth: {server: {method: password, existingSecret: a}}",
    "podTemplate: {merge: {spec: {hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet}}}",
    "podDisruptionBudget: {merge: {spec: {minAvailable: 66%}}}",
    "commonLabels: {helm.sh/chart: a, app.kubernetes.io/managed-by: argocd, app.kubernetes.io/version: a}",
    "config: {server_name: a}\nreplicas: 1\nallowSingleReplica: true",
    "config: {system_account: SYS, accounts: {include: /etc/accounts/accounts.conf}}\n"
    "auth: {server: {method: password, existingSecret: a}}",
    "config: {accounts: {A: {users: [{user: a, password: $2a$11$abcdefghijk}]}}}\n"
    "auth: {server: {method: password, existingSecret: a}}",
    "config: {max_connections: 64K, log_size_limit: 10mb, max_traced_msg_len: 1kb, lame_duck_duration: .5h}",
    "config: {streaming: {store_limits: {max_age: '0', max_inactivity: 5µs}}}",
    "config: {TOKEN: $FROM_A_SECRET, authorization: {token: $TOKEN}}",
)
DIGEST: Final = f"sha256:{'0a' * 32}"


def values(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("text", REFUSED)
def test_a_likely_mistake_is_refused_with_its_place_and_the_remedy(text: str) -> None:
    with pytest.raises(render.RenderError, match=REFUSED[text]):
        render.render("stan-ft", values(text))


@pytest.mark.parametrize("text", TAKEN)
def test_what_only_looks_like_a_mistake_is_taken(text: str) -> None:
    assert render.render("stan-ft", values(text))


@pytest.mark.parametrize("mirror", ["registry.example/team", "registry.example/team/"])
def test_a_mirror_goes_in_front_of_every_image_with_one_slash(mirror: str) -> None:
    text = render.render_text("stan-ft", values(f"global: {{imageRegistry: {mirror}}}"))
    assert "registry.example/team/nats-streaming:" in text
    assert "team//" not in text


def test_a_digest_pins_the_image_of_server_and_program_alike() -> None:
    pinned = {"image": {"tag": "0.25.6-alpine", "digest": DIGEST}}
    text = render.render_text("stan-ft", pinned)
    assert f"nats-streaming@{DIGEST}" in text
    assert "nats-streaming:" not in text


def test_the_charts_own_labels_win_over_common_ones() -> None:
    made = render.render("stan-ft", values("commonLabels: {helm.sh/chart: a, app.kubernetes.io/version: a, team: b}"))
    for each in made:
        labels = each["metadata"]["labels"]
        assert labels["helm.sh/chart"].startswith("stan-ft-")
        assert labels["app.kubernetes.io/version"] != "a"
        assert labels["team"] == "b"


def test_an_include_may_be_a_list_and_variables_come_before_their_use() -> None:
    written = "config: {include: [/etc/a/b.conf, /c.conf], mine: 3, ping_max: $mine}"
    text = render.stan_conf(render.render("stan-ft", values(written)))
    assert 'include "../a/b.conf"\ninclude "../../c.conf"' in text
    assert text.index("mine: 3") < text.index("ping_max: $mine")
    assert "config.mine" not in render.render_notes("stan-ft", values(written)), "it is used"
