"""The life of the local cluster as asked of kind and the engine: made once, started again, made anew, taken away."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import yaml
from standins import Programs

from harness.cluster import kind
from harness.cluster.engine import Engine
from harness.ground import system
from harness.local import plan
from stanft.ground.errors import UserError

NODES = ("control-plane", "worker", "worker2", "worker3")
# An engine whose containers are files, named as nodes and holding their state; what was noted inside them is beside.
DOCKER = """
cd "$NODES" || exit 1
for last; do :; done
case "$1" in
ps) ls ;;
inspect) grep -q running "$last" 2>/dev/null && echo true || echo false ;;
start) shift; for node; do echo running >"$node"; done ;;
unpause) : ;;
cp) cp "../inside/${2%%:*}-complete" "$3" 2>/dev/null ;;
exec) case "$3" in
  sh) echo "$5" | sed 's/^echo \\(.*\\) >.*/\\1/' >"../inside/$2-complete" ;;
  touch) touch "../inside/$2-$(basename "$4")" ;;
  test) test -e "../inside/$2-$(basename "$5")" ;;
  *) echo "$2 ran $3" ;;
  esac ;;
*) exit 64 ;;
esac
"""
KIND = """
case "$1 $2" in
"create cluster")
  [ -z "$KIND_FAILS" ] || { echo "$KIND_FAILS" >&2; exit 1; }
  cat >"$NODES/../config"
  for node in control-plane worker worker2 worker3; do echo running >"$NODES/stan-ft-$node"; done
  touch "$STAN_FT_CACHE/kubeconfig" ;;
