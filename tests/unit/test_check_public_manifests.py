"""Manifests as public repositories have them, reduced; what the check says of each, and of nothing else as an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from stanft import invariants
from stanft.invariants import Manifests, Severity, sources

PUBLIC = Path(__file__).parent.parent / "fixtures" / "public"

# File -> errors. What each cannot be in fault-tolerance mode is among them: no group, a store that is not shared.
ERRORS = {
    "one-in-a-course": {
        *("one-user", "liveness", "ft-group", "lasting-store", "ports-declared", "service-targets", "standby-exists"),
    },
    "one-with-command": {
        *("one-user", "liveness", "ft-group", "ports-declared", "standby-exists", "shared-claim"),
    },
    "quoted-options": {
        *("one-user", "liveness", "server-starts", "served", "workload-owns-pods", "routes-complete"),
        "standbys-resolvable",
    },
    "ft-over-claim-templates": {
        *("one-user", "liveness", "ports-declared", "shared-claim", "no-claim-templates"),
    },
    "raft-on-a-leaf": {
        *("one-user", "ft-group", "routes-complete", "ports-declared", "shared-claim", "no-claim-templates"),
    },
    "raft-on-external-nats": {
        *("one-user", "ft-group", "ports-declared", "shared-claim", "no-claim-templates"),
    },
}
TOLD = {
    "one-in-a-course": ("memory", "tickets", None, True, False),
    "one-with-command": ("file", "local", "/datastore", True, False),
    "quoted-options": ("file", "test-cluster", "/datastore", True, False),
    "ft-over-claim-templates": ("file", "test-cluster", "/datastore", True, False),
    "raft-on-a-leaf": ("file", "bus", "/data/bus/store", True, True),
    "raft-on-external-nats": ("file", "bus", "/data/bus/store", False, True),
}


def test_every_file_is_judged() -> None:
    assert {each.stem for each in PUBLIC.iterdir()} == ERRORS.keys() == TOLD.keys()


@pytest.mark.parametrize("name", ERRORS)
def test_the_errors_of_a_public_manifest_are_these(name: str) -> None:
    found = invariants.findings(invariants.check(sources.from_paths([str(PUBLIC / f"{name}.yaml")])))
    assert {each.invariant for each in found if each.severity is Severity.ERROR} == ERRORS[name]


@pytest.mark.parametrize("name", TOLD)
def test_what_its_server_is_told_is_read(name: str) -> None:
    (server,) = Manifests(sources.from_paths([str(PUBLIC / f"{name}.yaml")])).servers
    told = (server.store, server.group[0], server.store_directory, server.embedded)
    assert (*told, bool(server.streaming.get("clustered"))) == TOLD[name]
