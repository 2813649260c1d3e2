"""scripts/status and scripts/down: what they show of a played cluster, and what they say where there is none."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import exit_code
from playcluster import PlayCluster
from standins import Programs

from harness.cli import down, status
from harness.cluster import engine, kind
from harness.ground.paths import REPO
from harness.local import down as taking_away
from stanft.cli import status as cli
from stanft.ground import bounds
from stanft.ground.errors import UserError
from stanft.group.live import Group
from stanft.kube import api


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine on which no container engine answers."""
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engine, "RUN", tmp_path / "run")  # this machine may have an engine of the project's
    monkeypatch.setattr(engine, "DATA", tmp_path / "engine" / "docker")
    made = Programs(tmp_path, monkeypatch)
    made.add("docker", "exit 1")
    return made


@pytest.fixture
def cluster(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayCluster]:
    """A local cluster whose engine answers, with three servers that are whole."""
    programs.add("docker", '[ "$1" = version ] || exit 1')
    monkeypatch.setattr(sys, "argv", ["status"])
    with PlayCluster(tmp_path) as played:
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "kubeconfig").symlink_to(played.kubeconfig)
        yield played


def group(played: PlayCluster) -> Group:
    return Group.connect(kubeconfig=played.kubeconfig)


def test_without_a_cluster_status_says_what_makes_one(programs: Programs) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.status"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "error: there is no local cluster: scripts/up makes one.\n")


def test_a_whole_group_is_shown_server_by_server_and_the_exit_code_is_0(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.pods["stan-2"].restarts = 4
    assert status.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["stan-0", "FT_ACTIVE", "yes", "2", "0", "node-of-stan-0"],
        ["stan-1", "FT_STANDBY", "yes", "2", "0", "node-of-stan-1"],
        ["stan-2", "FT_STANDBY", "yes", "2", "4", "node-of-stan-2"],
    ]
    assert "claim:      efs, Bound, ReadWriteMany, StorageClass aws-efs" in lines
    assert not any(line.startswith("metrics:") for line in lines)


