"""The first thing that every script does, on machines that are not as usual: one line says what is wrong."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import nfs_lab
from harness.ground import lockedenv, toolchain
from harness.ground.paths import REPO, cache, make
from stanft.ground.errors import UserError

PIP = """
case "$*" in
  *" venv "*) mkdir -p "$4/bin"; ln -s "$0" "$4/bin/python" ;;
  *"pip "*" install "*) echo "$TMPDIR $PIP_USER $PIP_NO_CACHE_DIR ${PIP_TARGET-none}" >>"$LOG"; %s ;;
  *"pip "*" check"*) %s ;;
esac
"""


def python(tmp_path: Path, install: str = "true", check: str = "true") -> Path:
    """A Python that plays making an environment and pip in it."""
    file = tmp_path / "python"
    file.write_text("#!/bin/sh\n" + PIP % (install, check))
    file.chmod(0o755)
    return file


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache (with a space in its name), and a Python that plays; the path is that of its notes."""
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path / "a cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setattr(sys, "executable", str(python(tmp_path)))
    return tmp_path / "log"


def test_an_environment_is_made_once(played: Path) -> None:
    assert lockedenv.ensure() == lockedenv.ensure()
    assert len(played.read_text().splitlines()) == 1


def test_pip_needs_no_room_in_tmp_installs_nowhere_else_and_keeps_no_second_copy(
    played: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    target = lockedenv.ensure().parents[1]
    assert played.read_text() == f"{target}.tmp 0 1 none\n"
    assert not Path(f"{target}.tmp").exists()


@pytest.mark.parametrize("failing", ["install", "check"])
def test_a_try_that_failed_leaves_nothing_and_the_next_one_goes_through(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(python(tmp_path, **{failing: "echo no space; exit 1"})))
    with pytest.raises(UserError, match="no space"):
        lockedenv.ensure()
    assert [path.suffix for path in (cache() / "venv").iterdir()] == [".lock"]
    python(tmp_path)
    assert lockedenv.ensure().exists()


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (1000, "ERROR: Auf dem Gerät ist kein Speicherplatz mehr"),
        # What pip says at the end of a traceback; by then it has removed what filled the disk.
        (2**40, "OSError(28, 'No space left on device')"),
    ],
)
def test_a_full_disk_is_one_line_with_what_to_do(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(python(tmp_path, install=f'echo "Traceback\n{said}"; exit 1')))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=free))
    with pytest.raises(UserError) as told:
        lockedenv.ensure()
    assert str(told.value) == (
        "the Python packages could not be installed. The disk is full: free some space, or point STAN_FT_CACHE at a "
        "larger disk, then run this again."
    )


