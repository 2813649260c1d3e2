"""scripts/drill up to its first fault, on a played cluster: what it tells, what it refuses, that nothing is done."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import exit_code
from playcluster import PlayCluster
from standins import Programs

from stanft.cli import drill


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayCluster]:
    """A whole group on a cluster that is not the local one."""
    Programs(tmp_path, monkeypatch).add("docker", "exit 1")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with PlayCluster(tmp_path) as played:
        yield played


def play(cluster: PlayCluster, *arguments: str) -> int:
    return exit_code(drill.main, "--kubeconfig", str(cluster.kubeconfig), *arguments)


def test_a_dry_run_tells_group_traffic_and_faults_and_does_nothing(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--fault", "delete=3", "--rate", "250", "--publishers", "4", "--size", "256", "--dry-run")
    assert play(cluster, *arguments) == 0
    told = capsys.readouterr().err
    assert "StatefulSet stan in namespace default" in told
    assert "stan-0: FT_ACTIVE on node-of-stan-0" in told
    assert "traffic: 1000 messages/s of 256 bytes" in told
    assert "3 x delete:" in told
    assert told.endswith("dry run: nothing was done\n")
    assert cluster.deletions == []


def test_rights_that_this_user_lacks_are_named_before_anything_is_done(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.not_allowed = {"delete"}
    assert play(cluster, "--fault", "delete", "--yes") == 2
    assert "this user may not delete pods in namespace default: ask for that right." in capsys.readouterr().err
    assert cluster.deletions == []


@pytest.mark.parametrize("fault", ["delete", "drain", "roll", "scale"])
def test_a_fault_needs_its_own_rights_alone(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    needed = {"delete": "delete", "drain": "create", "roll": "patch", "scale": "patch"}
    cluster.not_allowed = {"delete", "create", "patch"} - {needed[fault]}
    assert play(cluster, "--fault", fault, "--dry-run") == 0, capsys.readouterr().err


def test_a_group_that_is_not_whole_is_mended_first(cluster: PlayCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.pods["stan-2"].routes = 1
    assert play(cluster, "--fault", "delete", "--yes") == 2
    told = capsys.readouterr().err
    assert "not whole before the drill: stan-2 has routes to 1 of 2 other servers. Mend that first." in told


def test_where_nobody_can_be_asked_a_drill_wants_to_be_told_yes(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(cluster, "--fault", "delete") == 2
    assert "give --yes where nobody can be asked" in capsys.readouterr().err
    assert cluster.deletions == []


@pytest.mark.parametrize("answer", ["", "yes", "stan"])
def test_any_answer_but_the_namespace_stops_the_drill(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    terminal = io.StringIO(answer + "\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert play(cluster, "--fault", "delete") == 2
    assert "not confirmed: nothing was done" in capsys.readouterr().err
    assert cluster.deletions == []


def test_a_fault_that_needs_nodes_is_refused_on_a_cluster_of_somebody_else(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(cluster, "--fault", "hang", "--dry-run") == 2
    assert "needs" in capsys.readouterr().err


def test_ctrl_c_at_the_question_ends_with_130(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(terminal, "readline", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("sys.stdin", terminal)
    assert play(cluster, "--fault", "delete") == 130
    assert cluster.deletions == []
