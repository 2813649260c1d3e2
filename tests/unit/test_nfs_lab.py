"""The NFS lab's parts that need no machine: its command line, its report, and what the fence does to files."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import nfs_lab
from harness.errors import UserError
from harness.nfs_lab import image, report
from harness.nfs_lab.faults import FAULTS
from harness.paths import CHARTS

FENCE = CHARTS / "stan-ft" / "files" / "fence.sh"


def options(*arguments: str) -> argparse.Namespace:
    """The command line, parsed."""
    return nfs_lab.parser().parse_args(arguments)


def test_all_runs_every_fault_with_and_without_the_remedy() -> None:
    plan = nfs_lab._plan(options("--all", "--runs", "2"))
    assert {(name, settings.remedy) for name, settings in plan} == {(n, r) for n in FAULTS for r in (True, False)}
    assert len(plan) == 2 * 2 * len(FAULTS)


def test_the_smoke_run_is_one_kill_and_one_cut() -> None:
    assert [name for name, _ in nfs_lab._plan(options("--smoke"))] == ["kill", "cut-both"]


def test_grace_follows_the_lease_unless_given() -> None:
    assert nfs_lab._plan(options("--lease", "30"))[0][1].grace == 30
    assert nfs_lab._plan(options("--lease", "30", "--grace", "12"))[0][1].grace == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lease", "5"], "takes 10 to 3600 seconds"),
        (["--lease", "90s"], "takes 10 to 3600 seconds"),
        (["--runs", "0"], "give 1 or more"),
        (["--fault", "meteor"], "invalid choice: 'meteor'"),
        (["--nodes", "1"], "invalid choice: 1"),
        (["--smoke", "--all"], "not allowed with"),
    ],
)
def test_a_bad_option_is_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        options(*arguments)
    assert message in capsys.readouterr().err


def test_an_empty_mount_option_is_refused() -> None:
    with pytest.raises(UserError, match="empty option"):
        nfs_lab._plan(options("--options", "hard,,sync"))


def result(**changes: Any) -> dict[str, Any]:
    """One run's result."""
    settings = {"lease": 10, "grace": 10, "nodes": 2, "remedy": True, "options": None}
    plain = {"takeover": 11.0, "outage": 14.0, "ended": 5.0, "two_actives": 0.0, "acks_by_loser": 0, "lost": 0}
    return {"fault": "cut-both", "settings": settings, "harm": [], "void": "", **plain, **changes}


def test_the_table_has_one_row_per_fault_and_setting() -> None:
    rows = report.table([result(), result(takeover=13.0), result(fault="kill")]).splitlines()[2:]
    assert len(rows) == 2
    assert "12.0 (11.0 to 13.0)" in rows[1]


def test_void_runs_are_counted_apart_and_prove_nothing() -> None:
    row = report.table([result(), result(void="no traffic", lost=7)]).splitlines()[2]
    assert "1 (1 void)" in row
    assert row.endswith("| 0 | 0 of 1 |")


def test_a_takeover_that_never_came_is_told() -> None:
    assert "2.0, 1 x never" in report._spread([2.0, None])


def test_the_libraries_of_a_program_are_read_from_its_headers() -> None:
    assert any(name.startswith("libc.so") for name in image._needed(Path(sys.executable).resolve()))


# --- the fence, on a local file system -------------------------------------------------------------------------------


def test_the_fence_holds_its_lock_and_finds_the_store_fine(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "POD_NAME": "stan-0",
        "FENCE_VOLUME": str(tmp_path),
        "FENCE_INTERVAL": "0.1",
        "FENCE_LIMIT": "5",
        "FENCE_MONITOR": "http://127.0.0.1:9",
    }
    # Only the checker: the watcher would look for servers, and this computer may run some that are not ours.
    text = FENCE.read_text().replace("checker | watcher", "checker")
    with subprocess.Popen(["sh", "-c", text], env=environment, stdout=subprocess.PIPE, text=True) as fence:
        assert fence.stdout is not None
        said = [fence.stdout.readline().strip() for _ in range(4)]
        locked = subprocess.run(["flock", "-n", *tmp_path.glob(".fence/stan-0.*"), "true"], check=False).returncode
        fence.kill()
    assert said == ["holding", "fine", "fine", "fine"]
    assert locked == 1
