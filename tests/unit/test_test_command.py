"""scripts/test never passes where the failover tests did not run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from harness.cli import test as command
from harness.ground import toolchain
from harness.ground.beside import beside
from harness.ground.paths import REPO, cache
from stanft.ground import shell, wait

FAILOVER = next(suite for suite in command.SUITES if "failover" in suite.folders)
UNIT = next(suite for suite in command.SUITES if "unit" in suite.folders)


def test_a_run_whose_tests_all_passed_has_no_problem() -> None:
    assert command.judge(FAILOVER, command.Count(passed=3), 0) == []


def test_a_skipped_failover_test_fails_the_run() -> None:
    assert "1 skipped" in command.judge(FAILOVER, command.Count(passed=3, skipped=1), 0)[0]


def test_a_failover_suite_in_which_nothing_ran_fails_the_run() -> None:
    assert "no test ran" in command.judge(FAILOVER, command.Count(), 5)[0]


def test_a_failed_test_fails_the_run() -> None:
    assert "2 failed" in command.judge(UNIT, command.Count(passed=1, failed=2), 1)[0]


def test_a_crash_before_the_first_test_fails_the_run() -> None:
    assert "exit code 4" in command.judge(UNIT, command.Count(), 4)[0]


def test_a_choice_by_name_may_match_nothing_in_one_suite_of_several() -> None:
    assert command.judge(FAILOVER, command.Count(), 5, by_name=True) == []


def test_a_name_that_no_test_has_fails_the_run() -> None:
    """A typing mistake, or a test that was renamed."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.test", "unit", "-k", "no_such_test_anywhere"],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: no test matches -k no_such_test_anywhere" in done.stderr


def skipped(reason: str, passed: int = 3) -> command.Count:
    return command.Count(passed=passed, skipped=1, reasons=Counter({reason: 1}))


@pytest.mark.parametrize(
    "reason",
    [
        "PostgreSQL is not installed (no /usr/lib/postgresql/*/bin/postgres): apt-get install postgresql",
        "strace is not installed, and system calls are the only place where this key shows",
        "void twice, so nothing is known: kill: the machine stood still",
        "no reason given",
    ],
)
def test_a_skip_that_is_not_on_the_list_fails_the_run_with_its_reason(reason: str) -> None:
    assert command.judge(UNIT, skipped(reason), 0) == [
        f"suite unit and render: skipped for a reason that is not on the list: {reason}"
    ]


@pytest.mark.parametrize(
    "reason",
    [
        "the NFS lab makes network devices, which needs root: run it as root, or as a user with sudo.",
        "the NFS lab's machines are made from the packages of Debian 12, and this is ubuntu 24: run it on Debian 12.",
    ],
)
def test_the_nfs_suite_on_a_machine_that_cannot_play_it_is_told_and_fails_nothing(reason: str) -> None:
    nfs = next(suite for suite in command.SUITES if "nfs" in suite.folders)
    assert command.judge(nfs, skipped(reason, passed=0), 0) == []


def test_every_tool_that_a_suite_names_is_built_before_its_first_test() -> None:
    asked = re.compile(r'toolchain\.ensure\("([^"]+)"\)')
    for suite in command.SUITES:
        files = [file for folder in suite.folders for file in (REPO / "tests" / folder).rglob("*.py")]
        used = {name for file in files for name in asked.findall(file.read_text())} & set(toolchain.names())
        played = {"kubeadm", "pause", "prometheus"} if "unit" in suite.folders else set()  # by stand-ins
        assert used - played <= set(suite.tools)


def test_a_suite_is_prepared_before_its_tests_and_they_build_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(command, "REPORTS", tmp_path)
    monkeypatch.setattr(command.toolchain, "ensure_all", lambda names: order.extend(f"build {name}" for name in names))
    monkeypatch.setattr(command.shell, "stream", lambda *_, env, **__: order.append(env["STAN_FT_BUILD"]) or 5)
    command._run(command.Suite("small", ("unit",), tools=("helm", "kubectl")), ["unit"], None, {})
    assert order == ["build helm", "build kubectl", "never"]


@pytest.mark.parametrize("failing", ["lint", "rehearse", "nothing"])
def test_without_names_lint_and_the_rehearsal_are_played_too_and_either_can_fail_the_run_and_is_told_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    played: list[list[str]] = []
    monkeypatch.setattr(command, "SUITES", ())

    def play(argv: list[str], *, log: Path) -> bool:
        played.append(argv[2:])
        log.write_text("the only line\n")
        return f"cli.{failing}" in argv[2]

    monkeypatch.setattr(command, "_ahead", lambda _: pytest.fail("no suite comes later that needs anything"))
    monkeypatch.setattr(command, "REPO", tmp_path)
    monkeypatch.setattr(command, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(command.shell, "stream", play)
    monkeypatch.setattr(sys, "argv", ["scripts/test"])
    assert command.main() == (0 if failing == "nothing" else 1)
    assert played == [["harness.cli.lint"], ["harness.cli.rehearse", "--short"]]
    said = capsys.readouterr().err
    assert said.count("the only line") == said.count(" failed. The end of reports/") == (failing != "nothing")


@pytest.mark.parametrize(("free", "moved"), [(64 << 20, True), (1 << 30, False)])
def test_a_suite_works_in_the_cache_where_the_temporary_directory_is_small_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, free: int, moved: bool
) -> None:
    monkeypatch.setattr(command.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(command.os, "geteuid", lambda: 1000)
    with command.room(1 << 30) as variables:
        assert [Path(variables[name]).parent for name in variables] == [cache()] * moved
        assert all(Path(directory).is_dir() for directory in variables.values())
    assert not any(Path(directory).exists() for directory in variables.values())


def test_other_users_get_to_the_files_of_roots_suites_where_the_temporary_directory_is_small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.mkdir()
    monkeypatch.setattr(command.shutil, "disk_usage", lambda path: SimpleNamespace(free=(path == large) << 40))
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    monkeypatch.setattr(command, "_OPEN", large)
    with command.room(1 << 30) as variables:
        directory = Path(variables["TMPDIR"])
        assert directory.parent == large
        assert directory.stat().st_mode & 0o111 == 0o111
    assert not directory.exists()


def test_the_junit_file_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase/>"
        "<testcase classname='tests.unit.test_a' name='test_b'><failure message='lost 3&#10;more'/></testcase>"
        "<testcase><skipped/></testcase><testcase><error/></testcase></testsuite></testsuites>"
    )
    assert command._count(report) == command.Count(
        1, 2, 1, Counter({"no reason given": 1}), ["tests.unit.test_a.test_b: lost 3", ".: no reason given"]
    )
    assert command._count(tmp_path / "missing.xml") == command.Count()


