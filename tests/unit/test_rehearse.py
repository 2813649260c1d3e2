"""scripts/rehearse: what goes into a bare root, how a play ends, and what the table says."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from standins import Programs

from harness.cli import rehearse
from harness.dev import bareroot, rehearsed
from harness.dev.bareroot import GUISES, Guise, Outcome, Root
from harness.ground.paths import REPO
from stanft.ground.errors import UserError


def test_the_root_reaches_the_registries_as_this_computer_does_with_certificates_of_its_own() -> None:
    ours = {"PIP_INDEX_URL": "https://index", "https_proxy": "http://p", "GOPROXY": "https://go", "HOME": "/root"}
    found = bareroot.registries({**ours, "PIP_CERT": "/here/ca.crt", "PIP_FIND_LINKS": "/here/wheels", "TOKEN": "x"})
    ours.pop("HOME")
    assert {name: text for name, text in found.items() if name not in bareroot._CERTIFICATES} == ours
    assert found.get("PIP_CERT", str(bareroot.OWN_BUNDLE)) == str(bareroot.OWN_BUNDLE)


def test_nothing_of_how_registries_are_reached_is_written_into_the_project() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert not [name for name in tracked.splitlines() if name.endswith(("pip.conf", ".crt", "sources.list"))]


def test_a_play_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "alive"
    endless = f"(while :; do date +%s%N >{marker}; sleep 0.1; done) & sleep 600"
    outcome = bareroot.watch("endless", ["sh", "-c", endless], tmp_path / "log", patience=1)
    assert outcome.code is None
    time.sleep(0.5)  # for what had been forked at that moment
    seen = marker.read_text()
    time.sleep(0.5)
    assert marker.read_text() == seen


def test_what_a_play_printed_is_kept_with_its_exit_code(tmp_path: Path) -> None:
    outcome = bareroot.watch("short", ["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path / "log", patience=60)
    assert (outcome.code, outcome.said) == (3, "out\nerr\n")


def test_a_root_whose_making_failed_is_told_in_one_line_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(tmp_path, monkeypatch)
    programs.add("mmdebstrap", 'for last; do :; done; mkdir -p "$last/half"; echo "E: no archive" >&2; exit 1')
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("harness.ground.system._found", lambda _: True)
    failing = pytest.raises(UserError, match="mmdebstrap makes no noble here:\nE: no archive")
    with failing, bareroot.made("noble", GUISES["user"]):
        pass
    assert {path.suffix for path in (tmp_path / "cache" / "rehearsal").iterdir()} == {".lock", ".log"}


@pytest.fixture
def plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is played, with roots that are only named; noble cannot be made, and the server suite fails."""
    played: list[str] = []

    @contextmanager
    def made(suite: str, guise: Guise, *, keep: bool = False) -> Iterator[Root]:
        if suite == "noble":
            raise UserError("mmdebstrap makes no noble here:\nE: no archive")
        yield Root(tmp_path / f"{suite}-{guise.name}", guise)

    def play(self: Root, command: str, log: Path, patience: float) -> Outcome:
        played.append(f"{self.directory.name}: {command}")
        log = tmp_path / "log"
        code = 1 if command.endswith("server") else 0
        broken = "  tests.server.test_x.test_y[a b]: AssertionError: 1\n" if code else ""
        log.write_text(f"    1 skipped: no Chromium on this machine\nok\n{broken}")
        return Outcome(command, code, 1.0, log)

    monkeypatch.setattr(bareroot, "made", made)
    monkeypatch.setattr(bareroot, "available", lambda: None)
    monkeypatch.setattr(Root, "play", play)
    monkeypatch.setattr(Root, "give", lambda self, _built: played.append(f"{self.directory.name}: given"))
    monkeypatch.setattr(rehearse, "_tools", lambda: [tmp_path])
    monkeypatch.setattr(rehearsed, "REPORT", tmp_path / "rehearsed.xml")
    return played


