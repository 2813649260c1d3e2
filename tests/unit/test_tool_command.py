"""scripts/tool runs the pinned tool in its own place, and says what it is for when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ground import toolchain
from harness.ground.paths import REPO, cache, make
from stanft.ground import shell
from stanft.ground.errors import UserError


def tool(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.tool", *arguments],
        cwd=REPO,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tool_that_runs_has_the_pinned_version() -> None:
    done = tool("helm", "version", "--template", "{{.Version}}")
    assert (done.returncode, done.stdout) == (0, toolchain._required("kubernetes", "helm.sh/helm/v4"))


def test_what_a_tool_refuses_ends_with_its_own_words_and_exit_code() -> None:
    done = tool("helm", "template", "x", "/no/such/chart")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "/no/such/chart" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["terraform"]], ids=["no name", "a foreign name"])
def test_without_a_name_that_it_knows_it_lists_all_tools(arguments: list[str]) -> None:
    done = tool(*arguments)
    known = {name for module in toolchain.MODULES.values() for name in module.packages}
    assert done.returncode == 2
    assert set(done.stderr.split("one of: ")[1].strip().split(", ")) == known


def test_a_tool_whose_modules_cannot_be_had_is_one_clear_error(tmp_path: Path) -> None:
    done = tool(
        "stan-pub",
        STAN_FT_CACHE=str(tmp_path),
        STAN_FT_GOMODCACHE=str(tmp_path / "mod"),
        GOPROXY="off",
        STAN_FT_BUILD="",
    )
    assert done.returncode == 2
    assert "error: stan-pub could not be built from cluster/go/stan-clients:" in done.stderr
    assert "module lookup disabled by GOPROXY=off" in done.stderr
    assert "reaches a Go module proxy" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("tools/*/stan-pub"))


def test_a_disk_that_a_build_fills_is_told_without_gos_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise shell.CommandError(
            ["go", "build"], 1, "compile: writing output: write $WORK/b001: no space left on device"
        )

    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path))
    monkeypatch.setenv("STAN_FT_BUILD", "")
    monkeypatch.setattr(toolchain.shell, "run", build)
    with pytest.raises(
        UserError, match=r"^pause could not be built from cluster/go/pause\. The disk is full: free some"
    ):
        toolchain.ensure("pause")


def test_a_program_of_our_own_is_built_once_in_the_cache_alone_and_go_leaves_nothing_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cache() / "go")
    (tmp_path / "go").symlink_to(cache() / "go")  # Go's own cache: the standard library is compiled already
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "too-small-for-go"))
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path))
    monkeypatch.setenv("STAN_FT_BUILD", "")
    built = toolchain.ensure("pause")
    made = built.stat().st_mtime_ns
    assert os.access(built, os.X_OK)
    assert toolchain.ensure("pause") == built
    assert built.stat().st_mtime_ns == made
    assert list((tmp_path / "home").iterdir()) == []


def test_nothing_is_built_while_tests_run_and_the_error_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="prometheus: not built yet.*clock runs.\n.*scripts/tool --build prometheus"):
        toolchain.ensure("prometheus")


def test_no_source_is_fetched_while_tests_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAN_FT_GOMODCACHE", str(tmp_path))
    with pytest.raises(shell.CommandError, match="GOPROXY=off"):
        toolchain.module_source("stan", "github.com/nats-io/nats-streaming-server")


def test_tools_are_built_without_being_run_where_only_that_is_asked() -> None:
    assert tool("--build", "helm", "helm-render").returncode == 0
    assert tool("--build", "terraform").returncode == 2
