"""What is asked of a container engine, of the daemon that is started here, and what its answers come to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins import Programs

from harness.cluster import engine
from harness.ground import system
from stanft.ground import wait
from stanft.ground.errors import UserError

# An engine answers where it was started: the stand-in daemon leaves a file with its address.
DOCKER = """
case "$1" in
version) [ -z "$HANGS" ] || exec sleep 60; [ -e "$STARTED" ] && [ "$(cat "$STARTED")" = "$DOCKER_HOST" ] || exit 1 ;;
load) test -s "$3" ;;
run) [ -z "$REFUSES" ] && echo probe-1 || { echo "$REFUSES" >&2; exit 125; } ;;
kill) : ;;
--version) echo "${VERSION:-Docker version 28}" ;;
info) echo "${SECURITY:-[\"name=seccomp\"]}" ;;
*) exit 64 ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine with a docker client, on which no engine runs and nothing has to be installed."""
    made = Programs(tmp_path, monkeypatch)
    made.tools()
    made.add("docker", DOCKER)
    for name in ("runc", "iptables"):
        made.add(name)
    run = tmp_path / "run"
    monkeypatch.setattr(engine, "RUN", run)
    monkeypatch.setattr(engine, "DATA", tmp_path / "data")
    monkeypatch.setattr(engine, "OWN_SOCKET", f"unix://{run}/docker.sock")
    monkeypatch.setattr(engine, "START_TIMEOUT", 20.0)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    monkeypatch.setattr(engine, "SYSTEMD", tmp_path / "no-systemd")
    for name in ("REFUSES", "HANGS", "VERSION", "SECURITY"):
        monkeypatch.setenv(name, "")
    return made


@pytest.fixture
def daemon(programs: Programs, tmp_path: Path) -> Iterator[Path]:
    """A dockerd that says where it listens and runs until it is told to end; gives its pid file."""
    pid = tmp_path / "run" / "docker.pid"
    programs.add(
        "dockerd",
        f"""
trap 'exit 0' TERM
echo $$ >{pid}
printf %s "${{1#--host=}}" >"$STARTED"
while :; do sleep 0.05; done
""",
    )
    yield pid
    if pid.exists():
        end = system.as_root(["sh", "-c", f"kill {pid.read_text().strip()}"])  # it is root's
        subprocess.run(end, check=False, capture_output=True)


def runs(where: str, tmp_path: Path) -> None:
    """An engine runs at this address."""
    (tmp_path / "started").write_text(where)


def test_where_no_engine_answers_none_is_found(programs: Programs) -> None:
    assert engine.find() is None
    assert programs.asked("docker") == ["docker version --format {{.Server.Version}}"] * 2


def test_the_engine_of_the_environment_is_found_where_it_answers(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere")
    runs("tcp://elsewhere", tmp_path)
    assert engine.find() == engine.Engine("tcp://elsewhere")


def test_an_engine_is_only_used_after_a_privileged_container_ran_and_was_ended(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere")
    runs("tcp://elsewhere", tmp_path)
    assert engine.ensure() == engine.Engine("tcp://elsewhere")
    load, run, end = programs.asked("docker")[-3:]
    assert load.startswith("docker load -i ")
    assert "--privileged" in run
    assert end == "docker kill probe-1"


def test_a_machine_without_an_engine_gets_one_that_can_be_stopped_again(programs: Programs, daemon: Path) -> None:
    started = engine.ensure()
    assert started.host == engine.OWN_SOCKET
    assert engine.find() == started
    [call] = programs.asked("dockerd")
    assert f"--data-root={engine.DATA}" in call
    assert engine.stop_own()
    process = Path(f"/proc/{daemon.read_text().strip()}")
    wait.until(lambda: not process.exists(), 20, "the engine did not end", every=0.1)


def test_the_engine_that_is_started_has_the_runtime_that_asks_for_less(programs: Programs, daemon: Path) -> None:
    engine.ensure()
    [call] = programs.asked("dockerd")
    assert "--default-runtime=reduced" in call
    runtime = Path(call.split("--add-runtime=reduced=")[1].split()[0])
    assert runtime.read_text().startswith("#!/")
    assert "runc" in runtime.read_text()
    assert runtime.stat().st_mode & 0o111


def test_an_engine_that_does_not_answer_is_told_with_the_end_of_its_log(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "START_TIMEOUT", 3.0)  # through a slow sudo too
    programs.add("dockerd", "echo 'failed to start daemon: no space left on device'")
    with pytest.raises(UserError, match="did not answer within.*\nfailed to start daemon: no space left on device"):
        engine.ensure()


def test_a_started_engine_that_refuses_privileged_containers_is_told_with_its_words(
    programs: Programs, daemon: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSES", "operation not permitted: no devices cgroup")
    with pytest.raises(UserError, match="cannot start a privileged container on this machine:\noperation not"):
        engine.ensure()


@pytest.mark.parametrize("hangs", ["", "1"], ids=["no answer", "it hangs"])
def test_an_engine_that_the_user_named_and_that_does_not_answer_is_told_and_not_replaced(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere")
    monkeypatch.setenv("HANGS", hangs)
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT", 0.3)
    with pytest.raises(UserError, match="DOCKER_HOST is tcp://elsewhere, and no container engine answers there"):
        engine.ensure()
    assert programs.asked("dockerd") == []


def test_an_engine_that_hangs_in_the_middle_is_told_in_one_line(programs: Programs) -> None:
    programs.add("docker", "exec sleep 60")
    with pytest.raises(UserError, match=r"did not answer within 0 s \(docker load\)"):
        engine.Engine("").docker("load", timeout=0.2)


UNREACHABLE = {
    "rootless": ("SECURITY", '["name=seccomp","name=rootless"]', "engine is rootless.*\n.*DOCKER_HOST"),
    "podman": ("VERSION", "podman version 4.3.1", "podman's"),
}


@pytest.mark.parametrize("kind", UNREACHABLE)
def test_an_engine_whose_nodes_cannot_be_reached_is_told_before_anything_is_made(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    variable, value, words = UNREACHABLE[kind]
    runs("", tmp_path)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=words):
        engine.ensure()
    assert programs.asked("docker load") == []


def test_what_was_built_goes_from_an_engine_and_what_is_not_ours_stays(programs: Programs, tmp_path: Path) -> None:
    built = "kindest/node:v1.37.2-0123456789abcdef"
    programs.add("docker", f"[ $1 = images ] && printf '%s\\n' busybox:1 stan-ft/probe:1 kindest/node:v1.37.0 {built}")
    engine.remove_images(engine.Engine(""))
    assert programs.asked("docker rmi") == [f"docker rmi --force stan-ft/probe:1 {built}"]


def test_where_nothing_was_started_here_there_is_nothing_to_stop(programs: Programs) -> None:
    assert not engine.stop_own()


def test_the_pid_file_of_an_engine_that_was_killed_ends_no_other_program(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / "run" / "docker.pid").write_text(f"{other.pid}\n")
        assert not engine.stop_own()
        assert other.poll() is None
        other.kill()
