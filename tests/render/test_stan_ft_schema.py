"""values.yaml is the one source: the schema and the facts are made from it, and the ci files together use all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemavalues
from jsonschema import Draft7Validator

from harness.charts import schema as source
from harness.charts.render import chart_schema, chart_values, ci_values, environment, environments, layered, render
from harness.ground.paths import CHARTS, ENVIRONMENTS
from stanft.conf import keys
from stanft.kube import objects

SCHEMA = chart_schema("stan-ft")
VALUES = chart_values("stan-ft")
CI = ci_values("stan-ft")
LEAVES = {".".join(path): below for path, below in schemavalues.leaves(SCHEMA, VALUES)}


def test_the_generated_files_are_what_values_yaml_and_the_servers_keys_give() -> None:
    assert source.stale() == [], "run scripts/lint --fix"


def test_the_schema_is_a_draft_7_schema_with_shared_definitions() -> None:
    written = json.loads((CHARTS / "stan-ft" / "values.schema.json").read_text())
    assert written["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {"image", "labels", "monitor", "port", "streaming", "channel_limits"} <= set(written["$defs"])
    Draft7Validator.check_schema(written)


def test_the_defaults_fit_the_schema() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(VALUES)] == []


def test_every_value_says_what_it_is() -> None:
    texts = source.Source(CHARTS / "stan-ft").texts
    shared = ("image.", "Monitor.")  # described once, where the definition is
    silent = [
        leaf
        for leaf in LEAVES
        if tuple(leaf.split(".")) not in texts
        and not any(mark in leaf for mark in shared)
        and not any(leaf.startswith(f"{'.'.join(path)}.") for path in texts)
    ]
    assert silent == []


@pytest.mark.parametrize("block", ["streaming", "store_limits", "file_options", "sql_options", "streaming_tls"])
def test_a_block_of_the_streaming_part_takes_exactly_the_keys_that_the_server_knows(block: str) -> None:
    written = json.loads((CHARTS / "stan-ft" / "values.schema.json").read_text())["$defs"][block]
    tables = {
        "streaming": keys.STREAMING,
        "store_limits": keys.STORE_LIMITS,
        "file_options": keys.FILE_OPTIONS,
        "sql_options": keys.SQL_OPTIONS,
        "streaming_tls": keys.STREAMING_TLS,
    }
    assert set(written["properties"]) == set(tables[block].keys)
    assert written["additionalProperties"] is False


@pytest.mark.parametrize("name", sorted(CI))
def test_a_ci_file_fits_the_schema_and_renders(name: str) -> None:
    assert render("stan-ft", CI[name])


def used(path: str) -> list[Any]:
    """What the ci files give a key (those that set it), then the default."""
    missing = object()
    found = [objects.dig(values, path, missing) for values in CI.values()]
    return [value for value in found if value is not missing] + [objects.dig(VALUES, path)]


# What is a boolean beside texts, such as the `off` that YAML reads as one, is a choice.
SWITCHES = sorted(
    leaf for leaf, schema in LEAVES.items() if "boolean" in schema.get("type", []) and "enum" not in schema
)


@pytest.mark.parametrize("leaf", SWITCHES)
def test_the_ci_files_switch_it_on_and_off(leaf: str) -> None:
    if leaf == "enabled":
        assert render("stan-ft", {"enabled": False}) == []
    else:
        assert {True, False} <= {bool(value) for value in used(leaf)}


CHOICES = sorted((leaf, choice) for leaf, schema in LEAVES.items() for choice in schema.get("enum", []) if choice)


@pytest.mark.parametrize(("leaf", "choice"), CHOICES)
def test_the_ci_files_make_every_choice(leaf: str, choice: str) -> None:
    assert choice in used(leaf)


def test_there_is_a_ci_file_for_the_defaults_and_five_more() -> None:
    assert CI["default"] == {}
    assert len(CI) >= 6


@pytest.mark.parametrize("name", environments())
def test_an_environment_renders(name: str) -> None:
    assert render("stan-ft", environment(name, "stan-ft"))


def test_every_environment_has_both_charts() -> None:
    for name in environments():
        assert {path.name for path in (ENVIRONMENTS / name).glob("*.yaml")} >= {"stan-ft.yaml", "efs-provisioner.yaml"}


def test_an_environment_and_a_ci_file_go_together() -> None:
    kind = environment("kind", "stan-ft")
    assert render("stan-ft", layered(kind, CI["nkey"]))