"export kubeconfig") touch "$STAN_FT_CACHE/kubeconfig" ;;
"delete cluster") rm -f "$NODES"/* "$NODES"/../inside/* ;;
*) exit 64 ;;
esac
"""
KUBECTL = """
[ -z "$API_DOWN" ] || { echo "the connection was refused" >&2; exit 1; }
case "$*" in
*"get nodes --no-headers") for node in "$NODES"/*; do echo "$(basename "$node") ${READY:-Ready} <none> 1m v1"; done ;;
*"get nodes") echo "NAME STATUS"; echo "stan-ft-worker NotReady" ;;
*"rollout status"*) echo "error: timed out waiting for the condition" >&2; exit 1 ;;
*"get pods"*) echo "stan-0 ImagePullBackOff" ;;
*"get events"*) echo "Failed to pull image" ;;
*) exit 64 ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """An engine without nodes, and a kind and a kubectl that play along."""
    made = Programs(tmp_path, monkeypatch)
    made.tools(kind=KIND, kubectl=KUBECTL)
    made.add("docker", DOCKER)
    for name in ("nodes", "inside"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("NODES", str(tmp_path / "nodes"))
    for name in ("KIND_FAILS", "API_DOWN", "READY", "STAN_FT_CLUSTER", "STAN_FT_KUBERNETES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STAN_FT_PORT", free_port())
    monkeypatch.setattr(system, "INOTIFY", {})  # kernel settings are the machine's
    monkeypatch.setattr(kind, "NODES_READY", 1.0)
    monkeypatch.setattr(kind, "DISK_FOR_CLUSTER", 0)
    return made


def free_port() -> str:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def told(programs: Programs) -> list[str]:
    """What kind was asked to do, without options."""
    return [line.split(" --", maxsplit=1)[0] for line in programs.asked("kind")]


def ensure(image: str = "node:1") -> kind.Cluster:
    return kind.ensure(Engine(""), image)


def test_a_machine_without_a_cluster_gets_one_whose_nodes_share_a_directory(programs: Programs, tmp_path: Path) -> None:
    cluster = ensure()
    assert cluster.nodes() == [f"stan-ft-{node}" for node in NODES]
    assert cluster.workers() == cluster.nodes()[1:]
    asked = yaml.safe_load((tmp_path / "config").read_text())
    mounted = [[mount["hostPath"] for mount in node.get("extraMounts", [])] for node in asked["nodes"]]
    assert mounted.count([str(kind.shared_directory())]) >= 3
    assert f"hostPort: {kind.client_port()}" in (tmp_path / "config").read_text()
    assert kind.shared_directory().stat().st_mode & 0o777 == 0o777


def test_a_cluster_that_runs_is_found_and_left_as_it_is(programs: Programs) -> None:
    ensure()
    before = len(programs.asked("kind create"))
    assert ensure().made_from()
    assert len(programs.asked("kind create")) == before == 1
    assert not programs.asked("docker start")


def test_stopped_nodes_are_started_and_the_kubeconfig_is_written_anew(programs: Programs, tmp_path: Path) -> None:
    cluster = ensure()
    for node in ("stan-ft-worker", "stan-ft-worker2"):
        (tmp_path / "nodes" / node).write_text("exited")
    ensure()
    assert programs.asked("docker start") == ["docker start stan-ft-worker stan-ft-worker2"]
    assert len(programs.asked("kind export kubeconfig")) == 1
    assert all(cluster.running(node) for node in cluster.nodes())


def test_a_cluster_that_was_left_unfinished_is_made_anew(programs: Programs, tmp_path: Path) -> None:
    cluster = ensure()
    (tmp_path / "inside" / f"{cluster.control_plane}-complete").unlink()
    ensure()
    assert told(programs) == ["kind create cluster", "kind delete cluster", "kind create cluster"]


def test_an_unfinished_cluster_that_another_cache_began_is_left_alone(programs: Programs, tmp_path: Path) -> None:
    cluster = ensure()
    (tmp_path / "inside" / f"{cluster.control_plane}-complete").unlink()
    kind.shared_directory().rmdir()
    with pytest.raises(UserError, match="not made with this cache.*\n.*STAN_FT_CACHE"):
        ensure()
    assert told(programs) == ["kind create cluster"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("STAN_FT_PORT", "4222", r"with STAN_FT_PORT=\d+, and now 4222 is asked for.*\n.*set STAN_FT_PORT=\d+"),
        ("STAN_FT_KUBERNETES", "1.36", r"STAN_FT_KUBERNETES=1.37, and now 1.36 .*\n.*unset STAN_FT_KUBERNETES"),
    ],
)
def test_a_variable_that_differs_costs_no_good_cluster_and_is_told_with_what_to_write(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    ensure()
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=words):
        kind.require_settings(Engine(""), plan.wanted_minor())
    with pytest.raises(UserError, match=words):
        kind.ensure(Engine(""), "node:1", plan.wanted_minor())
    assert told(programs) == ["kind create cluster"]


def test_a_whole_cluster_from_another_node_image_is_left_alone_too(programs: Programs) -> None:
    ensure()
    with pytest.raises(UserError, match="made from other files.*\n.*scripts/down"):
        ensure("node:2")
    assert told(programs) == ["kind create cluster"]


def test_a_cluster_of_an_older_checkout_is_left_alone(programs: Programs, tmp_path: Path) -> None:
    cluster = ensure()
    (tmp_path / "inside" / f"{cluster.control_plane}-complete").write_text("0123456789abcdef\n")
    with pytest.raises(UserError, match="made from other files"):
        ensure()
    assert told(programs) == ["kind create cluster"]


def test_of_two_runs_at_once_the_second_waits_and_finds_what_the_first_made(programs: Programs) -> None:
    seen: list[str] = []

    def run(name: str) -> None:
        with kind.locked():
            seen.append(f"{name} in")
            ensure()
            seen.append(f"{name} out")

    both = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [line.split()[1] for line in seen] == ["in", "out", "in", "out"]
    assert told(programs) == ["kind create cluster"]


def test_what_kind_says_when_it_fails_is_shown_with_the_way_on(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND_FAILS", "ERROR: failed to create cluster: could not find a log line")
    with pytest.raises(UserError, match="could not find a log line\n.*scripts/up makes them anew"):
        ensure()
    assert not kind.Cluster(Engine("")).made_from()


@pytest.mark.parametrize("variable", ["READY", "API_DOWN"])
def test_nodes_that_do_not_become_ready_are_shown_with_their_states(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    cluster = ensure()
    monkeypatch.setenv(variable, "NotReady")
    with pytest.raises(UserError, match="not all nodes became Ready within 0 s"):
        cluster.wait_ready(timeout=0.1)


def test_a_workload_that_does_not_come_up_is_shown_with_its_pods_and_events(programs: Programs) -> None:
    with pytest.raises(UserError) as told:
        ensure().wait_rollout("deployment/shared-storage", "shared-storage", timeout=1)
    for words in ("deployment/shared-storage in shared-storage", "stan-0 ImagePullBackOff", "Failed to pull image"):
        assert words in str(told.value)


def test_what_was_noted_on_a_node_is_remembered_there_alone(programs: Programs) -> None:
    cluster = ensure()
    cluster.remember("images-a", "stan-ft-worker")
    assert cluster.remembers("images-a", "stan-ft-worker")
    assert not cluster.remembers("images-a", "stan-ft-worker2")
    assert not cluster.remembers("images-a")


def test_a_deleted_cluster_leaves_neither_volume_nor_kubeconfig(programs: Programs) -> None:
    cluster = ensure()
    (kind.shared_directory() / "file").write_text("x")
    kind.delete(cluster.engine)
    assert cluster.nodes() == kind.all_nodes(cluster.engine) == []
    assert not cluster.kubeconfig.exists()
    assert not kind.shared_directory().exists()
    assert programs.asked("docker unpause"), "a paused node can be neither stopped nor removed"


def test_a_second_cluster_has_a_name_a_kubeconfig_and_pod_addresses_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first = kind.Cluster(Engine("")), kind.home(), kind.pod_subnet()
    monkeypatch.setenv("STAN_FT_CLUSTER", "second")
    second = kind.Cluster(Engine("")), kind.home(), kind.pod_subnet()
    assert second[0].context == "kind-second"
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert first[0].kubeconfig != second[0].kubeconfig
