"""What scripts change on the machine itself: packages that are missing, kernel limits that are too low, no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins import Programs

from harness.ground import system
from stanft.ground.errors import UserError

WANTED = {"no-such-program": "its-package", "sh": "dash"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine whose apt-get works at once."""
    made = Programs(tmp_path, monkeypatch)
    made.add("apt-get")
    made.add("sysctl")
    return made


def test_only_the_packages_of_missing_programs_are_installed(programs: Programs) -> None:
    system.ensure_packages(WANTED, "a test")
    assert programs.asked("apt-get") == ["apt-get install -y --no-install-recommends its-package"]


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
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "INOTIFY", {"max_user_instances": 2**31, "max_user_watches": 1})
    system.ensure_inotify()
    assert programs.asked("sysctl") == [f"sysctl -q -w fs.inotify.max_user_instances={2**31}"]
    assert "until the next boot" in capsys.readouterr().err


def test_a_disk_with_room_and_a_free_port_stop_nothing(tmp_path: Path) -> None:
    system.require_free_disk(tmp_path / "not" / "made" / "yet", 1)
    system.require_free_port(0, "a test", "")
