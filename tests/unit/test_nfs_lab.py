"""The NFS lab's parts that need no machine: its command line, its report."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import nfs_lab
from harness.nfs_lab import engines, image, jobs, report, user_mode
from harness.nfs_lab import run as lab_run
from harness.nfs_lab.computer import Computer, Engine, MachineError, Spec
from harness.nfs_lab.faults import FAULTS
from harness.nfs_lab.image import Image
from harness.nfs_lab.judge import Seen
from harness.nfs_lab.lab import Lab, Settings
from harness.nfs_lab.machine import Machine
from harness.nfs_lab.pod import REMEDIES, Pod, rendered, values
from harness.nfs_lab.qemu import Qemu
from harness.nfs_lab.run import Result, chart_values
from harness.nfs_lab.scenes import ENVIRONMENTS, KEPT, SCENES, Scene, mount_options
from harness.nfs_lab.user_mode import UserMode
from stanft.ground import wait
from stanft.ground.errors import UserError
from stanft.kube.objects import dig
from stanft.stan.outcome import Outcome
from stanft.traffic.ledger import Ledger, View, encode
from stanft.traffic.verdict import Judgement, Word


def options(*arguments: str) -> argparse.Namespace:
    """The command line, parsed."""
    return nfs_lab.parser().parse_args(arguments)


def test_all_runs_every_fault_with_the_supervisor_and_without() -> None:
    plan = nfs_lab._plan(options("--all", "--runs", "2"))
    assert {(name, settings.remedies) for name, settings in plan} == {(n, r) for n in FAULTS for r in REMEDIES}
    assert len(plan) == 2 * 2 * len(FAULTS)


def test_the_smoke_run_is_one_kill_one_cut_and_one_freeze() -> None:
    assert [name for name, _ in nfs_lab._plan(options("--smoke"))] == ["kill", "cut-both", "freeze"]


def test_the_supervisor_is_on_unless_something_else_is_asked_for() -> None:
    assert {settings.remedies for _, settings in nfs_lab._plan(options("--smoke"))} == {"supervisor"}
    plan = nfs_lab._plan(options("--fault", "kill", "--remedies", "none", "--remedies", "supervisor"))
    assert [settings.remedies for _, settings in plan] == ["none", "supervisor"]


@pytest.mark.parametrize("remedies", REMEDIES)
def test_a_machine_starts_what_the_charts_container_starts(remedies: str) -> None:
    pod = rendered(values(2, remedies))
    supervised = remedies == "supervisor"
    assert ("--directory=/data/stan/store" in pod.command, bool(pod.files)) == (supervised, supervised)
    assert ("--name=stan-1" in pod.started(1)) == supervised
    assert [word for word in pod.command if word.endswith(".py") and word not in pod.files] == []
    assert pod.command[-2:] == ("-sc", "/etc/stan-config/stan.conf")


@pytest.mark.parametrize("remedies", REMEDIES)
def test_the_volume_is_mounted_as_aws_advises(remedies: str) -> None:
    assert "sync" not in rendered(values(2, remedies)).options


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.name)
def test_the_chart_takes_the_values_of_each_scene_and_its_faults_are_there(scene: Scene) -> None:
    pod = rendered(chart_values(Settings(nodes=scene.nodes, scene=scene.name)))
    assert pod.replicas == scene.nodes
    assert set(scene.faults) <= set(FAULTS)
    for limit, words in (("max_msgs", f"max_msgs: {KEPT}"), ("max_inactivity", 'max_inactivity: "20s"')):
        limits = dig(scene.values, "config.streaming.store_limits", {})
        assert (limit in limits) == (words in pod.configuration)


def test_a_scene_is_played_with_its_own_faults_and_nodes_unless_others_are_asked_for() -> None:
    plan = nfs_lab._plan(options("--scene", "three", "--scene", "failback"))
    assert [(name, settings.scene, settings.nodes) for name, settings in plan] == [
        ("kill", "three", 3),
        ("freeze-stop", "three", 3),
        ("cut-both", "three", 3),
        ("failback", "failback", 2),
    ]
    [(name, settings)] = nfs_lab._plan(options("--scene", "quiet", "--fault", "kill"))
    assert (name, settings.scene) == ("kill", "quiet")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_volume_is_mounted_as_an_environment_has_it(environment: str) -> None:
    own = mount_options(environment)
    assert {"hard", "noresvport"} <= set(own)
    assert rendered(chart_values(Settings(scene=f"as-{environment}"))).options == own
    given = Settings(scene=f"as-{environment}", options=("nfsvers=4.1", "hard"))
    assert rendered(chart_values(given)).options == ("nfsvers=4.1", "hard")


def test_every_scene_has_a_row_of_its_own() -> None:
    other = {**result()["settings"], "scene": "quiet"}
    rows = report.table([result(), result(settings=other)]).splitlines()[2:]
    assert ["| plain |" in rows[0], "| quiet |" in rows[1]] == [True, True]


@pytest.mark.parametrize("error", [MachineError("stan-1: no answer"), TimeoutError()])
def test_what_goes_wrong_after_the_fault_is_noted_and_the_run_goes_on(error: Exception) -> None:
    broken: list[str] = []
    with lab_run._noted(broken):
        raise error
    assert broken == [f"the lab could not go on as planned: {str(error) or 'TimeoutError'}"]


@pytest.mark.parametrize(("scene", "lost"), [("limits", 0), ("plain", 50)])
def test_a_kept_disk_may_lack_what_the_limits_of_its_scene_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: str, lost: int
) -> None:
    ledger = Ledger("run")
    track, views = ledger.track("lab", "beside-stan-0"), [ledger.view("consumer-0", "lab")]

    def deliver(view: View, first: int) -> list[View]:
        for number in range(first, KEPT + 51):
            ledger.deliver(view, encode("run", track.publisher, number), number, False, 100.0)
        return [view]

    for _ in range(KEPT + 50):
        track.end(track.send(100.0), Outcome.STORED, 100.0)
    deliver(views[0], 1)
    ledger.view("last read", "lab", last=True).unfinished = "its session was lost"
    monkeypatch.setattr("harness.nfs_lab.disk.read", lambda *_: deliver(ledger.view("kept disk", "lab", last=True), 51))
    lab: Any = SimpleNamespace(take_disk=lambda: tmp_path / "disk", pod=None)
    seen = Seen("kill", 10, ["stan-0"], "stan-0", 99.0, 101.0, 101.0, ledger, {"stan-0": 0}, right=(0, 0))
    found = lab_run._result(lab, seen, Settings(scene=scene), None)
    assert found.measures["lost"] == lost
    assert found.word is (Word.LOST if lost else Word.UNKNOWN)


class Sleeper(Computer):
    """A computer that does nothing but live."""

    def __init__(self, spec: Spec, *_: object) -> None:
        super().__init__(spec, ["sleep", "60"])
        self.log, self.end = socket.socketpair()

    def commands(self) -> socket.socket:
        """Answers every command with what it was, and code 0."""
        ours, theirs = socket.socketpair()

        def answer() -> None:
            with theirs.makefile("rwb") as file:
                for line in file:
                    number, length = line.split()
                    file.write(number + b" 0 " + base64.b64encode(file.read(int(length))) + b"\n")
                    file.flush()

        threading.Thread(target=answer, daemon=True).start()
        return ours


IMAGE = Image(Path("kernel"), Path("initramfs"))
ENGINE = Engine("user-mode", "Linux in user mode", IMAGE, Sleeper, UserMode.probe, pauses=False)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine that has power and has said nothing yet."""
    made = Machine(Spec("stan-0", "10.99.0.11", "tap-stan-0", tmp_path), ENGINE)
    made.start()
    yield made
    made.power_off()


