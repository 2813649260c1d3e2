"""Faults of the server process: killed, told to end, stopped, aborted from within its pod, its exporter killed."""

from __future__ import annotations

import contextlib
import secrets
import signal
import time
from typing import Any

from stanft.faults.model import Fault, Goal, Injection, Need
from stanft.faults.scene import Scene
from stanft.ground import bounds, wait
from stanft.ground.errors import UserError
from stanft.group.live import ServerState
from stanft.words import EXPORTER, server_container

CLEAN = Goal(median=0.9, p99=1.5)  # detection alone takes up to 1.4 s: nats-streaming-server server/ft.go
HUNG = Goal(worst=8.0)
KILLS_IN_A_ROW = 3


def _hit(scene: Scene, injection: Injection, pod: Any, number: signal.Signals) -> None:
    injection.victims.append(pod.metadata.name)
    injection.at = scene.signal(pod, number)


def _kill(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    _hit(scene, injection, scene.active(), signal.SIGKILL)


def _terminate(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    _hit(scene, injection, scene.active(), signal.SIGTERM)


def _stop(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    node, pid = pod.spec.node_name, scene.pid(pod)
    # The process may be gone by then, ended by its liveness probe: that is what the fault is there to show.
    undo.callback(scene.nodes.node_exec, node, "kill", "-CONT", str(pid), check=False)
    injection.victims.append(pod.metadata.name)
    injection.at = scene.signal_pid(node, pid, signal.SIGSTOP)


def _kill_repeatedly(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    _hit(scene, injection, scene.active(), signal.SIGKILL)

    def killed_another() -> bool:
        successor = _taking_over(scene, injection.victims[-1])
        if successor is None:
            return False
        # It may be a server that only starts again: then there is no such process yet, and the next look decides.
        with contextlib.suppress(UserError):
            scene.signal(scene.pods()[successor.pod], signal.SIGKILL)
            injection.victims.append(successor.pod)
        return len(injection.victims) == KILLS_IN_A_ROW

    wait.until(
        killed_another,
        bounds.TAKEN_OVER,
        f"no standby took over within {bounds.TAKEN_OVER:.0f} s of a kill, so it could not be killed in turn.",
        every=0,
    )


def _taking_over(scene: Scene, gone: str) -> ServerState | None:
    """The server that is active, or that is in recovery: then its mesh answers and its streaming endpoint does not."""
    for server in scene.group.servers():
        if server.pod != gone and (server.is_active or ((server.routes or not server.meshed) and not server.state)):
            return server
    return None


def _kill_two(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    active, standby = scene.active(), scene.standbys()[0]
    targets = [(pod.spec.node_name, scene.pid(pod)) for pod in (active, standby)]
    injection.victims += [active.metadata.name, standby.metadata.name]
    injection.at = scene.signal_pid(*targets[0], signal.SIGKILL)
    scene.signal_pid(*targets[1], signal.SIGKILL)


def _kill_standby(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    _hit(scene, injection, scene.standbys()[0], signal.SIGKILL)


def _kill_exporter(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    if EXPORTER not in [container.name for container in pod.spec.containers]:
        raise UserError(
            f"there is no exporter to crash: the pods of {scene.group.name} have no container {EXPORTER!r}."
        )
    injection.victims.append(pod.metadata.name)
    injection.at = scene.signal(pod, signal.SIGKILL, EXPORTER)


def _abort(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    """End the active from an ephemeral container that shares its processes.

    The kernel keeps SIGKILL from the first process of a namespace when it comes from inside, but Go's runtime ends at
    once on SIGABRT, without any of the server's own clean-up.
    """
    pod = scene.active()
    target, name = server_container(pod), f"stan-ft-drill-{secrets.token_hex(3)}"
    body = {
        "spec": {
            "ephemeralContainers": [
                {
                    "name": name,
                    "image": scene.debug_image,
                    "targetContainerName": target,
                    "command": ["sh", "-c", "kill -ABRT 1"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ]
        }
    }
    # An ephemeral container stays in its pod's description for good, so the pod is replaced once it only stands by.
    undo.callback(_replace, scene, pod)
    injection.victims.append(pod.metadata.name)
    restarts = _restarts(scene, pod, target)
    injection.at = time.monotonic()
    scene.group.core.patch_namespaced_pod_ephemeralcontainers(pod.metadata.name, scene.group.namespace, body)

    def ended() -> bool:
        asked = time.monotonic()
        if _restarts(scene, pod, target) != restarts:
            return True
        injection.at = asked  # it still ran then
        return False

    wait.until(
        ended,
        bounds.TAKEN_OVER,
        f"the server of {pod.metadata.name} was not ended within {bounds.TAKEN_OVER:.0f} s by an ephemeral container "
        f"of {scene.debug_image}: look at kubectl -n {scene.group.namespace} describe pod {pod.metadata.name} "
        "(is the image there? name another one with --debug-image).",
        every=0.05,
    )


def _restarts(scene: Scene, pod: Any, container: str) -> str:
    found = scene.group.core.read_namespaced_pod(pod.metadata.name, scene.group.namespace)
    status = next((one for one in found.status.container_statuses or [] if one.name == container), None)
    return f"{status.restart_count} {bool(status.state.running)}" if status else ""


def _replace(scene: Scene, pod: Any) -> None:
    scene.group.wait_whole()
    if scene.active().metadata.name != pod.metadata.name:
        scene.delete(pod)
        scene.wait_gone(pod)
        scene.group.wait_whole()


FAULTS = (
    Fault("kill", "SIGKILL of the active server", Need.NODES, _kill, goal=CLEAN),
    Fault("terminate", "SIGTERM of the active server", Need.NODES, _terminate, goal=CLEAN),
    Fault(
        "hang",
        "SIGSTOP of the active server: it keeps the lock and says nothing",
        Need.NODES,
        _stop,
        goal=HUNG,
        spares_bystanders=True,
    ),
    Fault("abort", "SIGABRT of the active from an ephemeral container", Need.DEBUG, _abort, goal=CLEAN),
    Fault("kill-standby", "SIGKILL of a standby", Need.NODES, _kill_standby, takeovers=(0, 0)),
    Fault("kill-two", "SIGKILL of the active and a standby at once", Need.NODES, _kill_two),
    Fault(
        "kill-in-recovery",
        f"SIGKILL of the active and of whoever takes over, {KILLS_IN_A_ROW} in a row",
        Need.NODES,
        _kill_repeatedly,
        takeovers=(1, KILLS_IN_A_ROW),
    ),
    Fault("kill-exporter", "SIGKILL of the active's metrics exporter", Need.NODES, _kill_exporter, takeovers=(0, 0)),
)
