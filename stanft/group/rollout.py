"""Restarts a fault-tolerant group from outside of the cluster so that the active moves once: standbys first.

The rule itself is charts/stan-ft/files/rollout.sh, which the chart's hook Job runs too; here it asks the servers'
monitors through the API server, so that a kubeconfig is all it needs. It works on groups of any origin.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stanft.ground import programs
from stanft.ground.errors import UserError
from stanft.words import MONITOR_PORT, NAME

SCRIPT = Path(__file__).with_name("rollout.sh")  # a link to the chart's file; a wheel carries what it leads to
_DONE = re.compile(r"done in (\d+) s: restarted(.*); active is (\S+); takeovers: (\d+);")


@dataclass(frozen=True)
class Rollout:
    """How a rollout went: the pods in the order of their restarts, the seconds it took, and who is active now."""

    restarted: tuple[str, ...]
    seconds: int
    active: str
    takeovers: int


def restart(
    namespace: str,
    statefulset: str = NAME,
    *,
    everything: bool = False,
    kubeconfig: Path | None = None,
    context: str = "",
    container: str = NAME,
    monitor_port: int = MONITOR_PORT,
    timeout: int = 240,
    say: Callable[[str], None] | None = None,
) -> Rollout:
    """Restart the pods that are older than their StatefulSet (all pods with everything), the active last.

    timeout is in seconds; say gets each line of progress (an error is raised instead). Pods that are up to date are
    left alone (unless everything). container is the servers', monitor_port their HTTP monitoring port.
    Raises UserError when the StatefulSet cannot be read or the group is not whole in time; what was restarted until
    then stays so, and the next call goes on from there.
    """
    kubectl = programs.find("kubectl")
    programs.on_path("timeout")  # without it the script would take every call of kubectl for refused
    env = {
        **os.environ,
        "PATH": f"{kubectl.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "NAMESPACE": namespace,
        "STATEFULSET": statefulset,
        "CONTAINER": container,
        "MONITOR_PORT": str(monitor_port),
        "TIMEOUT": str(timeout),
        "RESTART": "all" if everything else "outdated",
        "VIA": "proxy",
        "CONTEXT": context,
    }
    if kubeconfig is not None:
        env["KUBECONFIG"] = str(kubeconfig)
    lines: list[str] = []
    with subprocess.Popen(
        ["sh", SCRIPT], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if say is not None and " error: " not in line:
                    say(lines[-1])
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise UserError(_reason(lines))
    return _result(lines)


def _reason(lines: list[str]) -> str:
    for line in reversed(lines):
        if " error: " in line:
            return line.partition(" error: ")[2]
    return "\n".join(lines[-5:]) or "the rollout ended without a word."


def _result(lines: list[str]) -> Rollout:
    found = _DONE.search(lines[-1]) if lines else None
    if found is None:
        raise UserError(f"the rollout ended with words that are not understood: {lines[-1:]}")
    seconds, names, active, takeovers = found.groups()
    restarted = () if names.strip() == "none" else tuple(names.split())
    return Rollout(restarted, int(seconds), active, int(takeovers))