def played_by(made: Machine) -> Sleeper:
    """The computer that plays a machine."""
    assert isinstance(made._computer, Sleeper)
    return made._computer


def test_a_stopped_machine_stands_still_until_it_goes_on(machine: Machine) -> None:
    state = Path(f"/proc/{played_by(machine).process.pid}/stat")
    machine.stop()
    assert wait.happens(lambda: state.read_text().split()[2] == "T", 5)
    machine.go_on()
    assert wait.happens(lambda: state.read_text().split()[2] != "T", 5)


def test_a_machine_without_power_can_be_told_to_go_on(machine: Machine) -> None:
    machine.power_off()
    machine.go_on()
    machine.thaw()
    assert not machine.running
    with pytest.raises(MachineError, match="stan-0 is off"):
        machine.stop()


def test_a_machine_takes_commands_once_it_says_so_however_long_they_are(machine: Machine) -> None:
    with pytest.raises(MachineError, match="takes no commands"):
        machine.run("true")
    played_by(machine).end.sendall(b"lab: ready\n")
    machine.wait_ready(5)
    long = "echo\n" * 50_000
    assert machine.run(long) == long


def test_a_reset_machine_is_another_process_and_has_to_boot(machine: Machine) -> None:
    before = played_by(machine).process
    machine.reset()
    assert before.poll() is not None
    assert played_by(machine).process.pid != before.pid
    with pytest.raises(MachineError, match="takes no commands"):
        machine.run("true")


