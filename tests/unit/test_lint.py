"""scripts/lint over a checkout of the test's own, with the real linters: what is broken is named."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cli import lint
from harness.ground.paths import REPO
from stanft.ground.errors import UserError


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the project's own settings for linters, in which nothing is wrong."""
    for name in ("pyproject.toml", ".yamllint.yaml"):
        shutil.copy(REPO / name, tmp_path)
    (tmp_path / "fine.yaml").write_text("a: 1\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "fine").write_text('#!/usr/bin/env bash\necho "$1"\n')
    chart = tmp_path / "charts" / "small"
    for folder in ("templates", "ci"):
        (chart / folder).mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 1.0.0\nicon: file://x\n")
    (chart / "values.yaml").write_text("name: a\n")
    (chart / "ci" / "some-values.yaml").write_text("name: b\n")
    (chart / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.name }}\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(lint, "REPO", tmp_path)
    monkeypatch.setattr(lint, "CHARTS", tmp_path / "charts")
    monkeypatch.setattr(lint.environments, "names", list)
    return tmp_path


def found(checkout: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of scripts/lint and what it says, with all files of the checkout known to git."""
    subprocess.run(["git", "add", "."], cwd=checkout, check=True)
    code = lint.main([*arguments])
    return code, capsys.readouterr().err


def test_a_checkout_in_which_nothing_is_wrong_is_clean(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = found(checkout, capsys, "yamllint", "shellcheck", "ruff", "helm")
    assert code == 0, said
    assert said.endswith("==> lint: clean\n")


@pytest.mark.parametrize(
    ("linter", "file", "text", "complaint"),
    [
        ("yamllint", "broken.yaml", "a: 1\na: 2\n", 'duplication of key "a"'),
        ("shellcheck", "scripts/broken", "#!/bin/sh\nif [ $(ls) = a ]\n", "Couldn't parse this if expression"),
        ("ruff", "broken.py", '"""A module."""\n\nimport os\n', "`os` imported but unused"),
        ("helm", "charts/small/templates/broken.yaml", "{{ .Values.name", "unclosed action"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong_and_the_exit_code_is_1(
    checkout: Path, capsys: pytest.CaptureFixture[str], *, linter: str, file: str, text: str, complaint: str
) -> None:
    (checkout / file).write_text(text)
    code, said = found(checkout, capsys, linter)
    assert code == 1
    assert file.removeprefix("charts/") in said
    assert complaint in said
    assert said.splitlines()[-1].startswith(f"==> lint: found by {'helm lint small' if linter == 'helm' else linter}")


def test_values_that_a_chart_does_not_take_are_found_in_each_file_of_them(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "charts/small/ci/bad-values.yaml").write_text("name: [\n")
    code, said = found(checkout, capsys, "helm")
    assert code == 1
    assert "helm lint small with 2 files of values" in said
    assert "bad-values.yaml" in said


def test_fix_mends_what_ruff_can_mend(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkout / "broken.py"
    file.write_text('"""A module."""\nimport os\nvalue = {"a":1}\n')
    code, _ = found(checkout, capsys, "--fix", "ruff")
    assert code == 0
    assert file.read_text() == '"""A module."""\n\nvalue = {"a": 1}\n'


def test_templates_and_reviewed_renders_are_no_yaml_to_lint(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = checkout / "tests" / "golden"
    golden.mkdir(parents=True)
    (golden / "render.yaml").write_text("a:   1\n")
    code, said = found(checkout, capsys, "yamllint")
    assert code == 0, said


def test_a_linter_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(UserError, match="no linter flake8: choose from ruff, mypy, shellcheck"):
        lint.main(["flake8"])


def test_every_linter_of_the_project_has_files_to_read() -> None:
    assert len(lint._shell_files()) > 10
    assert len(lint._yaml_files()) > 10
    assert {Path(name).name for name in lint._shell_files()} >= {"up", "bootstrap.sh", "build.sh"}


@pytest.mark.parametrize(("parted", "commands"), [("HEAD~1", 2), (None, 1)], ids=["known", "not in a shallow clone"])
def test_new_versions_are_asked_for_where_it_is_known_what_main_had(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, parted: str | None, commands: int
) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=checkout, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("commit", "-q", "--allow-empty", "-m", "before")
    git("commit", "-q", "--allow-empty", "-m", "now")
    unrelated = git("commit-tree", "-m", "other", git("write-tree"))
    git("update-ref", "refs/remotes/origin/main", parted or unrelated)
    monkeypatch.setattr(lint.toolchain, "ensure", Path)
    assert len(list(lint._ct())) == commands
