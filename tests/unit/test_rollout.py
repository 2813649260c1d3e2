"""The order in which servers are restarted: the real program, against a cluster that is played."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code
from playcluster import PlayCluster, Pod

from stanft.cli import rollout as cli
from stanft.ground.errors import UserError
from stanft.group import rollout
from stanft.group.active_last.run import Outcome
from stanft.group.active_last.settings import Settings


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PlayCluster]:
    """Three outdated servers, stan-0 active."""
    with PlayCluster(tmp_path) as played:
        yield played


def restart(
    cluster: PlayCluster, *, say: Callable[[str], None] = lambda _: None, statefulset: str = "stan", **changes: Any
) -> Outcome:
    """A rollout in the cluster's own time, in which nothing is waited for."""
    return rollout.run(Settings("default", statefulset, **changes), cluster, say, cluster.clock)


def elect(played: PlayCluster) -> None:
    """Let one of them become active once all are there."""
    if all(pod.ready for pod in played.pods.values()) and not played.actives():
        next(reversed(played.pods.values())).state = "FT_ACTIVE"


@pytest.mark.parametrize("active", [0, 1, 2])
def test_standbys_are_restarted_first_and_the_active_last_with_one_takeover(tmp_path: Path, active: int) -> None:
    with PlayCluster(tmp_path, active=active) as cluster:
        done = restart(cluster)
    standbys = [f"stan-{n}" for n in (2, 1, 0) if n != active]
    assert cluster.deletions == [*standbys, f"stan-{active}"]
    assert done.restarted == tuple(cluster.deletions)
    assert done.takeovers == 1
    assert done.active in standbys


