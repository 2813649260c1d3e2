"""Files and variables of a server's container, however ConfigMaps and Secrets bring them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stanft import invariants
from stanft.conf.parse import Variable
from stanft.invariants import Manifests, State
from stanft.invariants.servers import Server
from stanft.kube.objects import Object

CONF = "http: 8222\nstreaming { id: $ID, store: file, dir: /data, ft_group_name: ft }"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}


def objects_with(volume: Object, mount: Object, *others: Object, **container: Any) -> list[Object]:
    """A StatefulSet that reads /etc/stan/stan.conf from this volume, and other objects."""
    spec = {
        "containers": [
            {
                "name": "stan",
                "image": "nats-streaming:0.25.6",
                "args": ["-sc", "/etc/stan/stan.conf"],
                "volumeMounts": [{"name": "v", **mount}],
                **container,
            }
        ],
        "volumes": [{"name": "v", **volume}],
    }
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "stan"},
        "spec": {"serviceName": "stan", "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    return [stateful_set, *others]


def server(*arguments: Any, **container: Any) -> Server:
    """The one server among objects_with(...)."""
    (found,) = Manifests(objects_with(*arguments, **container)).servers
    return found


@pytest.mark.parametrize(
    ("volume", "mount", "other"),
    [
        ({"configMap": {"name": "c"}}, {"mountPath": "/etc/stan"}, {**CONFIG, "data": {"stan.conf": CONF}}),
        ({"secret": {"secretName": "s"}}, {"mountPath": "/etc/stan/"}, {**SECRET, "stringData": {"stan.conf": CONF}}),
        (
            {"secret": {"secretName": "s", "items": [{"key": "k", "path": "stan.conf"}]}},
            {"mountPath": "/etc/stan"},
            {**SECRET, "data": {"k": base64.b64encode(CONF.encode()).decode()}},
        ),
        (
            {"configMap": {"name": "c"}},
            {"mountPath": "/etc/stan/stan.conf", "subPath": "other"},
            {**CONFIG, "data": {"other": CONF}},
        ),
        (
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "in/stan.conf"}]}},
            {"mountPath": "/etc/stan", "subPath": "in"},
            {**CONFIG, "binaryData": {"k": base64.b64encode(CONF.encode()).decode()}},
        ),
        (
            {"projected": {"sources": [{"configMap": {"name": "none", "optional": True}}, {"secret": {"name": "s"}}]}},
            {"mountPath": "/etc"},
            {**SECRET, "stringData": {"stan/stan.conf": CONF}},
        ),
    ],
)
def test_a_configuration_file_is_found_wherever_it_comes_from(volume: Object, mount: Object, other: Object) -> None:
    found = server(volume, mount, other, env=[{"name": "ID", "value": "orders"}])
    assert (found.known, found.group) == (True, ("orders", "ft"))


@pytest.mark.parametrize(
    ("volume", "mount", "why"),
    [
        ({"secret": {"secretName": "s"}}, {"mountPath": "/etc/stan"}, "the Secret s behind /etc/stan/stan.conf is not"),
        ({"configMap": {"name": "c"}}, {"mountPath": "/etc/other"}, "/etc/stan/stan.conf is on no volume"),
        ({"emptyDir": {}}, {"mountPath": "/etc/stan"}, "is on the volume v, whose content is not among these objects"),
    ],
)
def test_what_cannot_be_seen_is_said_and_nothing_is_guessed(volume: Object, mount: Object, why: str) -> None:
    items = objects_with(volume, mount)
    (outcome,) = invariants.check(items, only=["config-readable"])
    assert outcome.state is State.UNSEEN
    assert why in outcome.findings[0].problem
    (group,) = invariants.check(items, only=["ft-group"])
    assert group.state is State.NOT_APPLICABLE


def test_variables_come_from_values_config_maps_and_whole_config_maps() -> None:
    config = {**CONFIG, "data": {"stan.conf": CONF, "ID": "orders"}}
    place = ({"configMap": {"name": "c"}}, {"mountPath": "/etc/stan"}, config)
    by_key = {"name": "ID", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "ID"}}}
    assert server(*place, env=[by_key]).group[0] == "orders"
    assert server(*place, envFrom=[{"configMapRef": {"name": "c"}}]).group[0] == "orders"
    nested = [{"name": "A", "value": "ord"}, {"name": "ID", "value": "$(A)ers"}]
    assert server(*place, env=nested).group[0] == "orders"
    hidden = {"name": "ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "ID"}}}
    assert server(*place, env=[hidden]).group[0] == Variable("ID")
    assert server(*place, envFrom=[{"secretRef": {"name": "elsewhere"}}]).told.refusals == []
    assert server(*place).told.refusals == ["$ID is set neither in /etc/stan/stan.conf nor in the environment"]


def test_a_secret_in_a_secret_is_no_secret_written_out() -> None:
    text = CONF + "\nauthorization { user: a, password: b }"
    mount = {"mountPath": "/etc/stan"}
    for volume, other, state in (
        ({"secret": {"secretName": "s"}}, {**SECRET, "stringData": {"stan.conf": text}}, State.HOLDS),
        ({"configMap": {"name": "c"}}, {**CONFIG, "data": {"stan.conf": text}}, State.VIOLATED),
    ):
        (outcome,) = invariants.check(objects_with(volume, mount, other), only=["secrets-by-reference"])
        assert outcome.state is state