def test_the_short_form_installs_and_plays_unit_and_render_as_a_user_of_debian_12(
    plays: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert rehearse.main(["--short"]) == 0
    assert plays == [
        "bookworm-user: given",
        f"bookworm-user: {rehearse.INSTALL}",
        "bookworm-user: scripts/test unit render",
        *(f"bookworm-user: {line}" for line in (rehearse.ROOTS | rehearse.LEFT).values()),
    ]
    told = capsys.readouterr().out
    assert "passed, 1 s; 1 skipped: no Chromium on this machine" in told
    assert told.endswith("rehearsal: 4 steps, 0 failed\n")


def test_the_short_form_hands_on_which_tests_it_played(plays: list[str], tmp_path: Path) -> None:
    report = tmp_path / "bookworm-user" / "home" / "a strangér" / "clone" / "build" / "test" / "unit-and-render.xml"
    report.parent.mkdir(parents=True)
    report.write_text("<testsuites/>")
    rehearse.main(["--system", "bookworm", "--step", rehearse.UNIT_AND_RENDER])
    assert not rehearsed.REPORT.exists()
    rehearse.main(["--short"])
    assert rehearsed.REPORT.read_text() == "<testsuites/>"
    report.unlink()
    rehearse.main(["--short"])
    assert not rehearsed.REPORT.exists(), "what an earlier one played says nothing of this one"


def found(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """How a step that looks at what is left ends in this home, where scripts/down does nothing."""
    down = home / "clone" / "scripts" / "down"
    down.parent.mkdir(parents=True, exist_ok=True)
    down.write_text("#!/bin/sh\n")
    down.chmod(0o755)
    variables = {**os.environ, "HOME": str(home)}
    return subprocess.run(
        ["sh", "-c", line], cwd=home / "clone", env=variables, capture_output=True, text=True, check=False
    )


def test_a_file_that_down_leaves_in_a_home_fails_the_rehearsal_and_is_named(tmp_path: Path) -> None:
    home = tmp_path / "a strangér"
    [line] = rehearse.LEFT.values()
    (home / ".cache").mkdir(parents=True)
    assert found(line, home).returncode == 0
    (home / ".kube").mkdir()
    done = found(line, home)
    assert (done.returncode, done.stdout) == (1, f"{home}/.kube\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for somebody else")
def test_a_file_of_roots_in_a_users_home_fails_the_rehearsal_and_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    [line] = rehearse.ROOTS.values()
    found(line, home)
    subprocess.run(["chown", "-R", "12345", home], check=True)
    (home / "lock").touch()
    done = found(line, home)
    assert done.returncode == 1
    assert f"{home}/lock" in done.stdout.splitlines()
    subprocess.run(["chown", "-R", "12345", home], check=True)
    assert subprocess.run(["sh", "-c", line], env={"HOME": str(home), "PATH": os.defpath}, check=False).returncode == 0


def test_a_step_that_fails_fails_the_rehearsal_and_a_system_that_cannot_be_made_is_told(
    plays: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert rehearse.main(["--system", "trixie", "--system", "noble", "--guise", "user", "--no-cluster"]) == 1
    told = capsys.readouterr()
    assert (
        "trixie, user       server           failed (exit code 1), 1 s; tests.server.test_x.test_y[a b]: Ass"
        in told.out
    )
    assert "noble, user        make the root    not played: mmdebstrap makes no noble here:" in told.out
    assert "    | ok" in told.err


def test_a_short_rehearsal_whose_system_cannot_be_made_has_shown_nothing_and_fails(plays: list[str]) -> None:
    assert rehearse.main(["--short", "--system", "noble"]) == 1


def test_only_the_first_play_of_the_whole_form_builds_the_tools(plays: list[str]) -> None:
    rehearse.main(["--system", "bookworm", "--no-cluster"])
    assert [line for line in plays if "given" in line] == ["bookworm-user: given"]
    assert plays[0] == f"bookworm-root: {rehearse.INSTALL}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mounts")
def test_what_is_mounted_for_a_play_is_gone_after_it_also_when_it_was_ended(tmp_path: Path) -> None:
    for name in ("dev", "proc", "tmp"):
        (tmp_path / "root" / name).mkdir(parents=True)
    root = Root(tmp_path / "root", GUISES["root"])
    # No program is in this root, so chroot fails after everything is mounted.
    outcome: Any = root.play("true", tmp_path / "log", 60)
    assert outcome.code != 0
    assert "chroot: failed to run command" in outcome.said
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not list((tmp_path / "root" / "dev").iterdir())
