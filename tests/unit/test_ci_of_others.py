"""What other repositories take from here for their own CI: SARIF, the pre-commit hook, the action."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import exit_code
from goodgroup import GOOD

from harness.ground.paths import REPO
from stanft.cli import check

RECIPE = "tests/fixtures/recipe/original"


def sarif(target: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one run of the SARIF file."""
    code = exit_code(check.main, *arguments, "--format", "sarif", "--output", str(target))
    document = json.loads(target.read_text())
    assert document["version"] == "2.1.0"
    [run] = document["runs"]
    return code, run


def test_a_finding_points_to_the_line_on_which_its_object_begins(tmp_path: Path) -> None:
    code, run = sarif(tmp_path / "out.sarif", RECIPE, "-n", "messaging")
    assert code == 1
    found = next(each for each in run["results"] if each["ruleId"] == "standbys-resolvable")
    place = found["locations"][0]
    assert place["logicalLocations"] == [{"fullyQualifiedName": "StatefulSet/stan"}]
    file, line = (
        place["physicalLocation"]["artifactLocation"]["uri"],
        place["physicalLocation"]["region"]["startLine"],
    )
    assert file == f"{RECIPE}/stan.yaml"
    text = (REPO / file).read_text().splitlines()[line - 1 :]
    assert next(words for words in text if words.startswith("kind:")) == "kind: StatefulSet"
    assert found["level"] == "error"


def test_every_finding_names_a_rule_that_the_file_explains(tmp_path: Path) -> None:
    _, run = sarif(tmp_path / "out.sarif", RECIPE, "-n", "messaging")
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert run["results"]
    assert all(rules[each["ruleId"]]["help"]["text"] in each["message"]["text"] for each in run["results"])


def test_findings_about_a_rendered_chart_point_to_the_chart(tmp_path: Path) -> None:
    _, run = sarif(
        tmp_path / "out.sarif", "charts/stan-ft", "--set", "networkPolicy.enabled=false", "--only", "network-policy"
    )
    [found] = run["results"]
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "charts/stan-ft"


def installed(folder: Path) -> dict[str, str]:
    """An environment in which the command that a wheel installs is found as stan-ft."""
    folder.mkdir()
    program = folder / "stan-ft"
    command = shlex.join(["env", f"PYTHONPATH={REPO}", sys.executable, "-m", "stanft.cli.main"])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_the_hook_judges_the_files_that_it_is_given(tmp_path: Path) -> None:
    [hook] = yaml.safe_load((REPO / ".pre-commit-hooks.yaml").read_text())
    command = [*shlex.split(hook["entry"]), f"{RECIPE}/stan.yaml", f"{RECIPE}/efs-provisioner.yaml"]
    done = subprocess.run(
        command, cwd=REPO, env=installed(tmp_path / "bin"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "Verdict: violated."), done.stderr


@pytest.mark.parametrize(("paths", "code"), [(RECIPE, 1), ("{tmp}/good.yaml", 0)])
def test_the_action_checks_its_paths_and_leaves_the_sarif_file_also_when_it_fails(
    tmp_path: Path, paths: str, code: int
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    action = yaml.safe_load((REPO / "action.yml").read_text())
    step = next(each for each in action["runs"]["steps"] if each["name"] == "Check")
    inputs = {"paths": paths.replace("{tmp}", str(tmp_path)), "namespace": "messaging", "strict": "false"}
    inputs["sarif"] = str(tmp_path / "out.sarif")
    env = installed(tmp_path / "stan-ft-bin")
    (tmp_path / "stan-ft").mkdir()
    (tmp_path / "stan-ft-bin").rename(tmp_path / "stan-ft" / "bin")
    env["RUNNER_TEMP"] = str(tmp_path)
    for name, value in step["env"].items():
        env[name] = inputs[value.removeprefix("${{ inputs.").removesuffix(" }}")]
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=REPO, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert json.loads((tmp_path / "out.sarif").read_text())["runs"]
