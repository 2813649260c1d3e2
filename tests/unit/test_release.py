"""What a release holds, and what it says of itself."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from harness.cli import release
from harness.dev import releasing
from harness.ground.paths import REPO
from stanft.ground import shell
from stanft.ground.errors import UserError

CHARTS = releasing.charts()
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_packaged_chart_has_its_manual_schema_and_licence_and_no_test_values(
    tmp_path: Path, chart: releasing.Chart
) -> None:
    with tarfile.open(releasing.package(chart, tmp_path)) as archive:
        names = {name.removeprefix(f"{chart.name}/") for name in archive.getnames()}
        licence = archive.extractfile(f"{chart.name}/LICENSE")
        assert licence is not None
        assert licence.read() == (REPO / "LICENSE").read_bytes()
    assert names >= {"Chart.yaml", "README.md", "values.yaml", "values.schema.json"}
    assert not [name for name in names if name.startswith("ci/")]


def test_a_package_that_lacks_its_manual_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "charts" / "small"
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: small, version: 1.0.0}")
    (folder / "values.yaml").touch()
    monkeypatch.setattr(releasing, "CHARTS", tmp_path / "charts")
    with pytest.raises(UserError, match=r"lacks README\.md, values\.schema\.json: add them to charts/small"):
        releasing.package(releasing.Chart("small", "1.0.0"), tmp_path)


def test_the_wheel_holds_the_tool_and_nothing_of_the_workshop(tmp_path: Path) -> None:
    with zipfile.ZipFile(releasing.wheel(tmp_path)) as archive:
        names = archive.namelist()
    assert "stanft/cli/main.py" in names
    assert "stanft/group/active_last/rule.py" in names
    assert not [name for name in names if name.startswith(("harness", "tests", "scripts"))]
    assert [name for name in names if name.endswith("LICENSE")]


def test_notes_are_the_section_of_that_version(tmp_path: Path) -> None:
    file = tmp_path / "CHANGELOG.md"
    file.write_text("# C\n\n## [Unreleased]\n\n- later\n\n## [1.1.0] - 2026-11-26\n\n- now\n\n## [1.0.0]\n\n- before\n")
    assert releasing.notes("1.1.0", file) == "- now\n"
    assert releasing.notes("1.0.0", file) == "- before\n"
    with pytest.raises(UserError, match=r"no section \[2\.0\.0\]: move what is under \[Unreleased\] there"):
        releasing.notes("2.0.0", file)


def test_only_versions_without_a_tag_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = CHARTS
    monkeypatch.setattr(shell, "output", lambda *_, **__: f"v1\n{first.tag}\n")
    assert releasing.changed() == others


def test_a_registry_is_named_as_oci_and_an_unknown_chart_is_refused() -> None:
    with pytest.raises(UserError, match="oci://HOST/PATH"):
        release.main(["--push", "https://example.org"])
    with pytest.raises(UserError, match="no chart nats under charts/"):
        release.main(["--chart", "nats"])


def test_every_action_is_pinned_by_commit_with_its_release_beside_it() -> None:
    used = [line for file in WORKFLOWS for line in file.read_text().splitlines() if re.search(r"\buses: [^.]", line)]
    assert used
    assert [line for line in used if not re.search(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line)] == []


def test_one_action_has_one_version_in_all_workflows() -> None:
    versions: dict[str, set[str]] = {}
    for file in WORKFLOWS:
        for name, version in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", file.read_text()):
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_dependabot_watches_the_actions_python_and_every_go_module() -> None:
    updates = yaml.safe_load((REPO / ".github" / "dependabot.yml").read_text())["updates"]
    watched = {each["package-ecosystem"]: each.get("directories") or [each.get("directory")] for each in updates}
    assert watched == {"github-actions": ["/"], "pip": ["/"], "gomod": ["/cluster/go/*"]}
    assert {file.parent.parent.name for file in (REPO / "cluster" / "go").rglob("go.mod")} == {"go"}
