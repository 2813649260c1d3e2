"""Faults heal whatever happens, hit whom they name, and say clearly where they cannot be played."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException
from standins import played_group

from harness.local import furnish
from stanft import faults
from stanft.faults import Fault, Goal, Injection, Need, Scene, process
from stanft.faults.model import uninterrupted
from stanft.ground.errors import UserError
from stanft.group.live import ServerState
from stanft.words import ACTIVE, STANDBY

furnish.add_faults()


class Api:
    """The Kubernetes API as far as the pod faults use it: it keeps what was asked for."""

    def __init__(self, *, cordoned: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.cordoned = cordoned
        self.looked: list[str] = []  # for which pods somebody waited

    def delete_namespaced_pod(self, name: str, namespace: str, *, body: dict[str, Any], **_: Any) -> None:
        """Note the deletion."""
        self.calls.append(("delete", name, namespace, body))

    def read_namespaced_pod(self, name: str, _namespace: str) -> Any:
        """Say that the pod is gone."""
        self.looked.append(name)
        raise ApiException(status=404, reason=name)

    def read_node(self, _name: str) -> Any:
        """Give the node, cordoned or not."""
        return SimpleNamespace(spec=SimpleNamespace(unschedulable=self.cordoned))

    def patch_node(self, name: str, body: dict[str, Any]) -> None:
        """Note the change."""
        self.calls.append(("node", name, body["spec"]["unschedulable"]))

    def create_namespaced_pod_eviction(self, name: str, _namespace: str, _body: Any) -> None:
        """Note the eviction."""
        self.calls.append(("evict", name))

    def patch_namespaced_stateful_set(self, name: str, _namespace: str, _body: dict[str, Any]) -> None:
        """Note the new template."""
        self.calls.append(("template", name))

    def patch_namespaced_stateful_set_scale(self, _name: str, _namespace: str, body: dict[str, Any]) -> None:
        """Note the number."""
        self.calls.append(("scale", body["spec"]["replicas"]))


def scene(api: Api, active: str = "stan-1") -> Scene:
    """Three servers, one of them active, on a cluster whose nodes are not ours."""
    names = ["stan-0", "stan-1", "stan-2"]
    pods = [
        SimpleNamespace(
            metadata=SimpleNamespace(name=name, uid=f"uid-of-{name}"),
            spec=SimpleNamespace(node_name=f"node-{name[-1]}", containers=[]),
            status=SimpleNamespace(container_statuses=[]),
        )
        for name in names
    ]
    group = played_group(api, "messaging", pods, active)
    return Scene(group)


def played(act: Any, **options: Any) -> Fault:
    """A fault made of one function."""
    return Fault("play", "a play", Need.API, act, **options)


def test_a_fault_is_healed_when_the_block_under_it_fails() -> None:
    healed: list[str] = []

    def act(_scene: Scene, _injection: Injection, undo: contextlib.ExitStack) -> None:
        undo.callback(healed.append, "first")
        undo.callback(healed.append, "second")

    with pytest.raises(ZeroDivisionError), played(act).on(scene(Api())):
        raise ZeroDivisionError
    assert healed == ["second", "first"], "undone in the reverse order"


def test_a_fault_that_fails_half_way_undoes_the_half_that_it_did() -> None:
    healed: list[str] = []

    def act(_scene: Scene, _injection: Injection, undo: contextlib.ExitStack) -> None:
        undo.callback(healed.append, "half")
        raise UserError("no further")

    with pytest.raises(UserError, match="no further"), played(act).on(scene(Api())):
        pytest.fail("the block must not run")
    assert healed == ["half"]


def test_one_undoing_that_fails_does_not_keep_the_others_from_being_done() -> None:
    healed: list[str] = []

    def fail() -> None:
        raise OSError("node away")

    def act(_scene: Scene, _injection: Injection, undo: contextlib.ExitStack) -> None:
        undo.callback(healed.append, "below")
        undo.callback(fail)

    with pytest.raises(OSError, match="node away"), played(act).on(scene(Api())):
        pass
    assert healed == ["below"]


def test_ctrl_c_during_the_healing_waits_until_it_is_done() -> None:
    done: list[str] = []

    def heal_while_interrupted() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("healed")

    with pytest.raises(KeyboardInterrupt):
        heal_while_interrupted()
    assert done == ["healed"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_scene_is_put_back_after_a_fault_that_had_to_prepare_it() -> None:
    story: list[str] = []

    def prepare(_scene: Scene, undo: contextlib.ExitStack) -> None:
        undo.callback(story.append, "put back")
        story.append("prepared")

    fault = played(lambda *_: story.append("act"), prepare=prepare)
    with fault.ready(scene(Api())), fault.on(scene(Api())):
        story.append("block")
    assert story == ["prepared", "act", "block", "put back"]


@pytest.mark.parametrize("name", [name for name, fault in faults.FAULTS.items() if fault.need is Need.NODES])
def test_a_fault_of_nodes_is_refused_where_the_nodes_are_not_ours(name: str) -> None:
    api = Api()
    with pytest.raises(UserError, match="nodes of the local cluster"), faults.find(name).on(scene(api)):
        pytest.fail("the block must not run")
    assert api.calls == []


def test_deleting_the_active_deletes_this_very_pod_and_no_successor_of_its_name() -> None:
    api = Api()
    with faults.find("delete").on(scene(api, active="stan-2")) as injection:
        assert api.calls == [("delete", "stan-2", "messaging", {"preconditions": {"uid": "uid-of-stan-2"}})]
    assert injection.victims == ["stan-2"]
    assert injection.healed_at is not None
    assert injection.at <= injection.healed_at


def test_forced_deletion_leaves_the_server_no_time() -> None:
    api = Api()
    with faults.find("delete-by-force").on(scene(api)):
        assert api.calls[0][3]["gracePeriodSeconds"] == 0


def test_a_drain_cordons_the_node_first_and_uncordons_it_at_the_end() -> None:
    api = Api()
    with faults.find("drain").on(scene(api)):
        assert api.calls == [("node", "node-1", True), ("evict", "stan-1")]
    assert api.calls[-1] == ("node", "node-1", None)


def test_a_drain_leaves_a_node_alone_that_somebody_else_cordoned() -> None:
    api = Api(cordoned=True)
    with pytest.raises(UserError, match="uncordon"), faults.find("drain").on(scene(api)):
        pytest.fail("the block must not run")
    assert api.calls == []


def test_scaling_down_scales_up_again_to_as_many_as_there_were() -> None:
    api = Api()
    with pytest.raises(ZeroDivisionError), faults.find("scale").on(scene(api)):
        raise ZeroDivisionError
    assert api.calls == [("scale", 1), ("scale", 3)]
    assert api.looked == ["stan-1", "stan-2"], "the first one stays"


def test_all_pods_are_deleted_before_anybody_waits_for_one() -> None:
    api = Api()
    with faults.find("delete-all").on(scene(api)) as injection:
        assert [name for _, name, *_ in api.calls] == ["stan-0", "stan-1", "stan-2"] == injection.victims
        assert api.looked == injection.victims


def stateful_set(strategy: str, *, seen: int = 2, updated: int = 3, ready: int = 3) -> Any:
    """The servers' StatefulSet, whose template is the second one."""
    return SimpleNamespace(
        metadata=SimpleNamespace(generation=2),
        spec=SimpleNamespace(replicas=3, update_strategy=SimpleNamespace(type=strategy)),
        status=SimpleNamespace(observed_generation=seen, updated_replicas=updated, ready_replicas=ready),
    )