def test_the_page_says_how_to_connect_from_this_machine(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAN_FT_PORT", "14222")
    status.main()
    shown = capsys.readouterr().out
    assert shown.count("nats://127.0.0.1:14222") == 3
    assert f"--kubeconfig {kind._kubeconfig()}" in shown


def test_a_missing_exporter_is_told_with_its_reason(cluster: PlayCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.containers = ["stan"]
    assert status.main() == 0
    assert "image cannot be had without a container registry; the sidecar is off" in capsys.readouterr().out


def test_a_server_that_does_not_answer_is_shown_and_the_exit_code_is_1(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.pods["stan-1"].state = ""
    assert status.main() == 1
    assert capsys.readouterr().out.splitlines()[2].startswith("stan-1    no answer")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ready": False}, "stan-1 is not Ready"),
        ({"routes": 1}, "stan-1 has routes to 1 of 2 other servers"),
        ({"state": "FT_ACTIVE"}, "active: stan-0, stan-1; standing by: stan-2"),
        ({"state": ""}, "stan-1 has routes to 0 of 2 other servers"),
    ],
)
def test_what_a_group_lacks_is_said_in_words(cluster: PlayCluster, changes: dict[str, object], problem: str) -> None:
    for name, value in changes.items():
        setattr(cluster.pods["stan-1"], name, value)
    assert group(cluster).problem() == problem


def test_servers_of_an_external_nats_are_whole_without_routes(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    for pod in cluster.pods.values():
        pod.routes, pod.apart = 0, True
    assert group(cluster).problem() == ""
    assert status.main() == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3] == "none"


def test_routes_to_servers_of_other_groups_lack_nothing(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.routes = 5  # partitions share one NATS
    assert group(cluster).problem() == ""


def test_a_pod_that_does_not_exist_is_a_problem_with_the_number(cluster: PlayCluster) -> None:
    del cluster.pods["stan-2"]
    assert group(cluster).problem() == "2 of 3 pods exist"


def test_waiting_for_a_group_ends_with_what_is_still_missing_and_where_to_look(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].routes = 0
    with pytest.raises(UserError, match=r"not whole within 0 s: stan-1 has routes to 0 of 2.*\nLook at: kubectl"):
        group(cluster).wait_whole(timeout=0.1)


def test_waiting_for_a_group_ends_as_soon_as_it_is_whole(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].routes = 0

    def mend(played: PlayCluster) -> None:
        if played.looks > 3:
            played.pods["stan-1"].routes = 2

    cluster.on_look = mend
    told: list[str] = []
    assert [server.routes for server in group(cluster).wait_whole(60, told.append)] == [2, 2, 2]
    assert told == ["stan-1 has routes to 0 of 2 other servers"], "each thing that is missing is told once"


def test_the_active_is_found_and_two_of_them_are_an_error(cluster: PlayCluster) -> None:
    found = group(cluster).active()
    assert found is not None
    assert (found.pod, found.is_active) == ("stan-0", True)
    cluster.pods["stan-1"].state = "FT_ACTIVE"
    with pytest.raises(AssertionError, match="more than one active"):
        group(cluster).active()


def test_the_servers_are_asked_at_the_same_time_so_that_their_states_belong_together(
    cluster: PlayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3)

    def monitor(_self: Group, _pod: str, path: str) -> dict[str, Any]:
        if path == "streaming/serverz":
            together.wait(10)
        return {}

    monkeypatch.setattr(Group, "monitor", monitor)
    assert len(group(cluster).servers()) == 3


def test_a_pod_that_has_no_node_yet_is_a_server_of_which_nothing_is_known(
    cluster: PlayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = group(cluster)
    pod = seen.pods()[0]
    pod.spec.node_name = pod.status.pod_ip = pod.status.container_statuses = pod.status.conditions = None
    monkeypatch.setattr(Group, "pods", lambda _: [pod])
    monkeypatch.setattr(Group, "monitor", lambda *_: None)
    [found] = seen.servers()
    assert (found.node, found.ip, found.ready, found.restarts, found.state, found.routes) == ("", "", False, 0, "", 0)


def test_a_group_without_pods_has_no_servers(cluster: PlayCluster) -> None:
    cluster.pods.clear()
    assert group(cluster).servers() == []


def test_of_several_groups_in_a_namespace_only_the_pods_of_the_one_are_looked_at(cluster: PlayCluster) -> None:
    # Charts that label all their releases alike make selectors that catch the neighbour's pods, too.
    cluster.pods["stan-b-0"] = replace(cluster.pods["stan-1"], name="stan-b-0", uid="b-0", state="FT_ACTIVE")
    cluster.pods["astan-0"] = replace(cluster.pods["stan-1"], name="astan-0", uid="a-0", state="FT_ACTIVE")
    seen = group(cluster)
    assert [server.pod for server in seen.servers()] == ["stan-0", "stan-1", "stan-2"]
    assert seen.problem() == ""


def test_the_servers_are_asked_on_the_monitoring_port_that_was_named(cluster: PlayCluster) -> None:
    seen = group(cluster)
    asked: list[str] = []
    seen.core = SimpleNamespace(
        connect_get_namespaced_pod_proxy_with_path=lambda pod, *_, **__: asked.append(pod) or SimpleNamespace(data="{}")
    )
    seen.monitor_port = 8333
    assert seen.monitor("stan-0", "varz") == {}
    assert asked == ["stan-0:8333"]
    options = cli.parser().parse_args(["--monitor-port", "8333"])
    assert options.monitor_port == 8333


def test_a_group_that_is_scaled_to_nothing_is_not_whole_and_the_remedy_is_told(cluster: PlayCluster) -> None:
    cluster.pods.clear()
    cluster.replicas = 0
    assert group(cluster).problem() == "it is scaled to 0 (kubectl -n default scale statefulset stan --replicas=3)"


@pytest.mark.parametrize(("persistent", "retries"), [(False, False), (True, None)])
def test_only_who_is_persistent_tries_again_at_once(cluster: PlayCluster, persistent: bool, retries: object) -> None:
    access: Any = api.connect(cluster.kubeconfig, persistent=persistent)
    assert access.configuration.retries is retries
    assert access.configuration.host in cluster.kubeconfig.read_text()


def test_an_api_server_that_takes_calls_and_never_answers_is_given_up(
    cluster: PlayCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bounds, "API_CALL", 0.2)
    silent = cluster.kubeconfig.with_name("silent")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        silent.write_text(re.sub(r"http://127\.0\.0\.1:\d+", address, cluster.kubeconfig.read_text()))
        assert exit_code(cli.main, "--kubeconfig", str(silent)) == 2
    assert capsys.readouterr().err.startswith("error: no answer from 127.0.0.1")


def test_a_group_that_does_not_exist_is_named_with_its_namespace(cluster: PlayCluster) -> None:
    with pytest.raises(UserError, match="no StatefulSet 'other' in namespace 'default'.*--name"):
        Group.connect(kubeconfig=cluster.kubeconfig, name="other").replicas()


def test_a_kubeconfig_without_a_cluster_is_refused_with_the_options_that_name_one(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(UserError, match="no usable kubeconfig.*--kubeconfig.*--context"):
        Group.connect(kubeconfig=tmp_path / "empty")


def test_down_leaves_what_was_built_unless_it_is_told_otherwise(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool, remembered = tmp_path / "cache" / "tools" / "helm", kind.home() / "images-from"
    for file in (tool, remembered):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    taking_away.down()
    assert capsys.readouterr().err == "", "there was nothing to take away, and nothing is said"
    assert (tool.exists(), remembered.exists()) == (True, False)
    monkeypatch.setattr(sys, "argv", ["down", "--cache"])
    assert down.main() == 0
    assert not tool.exists()
    assert os.environ["STAN_FT_CACHE"] == str(tmp_path / "cache"), "it was the cache of this test that went"


def test_a_cache_that_holds_a_home_is_not_removed(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "cache" / "me"))
    (tmp_path / "cache" / "me").mkdir(parents=True)
    with pytest.raises(UserError, match="holds more than what was built"):
        taking_away.down(everything=True)
    assert (tmp_path / "cache" / "me").exists()


def test_down_with_the_cache_leaves_no_file_of_the_engine_that_was_started(programs: Programs, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if "programs" not in path.parts}
    for file in (engine.RUN / "docker.log", engine.DATA / "image" / "layer", tmp_path / "cache" / "tools" / "helm"):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    taking_away.down(everything=True)
    assert {path for path in tmp_path.rglob("*") if "programs" not in path.parts} == before


def test_the_data_of_an_engine_that_runs_is_not_removed(programs: Programs) -> None:
    engine.DATA.mkdir(parents=True)
    # A builtin that waits: a program would be a child of the shell, which has the same arguments until it is there.
    waiting = ["sh", "-c", "echo up; read _", f"--data-root={engine.DATA}"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline() == b"up\n"  # a program that just began shows no arguments yet
        with pytest.raises(UserError, match=f"still uses .*process {running.pid}"):
            engine.remove_own()
        running.kill()
    assert engine.DATA.exists()
