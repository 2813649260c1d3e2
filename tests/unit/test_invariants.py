"""Each invariant by itself: one good group of servers, one change, and the one invariant that must speak up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from goodgroup import GOOD

from stanft import invariants
from stanft.invariants import Severity, State
from stanft.kube import objects
from stanft.kube.objects import Object

POD = "StatefulSet.spec.template.spec"
STAN = f"{POD}.containers.0"


VOLUME = (
    "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {accessModes: [ReadWriteMany],"
    " capacity: {storage: 1Gi}, storageClassName: aws-efs, nfs: {server: nfs.example, path: /a}}}"
)


def put(path: str, value: Any) -> Callable[[list[Object]], None]:
    """A change: set the field at Kind.path (Kind/name.path where there are several); None removes it."""

    def change(items: list[Object]) -> None:
        kind, *parents, last = path.split(".")
        target: Any = objects.find(items, *kind.split("/")) if "/" in kind else objects.find_all(items, kind)[0]
        for part in parents:
            target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
        key: Any = int(last) if isinstance(target, list) else last
        if value is None:
            del target[key]
        else:
            target[key] = value

    return change


def conf(old: str, new: str) -> Callable[[list[Object]], None]:
    """A change: replace a piece of stan.conf."""

    def change(items: list[Object]) -> None:
        data = objects.find(items, "ConfigMap", "stan-config")["data"]
        assert old in data["stan.conf"]
        data["stan.conf"] = data["stan.conf"].replace(old, new)

    return change


def add(text: str) -> Callable[[list[Object]], None]:
    """A change: one more object."""
    return lambda items: items.extend(objects.parse(text))


def drop(kind: str, name: str | None = None) -> Callable[[list[Object]], None]:
    """A change: an object less."""
    return lambda items: items.remove(objects.find(items, kind, name))


def old(version: str, before: str, after: str) -> Callable[[list[Object]], None]:
    """A change: an older server, and a configuration that it reads otherwise."""

    def change(items: list[Object]) -> None:
        put(f"{STAN}.image", f"nats-streaming:{version}-alpine")(items)
        conf(before, f"{before}\n{after}" if before not in after else after)(items)

    return change


def old_with_limit(items: list[Object]) -> None:
    """A change: a variable that the Go of this server does not know."""
    put(f"{STAN}.image", "nats-streaming:0.24.6")(items)
    put(f"{STAN}.env.0", {"name": "GOMEMLIMIT", "value": "200MiB"})(items)


SHELL = ["sh", "-c", "exec nats-streaming-server -sc /etc/stan-config/stan.conf"]


def into_deployment(items: list[Object]) -> None:
    """A change: the servers are a Deployment's pods, which have no names."""
    workload = objects.find(items, "StatefulSet")
    workload["kind"] = "Deployment"
    for key in ("serviceName", "podManagementPolicy"):
        del workload["spec"][key]


