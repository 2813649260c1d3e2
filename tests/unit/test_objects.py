"""Looking things up in Kubernetes objects, and reading YAML as Kubernetes reads it."""

from __future__ import annotations

from typing import Any

import pytest

from stanft.kube import objects

STATEFUL = objects.parse("""
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: stan, labels: {app: stan}}
spec:
  replicas: 3
  selector: {matchLabels: {app: stan}}
  template:
    metadata: {labels: {app: stan}}
    spec:
      initContainers: [{name: prepare, image: a:1}]
      containers:
        - name: stan
          image: nats-streaming:0.25.6
          env: [{name: A, value: b}, {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          ports: [{name: client, containerPort: 4222}]
          volumeMounts: [{name: efs, mountPath: /data/stan}]
      volumes: [{name: efs, persistentVolumeClaim: {claimName: efs}}]
""")[0]
SERVICE = objects.parse(
    "{apiVersion: v1, kind: Service, metadata: {name: stan}, spec: {ports: [{name: client, port: 4222}]}}"
)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("017", 15),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("y", True),
        ("No", False),
        ("on", True),
        ("~", None),
        ("=", "="),
        ("1Mi", "1Mi"),
        ("0.25.6", "0.25.6"),
        (".inf", float("inf")),
        ("'1'", "1"),
    ],
)
def test_a_plain_scalar_is_read_as_kubernetes_reads_it(text: str, value: Any) -> None:
    assert objects.values(f"key: {text}") == {"key": value}


def test_empty_documents_are_left_out_and_lists_are_unpacked() -> None:
    text = "---\n# nothing\n---\n{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}]}\n---\n"
    assert objects.parse(text) == [{"apiVersion": "v1", "kind": "Pod"}]


def test_a_document_without_a_kind_is_refused_with_its_beginning() -> None:
    with pytest.raises(ValueError, match=r"no Kubernetes object .*replicas"):
        objects.parse("replicas: 3")


def test_a_values_file_that_is_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="a values file is a mapping, not list"):
        objects.values("- a")


def test_an_empty_values_file_is_an_empty_mapping() -> None:
    assert objects.values("# only a comment\n") == {}


def test_find_gives_the_one_object_of_a_kind_and_name() -> None:
    assert objects.find([STATEFUL, SERVICE], "Service", "stan") is SERVICE


def test_find_says_what_there_is_when_it_finds_nothing() -> None:
    with pytest.raises(LookupError, match=r"wanted Service/other, found 0; there is: Service/stan, StatefulSet/stan"):
        objects.find([STATEFUL, SERVICE], "Service", "other")


def test_find_refuses_two_objects_of_a_kind() -> None:
    with pytest.raises(LookupError, match="wanted one Service, found 2"):
        objects.find([SERVICE, SERVICE], "Service")


def test_find_all_selects_by_label() -> None:
    assert objects.find_all([STATEFUL, SERVICE], app="stan") == [STATEFUL]


def test_a_container_is_found_by_name_among_init_containers_too() -> None:
    assert objects.container(STATEFUL, "prepare")["image"] == "a:1"
    with pytest.raises(LookupError, match="no container web"):
        objects.container(STATEFUL, "web")


def test_the_parts_of_a_container_are_given_by_name() -> None:
    stan = objects.container(STATEFUL, "stan")
    assert objects.env(stan) == {"A": "b", "POD": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert objects.ports(stan) == {"client": 4222} == objects.ports(SERVICE)
    assert objects.mounts(stan)["efs"]["mountPath"] == "/data/stan"
    assert objects.volumes(STATEFUL)["efs"]["persistentVolumeClaim"]["claimName"] == "efs"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Pod", "spec"),
        ("Job", "spec.template.spec"),
        ("CronJob", "spec.jobTemplate.spec.template.spec"),
        ("Deployment", "spec.template.spec"),
    ],
)
def test_every_kind_of_workload_shows_its_pods(kind: str, path: str) -> None:
    item: Any = {"containers": [{"name": "c"}]}
    for part in reversed(path.split(".")):
        item = {part: item}
    item |= {"apiVersion": "v1", "kind": kind}
    assert [each["name"] for each in objects.containers(item)] == ["c"]
    assert objects.workloads([item, SERVICE]) == [item]


def test_an_object_without_pods_has_no_containers() -> None:
    assert objects.containers(SERVICE) == []


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({"app": "stan"}, True),
        ({"app": "other"}, False),
        ({"matchLabels": {"app": "stan"}}, True),
        ({"matchLabels": {"app": "stan", "tier": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["stan"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["stan"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: Any, selected: bool) -> None:
    assert objects.selects(selector, {"app": "stan"}) is selected


def test_dig_follows_names_and_positions_and_gives_the_default_else() -> None:
    assert objects.dig(SERVICE, "spec.ports.0.port") == 4222
    assert objects.dig(SERVICE, "spec.ports.1.port", "none") == "none"
    assert objects.dig(SERVICE, "spec.port.0") is None


def test_leaves_are_the_ends_of_nested_mappings() -> None:
    assert list(objects.leaves({"a": {"b": 1, "c": []}, "d": {}})) == [(("a", "b"), 1), (("a", "c"), []), (("d",), {})]
