"""What scripts change on the machine itself: packages that are missing, kernel limits that are too low, no more."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from standins import Programs

from harness.ground import system
from harness.local.up import up
from harness.nfs_lab import packages
from stanft.ground.errors import UserError

WANTED = {"no-such-program": "its-package", "sh": "dash"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine whose apt-get works at once."""
    made = Programs(tmp_path, monkeypatch)
    made.add("apt-get")
    return made


def test_only_the_packages_of_missing_programs_are_installed(programs: Programs) -> None:
    system.ensure_packages(WANTED, "a test")
    [asked] = programs.asked("apt-get")
    assert asked == "apt-get install -y --no-install-recommends -oDPkg::Lock::Timeout=600 its-package"


def test_nothing_is_asked_of_apt_where_every_program_is_there(programs: Programs) -> None:
    system.ensure_packages({"sh": "dash", "/bin/sh": "dash"}, "a test")
    assert programs.asked() == []


def test_old_package_lists_are_renewed_and_the_install_is_tried_again(programs: Programs, tmp_path: Path) -> None:
    programs.add("apt-get", f'[ "$1" = update ] && touch {tmp_path}/new; [ -e {tmp_path}/new ]')
    system.ensure_packages(WANTED, "a test")
    assert [call.split()[1] for call in programs.asked("apt-get")] == ["install", "update", "install"]


def test_an_install_that_fails_is_told_in_the_words_of_apt(programs: Programs) -> None:
    programs.add("apt-get", 'echo "E: Unable to locate package its-package" >&2; exit 100')
    with pytest.raises(UserError, match="could not install its-package:\nE: Unable to locate.*\n.*package sources"):
        system.ensure_packages(WANTED, "a test")


def test_a_kernel_limit_that_is_too_low_is_raised_and_one_that_suffices_stays(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in system.INOTIFY:
        (tmp_path / name).write_text("1000\n")
    monkeypatch.setattr(system, "LIMITS", tmp_path)
    monkeypatch.setattr(system, "INOTIFY", {"max_user_instances": 1024, "max_user_watches": 1000})
    system.ensure_inotify()
    assert (tmp_path / "max_user_instances").read_text() == "1024\n"
    assert (tmp_path / "max_user_watches").read_text() == "1000\n"
    assert "fs.inotify.max_user_instances to 1024 until the next boot" in capsys.readouterr().err


def test_a_disk_with_room_and_a_free_port_stop_nothing(tmp_path: Path) -> None:
    system.require_free_disk(tmp_path / "not" / "made" / "yet", 1)
    system.require_free_port(0, "a test", "")


def test_what_is_started_again_as_root_finds_this_checkout_whatever_sudo_drops(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's sudo drops PYTHONPATH also with -E, and resets the rest."""
    started: list[str] = []
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.execvp", lambda _, command: started.extend(command))
    monkeypatch.setattr("sys.argv", ["nfs-lab", "--smoke"])
    monkeypatch.setenv("PYTHONPATH", "/checkout")
    monkeypatch.setenv("STAN_FT_CACHE", "/cache")
    monkeypatch.setenv("SECRET", "x")
    programs.add("sudo")
    system.become_root("harness.cli.nfs_lab")
    assert started[:2] == ["sudo", "env"]
    assert {"PYTHONPATH=/checkout", "STAN_FT_CACHE=/cache", "PYTHONDONTWRITEBYTECODE=1"} <= set(started)
    assert started[-4:] == [sys.executable, "-m", "harness.cli.nfs_lab", "--smoke"]
    assert not [word for word in started if "SECRET" in word]


def test_root_stays_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.execvp", lambda *_: pytest.fail("nothing has to be started again"))
    system.become_root("harness.cli.nfs_lab")
    assert system.root_is_to_be_had()


@pytest.mark.parametrize(("answer", "to_be_had"), [("true", True), ("exit 1", False)])
def test_a_sudo_that_wants_a_password_is_no_root_where_nobody_can_type_it(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, answer: str, to_be_had: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    programs.add("sudo", answer)
    assert system.root_is_to_be_had() == to_be_had


@pytest.mark.parametrize(
    ("machine", "release", "words"),
    [
        ("aarch64", {"ID": "debian", "VERSION_ID": "12"}, "are x86-64, this computer is aarch64: run it on x86-64"),
        ("x86_64", {"ID": "ubuntu", "VERSION_ID": "24.04"}, "packages of Debian 12, and this is ubuntu 24.04: run it"),
        ("x86_64", {"ID": "debian", "VERSION_ID": "13"}, "packages of Debian 12, and this is debian 13: run it"),
    ],
)
def test_a_computer_on_which_the_nfs_lab_cannot_run_is_told_why(
    monkeypatch: pytest.MonkeyPatch, machine: str, release: dict[str, str], words: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
    assert words in (packages.unfit() or "")


@pytest.mark.parametrize(("kernel", "processor"), [("Linux", "aarch64"), ("Darwin", "x86_64")])
def test_a_machine_that_the_cluster_cannot_be_made_on_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, kernel: str, processor: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: kernel)
    monkeypatch.setattr("platform.machine", lambda: processor)
    with pytest.raises(UserError, match=f"Linux on x86_64, and this is {kernel} on {processor}"):
        up()