def test_a_rollout_from_outside_hands_on_all_that_it_was_told(
    cluster: PlayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[Settings] = []
    monkeypatch.setattr(rollout, "run", lambda settings, *_: handed.append(settings))
    told: dict[str, Any] = {"everything": True, "container": "broker", "monitor_port": 8333, "timeout": 7}
    rollout.restart("messaging", "bus", kubeconfig=cluster.kubeconfig, **told)
    assert handed == [Settings("messaging", "bus", **told)]


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

    cluster.on_look = elect
    assert sorted(restart(cluster).restarted) == ["stan-0", "stan-1", "stan-2"]


@pytest.mark.parametrize("container", ["waiting", "before"])
def test_a_new_pod_that_cannot_start_stops_everything_and_is_named(cluster: PlayCluster, container: str) -> None:
    def broken(pod: Pod) -> None:
        setattr(pod, container, "CrashLoopBackOff")

    cluster.newborn = broken
    with pytest.raises(UserError, match=r"stan-2 does not start: CrashLoopBackOff\. Restarted so far: stan-2"):
        restart(cluster, timeout=20)
    assert cluster.deletions == ["stan-2"]
    assert cluster.actives() == ["stan-0"]


def test_a_new_pod_without_all_its_routes_stops_everything_and_is_named(cluster: PlayCluster) -> None:
    def lonely(pod: Pod) -> None:
        pod.routes = 1

    cluster.newborn = lonely
    with pytest.raises(UserError, match="stan-2 has a route to 1 of 2 other servers"):
        restart(cluster, timeout=20)
    assert cluster.deletions == ["stan-2"]


def test_an_old_pod_without_its_routes_is_replaced_since_the_change_may_mend_it(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.routes = 0
    assert restart(cluster).restarted == ("stan-2", "stan-1", "stan-0")


def test_nothing_is_restarted_while_nobody_is_active(cluster: PlayCluster) -> None:
    cluster.pods["stan-0"].state = "FT_STANDBY"
    with pytest.raises(UserError, match="no server is active"):
        restart(cluster, timeout=20)
    assert cluster.deletions == []


def test_nothing_is_restarted_while_a_server_recovers_its_store(cluster: PlayCluster) -> None:
    cluster.pods["stan-0"].state = ""
    with pytest.raises(UserError, match="stan-0 does not answer on its monitor port"):
        restart(cluster, timeout=20)
    assert cluster.deletions == []


def test_nothing_is_restarted_while_two_servers_say_that_they_are_active(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].state = "FT_ACTIVE"
    with pytest.raises(UserError, match="more than one server says that it is active: stan-0 stan-1"):
        restart(cluster, timeout=20)
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
        restart(cluster, timeout=20)
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
        restart(cluster, timeout=20)
    assert cluster.deletions == []


def test_a_refusal_of_the_api_server_is_told(cluster: PlayCluster) -> None:
    cluster.forbidden = True
    with pytest.raises(UserError, match="the API server refuses: .*pods is forbidden"):
        restart(cluster, timeout=20)


def test_a_missing_statefulset_is_told_at_once(cluster: PlayCluster) -> None:
    with pytest.raises(UserError, match="StatefulSet other is not in namespace default"):
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


def but_for_the_active(cluster: PlayCluster) -> None:
    """Have every standby restarted already."""
    for pod in cluster.pods.values():
        pod.revision = "old" if pod.state == "FT_ACTIVE" else "new"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The directory that the Job shares with the trial of a new server, whose container has started."""
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "alive").touch()
    return tmp_path / "trial"


def test_the_first_standby_goes_when_a_new_server_became_active_on_a_copy(cluster: PlayCluster, job: Path) -> None:
    (job / "verdict").write_text("passed\n-\na new server became active\n")
    but_for_the_active(cluster)
    said: list[str] = []
    assert restart(cluster, say=said.append, trial=job).restarted == ("stan-0",)
    assert any(line.endswith("tried: a new server became active") for line in said)
    assert (job / "wanted").exists()


def test_a_change_that_fails_on_the_copy_touches_nothing_and_names_the_value(cluster: PlayCluster, job: Path) -> None:
    (job / "verdict").write_text("failed\nconfig.streaming.id\ncluster ID does not match\n")
    with pytest.raises(UserError) as failure:
        restart(cluster, trial=job, release="mq")
    assert cluster.deletions == []
    assert str(failure.value) == (
        "a new server did not become active on a copy of the store: cluster ID does not match. The value to look at: "
        "config.streaming.id. Restarted so far: none. Nothing else was touched, and stan-0 is active; mend this and "
        "run it again, or go back: helm rollback mq --namespace default."
    )


def test_a_trial_that_is_killed_as_a_whole_is_said_to_want_memory(cluster: PlayCluster, job: Path) -> None:
    os.utime(job / "alive", (0, 0))
    with pytest.raises(UserError, match=r"killed, .*container\.resources\.limits\.memory"):
        restart(cluster, trial=job, release="mq")
    assert cluster.deletions == []


def test_a_trial_that_never_starts_is_said_to_lack_its_image(cluster: PlayCluster, job: Path) -> None:
    (job / "alive").unlink()
    with pytest.raises(UserError, match=r"did not start within 12\d s: an image \(image, fencing\.image\)"):
        restart(cluster, trial=job, release="mq")
    assert cluster.deletions == []


def test_nothing_is_tried_where_nothing_is_to_be_restarted(cluster: PlayCluster, job: Path) -> None:
    cluster.update_revision = "old"
    assert restart(cluster, trial=job, release="mq").restarted == ()
    assert not (job / "wanted").exists()
    assert (job / "over").exists()


def test_a_group_that_cannot_start_is_mended_without_a_trial(cluster: PlayCluster, job: Path) -> None:
    for pod in cluster.pods.values():
        pod.waiting, pod.state = "ImagePullBackOff", ""
    cluster.budget = "no"  # it serves nobody, so no budget is asked
    cluster.on_look = elect
    assert len(restart(cluster, trial=job, release="mq").restarted) == 3
    assert not (job / "wanted").exists()


def test_what_is_not_tried_is_said(cluster: PlayCluster) -> None:
    but_for_the_active(cluster)
    said: list[str] = []
    restart(cluster, say=said.append, untried="rollout.trial is false")
    assert sum("not tried on a copy of the store: rollout.trial is false" in line for line in said) == 1


def test_healthy_pods_are_evicted_and_no_lease_is_left_behind(cluster: PlayCluster) -> None:
    cluster.pods["stan-1"].revision = "new"
    restart(cluster)
    assert cluster.evictions == ["stan-2", "stan-0"]
    assert cluster.leases > 0
    assert cluster.lease is None


def test_a_budget_is_waited_for(cluster: PlayCluster) -> None:
    cluster.budget = "Cannot evict pod as it would violate the pod's disruption budget."

    def allow(played: PlayCluster) -> None:
        if played.looks > 3:
            played.budget = ""

    cluster.on_look = allow
    but_for_the_active(cluster)
    said: list[str] = []
    restart(cluster, say=said.append)
    assert any("waiting: stan-0 was not evicted: " in line and "disruption budget" in line for line in said)
    assert cluster.evictions == cluster.deletions


def test_a_budget_that_never_allows_it_is_overruled_with_words(cluster: PlayCluster) -> None:
    cluster.budget = "no"
    but_for_the_active(cluster)
    said: list[str] = []
    assert restart(cluster, say=said.append).restarted == ("stan-0",)
    assert any("a PodDisruptionBudget has forbidden this for 30 s with every server Ready" in line for line in said)


def test_a_second_run_waits_for_the_first(cluster: PlayCluster) -> None:
    cluster.hold("another-7")
    with pytest.raises(UserError, match=r"another rollout \(another-7\) is at work"):
        restart(cluster, timeout=20)
    assert cluster.deletions == []
    assert cluster.lease is not None


def test_a_lease_that_nobody_renews_is_taken_over(cluster: PlayCluster) -> None:
    but_for_the_active(cluster)
    cluster.hold("the-one-whose-node-died")
    assert restart(cluster).restarted == ("stan-0",)


def test_a_right_that_is_missing_ends_it_at_once(cluster: PlayCluster) -> None:
    cluster.budget = 'pods "stan-2" is forbidden: User "me" cannot create resource "pods/eviction"'
    with pytest.raises(UserError, match=r"is forbidden: User .*It takes get on the StatefulSet"):
        restart(cluster)


def test_a_group_in_which_nobody_is_active_and_none_will_be_is_said_to_go_back(cluster: PlayCluster) -> None:
    for pod in cluster.pods.values():
        pod.revision, pod.state = "new", "FT_STANDBY"
    cluster.pods["stan-1"].waiting, cluster.pods["stan-1"].ready = "CrashLoopBackOff", False
    with pytest.raises(UserError, match="no server has been active for 30 s, and none will be: stan-1 .*helm rollback"):
        restart(cluster)


@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_groups_of_any_size_are_restarted_the_active_last(tmp_path: Path, replicas: int) -> None:
    with PlayCluster(tmp_path, replicas=replicas) as cluster:
        for pod in cluster.pods.values():
            pod.routes = replicas - 1

        def connected(pod: Pod) -> None:
            pod.routes = replicas - 1

        for middle in list(cluster.pods.values())[1:-1]:
            middle.revision = "new"
        cluster.newborn = connected
        cluster.on_look = elect
        assert restart(cluster).restarted == (f"stan-{replicas - 1}", "stan-0")[-replicas:]


def test_a_drain_in_the_middle_is_waited_for(cluster: PlayCluster) -> None:
    def drain(played: PlayCluster) -> None:
        if played.deletions and played.pods["stan-2"].ready and played.pods["stan-1"].revision == "old":
            played.delete("stan-1")

    cluster.on_look = drain
    said: list[str] = []
    assert restart(cluster, say=said.append).restarted == ("stan-2", "stan-0")
    assert any("stan-1 is terminating" in line for line in said)


def command(*arguments: str) -> int:
    """The exit code of stan-ft rollout with these arguments."""
    return exit_code(cli.main, *arguments)


@pytest.mark.parametrize("timeout", ["0", "-5", "86401"])
def test_a_time_in_which_nothing_can_be_done_is_refused_before_a_pod_is_touched(
    cluster: PlayCluster, timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(cli.main, "--kubeconfig", str(cluster.kubeconfig), "--timeout", timeout) == 2
    assert "--timeout must be from 1 to 86400 seconds" in capsys.readouterr().err
    assert cluster.deletions == []
