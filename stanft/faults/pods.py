"""Faults that Kubernetes itself makes: pods deleted, evicted, scaled away, rolled; nothing but its API is needed."""

from __future__ import annotations

import contextlib
import datetime
import time

from stanft.faults.model import Fault, Goal, Injection, Need
from stanft.faults.process import CLEAN
from stanft.faults.scene import Scene
from stanft.ground import bounds, wait
from stanft.ground.errors import UserError
from stanft.group import rollout

ROLLED = Goal(worst=1.5)
ROLLED_BY = "stan-ft.drill/rolled-at"


def _delete(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    injection.victims.append(pod.metadata.name)
    injection.at = scene.delete(pod)


def _delete_by_force(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    injection.victims.append(pod.metadata.name)
    injection.at = scene.delete(pod, grace=0)


def _delete_all(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    pods = list(scene.pods().values())
    injection.victims += [pod.metadata.name for pod in pods]
    injection.at = time.monotonic()
    for pod in pods:
        scene.delete(pod)
    for pod in pods:
        scene.wait_gone(pod)


def _drain(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    node, core = pod.spec.node_name, scene.group.core
    if core.read_node(node).spec.unschedulable:
        raise UserError(f"the node {node} is cordoned already: uncordon it first (kubectl uncordon {node}).")
    undo.callback(core.patch_node, node, {"spec": {"unschedulable": None}})
    core.patch_node(node, {"spec": {"unschedulable": True}})
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.metadata.name, "namespace": scene.group.namespace},
    }
    injection.victims.append(pod.metadata.name)
    injection.at = time.monotonic()
    core.create_namespaced_pod_eviction(pod.metadata.name, scene.group.namespace, eviction)


def _scale(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    """Down to one server; the healing scales up again."""
    replicas = scene.group.replicas()
    gone = list(scene.pods().values())[1:]

    def scale(to: int) -> None:
        scene.group.apps.patch_namespaced_stateful_set_scale(
            scene.group.name, scene.group.namespace, {"spec": {"replicas": to}}
        )

    undo.callback(scale, replicas)
    injection.victims += [pod.metadata.name for pod in gone]
    injection.at = time.monotonic()
    scale(1)
    for pod in gone:
        scene.wait_gone(pod)


def _roll(scene: Scene, injection: Injection, _undo: contextlib.ExitStack) -> None:
    """Restart every server the way an upgrade does: a new pod template, then whatever the update strategy says."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    patch = {"spec": {"template": {"metadata": {"annotations": {ROLLED_BY: now}}}}}
    strategy = scene.group.stateful_set().spec.update_strategy
    injection.victims += list(scene.pods())
    injection.at = time.monotonic()
    scene.group.apps.patch_namespaced_stateful_set(scene.group.name, scene.group.namespace, patch)
    if strategy and strategy.type == "OnDelete":
        # The chart's own way: its hook Job runs the same program.
        done = rollout.restart(
            scene.group.namespace,
            scene.group.name,
            kubeconfig=scene.kubeconfig,
            context=scene.context or "",
            timeout=int(bounds.ROLLED),
        )
        injection.notes.append(f"restarted {', '.join(done.restarted)} in {time.monotonic() - injection.at:.1f} s")
        return
    _wait_rolled(scene)
    injection.notes.append(f"rolled by Kubernetes in {time.monotonic() - injection.at:.1f} s")


def _wait_rolled(scene: Scene) -> None:
    def rolled() -> bool:
        found = scene.group.stateful_set()
        status = found.status
        return bool(
            (status.observed_generation or 0) >= found.metadata.generation
            and (status.updated_replicas or 0) >= found.spec.replicas
            and (status.ready_replicas or 0) >= found.spec.replicas
        )

    wait.until(
        rolled,
        bounds.ROLLED,
        f"the rolling update of {scene.group.name} was not done within {bounds.ROLLED:.0f} s.",
        every=0.3,
    )


FAULTS = (
    Fault("delete", "graceful deletion of the active's pod", Need.API, _delete, goal=CLEAN),
    Fault("delete-by-force", "forced deletion of the active's pod", Need.API, _delete_by_force, goal=CLEAN),
    Fault("drain", "the active's node cordoned and its pod evicted", Need.API, _drain, goal=CLEAN),
    Fault("scale", "scaled down to one server and up again", Need.API, _scale, takeovers=(0, 1), lasts=2.0),
    Fault("roll", "rolling upgrade of all servers", Need.API, _roll, goal=ROLLED),
    # A node that hears of it late has its standby take over before that one ends, too.
    Fault("delete-all", "all pods deleted at once", Need.API, _delete_all, takeovers=(1, 2)),
)