@pytest.mark.parametrize(
    ("version", "free_threaded"), [((3, 10), False), ((3, 15), False), ((3, 14), True)], ids=["3.10", "3.15", "3.14t"]
)
def test_a_python_that_the_lock_was_not_made_for_is_refused_with_those_that_are(
    tmp_path: Path, version: tuple[int, int], free_threaded: bool
) -> None:
    """Its packages have no wheels there, and nothing is built from source."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "cat", "dirname", "head", "id"):
        (folder / name).symlink_to(shutil.which(name) or "")
    lie = f"import sys, sysconfig; sys.version_info = {version}; sysconfig.get_config_var = lambda _: {free_threaded}"
    file = folder / "python3"
    file.write_text(
        f'#!/bin/bash\n[ "$1" = -VV ] && echo "Python {version[0]}.{version[1]}.0" && exit\n'
        f'exec {shlex.quote(sys.executable)} -I -c "{lie}; exec(sys.argv[1])" "$3"\n'
    )
    file.chmod(0o755)
    done = subprocess.run(
        [REPO / "scripts" / "lib" / "venv", "true"],
        env={"PATH": str(folder), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: CPython 3.11 to 3.14 with the modules venv and ensurepip is needed, here is Python"
    )
    assert len(done.stderr.splitlines()) == 1


def test_without_flock_and_sha256sum_the_scripts_work_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "cat", "dirname", "python3"):
        (folder / name).symlink_to(shutil.which(name) or "")
    (folder / "python3").unlink()
    (folder / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    done = subprocess.run(
        [REPO / "scripts" / "lib" / "venv", "python", "-c", "print(1)"],
        env={"PATH": str(folder), "STAN_FT_CACHE": str(cache())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_a_relative_cache_is_taken_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAN_FT_CACHE", "here/cache")
    assert cache() == tmp_path / "here" / "cache"


def test_what_helm_and_kubectl_keep_goes_into_the_cache_unless_the_user_has_a_place_for_it() -> None:
    def places(**variables: str) -> list[str]:
        names = "'STAN_FT_CACHE', 'HELM_CACHE_HOME', 'KUBECACHEDIR'"
        program = f"import os; print(*map(os.environ.get, ({names})), sep='\\n')"
        without = {name: text for name, text in os.environ.items() if name not in ("HELM_CACHE_HOME", "KUBECACHEDIR")}
        done = subprocess.run(
            [REPO / "scripts" / "lib" / "venv", "python", "-c", program],
            env={**without, **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    kept, helm, kubectl = places()
    assert (helm, kubectl) == (f"{kept}/helm", f"{kept}/kube")
    assert places(HELM_CACHE_HOME="/mine", KUBECACHEDIR="/other")[1:] == ["/mine", "/other"]


def test_a_relative_xdg_cache_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAN_FT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache() == tmp_path / ".cache" / "stan-ft"


def test_no_home_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STAN_FT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    with pytest.raises(UserError, match="no home directory: set HOME, or STAN_FT_CACHE"):
        cache()


@pytest.mark.parametrize("place", ["file/cache", "one:two"])
def test_a_place_that_cannot_be_a_cache_is_refused_with_the_variable_that_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path / place))
    with pytest.raises(UserError, match="set STAN_FT_CACHE"):
        cache()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for somebody else")
def test_what_root_makes_in_a_users_cache_is_the_users(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.mkdir()
    os.chown(users, 12345, 12345)
    program = (
        "from harness.ground import content\n"
        "from harness.charts import render\n"
        "content.built('tools', 'helm', 'key', lambda folder: (folder / 'helm').touch())\n"
        "render.toolchain.ensure = lambda _: helm_render\n"
        "render.render('stan-ft')"
    )
    renders = users / "other" / "renders"
    variables = {**os.environ, "STAN_FT_CACHE": str(users / "cache"), "STAN_FT_RENDERS": str(renders)}
    built = f"from pathlib import Path\nhelm_render = Path({str(toolchain.ensure('helm-render'))!r})\n"
    subprocess.run([sys.executable, "-c", built + program], cwd=REPO, env=variables, check=True)
    assert {path.stat().st_uid for path in users.rglob("*")} == {12345}
    assert len(list((users / "cache").rglob("*"))) == 4
    assert len(list(renders.rglob("*.json"))) == 1


def test_the_nfs_lab_has_its_tools_built_by_the_user_before_root_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def become_root(_: str) -> None:
        order.append("root")
        raise SystemExit

    monkeypatch.setattr(nfs_lab.common, "end_like_ctrl_c", lambda: None)
    monkeypatch.setattr(nfs_lab.toolchain, "ensure_all", order.extend)
    monkeypatch.setattr(nfs_lab.packages, "unfit", lambda: None)
    monkeypatch.setattr(nfs_lab.system, "become_root", become_root)
    monkeypatch.setattr("sys.argv", ["nfs-lab", "--prepare"])
    with pytest.raises(SystemExit):
        nfs_lab.main()
    assert order == ["helm-render", "nats-streaming-server", "root"]


def test_many_make_the_same_directory_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c"
    script = f"from pathlib import Path; from harness.ground.paths import make; make(Path({str(target)!r}))"
    running = [subprocess.Popen([sys.executable, "-c", script], cwd=REPO) for _ in range(4)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0, 0]
    make(target)
    assert target.is_dir()


def test_programs_of_sbin_are_found_by_users_whose_path_lacks_it() -> None:
    usual = "/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        [REPO / "scripts" / "lib" / "venv", "python", "-c", "import os; print(os.environ['PATH'])"],
        env={"PATH": f"{Path(sys.base_prefix) / 'bin'}:{usual}", "STAN_FT_CACHE": str(cache())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith(f"{usual}:/usr/sbin:/sbin")
