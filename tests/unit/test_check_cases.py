"""What people really write: one small set of manifests for each, and what the check says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stanft import invariants
from stanft.cli import check
from stanft.ground.errors import UserError
from stanft.invariants import Manifests, Severity, sources

CASES = Path(__file__).parent.parent / "fixtures" / "cases"

# File -> the errors, each with a piece of its words; nothing else is an error.
ERRORS: dict[str, dict[str, str]] = {
    "bare-seconds": {"typed-keys": "ping_interval is 20, the server wants a duration"},
    "config-in-secret": {"ft-group": "no ft_group_name"},
    "false-options": {},
    "healthz-on-old-server": {"probes-answered": "nats-streaming:0.17.0 answers with 404"},
    "healthz-with-external-nats": {"probes-answered": "answers 503 for ever when NATS is elsewhere"},
    "mount-nobrl": {"locks-respected": "nobrl: locks stay on the node"},
    "mount-softerr": {"locks-respected": "softerr: a write that times out"},
    "ns-option": {},
    "password-in-url": {"secrets-by-reference": "cluster.routes.[] holds an address with a password"},
    "quoted-option": {
        "server-starts": '-ft_group has the value "ft", quotes included',
        "routes-complete": "no route to bus-0.bus",
    },
    "shell-command": {
        "routes-complete": "no route to bus-0.bus",
        "shared-claim": "the store is on a volume of kind emptyDir",
    },
    # The store and the cluster id are taken from the options; a file without a block streaming means Raft, too.
    "short-options": {"ft-without-raft": "the server takes its block cluster for a Raft cluster too"},
    "top-level-keys": {},
    "two-workloads-one-rwo-claim": {"read-write-many": "the claim bus has access modes ['ReadWriteOnce']"},
    "unknown-image": {"read-write-many": "the claim bus has access modes ['ReadWriteOnce']"},
    "variable-key": {},
    "volume-without-version": {"locks-respected": "nolock: locks stay on the node"},
    "gitops-directory": {},
}
WARNINGS = {
    "false-options": ("durable-acks", "sync_on_flush is false"),
    "volume-without-version": ("nfs-version", "no NFS version among the mount options"),
    "two-workloads-one-rwo-claim": ("disruption-budget", "no PodDisruptionBudget selects these pods"),
}


def place(case: str) -> str:
    """The file or directory of a case."""
    return str(CASES / case if (CASES / case).is_dir() else CASES / f"{case}.yaml")


def findings(case: str, severity: Severity) -> list[tuple[str, str]]:
    """Invariant and words of each finding of that severity."""
    found = invariants.findings(invariants.check(sources.from_paths([place(case)])))
    return [(each.invariant, each.problem) for each in found if each.severity is severity]


@pytest.mark.parametrize("case", ERRORS)
def test_the_errors_of_a_case_are_these_and_no_others(case: str) -> None:
    found = findings(case, Severity.ERROR)
    assert {name for name, _ in found} == ERRORS[case].keys(), found
    for name, words in ERRORS[case].items():
        assert any(words in problem for each, problem in found if each == name), found


@pytest.mark.parametrize("case", WARNINGS)
def test_a_case_is_warned_of(case: str) -> None:
    name, words = WARNINGS[case]
    assert any(each == name and words in problem for each, problem in findings(case, Severity.WARNING))


def test_the_options_and_the_file_of_a_case_are_added_up() -> None:
    (server,) = Manifests(sources.from_paths([place("short-options")])).servers
    assert (server.store, server.group, server.store_directory) == ("file", ("orders", "ft"), "/data/store")


def test_a_resource_of_the_old_operator_is_named_and_does_not_pass() -> None:
    with pytest.raises(UserError, match=r"NatsStreamingCluster/bus is a resource of the old operator"):
        check.main([place("no-server")])


def test_every_case_is_judged() -> None:
    names = {each.stem for each in CASES.iterdir()}
    assert names == ERRORS.keys() | {"no-server"}
