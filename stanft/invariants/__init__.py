"""The FT invariants: named rules that hold for any set of Kubernetes objects that run NATS Streaming in FT mode.

The same rules judge rendered charts, a directory of manifests, and a live namespace. They look at objects as plain
data and talk to no cluster. What a rule needs and cannot see (a claim made elsewhere) is reported as "not seen".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stanft.invariants import (
    config,
    images,
    manifests,
    network,
    probes,
    scheduling,
    security,
    storage,
)
from stanft.invariants.model import REGISTRY, Finding, Invariant, Manifests, Outcome, Severity, State
from stanft.kube.objects import Object

__all__ = ["Finding", "Invariant", "Manifests", "Outcome", "Severity", "State", "check", "findings", "invariants"]

_TOPICS = (config, storage, probes, network, scheduling, images, security, manifests)  # importing registers their rules


def invariants() -> list[Invariant]:
    """Every invariant, by topic."""
    return list(REGISTRY.values())


def check(
    items: Sequence[Object],
    *,
    namespace: str | None = None,
    kube_version: str | None = None,
    only: Iterable[str] | None = None,
    live: bool = False,
) -> list[Outcome]:
    """Judge objects by every invariant (or those named in only).

    namespace is where they are (to be) installed, if known; kube_version the Kubernetes that they are for; live says
    that an API server gave them. Raises KeyError for an unknown name in only.
    """
    seen = Manifests(items, namespace, kube_version, live)
    chosen = invariants() if only is None else [REGISTRY[name] for name in only]
    return [each.run(seen) for each in chosen]


def findings(outcomes: Iterable[Outcome], *, at_least: Severity = Severity.ADVICE) -> list[Finding]:
    """The violations of at least that severity (what could not be seen is left out)."""
    ranks = [Severity.ERROR, Severity.WARNING, Severity.ADVICE]
    wanted = ranks[: ranks.index(at_least) + 1]
    return [
        finding
        for outcome in outcomes
        for finding in outcome.findings
        if not finding.unseen and finding.severity in wanted
    ]
