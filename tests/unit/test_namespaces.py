"""Namespaces of one's own: closed to pods that are not restricted, and gone with the volumes of their claims."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins import Programs

from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster
from harness.local import namespaces

CLAIMS = '{"items": [{"spec": {"volumeName": "pv-1"}}, {"spec": {}}, {"spec": {"volumeName": "pv-2"}}]}'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A cluster with three claims, of which two are bound."""
    made = Programs(tmp_path, monkeypatch)
    made.tools(kubectl=f"case \"$*\" in *'get pvc'*) echo '{CLAIMS}' ;; esac")
    return made


def asked(programs: Programs) -> list[str]:
    """What kubectl was asked, without the kubeconfig."""
    return [" ".join(line.split()[2:]) for line in programs.asked("kubectl")]


def test_a_namespace_takes_restricted_pods_only_unless_told(programs: Programs) -> None:
    cluster = Cluster(Engine(""))
    namespaces.create(cluster, "a")
    namespaces.create(cluster, "b", restricted=False)
    assert asked(programs) == ["create namespace a", f"label namespace a {namespaces.RESTRICTED}", "create namespace b"]


def test_a_namespace_goes_first_and_then_the_volumes_that_its_claims_had(programs: Programs) -> None:
    namespaces.remove(Cluster(Engine("")), "a")
    _, namespace, *volumes = asked(programs)
    assert namespace.startswith("delete namespace a --ignore-not-found")
    assert [line.split()[:3] for line in volumes] == [["delete", "pv", "pv-1"], ["delete", "pv", "pv-2"]]
