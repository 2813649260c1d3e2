"""A whole drill on real servers: what it collects convicts a bad run and no good one, in groups of other makes too."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loopbackgroup import LoopbackReach, PodGroup, PodScene

from harness.loopback.server import Group
from stanft.drill.judge import LIVE, RESTART
from stanft.drill.run import PLAN, Settings, play
from stanft.faults import Fault, Injection, Need, Scene
from stanft.ground.errors import UserError
from stanft.traffic.ledger import Ledger

RATE = 100.0  # acknowledged messages per second; the default needs a machine that does nothing else
SETTINGS = Settings(plan=replace(PLAN, rate=150.0, drain_idle=3.0), minimum_rate=RATE, last_read=RESTART)


def crash(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    """The active's server dies and is started again."""
    assert isinstance(scene, PodScene)
    pod = scene.active()
    injection.victims.append(pod.metadata.name)
    injection.at = scene.crash(pod)


def crash_a_standby_unseen(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    """A server that is said to be spared dies."""
    assert isinstance(scene, PodScene)
    injection.at = scene.crash(scene.standbys()[0])


def fail_after_the_crash(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    """A fault that finds after its first half that it cannot go on."""
    crash(scene, injection, undo)
    raise UserError("no standby took over within 60 s of a kill, so it could not be killed in turn.")


def fail_at_once(_scene: Scene, _injection: Injection, _undo: contextlib.ExitStack) -> None:
    """A fault that cannot be played."""
    raise UserError("there is no exporter to crash")


def fault(act: Callable[[Scene, Injection, contextlib.ExitStack], None], **changes: Any) -> Fault:
    """A fault with this deed."""
    return Fault("crash", "a crash", Need.API, act, **{"patience": 30.0, **changes})


@pytest.fixture
def scene(group: Group) -> PodScene:
    """Three servers, on nodes whose clocks are an hour off UTC."""
    return PodScene(PodGroup(group, offset=1))


def played(scene: PodScene, chosen: Fault, settings: Settings = SETTINGS) -> dict[str, Any]:
    """One run."""
    pods = scene.group
    assert isinstance(pods, PodGroup)
    return play(chosen, scene, LoopbackReach(pods), settings)


def test_a_crash_of_the_active_is_ok_and_everything_about_it_is_known(scene: PodScene) -> None:
    run = played(scene, fault(crash))
    assert run["problems"] == []
    assert run["judgement"]["word"] == "ok"
    assert run["takeovers"] == 1
    assert run["outage"] >= run["merged"] > 0
    assert {name.rpartition("/")[2] for name in run["publishers"]} == {"pub-0", "pub-1"}
    assert sum(run["restarts"].values()) == 1, "the restarts of a container of whatever name are seen"
    # Logs of a node that is not on UTC are read.
    moments = run["timeline"]
    assert moments["fault"] < moments["lock"] < moments["ready"] <= moments["first_ack"] + 0.05
    ledger = run["verdict"]
    assert ledger["delivered"] >= ledger["acknowledged"] > 0
    assert run["last_read"] == "restart"


def test_a_second_run_on_the_same_channel_does_not_mix_with_the_first(scene: PodScene) -> None:
    nothing = fault(lambda _scene, injection, _undo: _now(injection), takeovers=(0, 0), lasts=1.0)
    live = replace(SETTINGS, last_read=LIVE)
    assert played(scene, nothing, live)["problems"] == []
    assert played(scene, nothing, live)["problems"] == []


def _now(injection: Injection) -> None:
    injection.at = time.monotonic()


def test_a_store_that_loses_messages_at_the_restart_convicts_and_its_ledger_is_kept(
    scene: PodScene, group: Group, tmp_path: Path
) -> None:
    class Thief(PodScene):
        """Empties the store while no server runs."""

        def delete(self, pod: Any, grace: int | None = None) -> float:  # noqa: ARG002
            """The last of them to end takes the channel along."""
            channel = group.store / PLAN.channel
            if channel.exists():
                for server in group.servers:
                    if server.alive:
                        server.kill()
                shutil.rmtree(channel)
                for server in group.servers:
                    server.start()
            return 0.0

    found = played(Thief(scene.group), fault(crash), replace(SETTINGS, keep=tmp_path))
    assert found["judgement"]["word"] == "lost"
    lost = found["verdict"]["findings"]["lost"]["count"]
    assert lost == found["verdict"]["acknowledged"]
    [kept] = tmp_path.iterdir()
    assert Ledger.from_dict(json.loads(kept.read_text())).verdict().findings["lost"].count == lost


def test_a_bystander_that_restarts_convicts(scene: PodScene) -> None:
    run = played(scene, fault(crash_a_standby_unseen, takeovers=(0, 0), lasts=2.0, spares_bystanders=True))
    assert run["judgement"]["word"] == "failed"
    assert [problem for problem in run["problems"] if "restarted although nothing was done to it" in problem]


def test_what_goes_wrong_after_the_fault_has_begun_is_a_run_that_failed_and_not_one_that_was_not_made(
    scene: PodScene,
) -> None:
    run = played(scene, fault(fail_after_the_crash))
    assert run["judgement"]["word"] == "failed"
    assert run["problems"][0].startswith("no standby took over within 60 s of a kill")
    assert run["takeovers"] == 1, "all else is judged too"


def test_a_fault_that_cannot_be_played_is_no_run(scene: PodScene) -> None:
    with pytest.raises(UserError, match="no exporter to crash"):
        played(scene, fault(fail_at_once))