CASES: list[tuple[str, Callable[[list[Object]], None], str]] = [
    ("config-readable", conf("streaming {", "streaming {{"), "cannot be parsed"),
    ("ft-group", conf("ft_group_name: test-cluster", ""), "no ft_group_name"),
    ("ft-without-raft", conf("store: file", "store: file\n cluster { node_id: a }"), "Raft cluster"),
    ("ft-without-raft", put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "--clustered"]), "Raft cluster"),
    ("lasting-store", conf("store: file", "store: memory"), "the store is memory"),
    ("lasting-store", conf("dir: /data/stan/store", ""), "no dir"),
    ("known-keys", conf("max_age: 1h", "max_ages: 1h"), "unknown key streaming.store_limits.max_ages"),
    ("known-keys", conf("max_msgs: 5", "max_msg: 5"), "unknown key streaming.store_limits.channels.foo.*.max_msg"),
    ("known-keys", conf("http: 8222", "http: 8222\nhtttp: 1"), "unknown key htttp"),
    ("known-keys", conf("name: stan", "nam: stan"), "unknown key cluster.nam"),
    ("typed-keys", conf("64mb", '"64mb"'), 'the text "64mb"'),
    ("typed-keys", conf("store: file", "store: file\n encrypt: 1"), "the server wants true or false"),
    ("typed-keys", conf("id: test-cluster", "id: 12"), "streaming.id is 12, the server wants a text"),
    ("server-starts", put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "--clustered", "false"]), '"false"'),
    ("server-starts", put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "-no_such"]), "not defined: -no_such"),
    ("server-starts", conf("http: 8222", "http: 8222\nserver_name: $NOWHERE"), "$NOWHERE is set neither in"),
    ("server-starts", put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "-n='x'"]), "quotes included"),
    ("server-starts", put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "-v"]), "prints a text and ends"),
    ("probes-answered", put(f"{STAN}.image", "nats-streaming:v0.23.2-alpine"), "answers with 404"),
    ("probes-answered", conf("id: test-cluster", "id: test-cluster\n ns: nats://nats:4222"), "answers 503"),
    ("server-starts", conf("http: 8222", "http: 8222\nhttps: 8443"), "both an http and an https port"),
    ("server-starts", conf("http: 8222", "https: 8222"), "no certificate"),
    ("server-starts", conf("store: file", "store: file\n encrypt: true"), "encrypt without a key"),
    ("server-starts", old("0.16.2", "http: 8222", 'ping_interval: "20s"'), "at which servers before 0.18 panic"),
    ("known-keys", old("0.18.0", "store: file", "store: file\n username: a"), "servers know it since 0.19"),
    ("memory-limit-kept", old_with_limit, "GOMEMLIMIT does nothing for nats-streaming:0.24.6"),
    ("probes-answered", conf("http: 8222", "http: 127.0.0.1:8222"), "listens on 127.0.0.1 alone"),
    ("probes-answered", conf("http: 8222", "https: 8222"), "speaks HTTPS"),
    ("probes-can-run", put(f"{STAN}.startupProbe", {"exec": {"command": ["pgrep", "nats"]}}), "runs pgrep, which"),
    ("probes-can-run", put(f"{STAN}.lifecycle", {"preStop": {"exec": {"command": ["sh"]}}}), "preStop runs sh, which"),
    ("probes-can-run", put(f"{STAN}.command", SHELL), "the command runs a shell, which nats-streaming:0.25.6 does not"),
    ("hung-active-replaced", put(f"{STAN}.livenessProbe", {"tcpSocket": {"port": 4222}}), "only opens a connection"),
    (
        "routes-lead-to-pods",
        into_deployment,
        "the route to stan-0.stan.messaging.svc.cluster.local leads to no replica",
    ),
    ("routes-complete", put("StatefulSet.spec.ordinals", {"start": 1}), "no route to stan-2.stan"),
    ("routes-complete", conf("http: 8222", "http: 8222\nserver_name: a"), "all 2 servers are called a"),
    ("nfs-version", add(VOLUME), "no NFS version"),
    (
        "locks-respected",
        add(VOLUME.replace("nfs:", "mountOptions: [nfsvers=4.1, iam], nfs:")),
        "incorrect mount option",
    ),
    ("memory-limit-kept", put(f"{STAN}.env.0", {"name": "GOMEMLIMIT", "value": "1Gi"}), "which Go does not read"),
    ("durable-acks", conf("slice_max_bytes: 64mb", "sync_on_flush: false"), "up to 1m of acknowledged messages"),
    ("cluster-name", conf("name: stan", ""), "no name"),
    ("files-mounted", conf("http: 8222", "http: 8222\ntls { cert_file: /etc/tls/tls.crt }"), "/etc/tls/tls.crt"),
    ("files-mounted", conf("http: 8222", "http: 8222\ninclude ../secret/auth.conf"), "auth.conf"),
    ("config-rolls-pods", put("StatefulSet.spec.template.metadata.annotations", {}), "no checksum"),
    ("standby-exists", put("StatefulSet.spec.replicas", 1), "1 server in the group"),
    ("shared-claim", put(f"{POD}.volumes.1", {"name": "efs", "emptyDir": {}}), "kind emptyDir"),
    ("shared-claim", put(f"{POD}.volumes.1", {"name": "efs", "hostPath": {"path": "/x"}}), "kind hostPath"),
    ("shared-claim", put(f"{STAN}.volumeMounts.1", None), "on no volume"),
    ("shared-claim", put(f"{POD}.volumes.1", None), "no volume has that name"),
    ("no-claim-templates", put("StatefulSet.spec.volumeClaimTemplates", [{"metadata": {"name": "efs"}}]), "efs"),
    ("read-write-many", put("PersistentVolumeClaim.spec.accessModes", ["ReadWriteOnce"]), "ReadWriteOnce"),
    ("same-store-for-all", put(f"{STAN}.volumeMounts.1.subPathExpr", "$(POD_NAME)"), "differs from pod to pod"),
    ("store-writable", put(f"{STAN}.volumeMounts.1.readOnly", True), "read-only"),
    (
        "directory-on-every-node",
        add(VOLUME.replace("nfs: {server: nfs.example, path: /a}", "hostPath: {path: /a}, claimRef: {name: efs}")),
        "share it only if the nodes do",
    ),
    ("store-below-root", put(f"{STAN}.volumeMounts.1.mountPath", "/data/stan/store"), "volume's root"),
    ("locks-respected", put("StorageClass.mountOptions", ["nolock"]), "nolock"),
    ("locks-respected", put("StorageClass.mountOptions", ["hard,local_lock=all"]), "local_lock=all"),
    ("locks-respected", put("StorageClass.mountOptions", ["nfsvers=3"]), "nfsvers=3"),
    ("locks-respected", put("StorageClass.mountOptions", ["soft"]), "soft"),
    ("claim-mode-of-class", put("PersistentVolumeClaim.spec.accessModes", "ReadWriteMany"), "accessModes is"),
    (
        "claim-class-field",
        lambda items: objects.find(items, "PersistentVolumeClaim").update(
            metadata={"name": "efs", "annotations": {"volume.beta.kubernetes.io/storage-class": "aws-efs"}},
            spec={"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
        ),
        "annotation",
    ),
    ("claim-holds-a-slice", put("PersistentVolumeClaim.spec.resources.requests.storage", "1Mi"), "64 MiB"),
    ("claim-outlives-release", put("PersistentVolumeClaim.metadata.annotations", {}), "helm uninstall"),
    ("class-retains", put("StorageClass.reclaimPolicy", None), "reclaimPolicy is Delete"),
    ("probes-off-streaming", put(f"{STAN}.livenessProbe.httpGet.path", "/streaming/serverz"), "livenessProbe"),
    (
        "probes-off-streaming",
        put(f"{STAN}.startupProbe", {"exec": {"command": ["wget", "h/streaming/serverz"]}}),
        "startup",
    ),
    ("standbys-ready", put(f"{STAN}.readinessProbe.httpGet.path", "/streaming/isFTActive"), "isFTActive"),
    ("liveness", put(f"{STAN}.livenessProbe", None), "no livenessProbe"),
    ("hung-active-replaced", put(f"{STAN}.livenessProbe.terminationGracePeriodSeconds", None), "37 s"),
    ("hung-active-replaced", put(f"{STAN}.livenessProbe.periodSeconds", 20), "62 s"),
    ("start-protected", put(f"{STAN}.startupProbe", None), "no startupProbe"),
    ("start-protected", put(f"{STAN}.startupProbe.failureThreshold", 3), "gives up after 3 s"),
    ("readiness", put(f"{STAN}.readinessProbe", None), "no readinessProbe"),
    ("time-to-flush", put(f"{POD}.terminationGracePeriodSeconds", 5), "killed after 5 s"),
    ("parallel-start", put("StatefulSet.spec.podManagementPolicy", None), "OrderedReady"),
    ("probe-ports", put(f"{STAN}.livenessProbe.httpGet.port", "http"), "asks port http"),
    ("routes-complete", conf("nats://stan-1.stan.messaging.svc.cluster.local:6222", ""), "no route to stan-1.stan"),
    ("routes-complete", put("StatefulSet.spec.replicas", 3), "no route to stan-2.stan"),
    ("routes-complete", conf("nats://stan-1.stan.", "nats://stan-2.stan."), "does not exist"),
    ("routes-complete", conf("nats://stan-1.stan.", "nats://nats.stan."), "leads to no replica"),
    ("routes-qualified", conf(".messaging.svc.cluster.local", ""), "stan-0.stan, stan-1.stan"),
    ("routes-on-cluster-port", conf("port: 6222", "port: 6223"), "listens on 6223"),
    ("advertised-name", put(f"{STAN}.env", []), "$CLUSTER_ADVERTISE is not set"),
    ("advertised-name", put(f"{STAN}.env.0", None), "$(POD_NAME), which is not set"),
    ("governing-service", put("Service/stan.spec.clusterIP", None), "not headless"),
    ("governing-service", put("Service/stan.spec.selector", {"app": "x"}), "does not select the pods"),
    ("governing-service", put("StatefulSet.spec.serviceName", None), "no serviceName"),
    ("standbys-resolvable", put("Service/stan.spec.publishNotReadyAddresses", None), "hides pods"),
    ("governing-ports", put("Service/stan.spec.ports.1", None), "cluster port 6222"),
    ("ports-declared", conf("http: 8222", "http: 8333"), "monitor port 8333 is not declared"),
    ("ports-declared", put(f"{STAN}.ports.0", None), "client port 4222 is not declared"),
    ("service-targets", put("Service/stan-client.spec.ports.0.targetPort", "nats"), "leads to nats"),
    ("service-targets", put("Service/stan-client.spec.ports.0.targetPort", "monitor"), "the pods' client port is 4222"),
    ("service-targets", put("Service/stan-client.spec.selector", {"app": "other"}), "selects no pods"),
    ("no-port-twice", put(f"{POD}.containers.1.ports.0.containerPort", 8222), "port 8222 is declared by"),
    ("monitor-private", put("Service/stan-client.spec.ports", [{"name": "monitor", "port": 8222}]), "monitoring port"),
    (
        "client-service-routes",
        put("Service/stan-client.spec.ports", [{"name": "cluster", "port": 6222}]),
        "routing port",
    ),
    ("policy-lets-peers-in", put("NetworkPolicy.spec.ingress", [{"ports": [{"port": 4222}]}]), "cluster port 6222"),
    ("network-policy", drop("NetworkPolicy"), "no NetworkPolicy"),
    ("exporter-scrapes-monitor", put(f"{POD}.containers.1.args.2", "http://localhost:8223"), "asks port [8223]"),
    ("monitors-reach-targets", put("ServiceMonitor.spec.endpoints.0.port", "http"), "scrapes port http"),
    ("monitors-reach-targets", put("ServiceMonitor.spec.selector", {"matchLabels": {"app": "x"}}), "selects nothing"),
    ("monitors-reach-targets", put("ServiceMonitor.spec.namespaceSelector", {"any": True}), "every namespace"),
    ("spread-over-nodes", put(f"{POD}.affinity", None), "neither"),
    (
        "spread-over-nodes",
        put(
            f"{POD}.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution.0.labelSelector",
            {"matchLabels": {"app": "x"}},
        ),
        "selects other pods",
    ),
    ("disruption-budget", drop("PodDisruptionBudget"), "no PodDisruptionBudget"),
    ("disruption-budget", put("PodDisruptionBudget.spec.maxUnavailable", 2), "lets 2 of 2 go"),
    ("disruption-budget", put("PodDisruptionBudget.spec.maxUnavailable", 0), "lets 0 of 2 go"),
    ("images-pinned", put(f"{STAN}.image", "nats-streaming:alpine"), "a moving tag"),
    ("images-pinned", put(f"{STAN}.image", "registry:5000/nats-streaming"), "has no tag"),
    ("server-version", put(f"{STAN}.image", "nats-streaming:0.24.1"), "not 0.25.6"),
    (
        "exporter-speaks-stan",
        put(f"{POD}.containers.1.image", "natsio/prometheus-nats-exporter:0.17.0"),
        "no STAN metrics",
    ),
    ("exporter-speaks-stan", put(f"{POD}.containers.1.args", ["http://localhost:8222"]), "neither -channelz"),
    ("one-user", put(f"{POD}.securityContext.runAsUser", None), "no runAsUser"),
    ("restricted", put(f"{POD}.hostNetwork", True), "hostNetwork"),
    ("restricted", put(f"{STAN}.securityContext.privileged", True), "privileged"),
    ("restricted", put(f"{STAN}.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}), "SYS_ADMIN"),
    ("restricted", put(f"{POD}.securityContext.runAsUser", 0), "user 0"),
    ("restricted", put(f"{POD}.securityContext.seccompProfile", None), "seccomp"),
    ("restricted", put(f"{STAN}.ports.0.hostPort", 4222), "takes port 4222"),
    ("read-only-root", put(f"{STAN}.securityContext.readOnlyRootFilesystem", False), "readOnlyRootFilesystem"),
    ("no-token", put("ServiceAccount.automountServiceAccountToken", None), "token"),
    ("secrets-by-reference", conf("http: 8222", "http: 8222\nauthorization { token: abc }"), "authorization.token"),
    (
        "secrets-by-reference",
        conf("http: 8222", "http: 8222\nauthorization { users: [{user: a, password: b}] }"),
        "authorization.users.[].password",
    ),
    (
        "no-secret-in-env",
        put(f"{STAN}.env.0", {"name": "NATS_STREAMING_ENCRYPTION_KEY", "value": "k"}),
        "ENCRYPTION_KEY",
    ),
    (
        "reloader-can-signal",
        lambda items: objects.find(items, "StatefulSet")["spec"]["template"]["spec"]["containers"].append(
            {"name": "reloader", "image": "natsio/nats-server-config-reloader:0.16.0"}
        ),
        "process namespace",
    ),
    ("bindings-resolve", put("RoleBinding.subjects.0.namespace", "default"), "installed into messaging"),
    ("small-roles", put("Role.rules.0.resourceNames", None), "not only its lock"),
    ("small-roles", put("Role.rules.0.verbs", ["*"]), "wildcard"),
    ("served", put("StatefulSet.spec.podManagement", "Parallel"), "podManagement"),
    ("served", put("PodDisruptionBudget.apiVersion", "policy/v1beta1"), "serves no PodDisruptionBudget"),
    (
        "no-null-fields",
        lambda items: objects.find(items, "StatefulSet")["spec"].update(updateStrategy=None),
        "updateStrategy",
    ),
    ("no-object-twice", add("{apiVersion: v1, kind: ServiceAccount, metadata: {name: stan}}"), "2 times"),
    ("workload-owns-pods", put("StatefulSet.spec.selector.matchLabels", {"app": "other"}), "does not match"),
    (
        "steady-selectors",
        put("Service/stan-client.spec.selector", {"app": "stan", "helm.sh/chart": "x"}),
        "helm.sh/chart",
    ),
    (
        "steady-pod-labels",
        put("StatefulSet.spec.template.metadata.labels", {"app": "stan", "chart": "x"}),
        "label chart",
    ),
    ("references-exist", put(f"{POD}.volumes.0.configMap.items", [{"key": "other", "path": "a"}]), "no key other"),
    ("mounts-resolve", put(f"{STAN}.volumeMounts.0.name", "config"), "mounts config"),
]

# What another object must be absent for: reported as not seen, never as a violation.
UNSEEN = [
    ("config-readable", drop("ConfigMap")),
    ("read-write-many", drop("PersistentVolumeClaim")),
    ("claim-holds-a-slice", drop("PersistentVolumeClaim")),
    ("governing-service", drop("Service", "stan")),
    ("bindings-resolve", drop("Role")),
    ("accounts-exist", drop("ServiceAccount")),
    ("references-exist", drop("ConfigMap")),
]


def good() -> list[Object]:
    """A group without fault."""
    return copy.deepcopy(objects.parse(GOOD))


def judge(items: list[Object], only: list[str] | None = None) -> list[invariants.Outcome]:
    """The invariants over objects that go to the namespace messaging."""
    return invariants.check(items, namespace="messaging", only=only)


def test_a_good_group_violates_nothing_and_leaves_nothing_unseen() -> None:
    assert [finding for outcome in judge(good()) for finding in outcome.findings] == []


@pytest.mark.parametrize(("name", "change", "told"), CASES, ids=[f"{at}-{case[0]}" for at, case in enumerate(CASES)])
def test_one_fault_is_found_and_named(name: str, change: Callable[[list[Object]], None], told: str) -> None:
    items = good()
    change(items)
    (outcome,) = judge(items, only=[name])
    assert outcome.state is State.VIOLATED
    assert any(told in each.problem for each in outcome.findings), outcome.findings


def test_every_invariant_has_a_fault_that_it_finds() -> None:
    # one-store-one-group and accounts-exist have tests of their own below
    tried = {name for name, _, _ in CASES} | {"one-store-one-group", "accounts-exist"}
    assert {each.name for each in invariants.invariants()} - tried == set()


@pytest.mark.parametrize(("name", "change"), UNSEEN, ids=[name for name, _ in UNSEEN])
def test_what_is_elsewhere_is_reported_as_not_seen(name: str, change: Callable[[list[Object]], None]) -> None:
    items = good()
    change(items)
    (outcome,) = judge(items, only=[name])
    assert outcome.state is State.UNSEEN
    assert invariants.findings([outcome]) == []


def test_two_groups_over_one_store_are_found() -> None:
    items = good()
    other = copy.deepcopy(objects.find(items, "StatefulSet"))
    other["metadata"]["name"] = "other"
    config = copy.deepcopy(objects.find(items, "ConfigMap"))
    config["metadata"]["name"] = "other-config"
    config["data"]["stan.conf"] = config["data"]["stan.conf"].replace("ft_group_name: test-cluster", "ft_group_name: b")
    other["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] = "other-config"
    (outcome,) = judge([*items, other, config], only=["one-store-one-group"])
    assert [each.where for each in outcome.findings] == ["StatefulSet/stan", "StatefulSet/other"]


def test_an_option_on_the_command_line_counts_like_the_file() -> None:
    items = good()
    put(f"{STAN}.args", ["-sc=/etc/stan-config/stan.conf", "--dir", "/somewhere"])(items)
    (outcome,) = judge(items, only=["shared-claim"])
    assert "/somewhere is on no volume" in outcome.findings[0].problem


def test_servers_are_recognised_by_their_command_too() -> None:
    items = good()
    put(f"{STAN}.image", "mirror.example/tools:1.2.3")(items)
    put(f"{STAN}.command", ["/nats-streaming-server"])(items)
    assert len(invariants.Manifests(items).servers) == 1


def test_a_password_from_the_environment_is_no_secret_in_the_file() -> None:
    items = good()
    conf("http: 8222", "http: 8222\nauthorization { user: a, password: $PASSWORD }")(items)
    (outcome,) = judge(items, only=["secrets-by-reference"])
    assert outcome.state is State.HOLDS


def test_what_is_not_there_makes_no_invariant_hold() -> None:
    outcomes = judge([])
    assert {each.state for each in outcomes if each.invariant.name != "no-object-twice"} == {State.NOT_APPLICABLE}


def test_findings_can_be_limited_to_a_severity() -> None:
    items = good()
    drop("NetworkPolicy")(items)
    drop("PodDisruptionBudget")(items)
    outcomes = judge(items)
    assert {each.invariant for each in invariants.findings(outcomes)} == {"network-policy", "disruption-budget"}
    assert {each.invariant for each in invariants.findings(outcomes, at_least=Severity.WARNING)} == {
        "disruption-budget"
    }


def test_every_invariant_says_its_rule_and_its_remedy() -> None:
    for each in invariants.invariants():
        assert each.sentence.endswith("."), each.name
        assert each.remedy.endswith("."), each.name


def test_routes_may_come_from_the_environment() -> None:
    items = good()
    conf("nats://stan-1.stan.messaging.svc.cluster.local:6222", "$ROUTE_1")(items)
    environment = objects.container(objects.find(items, "StatefulSet"), "stan")["env"]
    environment.append({"name": "ROUTE_1", "value": '"nats://$(USER):$(PASS)@stan-1.stan.messaging.svc:6222"'})
    (outcome,) = judge(items, only=["routes-complete"])
    assert outcome.state is State.HOLDS
    environment[-1] = {"name": "ROUTE_1", "valueFrom": {"secretKeyRef": {"name": "routes", "key": "1"}}}
    (outcome,) = judge(items, only=["routes-complete"])
    assert outcome.state is State.UNSEEN


def test_a_route_to_the_headless_service_stands_for_all_pods() -> None:
    items = good()
    for ordinal in (0, 1):
        conf(f"nats://stan-{ordinal}.stan.messaging.svc.cluster.local:6222", "nats://stan.messaging.svc:6222")(items)
    (outcome,) = judge(items, only=["routes-complete"])
    assert outcome.state is State.HOLDS


@pytest.mark.parametrize(("image", "ends"), [("nats-streaming:0.25.6", True), ("nats-streaming:0.4.0", False)])
def test_an_option_of_older_servers_ends_only_newer_ones(image: str, ends: bool) -> None:
    items = good()
    put(f"{STAN}.image", image)(items)
    put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "-ack_subs", "2"])(items)
    (outcome,) = judge(items, only=["server-starts"])
    assert (outcome.state is State.VIOLATED) == ends


def test_seconds_as_a_bare_number_are_right_for_an_old_server() -> None:
    items = objects.parse(GOOD)
    old("0.17.0", "http: 8222", "ping_interval: 20")(items)
    found = {each.invariant for each in invariants.findings(invariants.check(items))}
    assert not {"typed-keys", "server-starts"} & found


def test_an_option_that_an_old_server_does_not_know_yet_is_told_with_the_release_that_does() -> None:
    items = objects.parse(GOOD)
    put(f"{STAN}.image", "nats-streaming:0.17.0")(items)
    put(f"{STAN}.args", ["-sc", "/etc/stan-config/stan.conf", "--replace_durable"])(items)
    (outcome,) = invariants.check(items, only=["server-starts"])
    assert [each.problem for each in outcome.findings] == [
        "flag provided but not defined: -replace_durable (servers know it since 0.20)"
    ]


@pytest.mark.parametrize("value", ["$(OTHER)", '"$(USER_RAW)"', ""])
def test_a_variable_made_of_references_is_no_secret_written_out(value: str) -> None:
    items = good()
    put(f"{STAN}.env.0", {"name": "ROUTE_PASSWORD", "value": value})(items)
    (outcome,) = judge(items, only=["no-secret-in-env"])
    assert outcome.state is State.HOLDS


def test_a_single_server_may_have_a_claim_of_its_own() -> None:
    items = good()
    put("StatefulSet.spec.replicas", 1)(items)
    put("PersistentVolumeClaim.spec.accessModes", ["ReadWriteOncePod"])(items)
    (outcome,) = judge(items, only=["read-write-many"])
    assert outcome.state is State.HOLDS


def test_a_helper_made_from_the_servers_image_is_no_server() -> None:
    items = good()
    containers = objects.find(items, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    containers.append(
        {"name": "helper", "image": "nats-streaming:0.25.6-alpine", "command": ["sh", "/scripts/help.sh"]}
    )
    assert [server.container["name"] for server in invariants.Manifests(items).servers] == ["stan"]
