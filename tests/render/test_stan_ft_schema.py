"""values.yaml and values.schema.json of stan-ft say the same, and the ci files together use all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from harness.charts.render import chart_schema, chart_values, ci_values, environment, environments, layered, render
from harness.ground.paths import CHARTS, ENVIRONMENTS
from stanft.kube import objects

SCHEMA = chart_schema("stan-ft")
VALUES = chart_values("stan-ft")
CI = ci_values("stan-ft")
# Mappings that Kubernetes reads as they are: the schema knows all their keys, values.yaml only those that it sets.
PASSED_ON = re.compile(r"(^|\.)(resources|seccompProfile|capabilities|securityContext)$")


def schema_leaves(
    schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every key of the schema that has no keys of its own in values.yaml, with its sub-schema."""
    for key, below in schema.get("properties", {}).items():
        inner = (*path, key)
        here = objects.dig(VALUES, ".".join(inner), None)
        if isinstance(here, dict) and here and "properties" in below and not PASSED_ON.search(".".join(inner)):
            yield from schema_leaves(below, inner)
        else:
            yield inner, below


def subschemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside the schema, with where it is."""
    if isinstance(schema, dict):
        if "type" in schema or "properties" in schema or "enum" in schema:
            yield path, schema
        for key, below in schema.items():
            yield from subschemas(below, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, below in enumerate(schema):
            yield from subschemas(below, f"{path}/{number}")


def leaves_of(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the values, down to where the schema ends."""
    if ".".join(path) in LEAVES or not isinstance(values, dict) or not values:
        yield path
    else:
        for key, below in values.items():
            yield from leaves_of(below, (*path, key))


def comments() -> dict[str, str]:
    """The `# --` comment of each key of values.yaml, by dotted path."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    comment = ""
    for line in (CHARTS / "stan-ft" / "values.yaml").read_text().splitlines():
        if match := re.match(r"^ *# -- (.*)$", line):
            comment = match.group(1)
        elif match := re.match(r"^( *)([A-Za-z0-9_]+):", line):
            depth = len(match.group(1))
            stack = [(d, k) for d, k in stack if d < depth] + [(depth, match.group(2))]
            if comment:
                found[".".join(key for _, key in stack)] = comment
            comment = ""
    return found


COMMENTS = comments()
LEAVES = {".".join(path): schema for path, schema in schema_leaves(SCHEMA)}


def test_the_schema_is_a_draft_7_schema() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(SCHEMA)


def test_every_key_of_the_values_is_in_the_schema_and_back() -> None:
    in_values = {".".join(path) for path in leaves_of(VALUES)}
    assert in_values == set(LEAVES)


def test_the_defaults_fit_the_schema() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(VALUES)] == []


def test_every_object_with_known_keys_is_closed() -> None:
    open_ones = [
        path
        for path, schema in subschemas(SCHEMA)
        if "properties" in schema and schema.get("additionalProperties") is not False
    ]
    assert open_ones == []


def test_every_key_is_described_in_the_schema() -> None:
    missing = [
        f"{path}/properties/{key}"
        for path, schema in [("", SCHEMA), *subschemas(SCHEMA)]
        for key, below in schema.get("properties", {}).items()
        if len(str(below.get("description", ""))) < 5
    ]
    assert missing == []


def test_every_leaf_is_described_in_the_values_in_the_same_words() -> None:
    inside = [leaf for leaf in LEAVES if leaf not in COMMENTS and not _documented_above(leaf)]
    assert inside == []
    differing = [leaf for leaf, words in COMMENTS.items() if leaf in LEAVES and LEAVES[leaf]["description"] != words]
    assert differing == []


def _documented_above(leaf: str) -> bool:
    """Whether the mapping that holds it is described as a whole (resources, capabilities)."""
    return any(leaf.startswith(f"{other}.") for other in COMMENTS)


def test_a_key_that_is_no_null_by_default_cannot_be_deleted_by_mistake() -> None:
    assert set(SCHEMA["required"]) >= {"replicas", "image", "ports", "streaming", "store", "persistence", "nats"}


@pytest.mark.parametrize("name", sorted(CI))
def test_a_ci_file_fits_the_schema_and_renders(name: str) -> None:
    assert render("stan-ft", CI[name])


def used(path: str) -> list[Any]:
    """What the ci files give a key (those that set it), then the default."""
    missing = object()
    found = [objects.dig(values, path, missing) for values in CI.values()]
    return [value for value in found if value is not missing] + [objects.dig(VALUES, path)]


def types(schema: dict[str, Any]) -> list[str]:
    """The types that a schema allows."""
    named = schema.get("type", [])
    return named if isinstance(named, list) else [named]


SWITCHES = sorted(leaf for leaf, schema in LEAVES.items() if "boolean" in types(schema))


@pytest.mark.parametrize("leaf", SWITCHES)
def test_the_ci_files_switch_it_on_and_off(leaf: str) -> None:
    assert {True, False} <= {bool(value) for value in used(leaf)}


CHOICES = sorted((leaf, choice) for leaf, schema in LEAVES.items() for choice in schema.get("enum", []) if choice)


@pytest.mark.parametrize(("leaf", "choice"), CHOICES)
def test_the_ci_files_make_every_choice(leaf: str, choice: str) -> None:
    assert choice in used(leaf)


def test_the_ci_files_set_every_key_that_is_empty_by_default() -> None:
    empty = [leaf for leaf in LEAVES if objects.dig(VALUES, leaf) in (None, "", [], {})]
    own = ("metrics.", "rollout.", "tests.")
    never = [leaf for leaf in empty if not leaf.startswith(own) and not any(used(leaf))]
    assert never == []


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