def test_a_roll_by_kubernetes_is_over_when_all_are_new_and_ready() -> None:
    api, rolling = Api(), partial(stateful_set, "RollingUpdate")
    looks = iter([rolling(), rolling(seen=1), rolling(updated=2), rolling(ready=2), rolling(), rolling()])
    group = scene(api).group
    group.stateful_set = lambda: next(looks)  # type: ignore[method-assign]
    with faults.find("roll").on(Scene(group)) as injection:
        assert injection.victims == ["stan-0", "stan-1", "stan-2"]
        assert injection.notes[0].startswith("rolled by Kubernetes in ")
    assert len(list(looks)) == 1, "it waited as long as something was missing"
    assert api.calls == [("template", "stan")]


def test_a_roll_of_servers_that_wait_for_their_deletion_is_done_as_an_upgrade_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restarted: list[tuple[str, ...]] = []

    def restart(*where: str, **_: Any) -> Any:
        restarted.append(where)
        return SimpleNamespace(restarted=["stan-0", "stan-1"])

    monkeypatch.setattr("stanft.group.rollout.restart", restart)
    group = scene(Api()).group
    group.stateful_set = lambda: stateful_set("OnDelete")  # type: ignore[method-assign]
    with faults.find("roll").on(Scene(group)) as injection:
        assert injection.notes[0].startswith("restarted stan-0, stan-1 in ")
    assert restarted == [("messaging", "stan")]


