"""Every value has an effect, and in the places that were reviewed: golden/<chart>/effects.yaml names them per value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import schemavalues
import yaml

from harness.charts import render
from stanft.kube import objects
from tests.render.conftest import GOLDEN

CUSTOM = ("monitoring.coreos.com/v1", "cert-manager.io/v1")


@cache
def schemas(chart: str) -> dict[str, dict[str, Any]]:
    """Each leaf's schema by its dotted path."""
    found = schemavalues.leaves(render.chart_schema(chart), render.chart_values(chart))
    return {".".join(path): schema for path, schema in found}


LEAVES = [(chart, path) for chart in render.RELEASES for path in schemas(chart)]

# Values whose effect no render can show, and why.
UNSEEN = {
    ("stan-ft", "persistence.checkExistingClaim"): "looks for the claim in the cluster, at install time only",
    ("stan-ft", "store.sharedWith"): "compares with other live releases",
    ("stan-ft", "allowSingleReplica"): "lets replicas: 1 pass, which has a test of its own below",
}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
CERTIFICATE = {
    "tls": {"client": {"enabled": True, "existingSecret": "tls"}, "certManager": {"issuerRef": {"name": "a"}}}
}
DIGEST = f"sha256:{'c' * 64}"
USERS = {
    "auth": {"mode": "users", "existingSecret": "users", "server": {"method": "password", "existingSecret": "server"}},
    "tests": {"client": {"existingSecret": "client"}},
}
# Values that go with others only: what those are, on top of ci/default, and which other value to try.
COMPANY: dict[tuple[str, str], tuple[dict[str, Any], Any]] = {
    ("stan-ft", "configFile.override"): ({}, "port: 4222\nstreaming {\n  id: a\n  ft_group_name: b\n}\n"),
    ("stan-ft", "extraObjects"): ({}, [CONFIG_MAP]),
    ("stan-ft", "container.extraVolumeMounts"): (
        render.at("podTemplate.extraVolumes", [{"name": "more", "emptyDir": {}}]),
        [{"name": "more", "mountPath": "/more"}],
    ),
    ("stan-ft", "config.max_pending"): ({}, "256mb"),
    ("stan-ft", "tls.certManager.enabled"): (CERTIFICATE, True),
    ("stan-ft", "tls.client.enabled"): ({"tls": {"client": {"existingSecret": "tls"}}}, True),
    ("stan-ft", "persistence.mountPath"): (render.at("config.streaming.dir", "/data/stan/a/store"), "/data/stan/a"),
    ("stan-ft", "persistence.staticVolume.driver"): (
        render.layered(
            render.ci_values("stan-ft")["nfs"],
            render.at("persistence.staticVolume.efs.volumeHandle", "fs-0123456789abcdef0"),
        ),
        "efs-csi",
    ),
    ("stan-ft", "persistence.volumePermissions.image.tag"): (
        render.at("persistence.volumePermissions.enabled", True),
        "1.2.3",
    ),
    ("stan-ft", "config.streaming.dir"): ({}, "/data/stan/other"),
    ("stan-ft", "tests.client.passwordKey"): (USERS, "other"),
    ("stan-ft", "tests.client.usernameKey"): (USERS, "other"),
    ("stan-ft", "promExporter.prometheusRule.overrides"): (
        render.at("promExporter.prometheusRule.enabled", True),
        {"StanNoActive": None},
    ),
    **{
        ("stan-ft", f"{where}image.digest"): (render.ci_values("stan-ft")["full"], DIGEST)
        for where in (
            *("", "persistence.volumePermissions.", "fencing.", "rollout."),
            *("promExporter.", "tests."),
        )
    },
    ("efs-provisioner", "extraObjects"): ({}, [CONFIG_MAP]),
    ("efs-provisioner", "claims"): ({}, [{"name": "other", "size": "1Gi"}]),
    ("efs-provisioner", "nfsSubdir.image.digest"): (render.environment("nfs", "efs-provisioner"), DIGEST),
    ("efs-provisioner", "efsProvisioner.image.digest"): (render.environment("eks-legacy", "efs-provisioner"), DIGEST),
}


@cache
def contexts(chart: str) -> dict[str, dict[str, Any]]:
    """The sets of values in which an effect is looked for: nothing switched on first, then everything."""
    shipped = render.shipped(chart)
    first = [name for name in ("ci/default", "ci/full") if name in shipped]
    return {name: shipped[name] for name in (*first, *(each for each in shipped if each not in first))}


