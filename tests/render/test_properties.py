"""Whatever the schema accepts renders to what Kubernetes accepts, or is refused in words that name a value."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import schemavalues
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from harness.charts import render
from stanft.invariants import Manifests, State
from stanft.invariants.model import REGISTRY
from stanft.kube import kubeschema, objects

EXAMPLES = 60  # per property and chart; the same ones in every run
# What a template that breaks down says, as against one that refuses.
BREAKDOWN = re.compile(
    r"nil pointer|error calling (?!fail|include)|can't evaluate|YAML parse error|not to Kubernetes objects|panicked"
)
# What holds for any values that are let through, whatever they are.
ALWAYS = (
    "config-readable",
    "ft-group",
    "ft-without-raft",
    "lasting-store",
    "locks-respected",
    "mounts-resolve",
    "no-claim-templates",
    "no-object-twice",
    "no-secret-in-env",
    "one-store-one-group",
    "references-exist",
    "routes-complete",
    "same-store-for-all",
    "secrets-by-reference",
    "shared-claim",
    "standbys-resolvable",
    "steady-selectors",
    "store-writable",
    "workload-owns-pods",
)
# Values that hold whole pieces of Kubernetes or of the server, which no schema of ours can vouch for.
FREE = re.compile(
    r"extra|sidecars|initContainers|lifecycle|override|existingConfigMap|affinity|dnsConfig|hostAliases|Relabelings"
    r"|relabelings|securityContext|SecurityContext|networkPolicy|tolerations|nodeSelector|resources|selector|global$"
    r"|topologySpreadConstraints|Annotations$|annotations$|parameters|Probe|\.env$|merge|Labels$|labels$"
)


@cache
def leaves(chart: str) -> list[tuple[str, st.SearchStrategy[Any]]]:
    """The leaves of a chart with a strategy for what its schema accepts there."""
    found = schemavalues.leaves(render.chart_schema(chart), render.chart_values(chart))
    return [(name, schemavalues.strategy(schema)) for path, schema in found if not FREE.search(name := ".".join(path))]


@cache
def numbers(chart: str) -> list[tuple[str, int]]:
    """The leaves that take whole numbers, with the least that they take."""
    found = schemavalues.leaves(render.chart_schema(chart), render.chart_values(chart))
    return [(".".join(path), schema.get("minimum", 0)) for path, schema in found if "integer" in schema.get("type", [])]


@cache
def starts(chart: str) -> st.SearchStrategy[dict[str, Any]]:
    """The shipped sets of values."""
    return st.sampled_from(list(render.shipped(chart).values()))


@cache
def changed(chart: str) -> st.SearchStrategy[list[tuple[str, st.SearchStrategy[Any]]]]:
    """One to four leaves."""
    return st.lists(st.sampled_from(leaves(chart)), min_size=1, max_size=4, unique_by=lambda leaf: leaf[0])


@st.composite
def accepted(draw: st.DrawFn, chart: str) -> dict[str, Any]:
    """A shipped set of values with up to four leaves changed to something else that the schema accepts."""
    values: dict[str, Any] = draw(starts(chart))
    for name, strategy in draw(changed(chart)):
        values = render.layered(values, render.at(name, draw(strategy)))
    return values


PROPERTY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def rendered(chart: str, values: dict[str, Any]) -> list[objects.Object]:
    """The objects, or [] when the chart refuses the values in its own words; fails when a template breaks down."""
    refused = ""
    try:
        return render.render(chart, values, namespace="messaging")
    except render.RenderError as refusal:
        note(refusal.request.command())
        refused = refusal.message
    assert not BREAKDOWN.search(refused), refused
    return []


@pytest.mark.parametrize("chart", render.RELEASES)
@given(data=st.data())
@PROPERTY
def test_what_the_schema_accepts_is_valid_for_kubernetes_or_refused_in_words(chart: str, data: st.DataObject) -> None:
    for item in rendered(chart, data.draw(accepted(chart))):
        assert kubeschema.problems(item) == [], objects.label(item)


@given(data=st.data())
@PROPERTY
def test_what_is_let_through_keeps_the_heart_of_fault_tolerance(data: st.DataObject) -> None:
    seen = Manifests(rendered("stan-ft", data.draw(accepted("stan-ft"))), "messaging")
    broken = [
        f"{name}: {finding.problem}"
        for name in ALWAYS
        if (outcome := REGISTRY[name].run(seen)).state is State.VIOLATED
        for finding in outcome.findings
    ]
    assert broken == []


@given(data=st.data())
@PROPERTY
def test_set_and_a_values_file_give_the_same(data: st.DataObject) -> None:
    name, low = data.draw(st.sampled_from(numbers("stan-ft")))
    value = data.draw(st.integers(low, low + 5000))
    base = render.ci_values("stan-ft")["default"]
    try:
        by_file = render.render("stan-ft", render.layered(base, render.at(name, value)))
    except render.RenderError:
        with pytest.raises(render.RenderError):
            render.render("stan-ft", base, set=[f"{name}={value}"])
    else:
        assert render.render("stan-ft", base, set=[f"{name}={value}"]) == by_file