def test_a_fault_for_the_active_is_refused_while_two_say_that_they_are() -> None:
    two = scene(Api())
    two.group.servers()[0].is_active = True  # type: ignore[misc]
    with pytest.raises(UserError, match="exactly one, and 2 say that they are"), faults.find("delete").on(two):
        pytest.fail("the block must not run")


def test_a_standby_is_any_server_but_the_active() -> None:
    assert [pod.metadata.name for pod in scene(Api(), active="stan-0").standbys()] == ["stan-1", "stan-2"]


@pytest.mark.parametrize("wrong", [3600, -3600], ids=["ahead", "behind"])
def test_the_time_of_a_signal_lies_within_its_call_whatever_the_nodes_clock_says(wrong: int) -> None:
    nodes: Any = SimpleNamespace(node_exec=lambda *_: f"{time.time_ns() + wrong * 10**9}\n")
    before = time.monotonic()
    at = replace(scene(Api()), cluster=nodes).signal_pid("node-1", 7, 9)
    assert before <= at <= time.monotonic()


def state(pod: str, said: str, routes: int = 2, *, meshed: bool = True) -> ServerState:
    """A server that says so of itself."""
    return ServerState(pod, "node", "10.0.0.1", True, 0, said, routes, meshed)


@pytest.mark.parametrize(
    ("servers", "successor"),
    [
        ([state("stan-1", ACTIVE), state("stan-0", STANDBY)], None),
        ([state("stan-1", ""), state("stan-0", STANDBY)], None),
        ([state("stan-0", "", routes=0), state("stan-2", ACTIVE)], "stan-2"),
        ([state("stan-0", STANDBY), state("stan-2", "")], "stan-2"),
        ([state("stan-0", "", routes=0, meshed=False)], "stan-0"),
        ([state("stan-0", "", routes=0)], None),
    ],
    ids=[
        "its own last word",
        "the killed one",
        "an active",
        "in recovery",
        "in recovery beside a NATS",
        "only starting",
    ],
)
def test_who_takes_over_is_active_or_in_recovery_and_never_the_one_that_was_killed(
    servers: list[ServerState], successor: str | None
) -> None:
    played_scene: Any = SimpleNamespace(group=SimpleNamespace(servers=lambda: servers))
    found = process._taking_over(played_scene, "stan-1")
    assert (found.pod if found else None) == successor


def test_a_recovery_is_killed_until_three_servers_were_hit() -> None:
    hit: list[str] = []
    played_scene = scene(Api())
    servers = played_scene.group.servers

    class Hitting(Scene):
        """Notes whom a signal is for; the next standby is in recovery then, once its process is there."""

        def signal(self, pod: Any, number: int, container: str = "") -> float:  # noqa: ARG002
            """Note it."""
            if len(hit) == 1 and "not yet" not in hit:
                hit.append("not yet")
                raise UserError("it does not run")
            hit.append(pod.metadata.name)
            gone = pod.metadata.name
            for each in servers():
                each.state = "" if each.pod != gone else STANDBY
                each.is_active, each.meshed = False, True
            return 1.0

    injection = Injection("kill-in-recovery")
    process._kill_repeatedly(Hitting(played_scene.group), injection, contextlib.ExitStack())
    assert injection.victims == ["stan-1", "stan-0", "stan-1"]
    assert hit == ["stan-1", "not yet", "stan-0", "stan-1"]


@pytest.mark.parametrize(("active_then", "replaced"), [("stan-0", ["stan-1"]), ("stan-1", [])])
def test_an_abort_is_timed_when_the_server_last_ran_and_its_pod_is_replaced_unless_it_is_active(
    active_then: str, replaced: list[str]
) -> None:
    looks = iter(["0 True", "0 True", "1 True"])
    asked: list[float] = []
    bodies: list[dict[str, Any]] = []

    class Aborted(Api):
        def read_namespaced_pod(self, name: str, _namespace: str) -> Any:
            if (found := next(looks, None)) is None:
                raise ApiException(status=404, reason=name)
            asked.append(time.monotonic())
            count, running = found.split()
            status = SimpleNamespace(name="stan", restart_count=int(count), state=SimpleNamespace(running=running))
            return SimpleNamespace(status=SimpleNamespace(container_statuses=[status]))

        def patch_namespaced_pod_ephemeralcontainers(self, _name: str, _namespace: str, body: dict[str, Any]) -> None:
            asked.append(time.monotonic())
            bodies.append(body)

    api = Aborted()
    played_scene = scene(api)
    for pod in played_scene.group.pods():
        pod.spec.containers.append(SimpleNamespace(name="stan", ports=[]))
    with faults.find("abort").on(played_scene) as injection:
        before, patched, still_ran, ended = asked
        assert before < patched < injection.at <= still_ran < ended
        assert injection.victims == ["stan-1"]
        for each in played_scene.group.servers():
            each.is_active = each.pod == active_then
    assert [name for what, name, *_ in api.calls if what == "delete"] == replaced
    [container] = bodies[0]["spec"]["ephemeralContainers"]
    assert (container["targetContainerName"], container["command"]) == ("stan", ["sh", "-c", "kill -ABRT 1"])