def test_clocks_that_cannot_be_stopped_are_told(machine: Machine) -> None:
    with pytest.raises(MachineError, match="clocks of such a machine cannot be stopped"):
        machine.freeze()


def ways(monkeypatch: pytest.MonkeyPatch, *work: str) -> dict[str, Engine]:
    """The three engines, of which these work here."""
    made = {
        name: dataclasses.replace(ENGINE, name=name, title=name, pauses=name != engines.USER_MODE)
        for name in engines.NAMES
    }
    monkeypatch.setattr(engines, "works", lambda engine: engine.name in work)
    return made


@pytest.mark.parametrize(
    ("work", "fault", "played"),
    [
        (("kvm", "user-mode"), "kill", "kvm"),
        (("user-mode",), "kill", "user-mode"),
        (("user-mode",), "freeze", "emulated"),
        (("kvm", "user-mode"), "freeze", "kvm"),
        ((), "kill", "emulated"),
    ],
)
def test_a_fault_is_played_by_the_first_engine_that_works_and_can(
    monkeypatch: pytest.MonkeyPatch, work: tuple[str, ...], fault: str, played: str
) -> None:
    assert engines.choose(FAULTS[fault], ways(monkeypatch, *work), None).name == played


def test_an_engine_that_cannot_play_a_fault_is_refused_with_what_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="take --machines emulated, or a fault that lets them jump"):
        engines.choose(FAULTS["nfs-hang"], ways(monkeypatch, "user-mode"), "user-mode")
    assert engines.choose(FAULTS["kill"], ways(monkeypatch), "user-mode").name == "user-mode"


def test_a_computer_that_boots_nothing_plays_no_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, line, code in (("good", "panic: Unable to mount root fs", 134), ("bad", "ptrace failed", 1)):
        kernel = tmp_path / name
        kernel.write_text(f"#!/bin/sh\necho {line}\nexit {code}\n")
        kernel.chmod(0o755)
        assert engines._boots(dataclasses.replace(ENGINE, image=Image(kernel, kernel))) == (name == "good")


def test_a_computer_without_kvm_plays_no_machines_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU itself says so, and ends."""
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text('#!/bin/sh\ntest "$1 $2" = "-accel tcg" || exit 1\n')
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    kvm, emulated = (Engine("x", "x", IMAGE, Qemu, Qemu.probe, options=("-accel", way)) for way in ("kvm", "tcg"))
    assert (engines._boots(kvm), engines._boots(emulated)) == (False, True)


def test_memory_goes_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_mode.shutil, "disk_usage", lambda _: SimpleNamespace(free=64 * 2**20))
    assert user_mode.memory(tmp_path) == str(tmp_path)


def piece(number: int) -> Callable[[], int]:
    """A piece of work: the double of its number, or an error for 3."""

    def work() -> int:
        if number == 3:
            raise UserError("three")
        return number * 2

    return work


def test_runs_are_played_side_by_side_and_each_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.network, "enter", lambda: None)
    assert dict(jobs.each([piece(number) for number in (4, 5, 6)], 2)) == {0: 8, 1: 10, 2: 12}


def test_a_run_that_the_lab_cannot_play_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.network, "enter", lambda: None)
    with pytest.raises(UserError, match="three"):
        list(jobs.each([piece(3), lambda: time.sleep(60)], 2))
    assert not multiprocessing.active_children()


def test_a_run_whose_process_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.network, "enter", lambda: None)
    with pytest.raises(RuntimeError, match="ended with 7 and no result"):
        list(jobs.each([lambda: os._exit(7)], 1))


def test_grace_follows_the_lease_unless_given() -> None:
    assert nfs_lab._plan(options("--lease", "30"))[0][1].grace == 30
    assert nfs_lab._plan(options("--lease", "30", "--grace", "12"))[0][1].grace == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lease", "5"], "takes 10 to 3600 seconds"),
        (["--lease", "90s"], "takes 10 to 3600 seconds"),
        (["--remedies", "prayer"], "invalid choice: 'prayer'"),
        (["--runs", "0"], "give 1 or more"),
        (["--fault", "meteor"], "invalid choice: 'meteor'"),
        (["--nodes", "1"], "argument --nodes: invalid choice"),
        (["--smoke", "--all"], "not allowed with"),
    ],
)
def test_a_bad_option_is_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        options(*arguments)
    assert message in capsys.readouterr().err


def test_an_empty_mount_option_is_refused() -> None:
    with pytest.raises(UserError, match="empty option"):
        nfs_lab._plan(options("--options", "hard,,sync"))


def result(**changes: Any) -> dict[str, Any]:
    """One run's result."""
    settings = {"lease": 10, "grace": 10, "nodes": 2, "remedies": "all", "options": None}
    plain = {"takeover": 11.0, "outage": 14.0, "ended": 5.0, "two_actives": 0.0, "acks_by_loser": 0, "lost": 0}
    return {"fault": "cut-both", "settings": settings, "harm": [], "void": "", **plain, **changes}


