"""The ways in which people write one and the same group: each is read as the server or Kubernetes reads it."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from goodgroup import GOOD
from playapi import PlayApi

from stanft import invariants
from stanft.cli import check
from stanft.ground.errors import UserError
from stanft.invariants import Manifests, Severity, directory, sources
from stanft.kube import objects
from stanft.kube.objects import Object

FILE = "/etc/stan-config/stan.conf"
CONF: str = objects.find(objects.parse(GOOD), "ConfigMap")["data"]["stan.conf"]
ROUTES = CONF[CONF.index("routes [") : CONF.index("]") + 1]
RUN = f"nats-streaming-server -sc {FILE}"
OF_POD = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
Change = Callable[[list[Object]], None]


def group(*, conf: str = CONF, change: Change | None = None, **container: Any) -> list[Object]:
    """The good group with another stan.conf, other fields of its server's container (None takes one out), a change."""
    items = objects.parse(GOOD)
    objects.find(items, "ConfigMap")["data"]["stan.conf"] = conf
    server = objects.containers(objects.find(items, "StatefulSet"))[0]
    server["env"] += container.pop("env", [])
    server.update(container)
    for key in [key for key, value in server.items() if value is None]:
        del server[key]
    if change:
        change(items)
    return items


def errors(items: list[Object]) -> dict[str, str]:
    """Invariant -> its first error."""
    found: dict[str, str] = {}
    for each in invariants.findings(invariants.check(items)):
        if each.severity is Severity.ERROR and not each.unseen:
            found.setdefault(each.invariant, each.problem)
    return found


def shell(text: str, *words: str) -> dict[str, Any]:
    """A container that runs a script."""
    return {"command": ["/bin/sh", "-ec", text, *words], "args": None}


def spec(items: list[Object]) -> Object:
    """The pods' spec."""
    return objects.pod_spec(objects.find(items, "StatefulSet"))


def with_volume(volume: Object, kind: str | None = None, **held: Any) -> Change:
    """A change: the configuration comes from this volume, and the ConfigMap is of this kind, with this data."""

    def change(items: list[Object]) -> None:
        config = objects.find(items, "ConfigMap")
        if kind:
            config.pop("data")
            config.update(kind=kind, **held)
        spec(items)["volumes"][0] = {"name": "config-volume", **volume}

    return change


def as_kind(kind: str, version: str) -> Change:
    """A change: the servers are of another kind of workload."""

    def change(items: list[Object]) -> None:
        objects.find(items, "StatefulSet").update(kind=kind, apiVersion=version)

    return change


def native_sidecar(items: list[Object]) -> None:
    server = spec(items)["containers"].pop(0)
    spec(items)["initContainers"] = [{**server, "restartPolicy": "Always"}]


def headless(name: str, **more: Any) -> Change:
    """A change: one more Service over the pods, which the routes name."""

    def change(items: list[Object]) -> None:
        made = copy.deepcopy(objects.find(items, "Service", "stan"))
        made["metadata"] = {"name": name}
        made["spec"].update(more)
        items.append(made)

    return change


def ports_without_names(items: list[Object]) -> None:
    numbers = {}
    for each in spec(items)["containers"]:
        numbers |= {port.pop("name"): port["containerPort"] for port in each["ports"]}
    for asks in (each[probe]["httpGet"] for each in spec(items)["containers"] for probe in each if "Probe" in probe):
        asks["port"] = numbers.get(asks["port"], asks["port"])
    for service in objects.find_all(items, "Service"):
        for port in service["spec"]["ports"]:
            port["targetPort"] = numbers.get(port.get("targetPort"), port["port"])


JSON_CONF = json.dumps(
    {
        "http": 8222,
        "cluster": {"name": "stan", "port": 6222, "routes": ROUTES.split()[2:-1]},
        "streaming": {"id": "test-cluster", "store": "file", "dir": "/data/stan/store", "ft_group_name": "a"},
    },
    indent=1,
)
ENCODED = base64.b64encode(CONF.encode()).decode()

