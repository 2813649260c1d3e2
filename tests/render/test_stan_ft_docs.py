"""What is written about stan-ft is true and fresh: README, Chart.yaml, the feature table and the guides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.charts import schema
from harness.charts.render import chart_values, ci_values
from harness.ground import toolchain
from harness.ground.paths import CHARTS, REPO
from stanft.ground import shell
from stanft.kube import objects

CHART = CHARTS / "stan-ft"
METADATA = yaml.safe_load((CHART / "Chart.yaml").read_text())
VALUES = chart_values("stan-ft")
TABLE = (REPO / "docs" / "feature-table.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", TABLE, re.MULTILINE)
GUIDES = ["security.md", "store.md", "leave.md", "feature-table.md", "upgrade.md", "values-of-other-charts.md"]


def test_the_readme_is_what_helm_docs_writes() -> None:
    written = shell.run([toolchain.ensure("helm-docs"), "--chart-search-root", CHART, "--dry-run"]).stdout
    assert written.strip() == (CHART / "README.md").read_text().strip(), (
        "charts/stan-ft/README.md is stale: run `scripts/tool helm-docs --chart-search-root charts`"
    )


def test_the_chart_says_all_that_artifact_hub_shows() -> None:
    assert METADATA["apiVersion"] == "v2"
    assert METADATA["kubeVersion"].endswith("-0")  # takes the versions of EKS and GKE, which have a suffix
    assert METADATA["icon"].startswith("https://")
    assert {"keywords", "home", "sources", "description", "version"} <= set(METADATA)
    notes = METADATA["annotations"]
    assert notes["artifacthub.io/category"] == "streaming-messaging"
    assert notes["artifacthub.io/license"] == "Apache-2.0"
    assert all(isinstance(text, str) for text in notes.values())
    assert {each["kind"] for each in yaml.safe_load(notes["artifacthub.io/changes"])} <= {
        "added",
        "changed",
        "deprecated",
        "removed",
        "fixed",
        "security",
    }


def test_its_images_are_those_of_the_values_and_fit_together() -> None:
    listed = {each["image"] for each in yaml.safe_load(METADATA["annotations"]["artifacthub.io/images"])}
    server = f"{VALUES['image']['repository']}:{VALUES['image']['tag'] or METADATA['appVersion']}"
    exporter = f"{VALUES['promExporter']['image']['repository']}:{VALUES['promExporter']['image']['tag']}"
    assert {server, exporter} <= listed
    assert METADATA["appVersion"] == "0.25.6"  # the last of the server
    assert VALUES["promExporter"]["image"]["tag"] == "0.16.0"  # the last exporter that knows NATS Streaming


def test_the_feature_table_has_each_row_once() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 84))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_of_the_feature_table_names_values_and_a_test_that_exist(row: tuple[str, ...]) -> None:
    _, feature, status, where, tests = row
    known = [*METADATA, *VALUES]
    for key in re.findall(r"`([A-Za-z._]+)`", where):
        if key.split(".")[0] in VALUES:
            assert is_known(key), key
        else:
            assert key in known or key in feature or key in ("existingSecret", "scripts"), key
    for name in tests.split(", "):
        found = list((REPO / "tests").rglob(name))
        assert found, f"row {row[0]}: there is no {name}"
    assert status


def is_known(key: str) -> bool:
    """Whether a dotted key is a value, or a key of the server below `config`."""
    if key.startswith("config."):
        blocks = ("streaming", "store_limits", "file_options", "sql_options", "nats", "nats_cluster", "nats_tls")
        every = {each for block in (*blocks, "nats_authorization") for each in schema.kinds(block)}
        return all(part in every for part in key.split(".")[1:])
    key = key.partition(".merge.")[0]
    return objects.dig(VALUES, key, missing := object()) is not missing or key_is_empty(key)


def key_is_empty(key: str) -> bool:
    """Whether the key is in values.yaml with null."""
    above, _, last = key.rpartition(".")
    holder = objects.dig(VALUES, above) if above else VALUES
    return isinstance(holder, dict) and last in holder


def test_whatever_is_no_plain_yes_says_why() -> None:
    for number, _, status, where, _ in ROWS:
        assert status.startswith("yes") or len(where) > 10, number


def test_the_readme_names_every_ci_file() -> None:
    readme = (CHART / "README.md").read_text()
    for name in ci_values("stan-ft"):
        if name not in ("default", "effects"):
            assert f"ci/{name}-values.yaml" in readme


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_names_only_values_and_files_that_exist(name: str) -> None:
    text = (REPO / "docs" / name).read_text()
    for key in re.findall(r"`((?:[a-z][A-Za-z_]+\.)+[A-Za-z_]+)`", text):
        if key.split(".")[0] in VALUES:
            assert key == "auth.conf" or is_known(key), f"{name}: {key}"
    for path in re.findall(r"\b((?:docs|charts|scripts|environments)/[\w./-]+\w)", text):
        assert (REPO / path).exists(), f"{name}: {path}"


def test_the_guides_that_the_notes_point_at_exist() -> None:
    for path in re.findall(r"docs/[\w-]+\.md", "".join(p.read_text() for p in (CHART / "templates").rglob("*.t*"))):
        assert Path(REPO / path).is_file(), path
