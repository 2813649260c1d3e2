"""The lab put together: an NFS server and the nodes of one FT group, each a machine, started and ended as one."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.ground.paths import cache
from harness.nfs_lab import network
from harness.nfs_lab.computer import Engine, MachineError, Spec
from harness.nfs_lab.judge import ACTIVE_LINE, ENDED_LINE, FROZEN, OUT_OF_MEMORY, POWERED_OFF, THAWED
from harness.nfs_lab.machine import Line, Machine
from harness.nfs_lab.pod import SERVER, SUPERVISOR, Pod
from stanft.ground import shell
from stanft.ground.progress import say

DISK = 512 * 2**20  # bytes, sparse
BEAT = "lab: beat"
PAUSES = (FROZEN, THAWED, POWERED_OFF, "reset", "lab: ready")  # events that explain a machine's silence


@dataclass(frozen=True)
class Settings:
    """What one lab is like: lease and grace of the NFS server in seconds, nodes, which of the chart's remedies are on.

    remedies is one of pod.REMEDIES; options are mount options that replace the chart's, None means its own; scene is
    one of scenes.SCENES.
    """

    lease: int = 10
    grace: int = 10
    nodes: int = 2
    remedies: str = SUPERVISOR
    options: tuple[str, ...] | None = None
    scene: str = "plain"


@dataclass
class Lab:
    """A running lab: `nfs` is the server's machine, `nodes` those of the FT group in pod order."""

    settings: Settings
    pod: Pod
    nfs: Machine
    nodes: list[Machine]
    folder: Path
    events: list[tuple[float, str, str]] = field(default_factory=list)  # time, machine, what happened
    beats: dict[str, list[float]] = field(default_factory=dict)  # machine -> times of its signs of life, 1 s apart
    acks: list[tuple[float, str, str]] = field(default_factory=list)  # time, node that acknowledged, message's guid
    live: bool = False  # tell events as they come
    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # ---- looking ----

    def actives(self) -> list[Machine]:
        """The nodes whose server took itself for active last and has not ended since (a frozen node's too)."""
        return [node for node in self.nodes if node.running and self._is_active(node)]

    def _is_active(self, node: Machine) -> bool:
        for line in reversed(node.lines):
            if ACTIVE_LINE in line.text:
                return True
            if ENDED_LINE in line.text or "lab: ready" in line.text:
                return False
        return False

    def wait_active(self, timeout: float = 90.0, *, other_than: Machine | None = None) -> Machine:
        """The active node (another one than the given) once there is one; MachineError after timeout seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = [node for node in self.actives() if node is not other_than]
            if found:
                return found[0]
            time.sleep(0.05)
        raise MachineError(f"no server became active within {timeout:.0f} s")

    def note(self, machine: str, text: str) -> float:
        """Record an event of the run and give its time."""
        at = time.monotonic()
        self._event(at, machine, text)
        return at

    def client_url(self, node: Machine) -> str:
        """Where clients reach the node's server."""
        return f"nats://{node.spec.address}:4222"

    def stall(self, since: float, until: float = math.inf) -> tuple[str, float]:
        """The machine that gave no sign of life for longest between two times, and for how long (seconds).

        Silence that the lab itself ordered does not count.
        """
        longest = ("", 0.0)
        with self._lock:
            for name, beats in self.beats.items():
                paused = [when for when, machine, text in self.events if machine == name and text in PAUSES]
                # A machine that is silent at the end of the time is silent until then at least.
                ends = [] if math.isinf(until) else [until]
                for one, two in pairwise([*sorted(beat for beat in beats if beat < until), *ends]):
                    explained = any(one - 2 <= when <= two for when in paused)
                    if two > since and two - one > longest[1] and not explained:
                        longest = (name, two - one)
        return longest

    # ---- doing ----

    def start_nfs(self) -> None:
        """Start the NFS service on its machine (after each boot of it)."""
        self.nfs.run(f"/lab/nfs-server.sh {self.settings.lease} {self.settings.grace} {self.pod.uid}:{self.pod.gid}")

    def start_node(self, node: Machine) -> None:
        """Mount the volume as the chart says and start the server (after each boot of the node)."""
        pod, number = self.pod, self.nodes.index(node)
        options = ",".join(pod.options)
        node.run(
            f"mkdir -p {pod.mount} && mount.nfs4 {SERVER}:/ {pod.mount} -o {options} && "
            f"echo stan:x:{pod.uid}:{pod.gid}:stan:/:/bin/sh >>/etc/passwd && echo stan:x:{pod.gid}: >>/etc/group"
        )
        node.write("/etc/stan-config/stan.conf", pod.configuration)
        node.write("/run/stan.env", exports(pod.resolved(number)))
        node.run(f"mkdir -p /run/stan && chown {pod.uid}:{pod.gid} /run/stan")
        for path, text in pod.files.items():
            node.write(path, text)
        self.start_server(node)

    def start_server(self, node: Machine, command: Sequence[str] = ()) -> None:
        """Run the streaming server on a node (by default as the chart does), from now on restarted when it ends."""
        words = shlex.join(command or self.pod.started(self.nodes.index(node)))
        node.run(f"touch /run/stan.wanted; /lab/stan.sh {words} </dev/null >/dev/null 2>&1 &")

    def kill_server(self, node: Machine, command: Sequence[str] = ()) -> None:
        """End a node's server (see start_server) at once (SIGKILL); it is started again like a container."""
        program = Path((command or self.pod.command)[0]).name
        node.run(f"kill -9 $(cat /run/{program}.pid) 2>/dev/null; true")

    def take_disk(self) -> Path:
        """The NFS server's disk as it stands when all that it has is written; the server is off from then on."""
        with suppress(MachineError):
            self.nfs.thaw()
            self.nfs.run("sync")
        self.nfs.power_off()
        assert self.nfs.spec.disk is not None
        return self.nfs.spec.disk

    # ---- inside ----

    def on_line(self, machine: Machine, line: Line) -> None:
        """Sort a machine's log line: acknowledgements are counted, turning points become events."""
        if line.text == BEAT:
            with self._lock:
                self.beats.setdefault(machine.name, []).append(line.at)
            return
        text = COLOUR.sub("", line.text)
        if "Acking Publisher" in text:
            guid = re.search(r"guid=(\S+)", text)
            with self._lock:
                self.acks += [(line.at, machine.name, guid[1])] if guid else []
            return
        if "TRC" in text:
            return
        if text.startswith("lab: ") or any(word in text for word in NOTABLE):
            self._event(line.at, machine.name, STAMP.sub("", text))

    def _event(self, at: float, machine: str, text: str) -> None:
        with self._lock:
            self.events.append((at, machine, text))
        if self.live:
            say(f"    {at - self.started:8.2f} {machine:7} {text}")