SAME: dict[str, dict[str, Any]] = {
    "short options": {"args": ["-sc", FILE, "-hbi=10s", "-hbt", "10s", "-hbf", "5", "-SDV", "-D", "-V", "-SD", "-SV"]},
    "exec behind a shell": shell(f"exec {RUN}"),
    "the shell in args": {"args": ["sh", "-c", f"exec {RUN}"]},
    "words in a variable": shell(f'OPTIONS="-sc {FILE}"\nexec nats-streaming-server $OPTIONS'),
    "words by set": shell(f'set -- -sc {FILE}\nexec nats-streaming-server "$@"'),
    "words as parameters": shell('exec nats-streaming-server "$@"', "--", "-sc", FILE),
    "a comment with an apostrophe": shell(f"# don't wait\nexec {RUN} # it's up"),
    "a # that begins no comment": shell(f"exec {RUN} --cluster_advertise x-${{HOSTNAME##*-}}.stan"),
    "a file of its own": shell(f"cat > /tmp/s.conf <<EOF\n{CONF}\nEOF\nexec nats-streaming-server -sc /tmp/s.conf"),
    "a quoted file of its own": shell(f"cat <<'E' | tee /s.conf\n{CONF}\nE\nexec nats-streaming-server -sc /s.conf"),
    "a loop": shell(f"while true; do {RUN}; sleep 1; done"),
    "a pipe": shell(f"{RUN} 2>&1 | tee /tmp/log"),
    "env": {"command": ["/usr/bin/env", "GOGC=50"], "args": ["nats-streaming-server", "-sc", FILE]},
    "a variable": {"args": ["-sc", "$(CONF)"], "env": [{"name": "CONF", "value": FILE}]},
    "JSON": {"conf": JSON_CONF},
    "carriage returns and tabs": {"conf": CONF.replace("\n", "\r\n").replace("  ", "\t")},
    "comments": {"conf": f"# one\n// two\n{CONF} # three"},
    "streaming =": {"conf": CONF.replace("streaming {", "STREAMING = {").replace("store:", "Store =")},
    "sizes": {"conf": CONF.replace("max_age: 1h", 'max_bytes: 1GB, max_age: "24h"')},
    "a Secret": {
        "change": with_volume({"secret": {"secretName": "stan-config"}}, "Secret", data={"stan.conf": ENCODED})
    },
    "binary data": {
        "change": with_volume({"configMap": {"name": "stan-config"}}, "ConfigMap", binaryData={"stan.conf": ENCODED})
    },
    "an image of one's own": {"image": "registry.example:5000/hardened/bus:1.4.2"},
    "an image of one's own whose options are inside": {"image": "registry.example/bus:1.4.2", "args": None},
    "ports without names": {"change": ports_without_names},
    "a native sidecar": {"change": native_sidecar},
    "a workload of an operator": {"change": as_kind("StatefulSet", "apps.kruise.io/v1beta1")},
    "routes to a headless Service": {
        "conf": CONF.replace(ROUTES, "routes [ nats://mesh.messaging.svc:6222 ]"),
        "change": headless("mesh"),
    },
    "files that are shared by other means": {
        "change": lambda items: spec(items)["volumes"].__setitem__(1, {"name": "efs", "cephfs": {"monitors": ["a"]}})
    },
}


@pytest.mark.parametrize("way", SAME)
def test_a_good_group_is_good_in_whatever_way_it_is_written(way: str) -> None:
    items = group(**SAME[way])
    assert errors(items) == {}
    (server,) = Manifests(items).servers
    assert (server.known, server.store, server.store_directory) == (True, "file", "/data/stan/store")


OTHERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "two words in one": ({"args": [f"-sc {FILE}"]}, "server-starts", "two members of the list"),
    "the whole command in one word": ({"command": [RUN], "args": None}, "server-starts", "no program has that name"),
    "words that the shell does not pass on": (
        {"command": ["sh", "-c"], "args": ["nats-streaming-server", "-sc", FILE]},
        "server-starts",
        f"the server gets nothing of: -sc {FILE}",
    ),
    "a file that the ConfigMap does not have": (
        {"args": ["-sc", "/etc/stan-config/other.conf"]},
        "config-readable",
        "has the file other.conf, so the server ends",
    ),
    "a directory per pod": ({"args": ["-sc", FILE, "-dir", "/data/stan/$(POD)"], "env": [OF_POD]}, *2 * ("",)),
    "a directory per host name": (shell(f"exec {RUN} --dir /data/stan/$HOSTNAME"), *2 * ("",)),
    "a directory per ordinal": (shell(f"N=${{HOSTNAME##*-}}\nexec {RUN} --dir /data/stan/$N"), *2 * ("",)),
    "a directory per command's output": (shell(f"exec {RUN} --dir /data/stan/$(hostname)"), *2 * ("",)),
    "a directory per pod in the file": ({"conf": CONF.replace("dir: /data/stan/store", "dir: $HOSTNAME")}, *2 * ("",)),
    "a group per pod": (
        {"args": ["-sc", FILE, "--ft_group", "g-$(POD)"], "env": [OF_POD]},
        "ft-group",
        "the FT group g-$(POD) differs from pod to pod",
    ),
    "a cluster id per pod": (
        {"args": ["-sc", FILE, "--cluster_id=$(ID)"], "env": [OF_POD, {"name": "ID", "value": "$(POD)"}]},
        "ft-group",
        "the cluster id $(ID) differs",
    ),
    "a group that is no part of a subject": (
        {"args": ["-sc", FILE, "--ft_group", "my group"]},
        "ft-group",
        "the FT group 'my group' is no part of a subject",
    ),
    "a group that hears all others": ({"args": ["-sc", FILE, "--ft_group", "*"]}, "ft-group", "is a wildcard"),
    "a group that is empty": ({"args": ["-sc", FILE, "--ft_group="]}, "ft-group", "no ft_group_name"),
    "a variable in quotes": (
        {"conf": f'{CONF}\nauthorization {{ user: a, password: "$PASS" }}'},
        "secrets-by-reference",
        "replaces a $NAME only without quotes",
    ),
    "a variable in braces": (
        {"conf": CONF.replace("ft_group_name: test-cluster", "ft_group_name: ${GROUP}")},
        "server-starts",
        "the server knows $NAME alone",
    ),
    "days": ({"conf": CONF.replace("max_age: 1h", "max_age: 7d")}, "typed-keys", "there are no days"),
    "a byte order mark": ({"conf": f"\ufeff{CONF}"}, "known-keys", r"unknown key \ufeffhttp"),
    "a block of another name": ({"conf": CONF.replace("streaming {", "stan {")}, "ft-group", "no ft_group_name"),
    "routes to this node alone": (
        {"conf": CONF.replace("port: 6222", "listen: 127.0.0.1:6222")},
        "routes-on-cluster-port",
        "the cluster block listens on 127.0.0.1 alone",
    ),
    "routes to a Service with an address": (
        {"conf": CONF.replace(ROUTES, "routes [ nats://mesh:6222 ]"), "change": headless("mesh", clusterIP="10.0.0.9")},
        "routes-complete",
        "make it headless",
    ),
    "a class for one node": (
        {"change": lambda items: objects.find(items, "StorageClass").update(provisioner="ebs.csi.aws.com")},
        "read-write-many",
        "makes volumes for one node (ebs.csi.aws.com)",
    ),
    "a block device": (
        {"change": lambda items: objects.find(items, "PersistentVolumeClaim")["spec"].update(volumeMode="Block")},
        "read-write-many",
        "asks for a block device, which cannot be mounted",
    ),
    "a volume on one node": (
        {
            "change": lambda items: items.append(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": "v"},
                    "spec": {
                        "accessModes": ["ReadWriteMany"],
                        "capacity": {"storage": "1Gi"},
                        "claimRef": {"name": "efs"},
                        "hostPath": {"path": "/x"},
                        "nodeAffinity": {"required": {"nodeSelectorTerms": []}},
                    },
                }
            )
        },
        "read-write-many",
        "the volume v is a hostPath",
    ),
    "an old API": (
        {"change": as_kind("StatefulSet", "apps/v1beta1")},
        "served",
        "serves no StatefulSet of apps/v1beta1",
    ),
}


@pytest.mark.parametrize("way", OTHERS)
def test_what_is_not_the_same_is_told_in_words(way: str) -> None:
    changes, name, words = OTHERS[way]
    found = errors(group(**changes))
    assert (words or "differs from pod to pod") in found.get(name or "same-store-for-all", ""), found


