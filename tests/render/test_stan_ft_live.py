"""What `helm upgrade` reads of the cluster: it refuses to change the live group's store, or to share another's."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playapi import PlayApi

from harness.charts.render import at, layered, render
from harness.ground import toolchain
from harness.ground.paths import REPO
from stanft.kube import objects

RECIPE = objects.parse((REPO / "tests/fixtures/recipe/runnable/stan.yaml").read_text())
OWN_CLAIM = layered(at("persistence.existingClaim", ""), at("persistence.claim.name", "own"))
ADOPTED = layered(at("adoptRecipe", True), at("statefulSet.podManagementPolicy", "OrderedReady"))
CHANGES = {
    "id": at("config.streaming.id", "other"),
    "dir": at("config.streaming.dir", "/data/stan/other"),
    "claim": OWN_CLAIM,
    "subPath": at("persistence.subPath", "stan"),
    "user": at("podTemplate.securityContext.runAsUser", 20002),
    "encryption": layered(at("store.encryption.enabled", True), at("store.encryption.existingSecret", "key")),
    "type": layered(at("store.type", "sql"), at("store.sql.existingSecret", "db")),
}
PLACES = {
    "id": "config.streaming.id",
    "dir": "config.streaming.dir",
    "claim": "persistence",
    "subPath": "persistence.subPath",
    "user": "podTemplate.securityContext.runAsUser",
    "encryption": "store.encryption",
    "type": "store.type",
}


def live(items: list[objects.Object], release: str) -> list[objects.Object]:
    """The objects that an API server would have, marked as the release's (docs/adopt-the-recipe.md does so)."""
    owner = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "default"}
    found = []
    for each in items:
        if each["kind"] in ("StatefulSet", "ConfigMap", "PersistentVolumeClaim"):
            metadata = each["metadata"]
            notes = {**(metadata.get("annotations") or {}), **owner}
            labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
            found.append(
                {**each, "metadata": {**metadata, "namespace": "default", "annotations": notes, "labels": labels}}
            )
    return found


def upgrade(
    tmp_path: Path, items: list[objects.Object], values: dict[str, Any], *, release: str = "stan"
) -> subprocess.CompletedProcess[str]:
    """What helm says to values of release stan where these objects of a release live."""
    with PlayApi(tmp_path, live(items, release), "default") as api:
        options = ["--dry-run=server", "--disable-openapi-validation", "--namespace", "default", "--values", "-"]
        return subprocess.run(
            [
                toolchain.ensure("helm"),
                "template",
                "stan",
                REPO / "charts/stan-ft",
                "--kubeconfig",
                api.kubeconfig,
                *options,
            ],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def test_an_upgrade_that_changes_nothing_of_the_store_goes_through(tmp_path: Path) -> None:
    done = upgrade(tmp_path, render("stan-ft"), at("container.resources.limits.memory", "3Gi"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_live_store_is_refused_with_the_value_both_states_and_the_way_to_accept_it(
    tmp_path: Path, what: str
) -> None:
    done = upgrade(tmp_path, render("stan-ft"), CHANGES[what])
    assert done.returncode != 0
    assert f"{PLACES[what]}: the live release has" in done.stderr
    assert f"store.acceptChanges=[{what}" in done.stderr


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_live_store_that_is_accepted_by_name_goes_through(tmp_path: Path, what: str) -> None:
    names = ["type", "dir", "claim"] if what == "type" else [what]  # sql has neither directory nor claim
    done = upgrade(tmp_path, render("stan-ft"), layered(CHANGES[what], at("store.acceptChanges", names)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("", {}),
        ("id", CHANGES["id"]),
        ("dir", CHANGES["dir"]),
        ("claim", OWN_CLAIM),
    ],
)
def test_the_recipes_store_is_known_when_it_is_taken_over(tmp_path: Path, what: str, values: dict[str, Any]) -> None:
    done = upgrade(tmp_path, RECIPE, layered(ADOPTED, values))
    assert (done.returncode == 0) == (not what), done.stderr
    assert f"store.acceptChanges=[{what}" in done.stderr or not what


@pytest.mark.parametrize(
    ("lives", "values", "refusal"),
    [
        (RECIPE, ADOPTED, ""),
        (RECIPE, layered(ADOPTED, at("adoptRecipe", False)), r"adoptRecipe: .*\"app\".* Set adoptRecipe=true"),
        (RECIPE, at("adoptRecipe", True), r"podManagementPolicy: .* has OrderedReady.* --cascade=orphan"),
        (render("stan-ft"), {}, ""),
        (render("stan-ft"), at("adoptRecipe", True), r"adoptRecipe: .* Set adoptRecipe=false"),
        (render("stan-ft"), at("nameOverride", "other"), r"nameOverride: .* Keep the names"),
        (render("stan-ft", at("fullnameOverride", "msgs")), {}, r"StatefulSet msgs, .* Set fullnameOverride=msgs"),
    ],
    ids=["recipe", "its selector", "its pod management", "chart", "no recipe", "another name", "another fullname"],
)
def test_what_can_never_change_in_a_live_group_is_refused_with_the_value_that_keeps_it(
    tmp_path: Path, lives: list[objects.Object], values: dict[str, Any], refusal: str
) -> None:
    done = upgrade(tmp_path, lives, values)
    assert (done.returncode == 0) == (not refusal), done.stderr
    assert re.search(refusal, done.stderr), done.stderr


def test_two_releases_share_no_directory_of_a_claim_unless_told_to(tmp_path: Path) -> None:
    theirs = render("stan-ft", release="stan-blue")
    same = at("config.streaming.dir", "/data/stan/stan-blue")
    refused = upgrade(tmp_path, theirs, same, release="stan-blue")
    assert "StatefulSet stan-blue of this namespace keeps its store in the same directory" in refused.stderr
    assert refused.returncode != 0
    shared = layered(same, at("store.sharedWith", ["stan-blue"]))
    assert upgrade(tmp_path, theirs, shared, release="stan-blue").returncode == 0
    assert upgrade(tmp_path, theirs, {}, release="stan-blue").returncode == 0


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadOnlyMany"])
def test_a_live_claim_that_several_servers_cannot_mount_is_refused(tmp_path: Path, mode: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "efs"},
        "spec": {"accessModes": [mode]},
    }
    done = upgrade(tmp_path, [claim], {})
    assert done.returncode != 0
    assert "persistence.existingClaim" in done.stderr
