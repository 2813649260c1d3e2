"""The invariants find the known defects of the recipe and of the official stan chart: these, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from stanft import invariants
from stanft.invariants import Outcome, Severity, State
from stanft.kube import objects

FIXTURES = Path(__file__).parent.parent / "fixtures"
RECIPE = FIXTURES / "recipe"

# Facts about the recipe: hard-coded namespace, moving tags, exporter 0.5.0, null volumeClaimTemplates, no readiness
# probe, no anti-affinity, no PodDisruptionBudget, no securityContext, no NetworkPolicy, no publishNotReadyAddresses,
# no cluster name, a configuration change does not roll the pods, beta storage-class annotation, claim of 1Mi,
# sync_on_flush: false, a hung active stays for 61 s, any Endpoints object may be written.
RECIPE_ERRORS = {
    "bindings-resolve",
    "exporter-speaks-stan",
    "images-pinned",
    "one-user",
    "served",
    "standbys-resolvable",
    "workload-owns-pods",
}
RECIPE_WARNINGS = {
    "claim-class-field",
    "class-retains",
    "cluster-name",
    "config-rolls-pods",
    "disruption-budget",
    "durable-acks",
    "hung-active-replaced",
    "no-null-fields",
    "no-token",
    "parallel-start",
    "read-only-root",
    "readiness",
    "restricted",
    "routes-qualified",
    "small-roles",
    "spread-over-nodes",
}
# Facts about the official chart 0.13.0, with their numbers in its defect list: A1 and A4 (claim), A3 (FT and Raft),
# A7 (TLS files), A8 (reloader), A9 (quoted sizes), A13 (no roll), A14 (selectors), A15 (ports), A16 (Service),
# A17 (password), A18 and the exporter (images), A19 (monitor), liveness off by default, root user.
OFFICIAL_ERRORS = {
    "exporter-speaks-stan",
    "files-mounted",
    "ft-without-raft",
    "images-pinned",
    "liveness",
    "monitors-reach-targets",
    "no-port-twice",
    "one-user",
    "ports-declared",
    "read-write-many",
    "reloader-can-signal",
    "secrets-by-reference",
    "service-targets",
    "standbys-resolvable",
    "steady-selectors",
    "typed-keys",
}
OFFICIAL_WARNINGS = {
    "cluster-name",
    "config-rolls-pods",
    "disruption-budget",
    "governing-ports",
    "no-token",
    "parallel-start",
    "read-only-root",
    "restricted",
    "server-version",
    "steady-pod-labels",
}


def load(directory: Path) -> list[objects.Object]:
    """The objects of a folder of manifests."""
    return [item for file in sorted(directory.glob("*.yaml")) for item in objects.parse(file.read_text())]


def judged(directory: Path, namespace: str = "messaging") -> list[Outcome]:
    """What the invariants say about a folder of manifests that goes to a namespace."""
    return invariants.check(load(directory), namespace=namespace)


def named(outcomes: list[Outcome], severity: Severity) -> set[str]:
    """The violated invariants of one severity."""
    return {
        each.invariant.name for each in outcomes if each.state is State.VIOLATED and each.invariant.severity == severity
    }


def said(outcomes: list[Outcome], name: str) -> list[str]:
    """The sentences of one invariant."""
    return [
        f"{finding.where}: {finding.problem}"
        for each in outcomes
        for finding in each.findings
        if finding.invariant == name
    ]


def test_the_recipe_violates_exactly_what_is_known_of_it() -> None:
    outcomes = judged(RECIPE / "original")
    assert named(outcomes, Severity.ERROR) == RECIPE_ERRORS
    assert named(outcomes, Severity.WARNING) == RECIPE_WARNINGS
    assert named(outcomes, Severity.ADVICE) == {"claim-holds-a-slice", "network-policy"}


def test_nothing_about_the_recipe_remains_unseen() -> None:
    assert not [finding for outcome in judged(RECIPE / "original") for finding in outcome.findings if finding.unseen]


def test_the_recipe_keeps_the_promises_that_make_it_fault_tolerant() -> None:
    holding = {each.invariant.name for each in judged(RECIPE / "original") if each.state is State.HOLDS}
    assert holding >= {
        "ft-group",
        "known-keys",
        "no-claim-templates",
        "probes-off-streaming",
        "read-write-many",
        "routes-complete",
        "same-store-for-all",
        "shared-claim",
        "standby-exists",
        "standbys-ready",
        "store-below-root",
        "typed-keys",
    }


def test_the_runnable_recipe_differs_in_what_a_current_cluster_demands_only() -> None:
    before, after = judged(RECIPE / "original"), judged(RECIPE / "runnable")
    gone = named(before, Severity.ERROR) - named(after, Severity.ERROR)
    assert gone == {"exporter-speaks-stan", "images-pinned", "served", "workload-owns-pods"}
    assert named(after, Severity.ERROR) < named(before, Severity.ERROR)
    assert named(after, Severity.WARNING) == named(before, Severity.WARNING)


def test_the_recipe_is_bound_to_the_namespace_it_was_written_for() -> None:
    assert said(judged(RECIPE / "original", "default"), "bindings-resolve") == []
    assert len(said(judged(RECIPE / "original", "messaging"), "bindings-resolve")) == 2


def test_the_official_chart_violates_exactly_what_is_known_of_it() -> None:
    outcomes = judged(FIXTURES / "official-stan-chart")
    assert named(outcomes, Severity.ERROR) == OFFICIAL_ERRORS
    assert named(outcomes, Severity.WARNING) == OFFICIAL_WARNINGS


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("read-write-many", "the claim my-stan-pvc has access modes ['ReadWriteOnce']"),
        ("ft-without-raft", "both an FT group and a Raft cluster are configured"),
        ("typed-keys", 'streaming.file_options.buffer_size is the text "32mb"'),
        (
            "files-mounted",
            "cluster.tls.cert_file names /etc/nats-certs/cluster/route-tls/tls.crt: no volume provides it",
        ),
        ("exporter-speaks-stan", "the newest refuses -channelz -serverz"),
        ("no-port-twice", "port 7777 is declared by stan and by metrics"),
        ("secrets-by-reference", "authorization.password is written out"),
        ("steady-selectors", "ServiceMonitor/my-stan: spec.selector selects by chart"),
    ],
)
def test_a_defect_of_the_official_chart_is_told_in_words(name: str, sentence: str) -> None:
    found = said(judged(FIXTURES / "official-stan-chart"), name)
    assert any(sentence in each for each in found), found


def test_the_recipes_hung_active_is_told_with_its_time() -> None:
    assert "StatefulSet/stan: 65 s until a hung active is killed, 30 s are allowed" in said(
        judged(RECIPE / "runnable"), "hung-active-replaced"
    )
