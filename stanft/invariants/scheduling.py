"""Invariants on where the pods run: one node's loss leaves a standby."""

from __future__ import annotations

from collections.abc import Iterator

from stanft.invariants.model import Manifests, Severity, invariant
from stanft.invariants.servers import Server
from stanft.kube import objects
from stanft.kube.objects import Object, dig

_HOST = "kubernetes.io/hostname"


def groups(manifests: Manifests) -> list[Server]:
    """The servers that have a standby to keep apart."""
    return [server for server in manifests.servers if manifests.group_size(server) > 1]


@invariant("spread-over-nodes", groups, "Add podAntiAffinity over kubernetes.io/hostname.", Severity.WARNING)
def spread_over_nodes(manifests: Manifests, server: Server) -> Iterator[str]:
    """The replicas run on different nodes, so that the loss of one node leaves a standby."""
    spec = objects.pod_spec(server.workload)
    group = [dig(objects.pod_template(each.workload) or {}, "metadata.labels", {}) for each in manifests.mates(server)]
    terms = _terms(spec)
    spread = [each for each in spec.get("topologySpreadConstraints") or [] if each.get("topologyKey") == _HOST]
    if not terms and not spread:
        yield "neither podAntiAffinity nor a spread constraint over nodes"
    for term in terms:
        if term.get("topologyKey") == _HOST and not all(
            objects.selects(term.get("labelSelector"), each) for each in group
        ):
            yield "podAntiAffinity selects other pods than these"
    for each in spec.get("topologySpreadConstraints") or []:
        if not all(objects.selects(each.get("labelSelector"), labels) for labels in group):
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
        covered = manifests.pods_of(dig(budget, "spec.selector"))
        size = sum(each.replicas for each in manifests.mates(server) if each.workload in covered)
        at_once = _may_go(budget, size)
        if size < manifests.group_size(server):
            yield f"{objects.name(budget)} selects {size} of the group's {manifests.group_size(server)} servers"
        elif at_once is not None and not 1 <= at_once < size:
            yield f"{objects.name(budget)} lets {at_once} of {size} go at once"


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