COLOUR = re.compile(r"\x1b\[\d*m")
STAMP = re.compile(r"^\[\d+\] \S+ \S+ ")
NOTABLE = (
    ACTIVE_LINE,
    "supervisor: ",
    "panic:",
    "[FTL]",
    "claims to be active",
    "standby mode",
    "[ERR] STREAM",
    OUT_OF_MEMORY,
)


def exports(environment: Mapping[str, str]) -> str:
    """An environment as a shell script that sets it."""
    return "".join(f"export {name}={shlex.quote(text)}\n" for name, text in environment.items())


@contextmanager
def running(settings: Settings, pod: Pod, engine: Engine, memory: int, *, live: bool = False) -> Iterator[Lab]:
    """A lab with its group up and one server active; everything ends with the block, whatever happens in it.

    memory is what each node has, in MiB.

    Call network.enter() first. Raises MachineError if it does not come up.
    """
    folder = Path(tempfile.mkdtemp(prefix="nfs-lab-"))  # a short path, as the machines' sockets need it
    store = Path(tempfile.mkdtemp(prefix=".nfs-lab-", dir=cache()))  # a /tmp may be too small for a disk
    machines: list[Machine] = []
    try:
        disk = store / "disk"
        with disk.open("wb") as file:
            file.truncate(DISK)
        shell.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", disk])
        addresses = {pod.hostname(number): f"{network.PREFIX}.{11 + number}" for number in range(pod.replicas)}
        hosts = {f"{name}.{pod.domain}": address for name, address in addresses.items()}

        def machine(name: str, address: str, **more: Any) -> Machine:
            return Machine(Spec(name, address, network.add_port(name), folder, **more), engine)

        nfs = machine("nfs", SERVER, disk=disk)
        nodes = [machine(name, address, hosts=hosts, memory=memory) for name, address in addresses.items()]
        machines += [nfs, *nodes]
        lab = Lab(settings, pod, nfs, nodes, folder, live=live)
        for each in machines:
            each.on_line = lab.on_line
            each.start()
        nfs.wait_ready()
        lab.start_nfs()
        for node in nodes:
            node.wait_ready()
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(lab.start_node, nodes))
        lab.wait_active()
        yield lab
    finally:
        for each in machines:
            with suppress(OSError):
                each.power_off()
        for each in machines:
            network.remove_port(each.name)
        network.heal()
        for directory in (folder, store):
            shutil.rmtree(directory, ignore_errors=True)