def test_what_reads_the_file_beside_the_server_is_no_server() -> None:
    items = group()
    mount = {"name": "config-volume", "mountPath": "/etc/watched"}
    spec(items)["containers"].append(
        {"name": "watch", "image": "example/configmap-reload:1.0", "volumeMounts": [mount]}
    )
    assert len(Manifests(items).servers) == 1


def test_a_server_that_refuses_its_options_is_accused_of_nothing_else() -> None:
    assert errors(group(args=["--store FILE", "--dir /data/stan"])).keys() == {"server-starts"}


def test_a_configuration_in_another_namespace_is_not_the_servers() -> None:
    items = group()
    objects.find(items, "ConfigMap")["metadata"]["namespace"] = "a"
    objects.find(items, "StatefulSet")["metadata"]["namespace"] = "b"
    (server,) = Manifests(items).servers
    assert not server.known


def test_a_server_whose_configuration_cannot_be_seen_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(yaml.safe_dump_all([each for each in group() if each["kind"] != "ConfigMap"]))
    with pytest.raises(UserError, match=r"StatefulSet/stan \(the ConfigMap stan-config behind .* is not among these"):
        check.main([str(tmp_path)])
    assert check.main([str(tmp_path), "--part"]) == 0


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        ("argoproj.io/v1alpha1", "Application"),
        ("helm.cattle.io/v1", "HelmChart"),
    ],
)
def test_what_names_a_chart_holds_no_server(tmp_path: Path, version: str, kind: str) -> None:
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({"apiVersion": version, "kind": kind, "metadata": {"name": "bus"}}))
    with pytest.raises(UserError, match=rf"{kind}/bus only names what is to be rendered"):
        check.main([str(tmp_path / "x.yaml")])


def test_a_template_of_openshift_is_filled_with_its_parameters() -> None:
    items = group()
    workload = objects.find(items, "StatefulSet")
    workload["spec"]["replicas"] = "${{REPLICAS}}"
    workload["metadata"]["name"] = "${NAME}"
    template = {
        "apiVersion": "template.openshift.io/v1",
        "kind": "Template",
        "metadata": {"name": "bus"},
        "objects": items,
        "parameters": [{"name": "NAME", "value": "stan"}, {"name": "REPLICAS", "value": "2"}, {"name": "OTHER"}],
    }
    (server,) = Manifests(directory.objects_of(template) or []).servers
    assert (server.name, server.replicas) == ("stan", 2)


@pytest.mark.parametrize(
    ("kind", "version"), [("DeploymentConfig", "apps.openshift.io/v1"), ("Rollout", "argoproj.io/v1")]
)
def test_a_custom_resource_with_a_pod_template_runs_servers(kind: str, version: str) -> None:
    (server,) = Manifests(group(change=as_kind(kind, version))).servers
    assert (server.group[1], server.replicas) == ("test-cluster", 2)


def live(tmp_path: Path, items: list[Object]) -> PlayApi:
    """A namespace with these objects."""
    for each in items:
        each["metadata"]["namespace"] = "messaging"
    return PlayApi(tmp_path, items, "messaging")


def test_a_configuration_in_a_secret_is_read_in_a_live_namespace_where_that_is_allowed(tmp_path: Path) -> None:
    items = group(**SAME["a Secret"])
    with live(tmp_path, items) as cluster:
        (server,) = Manifests(sources.from_namespace("messaging", kubeconfig=cluster.kubeconfig)).servers
        assert server.known
        cluster.forbidden = "stan-config"
        (server,) = Manifests(sources.from_namespace("messaging", kubeconfig=cluster.kubeconfig)).servers
        assert not server.known


def test_what_an_operator_made_is_judged_in_a_live_namespace(tmp_path: Path) -> None:
    items = group()
    owner = {"apiVersion": "streaming.nats.io/v1alpha1", "kind": "NatsStreamingCluster", "name": "stan"}
    objects.find(items, "StatefulSet")["metadata"]["ownerReferences"] = [owner]
    with live(tmp_path, items) as cluster:
        found = sources.from_namespace("messaging", kubeconfig=cluster.kubeconfig)
    assert len(Manifests(found).servers) == 1
