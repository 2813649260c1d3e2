"""values.yaml, values.schema.json and the generated README say the same things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from harness.charts.render import chart_schema, chart_values, ci_values, environment, environments, render
from harness.ground import toolchain
from harness.ground.paths import CHARTS
from stanft.ground import shell

CHART = CHARTS / "efs-provisioner"
SCHEMA = chart_schema(CHART)
VALUES = chart_values(CHART)


def described() -> dict[str, str]:
    """The `# --` comments of values.yaml by dotted key."""
    found: dict[str, str] = {}
    path: list[str] = []
    comment = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if text := re.fullmatch(r" *# -- (.*)", line):
            comment = text[1]
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                found[".".join(path)] = comment
            comment = ""
    return found


def schema_nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, node in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, node
        yield from schema_nodes(node, here)
        if isinstance(node.get("items"), dict):
            yield from schema_nodes(node["items"], f"{here}[]")


NODES = dict(schema_nodes(SCHEMA))
COMMENTS = described()


def value_keys(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of values that the schema knows by name (not those of free maps such as nodeSelector)."""
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        yield here
        known = schema.get("properties", {}).get(name, {})
        if isinstance(value, dict) and "properties" in known:
            yield from value_keys(value, known, here)


def test_the_schema_is_a_valid_draft_7_schema() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_default_values_meet_the_schema() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


def test_every_value_is_in_the_schema() -> None:
    assert [key for key in value_keys(VALUES, SCHEMA) if key not in NODES] == []


def test_every_key_of_the_schema_has_a_value() -> None:
    # resources and affinity take what Kubernetes takes; claims are a list; global belongs to parent charts
    free = re.compile(r"global|controller\.(resources|affinity)\..*|.*\[\].*")
    there = set(value_keys(VALUES, SCHEMA))
    assert [key for key in NODES if key not in there and not free.fullmatch(key)] == []


@pytest.mark.parametrize("key", NODES)
def test_every_key_of_the_schema_is_described(key: str) -> None:
    assert len(NODES[key].get("description", "")) > 8


@pytest.mark.parametrize("key", COMMENTS)
def test_the_schema_describes_a_value_as_the_values_file_does(key: str) -> None:
    assert NODES[key]["description"] == COMMENTS[key]


def test_every_leaf_of_the_values_file_is_commented() -> None:
    leaves = [key for key in value_keys(VALUES, SCHEMA) if "properties" not in NODES[key]]
    plain = [key for key in leaves if not key.startswith("controller.resources.")]  # Kubernetes' own words
    assert [key for key in plain if key not in COMMENTS] == []


def test_every_object_of_fixed_keys_is_closed() -> None:
    nodes = [("", SCHEMA), *NODES.items()]
    nodes += [(f"{key}[]", node["items"]) for key, node in NODES.items() if isinstance(node.get("items"), dict)]
    open_ones = [key for key, node in nodes if "properties" in node and node.get("additionalProperties") is not False]
    assert open_ones == []


def test_the_engine_that_needs_root_is_told_in_the_schema() -> None:
    assert 'may enforce Pod Security "baseline" but not "restricted"' in NODES["engine"]["description"]


@pytest.mark.parametrize("name", ci_values(CHART))
def test_the_ci_values_render(name: str) -> None:
    assert render(CHART, ci_values(CHART)[name])


def test_the_ci_values_together_use_every_engine_and_switch_every_boolean() -> None:
    used = ci_values(CHART).values()
    assert {values.get("engine", VALUES["engine"]) for values in used} == set(NODES["engine"]["enum"])
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
    booleans = {key for key, node in NODES.items() if node.get("type") == "boolean" and "[]" not in key}
    assert booleans - switched == set()


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
        assert f"{image['registry']}/{image['repository']}:{image['tag']}" in annotations
