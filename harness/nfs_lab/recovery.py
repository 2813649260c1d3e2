"""What the supervisor costs a recovery on NFS: one node recovers the same store, bare and supervised in turns."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.nfs_lab.computer import Engine
from harness.nfs_lab.lab import Lab, Settings, running
from harness.nfs_lab.machine import Machine
from harness.nfs_lab.pod import rendered
from harness.nfs_lab.run import chart_values
from stanft.conf import edit
from stanft.drill.server_log import READY
from stanft.kube.charts import layered
from stanft.words import CLUSTER_ID

BARE, SUPERVISED = "bare", "supervised"
RECOVERING = "Recovering the state"
REQUESTS = ("OPEN", "CLOSE", "LOCK", "LOCKU", "READ", "WRITE", "GETATTR")
MEMORY = 2048  # MiB of the node
LONGEST = 300.0  # seconds for one recovery


@dataclass(frozen=True)
class Recovery:
    """Seconds of one recovery by the server's own log, and what the node asked of the NFS server meanwhile, by kind."""

    seconds: float
    requests: dict[str, int]


def in_turns(engine: Engine, channels: int, rounds: int, fill: Callable[[str, str], None]) -> dict[str, list[Recovery]]:
    """Recoveries of a store with so many channels, which fill makes at a server with this URL and cluster id.

    Raises MachineError where the lab fails. Call network.enter() first.
    """
    found: dict[str, list[Recovery]] = {BARE: [], SUPERVISED: []}
    settings = Settings(nodes=1)
    pod = rendered(layered(chart_values(settings), _values(channels)))
    words = pod.started(0)
    commands = {BARE: words[words.index("--") + 1 :], SUPERVISED: words}
    with running(settings, pod, engine, MEMORY) as lab:
        node = lab.nodes[0]
        fill(lab.client_url(node), edit.find(pod.configuration, "streaming", "id") or CLUSTER_ID)
        runs = words
        for turn in range(rounds + 1):
            for side in (BARE, SUPERVISED) if turn % 2 else (SUPERVISED, BARE):
                _stop(lab, node, runs)
                runs = commands[side]
                recovery = _recovered(lab, node, runs)
                if turn:  # the first one warms up
                    found[side].append(recovery)
    return found


def _values(channels: int) -> dict[str, Any]:
    streaming = {
        "stan_trace": False,
        "store_limits": {"max_channels": channels + 1, "max_age": "0s"},
        "file_options": {"parallel_recovery": 2},  # each may use 20 MiB; files are opened one by one with any number
    }
    return {"allowSingleReplica": True, "config": {"streaming": streaming}}


def _stop(lab: Lab, node: Machine, command: list[str]) -> None:
    """End the server that runs so, and what would start it again."""
    node.run("rm -f /run/stan.wanted")
    lab.kill_server(node, command)
    node.run("while grep -qs '[s]tan.sh' /proc/[0-9]*/cmdline; do sleep 0.2; done")


def _recovered(lab: Lab, node: Machine, command: list[str]) -> Recovery:
    began, before = time.monotonic(), _requests(lab, node)
    lab.start_server(node, command)
    started = node.wait_line(RECOVERING, LONGEST, began).at
    ended = node.wait_line(READY, LONGEST, began).at
    after = _requests(lab, node)
    return Recovery(ended - started, {kind: after[kind] - before[kind] for kind in REQUESTS})


def _requests(lab: Lab, node: Machine) -> dict[str, int]:
    """How many requests of each kind the node's NFS client has sent for the volume (/proc/self/mountstats)."""
    said = node.run(f"sed -n '/ mounted on {lab.pod.mount.replace('/', '.')} /,/^device/p' /proc/self/mountstats")
    return {kind: requests(said, kind) for kind in REQUESTS}


def requests(said: str, kind: str) -> int:
    """How many requests of a kind a part of mountstats tells of; OPEN_NOATTR is an OPEN too."""
    return sum(int(number) for number in re.findall(rf"^\s+{kind}(?:_NOATTR)?: (\d+)", said, re.MULTILINE))


def table(found: Mapping[str, Sequence[Recovery]], channels: int) -> str:
    """The medians as text: seconds, and requests for each channel."""
    lines = [f"{'':12}{'recovery s':>12}" + "".join(f"{kind:>9}" for kind in REQUESTS) + "   (requests a channel)"]
    for side, recoveries in found.items():
        seconds = statistics.median(each.seconds for each in recoveries)
        asked = [statistics.median(each.requests[kind] for each in recoveries) / channels for kind in REQUESTS]
        lines.append(f"{side:12}{seconds:12.2f}" + "".join(f"{number:9.2f}" for number in asked))
    return "\n".join(lines)
