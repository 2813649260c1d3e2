"""What each invariant says of each set of values that the charts come with, exactly; each violation has its reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import yaml

from harness.charts import render
from stanft import invariants
from stanft.invariants import Manifests, Outcome, Severity, State
from stanft.invariants.model import REGISTRY

NAMESPACE = "messaging"
CUSTOM = ("monitoring.coreos.com/v1", "cert-manager.io/v1")
CASES = [(chart, name) for chart in render.RELEASES for name in render.shipped(chart)]
NAMES = [each.name for each in invariants.invariants() if each.severity is not Severity.ADVICE]

# What a set of values gives up on purpose: (chart, values) -> invariant -> why.
EXCEPTIONS = {
    ("stan-ft", "ci/full"): {
        "durable-acks": "durability: throughput, with its stated loss window",
        "restricted": "volumePermissions changes owners as root; the extra containers are the user's own",
        "read-only-root": "the extra containers are the user's own",
    },
    ("stan-ft", "ci/minimal"): {
        "claim-outlives-release": "keep: false",
        "liveness": "probes switched off",
        "parallel-start": "podManagementPolicy: OrderedReady",
        "read-only-root": "security contexts emptied",
        "readiness": "probes switched off",
        "restricted": "security contexts emptied",
        "standby-exists": "one replica, allowed by allowSingleReplica",
    },
    ("efs-provisioner", "ci/efs-provisioner"): {
        "claim-outlives-release": "keep: false for one claim",
        "class-retains": "reclaimPolicy: Delete",
        "restricted": "the old provisioner has to be root, and mounts its file system inline",
    },
    ("efs-provisioner", "ci/existing-class"): {"claim-outlives-release": "keep: false"},
    ("efs-provisioner", "ci/existing-static"): {"claim-outlives-release": "keep: false for one claim"},
    ("efs-provisioner", "ci/nfs-subdir"): {"class-retains": "reclaimPolicy: Delete"},
    ("efs-provisioner", "environments/eks-legacy"): {"restricted": "the old provisioner has to be root"},
}


@cache
def manifests(chart: str, name: str) -> Manifests:
    """A shipped set of values rendered, as the invariants see it."""
    items = render.render(chart, render.shipped(chart)[name], namespace=NAMESPACE, api_versions=CUSTOM)
    return Manifests(items, NAMESPACE)


@cache
def outcome(chart: str, case: str, invariant: str) -> Outcome:
    """What one invariant says."""
    return REGISTRY[invariant].run(manifests(chart, case))


@pytest.mark.parametrize(("chart", "case"), CASES, ids=[f"{chart}-{case}" for chart, case in CASES])
def test_every_invariant_says_of_a_shipped_set_of_values_what_was_reviewed(
    chart: str, case: str, golden: Callable[[str, str], None]
) -> None:
    """What is not named in the reviewed file has to hold: a rule that stops to apply, or to be kept, changes it."""
    states = {name: outcome(chart, case, name).state for name in REGISTRY}
    reviewed = {
        str(state): sorted(name for name, found in states.items() if found is state)
        for state in State
        if state is not State.HOLDS
    }
    golden(f"{chart}/invariants/{case.replace('/', '-')}.yaml", yaml.safe_dump(reviewed, sort_keys=False))
    violated = {name for name in NAMES if states[name] is State.VIOLATED}
    assert violated == EXCEPTIONS.get((chart, case), {}).keys(), "each violation needs a reason, and each reason one"


@pytest.mark.parametrize("mode", ["require", "off"])
def test_the_version_of_a_server_is_that_of_its_program_whatever_starts_it(mode: str) -> None:
    values = {"image": {"tag": "0.24.1-alpine"}, "fencing": {"mode": mode}}
    [finding] = REGISTRY["server-version"].run(Manifests(render.render("stan-ft", values), NAMESPACE)).findings
    assert "nats-streaming:0.24.1-alpine is not 0.25.6" in finding.problem


@pytest.mark.parametrize("environment", render.environments())
def test_both_charts_of_an_environment_leave_nothing_unseen(environment: str) -> None:
    items = [
        item
        for chart in ("efs-provisioner", "stan-ft")
        for item in render.render(chart, render.environment(environment, chart), namespace=NAMESPACE)
    ]
    outcomes = invariants.check(items, namespace=NAMESPACE)
    assert [each for outcome in outcomes for each in outcome.findings if each.unseen] == []
    assert {each.invariant for each in invariants.findings(outcomes, at_least=Severity.ERROR)} == set()


def test_every_invariant_is_about_something_that_the_charts_make() -> None:
    silent = {
        name for name in NAMES if all(outcome(chart, case, name).state is State.NOT_APPLICABLE for chart, case in CASES)
    }
    # The charts have no reloader, no Deployment and, before a provisioner makes it, no directory of the nodes.
    assert silent == {"directory-on-every-node", "reloader-can-signal", "routes-lead-to-pods"}


@pytest.mark.parametrize("replicas", range(2, 8))
def test_the_mesh_is_complete_for_any_number_of_replicas(replicas: int) -> None:
    items = render.render("stan-ft", {"replicas": replicas}, namespace=NAMESPACE)
    outcomes = invariants.check(
        items, namespace=NAMESPACE, only=["routes-complete", "routes-qualified", "standby-exists"]
    )
    assert {each.state for each in outcomes} == {State.HOLDS}


@pytest.mark.parametrize(("release", "namespace"), [("stan", "default"), ("orders", "team-a"), ("a" * 40, "no")])
def test_the_invariants_hold_for_any_release_and_namespace(release: str, namespace: str) -> None:
    items = render.render("stan-ft", {}, release=release, namespace=namespace)
    outcomes = invariants.check(items, namespace=namespace)
    assert invariants.findings(outcomes, at_least=Severity.WARNING) == []