def test_an_unknown_suite_is_answered_with_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.test", "failures"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (
        "no suite failures: choose from lint, rehearsal, unit, render, server, nfs, acceptance, releases, failover"
        in done.stderr
    )


SCRIPTS = sorted(file.name for file in (REPO / "scripts").iterdir() if file.is_file() and file.name != "tool")


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_does(script: str) -> None:
    done = subprocess.run(
        [REPO / "scripts" / script, "--help"], cwd=REPO, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_tests_chosen_by_name_are_run_counted_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "REPORTS", tmp_path)
    monkeypatch.setattr(command, "SUITES", (command.Suite("small", ("unit/test_presets.py",)),))
    monkeypatch.setattr(sys, "argv", ["scripts/test", "unit/test_presets.py", "-k", "block"])
    assert command.main() == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"
    assert "==> suite small" in told.err
    cases = ElementTree.parse(tmp_path / "small.xml").iter("testcase")
    assert all("block" in case.attrib["name"] for case in cases)


def test_a_log_gets_what_a_streamed_program_prints_in_its_order_and_so_does_the_screen(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", "echo one; echo $WORD >&2; echo three; exit 3"]
    assert shell.stream(command, env={"WORD": "two"}, log=log) == 3
    assert log.read_bytes() == capfdbinary.readouterr().err == b"one\ntwo\nthree\n"


def test_what_runs_beside_the_work_is_waited_for_on_demand_and_ended_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "reports" / "log"
    with beside(["sh", "-c", "sleep 0.3; echo done; exit 3"], log, "it is done") as ended:
        ended()
        assert log.read_text() == "done\n"
        ended()
    assert capsys.readouterr().err.count("waiting until it is done") == 2  # begun and ended
    with beside(["sh", "-c", "trap 'echo ended; exit' TERM; echo up; while :; do sleep 0.1; done"], log, "it is done"):
        wait.until(lambda: log.read_text() == "up\n", 20, "it did not begin")
    assert log.read_text() == "up\nended\n"


@pytest.mark.parametrize(
    ("chosen", "allowed", "begun"),
    [
        (["lint", "failover"], True, ["failover"]),
        (["unit", "render", "nfs"], True, ["unit", "render", "nfs"]),
        (["unit", "render"], True, None),  # one suite: nothing comes later
        (["lint", "failover"], False, None),  # sudo would ask for a password between the lines of the first suites
    ],
)
def test_what_later_suites_need_is_made_at_idle_priority_beside_the_first_ones(
    monkeypatch: pytest.MonkeyPatch, chosen: list[str], allowed: bool, begun: list[str] | None
) -> None:
    steps: list[object] = []

    @contextmanager
    def stand_in(argv: list[str], *_: object) -> Iterator[Callable[[], None]]:
        steps.append(argv[argv.index("harness.cli.test") + 1 :])
        yield lambda: steps.append("waited")

    def run(suite: command.Suite, *_: object) -> tuple[command.Count, list[str]]:
        steps.append(suite.name)
        return command.Count(), []

    monkeypatch.setattr(command, "beside", stand_in)
    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(command, "_command", lambda name, *_: steps.append(name) or [])
    monkeypatch.setattr(command.system, "root_is_to_be_had", lambda *, asked: allowed and not asked)
    monkeypatch.setattr(sys, "argv", ["scripts/test", *chosen])
    assert command.main() == 0
    first = [] if begun is None else [["--prepare", "--idle", *begun]]
    rest = {"lint": ["lint", *["waited"] * (begun is not None), "failover"], "unit": ["unit and render"]}[chosen[0]]
    assert steps == first + rest + ["nfs"] * ("nfs" in chosen)


@pytest.mark.parametrize("idle", [True, False])
def test_preparing_makes_what_each_suite_needs_and_the_cluster_s_parts_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(command, "_run", lambda *_: pytest.fail("a suite was run"))
    monkeypatch.setattr(command, "_prepare", lambda suite: steps.append(suite.name))
    monkeypatch.setattr(command, "prepare", lambda: steps.append("the cluster's parts"))
    monkeypatch.setattr(command, "start_engine", lambda: steps.append("the engine"))
    monkeypatch.setattr(command.os, "sched_setscheduler", lambda *_: steps.append("idle"))
    monkeypatch.setattr(sys, "argv", ["scripts/test", "--prepare", *["--idle"] * idle, "server", "failover"])
    assert command.main() == 0
    assert steps == ["the engine", "idle"] * idle + ["server", "failover", "the cluster's parts"]