@cache
def parts(chart: str, values: str) -> dict[str, Any]:
    """What a render is made of: each object by its name in words, and the notes."""
    made = render.rendered(render.request(chart, json.loads(values), api_versions=CUSTOM))
    return {**{objects.label(item): item for item in made.objects()}, "NOTES": made.notes}


def changes(chart: str, base: dict[str, Any], path: str, other: Any) -> list[str]:
    """The objects that another value of one leaf changes, makes or removes. Raises RenderError when it is refused."""
    before = parts(chart, json.dumps(base))
    after = parts(chart, json.dumps(render.layered(base, render.at(path, other))))
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def effect(chart: str, path: str, within: str | None = None) -> tuple[str, Any, list[str]] | None:
    """The first set of values in which another value changes something: its name, that value, and what changes.

    within: look only there, where it was seen when it was reviewed; a search through all renders ten times as much.
    """
    if (chart, path) in COMPANY:
        base, other = COMPANY[chart, path]
        return "its company", other, changes(chart, render.layered(contexts(chart)["ci/default"], base), path, other)
    default = objects.dig(render.chart_values(chart), path)
    for name, base in contexts(chart).items():
        if within not in (None, name):
            continue
        for other in schemavalues.others(schemas(chart)[path], objects.dig(base, path, default)):
            try:
                changed = changes(chart, base, path, other)
            except render.RenderError:
                continue  # it does not go with these values; another may
            if changed:
                return name, other, changed
    return None


@pytest.fixture(scope="module")
def reviewed(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, Any]]]:
    """The reviewed effects per chart; with --update-golden, what the tests put there is written at the end."""
    files = {chart: GOLDEN / chart / "effects.yaml" for chart in render.RELEASES}
    if not request.config.getoption("--update-golden"):
        yield {chart: yaml.load(file.read_text(), Loader=yaml.CSafeLoader) for chart, file in files.items()}
        return
    if hasattr(request.config, "workerinput"):
        pytest.fail("--update-golden writes one file from many tests: run it without xdist (-n 0)")
    found: dict[str, dict[str, Any]] = {chart: {} for chart in files}
    yield found
    for chart, file in files.items():
        if found[chart]:
            # What this run did not look at (pytest -k) stays.
            before = yaml.load(file.read_text(), Loader=yaml.CSafeLoader) if file.exists() else {}
            leaves = [path for name, path in LEAVES if name == chart]
            found[chart] = {**before, **found[chart]}
            found[chart] = {path: found[chart][path] for path in leaves if path in found[chart]}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                "# What another value changes, and with which set of values: written by --update-golden, reviewed.\n"
                + yaml.safe_dump(found[chart], sort_keys=False, width=120)
            )


@pytest.mark.parametrize(("chart", "path"), LEAVES, ids=[f"{chart}-{path}" for chart, path in LEAVES])
def test_a_value_has_the_reviewed_effect(
    chart: str, path: str, reviewed: dict[str, dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    updating = request.config.getoption("--update-golden")
    place = None if updating else reviewed[chart].get(path, {}).get("with")
    found = effect(chart, path, place)
    if (chart, path) in UNSEEN:
        assert found is None, f"it has an effect after all: {found}"
        return
    assert found is not None, f"no other value of {path} changes anything in {place or list(contexts(chart))}"
    name, other, changed = found
    if updating:
        reviewed[chart][path] = {"with": name, "changes": changed}
    assert reviewed[chart].get(path) == {"with": name, "changes": changed}, f"{path}: {other!r}"


@pytest.mark.parametrize("chart", render.RELEASES)
def test_no_effect_is_left_over(chart: str, reviewed: dict[str, dict[str, Any]]) -> None:
    assert reviewed[chart].keys() - {path for each, path in LEAVES if each == chart} == set()


def test_a_single_replica_passes_only_when_it_is_allowed() -> None:
    with pytest.raises(render.RenderError, match="allowSingleReplica"):
        render.render("stan-ft", {"replicas": 1})
    found = render.render("stan-ft", {"replicas": 1, "allowSingleReplica": True})
    assert objects.find(found, "StatefulSet")["spec"]["replicas"] == 1
