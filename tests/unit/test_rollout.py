"""The order in which servers are restarted: the real script and the real kubectl, against a cluster that is played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import exit_code
from playcluster import PlayCluster, Pod

from stanft.cli import rollout as cli
from stanft.ground.errors import UserError
from stanft.group import rollout


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PlayCluster]:
    """Three outdated servers, stan-0 active."""
    with PlayCluster(tmp_path) as played:
        yield played


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes with each look in this play, so there is nothing to wait for."""
    monkeypatch.setenv("PAUSE", "0")


def restart(cluster: PlayCluster, **options: object) -> rollout.Rollout:
    return rollout.restart("default", kubeconfig=cluster.kubeconfig, **{"timeout": 60, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("active", [0, 1, 2])
def test_standbys_are_restarted_first_and_the_active_last_with_one_takeover(tmp_path: Path, active: int) -> None:
    with PlayCluster(tmp_path, active=active) as cluster:
        done = restart(cluster)
    standbys = [f"stan-{n}" for n in (2, 1, 0) if n != active]
    assert cluster.deletions == [*standbys, f"stan-{active}"]
    assert done.restarted == tuple(cluster.deletions)
    assert done.takeovers == 1
    assert done.active in standbys


def test_nothing_is_restarted_when_every_pod_is_up_to_date(cluster: PlayCluster) -> None:
    cluster.update_revision = "old"
    done = restart(cluster)
    assert (done.restarted, done.active, done.takeovers) == ((), "stan-0", 0)


def test_a_second_run_goes_on_where_the_first_one_stopped(cluster: PlayCluster) -> None:
    cluster.pods["stan-2"].revision = "new"
    assert restart(cluster).restarted == ("stan-1", "stan-0")


def test_all_restarts_every_pod_once_even_if_up_to_date(cluster: PlayCluster) -> None:
    cluster.update_revision = "old"
    assert restart(cluster, everything=True).restarted == ("stan-2", "stan-1", "stan-0")


def test_an_old_pod_that_cannot_start_is_replaced_at_once(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].waiting = "CrashLoopBackOff"
    assert restart(cluster).restarted == ("stan-1", "stan-2", "stan-0")


def test_a_group_of_which_nobody_can_start_is_replaced_whole(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.waiting, pod.state = "ImagePullBackOff", ""

    def elect(played: PlayCluster) -> None:
        if all(pod.ready for pod in played.pods.values()) and not played.actives():
            played.pods["stan-1"].state = "FT_ACTIVE"

    cluster.on_look = elect
    assert sorted(restart(cluster).restarted) == ["stan-0", "stan-1", "stan-2"]


@pytest.mark.parametrize("container", ["waiting", "before"])
def test_a_new_pod_that_cannot_start_stops_everything_and_is_named(cluster: PlayCluster, container: str) -> None:
    def broken(pod: Pod) -> None:
        setattr(pod, container, "CrashLoopBackOff")

    cluster.newborn = broken
    with pytest.raises(UserError, match=r"stan-2 does not start: CrashLoopBackOff\. Restarted so far: stan-2"):
        restart(cluster, timeout=4)
    assert cluster.deletions == ["stan-2"]
    assert cluster.actives() == ["stan-0"]


def test_a_new_pod_without_all_its_routes_stops_everything_and_is_named(cluster: PlayCluster) -> None:
    def lonely(pod: Pod) -> None:
        pod.routes = 1

    cluster.newborn = lonely
    with pytest.raises(UserError, match="stan-2 has a route to 1 of 2 other servers"):
        restart(cluster, timeout=10)
    assert cluster.deletions == ["stan-2"]


def test_an_old_pod_without_its_routes_is_replaced_since_the_change_may_mend_it(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.routes = 0
    assert restart(cluster).restarted == ("stan-2", "stan-1", "stan-0")


def test_nothing_is_restarted_while_nobody_is_active(cluster: PlayCluster) -> None:
    cluster.pods["stan-0"].state = "FT_STANDBY"
    with pytest.raises(UserError, match="no server is active"):
        restart(cluster, timeout=4)
    assert cluster.deletions == []


def test_nothing_is_restarted_while_a_server_recovers_its_store(cluster: PlayCluster) -> None:
    cluster.pods["stan-0"].state = ""
    with pytest.raises(UserError, match="stan-0 does not answer on its monitor port"):
        restart(cluster, timeout=4)
    assert cluster.deletions == []


def test_nothing_is_restarted_while_two_servers_say_that_they_are_active(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].state = "FT_ACTIVE"
    with pytest.raises(UserError, match="more than one server says that it is active: stan-0 stan-1"):
        restart(cluster, timeout=4)
    assert cluster.deletions == []


def test_servers_of_an_external_nats_need_no_routes(cluster: PlayCluster) -> None:
    def outside(pod: Pod) -> None:
        pod.routes, pod.apart = 0, True

    for pod in cluster.pods.values():
        outside(pod)
    cluster.newborn = outside
    said: list[str] = []
    assert restart(cluster, say=said.append).restarted == ("stan-2", "stan-1", "stan-0")
    assert said[-1].endswith("every server is Ready, in no cluster")


def test_an_old_pod_that_runs_but_says_nothing_is_replaced_first(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].ready, cluster.pods["stan-1"].mute = False, True
    cluster.pods["stan-2"].revision = "new"
    said: list[str] = []
    assert restart(cluster, say=said.append).restarted == ("stan-1", "stan-0")
    assert "restarting stan-1 (not Ready, and its monitor port 8222 says nothing)" in said[0] + said[1]


def test_each_pod_is_asked_on_its_own_monitor_port_so_that_a_change_may_give_another(cluster: PlayCluster) -> None:
    def elsewhere(pod: Pod) -> None:
        pod.port = 9222

    for pod in cluster.pods.values():
        pod.port = 8222
    cluster.newborn = elsewhere
    done = restart(cluster, monitor_port=9222)
    assert (done.restarted, done.takeovers) == (("stan-2", "stan-1", "stan-0"), 1)


def test_a_group_of_which_nobody_says_anything_is_replaced_one_by_one(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.ready, pod.mute = False, True
    assert sorted(restart(cluster).restarted) == ["stan-0", "stan-1", "stan-2"]


def test_old_pods_that_their_probes_keep_from_being_ready_are_replaced_the_active_last(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.ready = False
    done = restart(cluster)
    assert (done.restarted, done.takeovers) == (("stan-2", "stan-1", "stan-0"), 1)


def test_an_old_standby_that_is_not_ready_goes_before_the_new_ones_have_all_their_routes(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].ready = False
    cluster.pods["stan-2"].revision, cluster.pods["stan-2"].routes = "new", 1

    def mend(played: PlayCluster) -> None:
        if played.deletions:
            played.pods["stan-2"].routes = 2

    cluster.on_look = mend
    assert restart(cluster).restarted == ("stan-1", "stan-0")


def test_an_old_pod_that_recovers_its_store_is_left_alone_even_if_it_is_not_ready(cluster: PlayCluster) -> None:
    cluster.pods["stan-0"].state, cluster.pods["stan-0"].ready = "", False
    with pytest.raises(UserError, match="stan-0 does not answer on its monitor port"):
        restart(cluster, timeout=4)
    assert cluster.deletions == []


def test_an_active_that_moves_by_itself_is_still_restarted_last(cluster: PlayCluster) -> None:
    def move(played: PlayCluster) -> None:
        if played.deletions == ["stan-2"] and played.pods["stan-2"].ready and not played.pods["stan-2"].deleted:
            played.pods["stan-0"].state, played.pods["stan-1"].state = "FT_STANDBY", "FT_ACTIVE"

    cluster.on_look = move
    assert restart(cluster).restarted == ("stan-2", "stan-0", "stan-1")


def test_a_pod_that_was_replaced_meanwhile_is_not_deleted_again(cluster: PlayCluster) -> None:
    def replace(pod: Pod) -> None:
        if pod.name == "stan-2" and pod.revision == "old":
            pod.uid, pod.revision = "another", "new"

    cluster.before_delete = replace
    assert restart(cluster).restarted == ("stan-1", "stan-0")


def test_it_waits_until_the_controller_has_seen_the_change(cluster: PlayCluster) -> None:
    cluster.observed_generation = 1
    with pytest.raises(UserError, match="the StatefulSet controller has not seen the change yet"):
        restart(cluster, timeout=1)
    assert cluster.deletions == []


def test_a_refusal_of_the_api_server_is_told(cluster: PlayCluster) -> None:
    cluster.forbidden = True
    with pytest.raises(UserError, match="the API server refuses: .*pods is forbidden"):
        restart(cluster, timeout=4)


def test_a_missing_statefulset_is_told_at_once(cluster: PlayCluster) -> None:
    with pytest.raises(UserError, match="StatefulSet other in namespace default cannot be read: .*not found"):
        restart(cluster, statefulset="other")


def test_the_command_prints_each_step_and_ends_with_0(cluster: PlayCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--kubeconfig", str(cluster.kubeconfig)) == 0
    said = capsys.readouterr()
    assert "restarting stan-2 (standby)" in said.out
    assert "takeovers: 1" in said.out
    assert said.err == ""


def test_the_command_says_once_what_is_wrong_and_ends_with_2(
    cluster: PlayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--kubeconfig", str(cluster.kubeconfig), "--statefulset", "other") == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: there is no StatefulSet 'other' in namespace 'default'")
    assert "error" not in said.out


def command(*arguments: str) -> int:
    """The exit code of stan-ft rollout with these arguments."""
    return exit_code(cli.main, *arguments)
