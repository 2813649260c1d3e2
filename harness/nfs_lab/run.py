"""One run: a fresh lab, clients, a fault, its end, a restart of all servers, and all that was seen, for the judge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.nfs_lab import disk, judge
from harness.nfs_lab.clients import Clients
from harness.nfs_lab.computer import Engine, MachineError
from harness.nfs_lab.faults import Fault
from harness.nfs_lab.judge import WARM_UP, Seen, takeovers
from harness.nfs_lab.lab import PAUSES, Lab, Settings, running
from harness.nfs_lab.machine import Machine
from harness.nfs_lab.pod import rendered, values
from harness.nfs_lab.scenes import SCENES, mount_options
from stanft.ground import wait
from stanft.ground.errors import UserError
from stanft.ground.textfile import write
from stanft.kube.charts import layered
from stanft.traffic.verdict import Judgement, Word

AFTER_TAKEOVER = 8.0  # seconds for which a cut or a frozen node goes on beside the next active
SETTLE = 4.0  # seconds of traffic after everything flows again


@dataclass(frozen=True)
class Result:
    """What one run came to.

    measures are those of judge.measure(), kept is where its disk and ledger are, machines who played them (engines.py).
    """

    fault: str
    settings: dict[str, Any]
    judgement: Judgement
    active: str = ""
    measures: dict[str, Any] = field(default_factory=dict)
    kept: str = ""
    machines: str = ""

    @property
    def word(self) -> Word:
        """The judge's word."""
        return self.judgement.word

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable data: harm is why the run is a failure, doubts what nobody knows."""
        found = self.judgement
        return {
            "fault": self.fault,
            "settings": self.settings,
            "active": self.active,
            "word": str(found.word),
            "harm": [*found.lost, *found.failed],
            "doubts": list(found.unknown),
            "void": found.void,
            "kept": self.kept,
            "machines": self.machines,
            **self.measures,
        }


def once(
    fault: Fault,
    settings: Settings,
    engine: Engine,
    name: str,
    *,
    live: bool = False,
    keep: Path | None = None,
) -> Result:
    """Do one run, called name, in a lab of its own; keep is the folder for what is left of one with harm or doubt.

    Raises UserError or RenderError only where the lab itself cannot run.
    """
    scene = SCENES[settings.scene]
    pod = rendered(chart_values(settings))
    try:
        with running(settings, pod, engine, scene.memory, live=live) as lab:
            clients = Clients(lab, f"{fault.name}-{name}", scene)
            try:
                active, why = _before(lab, clients, settings)
                if why:
                    return Result(fault.name, asdict(settings), Judgement(void=why), active.name)
                seen = _through_the_fault(lab, clients, fault, active)
            finally:
                clients.close()
            return _result(lab, seen, settings, keep)
    except MachineError as error:
        # From the fault on, what a machine does not do is part of what was seen.
        return Result(fault.name, asdict(settings), Judgement(void=f"the lab failed before the fault: {error}"))
    except OSError as error:
        raise UserError(f"the NFS lab cannot run here: {error}") from error


def chart_values(settings: Settings) -> dict[str, Any]:
    """The chart's values for a lab: those of its remedies, with the scene's laid over them."""
    scene = SCENES[settings.scene]
    options = settings.options or (mount_options(scene.environment) if scene.environment else None)
    return layered(values(settings.nodes, settings.remedies, options), scene.values)


def _before(lab: Lab, clients: Clients, settings: Settings) -> tuple[Machine, str]:
    """Traffic before the fault; gives the active, and why a fault now would prove nothing ("" if it would)."""
    lab.wait_active()
    clients.start()
    wait.happens(lambda: clients.flowing(0.0), 30 + len(clients.scene.quiet), every=0.1)  # each makes a channel first
    if clients.scene.before is not None:
        clients.scene.before(lab, lab.wait_active())
        wait.happens(lambda: clients.flowing(time.monotonic() - 1), 30, every=0.1)
    began = time.monotonic()
    time.sleep(WARM_UP)
    active = lab.wait_active()
    now = time.monotonic()
    return active, judge.void(clients.ledger, now, lab.stall(began, now), settings.lease)


def _through_the_fault(lab: Lab, clients: Clients, fault: Fault, active: Machine) -> Seen:
    """The fault, its end, traffic until all is served, and the last read after a restart of all servers."""
    settings, broken = lab.settings, list[str]()
    at = lab.note("lab", f"fault: {fault.title}")
    clients.fault(active)
    with _noted(broken):
        fault.inject(lab, active)
    _hold(lab, active, at, fault.hold(settings.lease))
    _ask_liveness(lab, active)
    healed = lab.note("lab", "healed")
    with _noted(broken):
        fault.heal(lab, active)
    limit = settings.lease * 2 + settings.grace + 40
    flowing = bool(wait.happens(lambda: clients.flowing(healed + 0.5), limit, every=0.1))
    lab.note("lab", "every publisher is served again" if flowing else "not every publisher is served")
    time.sleep(SETTLE)
    with _noted(broken):
        clients.stop()
    stopped = time.monotonic()
    restarted = lab.note("lab", "all servers restarted")
    with _noted(broken):
        for node in lab.nodes:
            if node.running:
                lab.kill_server(node)
    with _noted(broken):
        clients.read_all(settings.lease * 2 + settings.grace + 90)
    return Seen(
        fault=fault.name,
        lease=settings.lease,
        nodes=[node.name for node in lab.nodes],
        active=active.name,
        at=at,
        stopped=stopped,
        restarted=restarted,
        ledger=clients.ledger,
        publishers=clients.publishers,
        events=tuple(lab.events),
        acks=tuple(lab.acks),
        sent={guid: track.sent[number - 1] for guid, (track, number) in clients.guids.items()},
        flowing=flowing,
        broken=tuple(broken),
        stall=lab.stall(at),
        right=fault.takeovers,
    )


@contextmanager
def _noted(broken: list[str]) -> Iterator[None]:
    """What a machine or a client does not do after the fault is noted, and the run goes on."""
    try:
        yield
    except (MachineError, TimeoutError) as error:
        broken.append(f"the lab could not go on as planned: {str(error) or type(error).__name__}")


def _result(lab: Lab, seen: Seen, settings: Settings, keep: Path | None) -> Result:
    """Judge; a run with harm or doubt is judged again with what one server alone reads on its disk."""
    kept, found = "", judge.judge(seen)
    if found.word.fails:
        image = lab.take_disk()
        channels = sorted({track.channel for track in seen.ledger.tracks})
        for view in disk.read(image, lab.pod, image.parent / "alone", seen.ledger, channels):
            view.first = SCENES[settings.scene].oldest(max(view.sequences, default=0))
        found = judge.judge(seen)
        if keep is not None:
            name = f"{seen.fault}-{settings.remedies}-{seen.ledger.run}"
            write(keep / f"{name}.json", json.dumps({"at": seen.at, "ledger": seen.ledger.to_dict()}))
            why = disk.keep(image, keep / f"{name}.disk")
            kept = f"{keep.name}/{name}" + (f" (without the disk: {why})" if why else "")
    return Result(seen.fault, asdict(settings), found, seen.active, judge.measure(seen), kept)


def _hold(lab: Lab, active: Machine, at: float, seconds: float) -> None:
    """Let the fault last; one that outlasts the lease ends a while after the takeover that it brought about."""
    while time.monotonic() < at + seconds:
        since = [time.monotonic() - when for when in takeovers(lab.events, active.name, at)]
        if seconds > lab.settings.lease and since and max(since) > AFTER_TAKEOVER:
            return
        time.sleep(0.1)


def _ask_liveness(lab: Lab, active: Machine) -> None:
    """Note what the kubelet's liveness probe would get from the old active, which it asks from the node itself."""
    paused = [text for _, name, text in sorted(lab.events) if name == active.name and text in PAUSES]
    if active.running and paused[-1:] != [judge.FROZEN]:
        ask = "timeout 5 wget -q -O - http://127.0.0.1:8222/healthz || echo no answer"
        try:
            lab.note(active.name, f"liveness probe: {active.run(ask, timeout=20, check=False).strip()}")
        except MachineError as error:
            lab.note(active.name, f"liveness probe: {error}")
