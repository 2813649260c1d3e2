"""values.yaml, values.schema.json and the generated README say the same things."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import schemavalues

from harness.charts import schema
from harness.charts.render import chart_schema, chart_values, ci_values, environment, environments, render
from harness.ground import toolchain
from harness.ground.paths import CHARTS
from stanft.ground import shell

CHART = CHARTS / "efs-provisioner"
SCHEMA = chart_schema(CHART)
VALUES = chart_values(CHART)
LEAVES = {".".join(path): below for path, below in schemavalues.leaves(SCHEMA, VALUES)}


def test_the_schema_is_a_valid_draft_7_schema() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_default_values_meet_the_schema() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


def test_every_value_and_every_key_of_a_claim_says_what_it_is() -> None:
    source = schema.Source(CHART)
    paths = {tuple(leaf.split(".")) for leaf in LEAVES}
    paths |= {("claims", schema.EACH, key) for key in VALUES["claims"][0]}
    shared = ("efsProvisioner", "image")  # said at the first image
    silent = [
        path
        for path in paths
        if not any(path[:length] in source.texts for length in range(1, len(path) + 1)) and path[:2] != shared
    ]
    assert silent == []


def test_the_helpers_are_those_of_the_other_chart() -> None:
    theirs = (CHARTS / "stan-ft" / "templates" / "_helpers.tpl").read_text()
    ours = (CHART / "templates" / "_helpers.tpl").read_text()
    assert ours.replace("efs-provisioner.", "stan-ft.") == theirs


@pytest.mark.parametrize("name", ci_values(CHART))
def test_the_ci_values_render(name: str) -> None:
    assert render(CHART, ci_values(CHART)[name])


def test_the_ci_values_together_use_every_engine_and_switch_every_boolean() -> None:
    used = ci_values(CHART).values()
    assert {values.get("engine", VALUES["engine"]) for values in used} == set(filter(None, LEAVES["engine"]["enum"]))
    switched: set[str] = set()

    def walk(values: dict[str, Any], defaults: Any, path: str = "") -> None:
        for name, value in values.items():
            default = defaults.get(name) if isinstance(defaults, dict) else None
            if isinstance(value, dict):
                walk(value, default, f"{path}{name}.")
            elif isinstance(value, bool) and value != default:
                switched.add(f"{path}{name}")

    for values in used:
        walk(values, VALUES)
    booleans = {key for key, node in LEAVES.items() if "boolean" in node.get("type", [])}
    assert booleans - switched == {"enabled"}


@pytest.mark.parametrize("name", environments())
def test_every_environment_renders_and_sets_only_what_differs(name: str) -> None:
    values = environment(name, "efs-provisioner")
    assert render(CHART, values)
    # what names the engine and its place is said even where it is the default
    stated = {"engine", "provisionerName"}
    assert [key for key, value in values.items() if key not in stated and VALUES.get(key) == value] == []


def test_the_readme_is_what_helm_docs_writes() -> None:
    written = shell.run([toolchain.ensure("helm-docs"), "--chart-search-root", CHART, "--dry-run"]).stdout
    assert written.strip() == (CHART / "README.md").read_text().strip(), (
        "charts/efs-provisioner/README.md is stale: run `scripts/tool helm-docs --chart-search-root charts`"
    )


def test_the_chart_names_the_images_that_its_values_use() -> None:
    annotations = (CHART / "Chart.yaml").read_text()
    for engine in ("efsProvisioner", "nfsSubdir"):
        image = VALUES[engine]["image"]
        assert f"/{image['repository']}:{image['tag']}" in annotations
