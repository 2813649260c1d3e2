"""The values of docs/set-ups.md: rendered, and judged by the check."""

from __future__ import annotations

import pytest
from setups import SECTIONS, blocks

from harness.charts.render import render, render_notes
from stanft import invariants
from stanft.invariants import Severity
from stanft.kube import objects
from stanft.kube.objects import Object, dig

EVERY = [(section, at) for section in SECTIONS for at, _ in enumerate(blocks(section))]


@pytest.mark.parametrize(("section", "at"), EVERY)
def test_the_values_make_a_group_that_passes_the_check(section: str, at: int) -> None:
    items = render("stan-ft", blocks(section)[at], release="stan-a", namespace="messaging")
    found = invariants.findings(invariants.check(items, namespace="messaging"))
    told = [each.problem for each in found if each.severity is Severity.ERROR and not each.unseen]
    # OpenShift gives the pods of a namespace one user; the manifests do not say it.
    assert [each for each in told if not (section == "OpenShift" and each.startswith("no runAsUser"))] == []


@pytest.mark.parametrize(("at", "mark"), [(0, "sidecar.istio.io/inject"), (1, "linkerd.io/inject")])
def test_no_pod_that_ends_gets_a_sidecar(at: int, mark: str) -> None:
    items = render("stan-ft", blocks("A service mesh")[at])
    ending: list[Object] = [*objects.find_all(items, "Pod")]
    ending += [dig(each, "spec.template") for each in objects.find_all(items, "Job")]
    assert len(ending) >= 3
    for pod in ending:
        marks = {**dig(pod, "metadata.labels", {}), **dig(pod, "metadata.annotations", {})}
        assert marks.get(mark) in ("false", "disabled")
    servers = objects.find(items, "StatefulSet")["spec"]["template"]["metadata"]
    assert mark not in servers["annotations"]
    assert any("4222,6222" in str(value) for value in servers["annotations"].values())


def test_every_port_of_the_services_says_what_it_speaks() -> None:
    items = render("stan-ft", blocks("A service mesh")[0])
    spoken = {
        port["name"]: port["appProtocol"]
        for each in objects.find_all(items, "Service")
        for port in each["spec"]["ports"]
    }
    assert {name: spoken.pop(name) for name in ("client", "cluster")} == {"client": "tcp", "cluster": "tcp"}
    assert {"monitor", "metrics"} <= spoken.keys()
    assert set(spoken.values()) == {"http"}


@pytest.mark.parametrize("at", [0, 1])
def test_the_notes_no_longer_warn_of_clients_outside(at: int) -> None:
    assert "service.type" not in render_notes("stan-ft", blocks("Clients outside of the cluster")[at])
