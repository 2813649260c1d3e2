"""The NFS lab's parts that need no machine: its command line, its report, and what the fence does to files."""

from __future__ import annotations

import argparse
import struct
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


# --- what the fence does to a channel's last slice ------------------------------------------------------------------


def write_slice(folder: Path, numbers: list[int], *, behind: bytes = b"", index_tail: bytes = b"") -> int:
    """Write a slice as the server does (stores/filestore.go), with bytes behind; gives the size of its good data."""
    data = index = b"\x01\0\0\0"
    for number in numbers:
        record = b"x" * (10 + number)
        index += struct.pack("<QqqII", number, len(data), 1_700_000_000_000_000_000, len(record), 0)
        data += struct.pack("<II", len(record), 0) + record
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "msgs.1.dat").write_bytes(data + behind)
    (folder / "msgs.1.idx").write_bytes(index + index_tail)
    return len(data)


def renew(folder: Path) -> str:
    """Run the fence's own function on the slice and give what it says."""
    text = FENCE.read_text()
    starts = [text.index(f"\n{name}() {{") for name in ("renew", "renew_slice")]
    functions = [text[start:].partition("\n}\n")[0] + "\n}\n" for start in starts]
    script = f'say() {{ echo "$*"; }}\nfolder={folder.parent}\n{"".join(functions)}\nrenew_slice {folder}/1'
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_renewed_files_are_new_files_with_the_same_content(tmp_path: Path) -> None:
    write_slice(tmp_path / "ch", [5, 6, 7])
    files = [tmp_path / "ch" / name for name in ("msgs.1.dat", "msgs.1.idx")]
    before = [(file.read_bytes(), file.stat().st_ino) for file in files]
    renew(tmp_path / "ch")
    for file, (content, inode) in zip(files, before, strict=True):
        assert file.read_bytes() == content
        assert file.stat().st_ino != inode


def test_what_lies_behind_the_index_is_dropped(tmp_path: Path) -> None:
    good = write_slice(tmp_path / "ch", [5, 6, 7], behind=b"never acknowledged")
    assert "dropping 18 bytes" in renew(tmp_path / "ch")
    assert (tmp_path / "ch" / "msgs.1.dat").stat().st_size == good


def test_a_torn_last_index_record_counts_for_nothing(tmp_path: Path) -> None:
    good = write_slice(tmp_path / "ch", [5, 6, 7], behind=b"torn", index_tail=b"half a record")
    renew(tmp_path / "ch")
    assert (tmp_path / "ch" / "msgs.1.dat").stat().st_size == good


def test_a_damaged_index_costs_no_data(tmp_path: Path) -> None:
    """A gap in its sequences means that it cannot be believed: the server rebuilds it and needs every record."""
    good = write_slice(tmp_path / "ch", [5, 6, 9], behind=b"more")
    assert renew(tmp_path / "ch") == ""
    assert (tmp_path / "ch" / "msgs.1.dat").stat().st_size == good + 4


def test_an_index_ahead_of_its_data_costs_no_data(tmp_path: Path) -> None:
    write_slice(tmp_path / "ch", [5, 6, 7])
    data = tmp_path / "ch" / "msgs.1.dat"
    data.write_bytes(data.read_bytes()[:-5])
    renew(tmp_path / "ch")
    assert data.stat().st_size > 0


def test_a_slice_without_an_index_is_kept_whole(tmp_path: Path) -> None:
    good = write_slice(tmp_path / "ch", [5], behind=b"tail")
    (tmp_path / "ch" / "msgs.1.idx").unlink()
    renew(tmp_path / "ch")
    assert (tmp_path / "ch" / "msgs.1.dat").stat().st_size == good + 4
