"""Invariants on where the pods run: one node's loss leaves a standby."""

from __future__ import annotations

from collections.abc import Iterator

from stanft.invariants.model import Manifests, Server, Severity, invariant
from stanft.kube import objects
from stanft.kube.objects import Object, dig

_HOST = "kubernetes.io/hostname"


def groups(manifests: Manifests) -> list[Server]:
    """The servers that have a standby to keep apart."""
    return [server for server in manifests.servers if server.replicas > 1]


@invariant("spread-over-nodes", groups, "Add podAntiAffinity over kubernetes.io/hostname.", Severity.WARNING)
def spread_over_nodes(_: Manifests, server: Server) -> Iterator[str]:
    """The replicas run on different nodes, so that the loss of one node leaves a standby."""
    spec = objects.pod_spec(server.workload)
    labels = dig(objects.pod_template(server.workload) or {}, "metadata.labels", {})
    terms = _terms(spec)
    spread = [each for each in spec.get("topologySpreadConstraints") or [] if each.get("topologyKey") == _HOST]
    if not terms and not spread:
        yield "neither podAntiAffinity nor a spread constraint over nodes"
    for term in terms:
        if term.get("topologyKey") == _HOST and not objects.selects(term.get("labelSelector"), labels):
            yield "podAntiAffinity selects other pods than these"
    for each in spec.get("topologySpreadConstraints") or []:
        if not objects.selects(each.get("labelSelector"), labels):
            yield f"the spread constraint over {each.get('topologyKey')} selects other pods than these"


@invariant(
    "disruption-budget",
    groups,
    "Add a PodDisruptionBudget with maxUnavailable: 1 that selects the pods.",
    Severity.WARNING,
)
def disruption_budget(manifests: Manifests, server: Server) -> Iterator[str]:
    """A drain takes one server at a time, and is not blocked either."""
    budgets = [
        each
        for each in manifests.of("PodDisruptionBudget")
        if server.workload in manifests.pods_of(dig(each, "spec.selector"))
    ]
    if not budgets:
        yield "no PodDisruptionBudget selects these pods"
    if len(budgets) > 1:
        yield "two PodDisruptionBudgets select these pods: evictions then fail"
    for budget in budgets:
        at_once = _may_go(budget, server.replicas)
        if at_once is not None and not 1 <= at_once < server.replicas:
            yield f"{objects.name(budget)} lets {at_once} of {server.replicas} go at once"


def _terms(spec: Object) -> list[Object]:
    found = dig(spec, "affinity.podAntiAffinity", {})
    soft = [
        each.get("podAffinityTerm", {}) for each in found.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    ]
    return [*(found.get("requiredDuringSchedulingIgnoredDuringExecution") or []), *soft]


def _may_go(budget: Object, replicas: int) -> int | None:
    """How many pods a budget lets go at once; None where it is said in percent."""
    most, least = dig(budget, "spec.maxUnavailable"), dig(budget, "spec.minAvailable")
    if isinstance(most, int):
        return most
    return replicas - least if isinstance(least, int) else None