def test_a_fault_for_the_active_is_refused_while_there_is_none() -> None:
    with pytest.raises(UserError, match="exactly one"), faults.find("delete").on(scene(Api(), active="nobody")):
        pytest.fail("the block must not run")


def test_a_scene_that_a_fault_cannot_have_is_refused_before_anything_is_prepared() -> None:
    prepared: list[str] = []
    fault = Fault("play", "a play", Need.NODES, lambda *_: None, prepare=lambda *_: prepared.append("it"))
    with pytest.raises(UserError, match="nodes of the local cluster"), fault.ready(scene(Api())):
        pytest.fail("the block must not run")
    assert prepared == []


def test_a_fault_of_nodes_is_played_where_the_nodes_are_ours() -> None:
    nodes: Any = SimpleNamespace(name="ours")
    fault = Fault("play", "a play", Need.NODES, lambda *_: None)
    with fault.on(replace(scene(Api()), cluster=nodes)) as injection:
        assert injection.healed_at is None


def test_what_happened_is_noted_where_the_caller_looks_for_it_also_after_an_error() -> None:
    noted = Injection("mine")

    def act(_scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
        injection.victims.append("stan-0")
        raise UserError("no further")

    with pytest.raises(UserError), played(act).on(scene(Api()), noted):
        pytest.fail("the block must not run")
    assert (noted.fault, noted.victims) == ("mine", ["stan-0"])
    assert noted.healed_at is not None


def test_a_goal_names_only_what_is_promised() -> None:
    assert str(Goal(median=0.9, worst=8.0)) == "median <= 0.9 s, each <= 8 s"
    assert str(Goal()) == ""


def test_healing_is_also_possible_beside_the_main_thread_and_asks_for_patience_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    healed: list[str] = []

    def heal() -> None:
        with uninterrupted():
            healed.append("it")

    beside = threading.Thread(target=heal)
    beside.start()
    beside.join()
    assert healed == ["it"]
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGTERM)
    assert "healing first; please wait" in capsys.readouterr().err


def test_an_unknown_fault_is_answered_with_the_names_of_all() -> None:
    with pytest.raises(UserError, match=r"there is no fault 'kil'.*kill.*roll"):
        faults.find("kil")


def test_as_many_takeovers_are_right_as_the_fault_brings_about_and_only_some_spare_bystanders() -> None:
    right: dict[tuple[int, int], set[str]] = {}
    for name, fault in faults.FAULTS.items():
        right.setdefault(fault.takeovers, set()).add(name)
    assert right == {
        (0, 0): {"soak", "kill-standby", "kill-exporter", "api-gone", "volume-slow"},
        (0, 1): {"scale", "node-pause", "cut-peers", "cut-all", "volume-hang"},
        (0, 10): {"volume-full"},
        (1, 1): {"kill", "terminate", "hang", "abort", "kill-two", "delete", "delete-by-force", "drain", "roll"}
        | {"node-kill", "node-stop", "kill-without-api"},
        (1, 2): {"delete-all"},
        (1, 3): {"kill-in-recovery"},
    }
    assert {name for name, fault in faults.FAULTS.items() if fault.spares_bystanders} == {"soak", "hang", "volume-slow"}


def test_every_fault_says_what_it_is_and_how_many_takeovers_are_right() -> None:
    for name, fault in faults.FAULTS.items():
        assert name == fault.name
        assert fault.sentence
        fewest, most = fault.takeovers
        # A full disk ends one active after the other until there is room again.
        assert 0 <= fewest <= most <= (10 if name == "volume-full" else 3)
        assert fault.lasts is None or fault.lasts < fault.patience