def test_the_table_has_one_row_per_fault_and_setting() -> None:
    rows = report.table([result(), result(takeover=13.0), result(fault="kill")]).splitlines()[2:]
    assert len(rows) == 2
    assert "12.0 (11.0 to 13.0)" in rows[1]


def test_the_losses_and_the_harm_of_a_void_run_are_told() -> None:
    row = report.table([result(), result(void="too slow", lost=7, harm=["7 lost"], outage=99.0)]).splitlines()[2]
    assert "1 (1 void)" in row
    assert row.endswith("| 0 | 0 to 7 | 1 of 2 | 0 of 2 |")
    assert "99" not in row, "its times prove nothing"


def test_a_run_that_was_void_before_its_fault_has_no_figures_and_a_place_in_the_table() -> None:
    settings = result()["settings"]
    void = Result("cut-both", settings, Judgement(void="no traffic")).to_dict()
    assert "1 (1 void)" in report.table([result(), void]).splitlines()[2]


def test_doubts_have_a_column_of_their_own() -> None:
    row = report.table([result(), result(doubts=["the reading did not end"])]).splitlines()[2]
    assert row.endswith("| 0 of 2 | 1 of 2 |")


def test_the_worst_client_has_a_column_beside_all_of_them() -> None:
    row = report.table([result(outage=40.0, outage_merged=0.6), result()]).splitlines()[2]
    assert "| 40.0 | 7.3 (0.6 to 14.0) |" in row


def test_a_takeover_that_never_came_is_told() -> None:
    assert "2.0, 1 x never" in report._spread([2.0, None])


def test_each_set_of_remedies_has_a_row_of_its_own() -> None:
    settings = {**result()["settings"], "remedies": "none"}
    rows = report.table([result(), result(settings=settings)]).splitlines()[2:]
    assert "| none |" in rows[0]
    assert "| all |" in rows[1]


def lab_with(beats: list[float], events: list[tuple[float, str, str]]) -> Lab:
    """A lab that saw these signs of life of one machine, and these events."""
    pod = Pod("stan", 2, "", (), 1, 1, "/data", (), {}, "domain", {})
    nfs = Machine.__new__(Machine)
    return Lab(Settings(), pod, nfs, [], Path("/nowhere"), beats={"stan-0": beats}, events=events)


def test_a_machine_without_processor_time_is_noticed() -> None:
    assert lab_with([1.0, 2.0, 9.5, 10.5], []).stall(0.0) == ("stan-0", 7.5)


def test_a_stall_before_the_time_that_counts_is_none() -> None:
    assert lab_with([1.0, 9.5, 10.5], []).stall(10.0) == ("stan-0", 1.0)


def test_silence_that_the_lab_ordered_is_no_stall() -> None:
    assert lab_with([1.0, 2.0, 40.0, 41.0], [(2.5, "stan-0", "frozen")]).stall(0.0) == ("stan-0", 1.0)


def test_a_machine_that_is_silent_at_the_end_of_the_time_is_silent_until_then() -> None:
    assert lab_with([1.0, 2.0, 9.5], []).stall(0.0, 8.0) == ("stan-0", 6.0)


def test_the_libraries_of_a_program_are_read_from_its_headers() -> None:
    assert any(name.startswith("libc.so") for name in image._needed(Path(sys.executable).resolve()))
