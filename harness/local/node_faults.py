"""Faults of machines and their network, on the nodes of the local cluster: killed, stopped, paused, cut off, no API."""

from __future__ import annotations

import contextlib
import signal
import time

from harness.cluster import network
from harness.cluster.kind import Cluster
from stanft.faults.model import Fault, Injection, Need
from stanft.faults.process import CLEAN
from stanft.faults.scene import Scene
from stanft.ground import bounds, wait

CUT = 10.0  # seconds that a pause or a cut lasts: long enough for a standby to try the lock several times
_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
_ASIDE = "/etc/kubernetes/kube-apiserver.yaml.aside"
# Within the control plane's node: end the API server and say whether it is back a moment later.
_END_API = "pkill -KILL -x kube-apiserver; sleep 0.3; pgrep -x kube-apiserver || true"


def local(scene: Scene) -> Cluster:
    """The local cluster of a scene, as these faults need it; raises UserError where the nodes are not ours."""
    found = scene.nodes
    assert isinstance(found, Cluster)  # the workshop gives no other
    return found


def _back(scene: Scene, node: str) -> None:
    """Start a node's container again and wait until the cluster and the way to its pods are whole."""
    local(scene).engine.docker("start", node)
    local(scene).wait_ready()
    network.ensure_routes(local(scene))


def _kill(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    undo.callback(_back, scene, pod.spec.node_name)
    injection.victims += [pod.spec.node_name, pod.metadata.name]
    injection.at = time.monotonic()
    local(scene).engine.docker("kill", pod.spec.node_name)


def _stop(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    undo.callback(_back, scene, pod.spec.node_name)
    injection.victims += [pod.spec.node_name, pod.metadata.name]
    injection.at = time.monotonic()
    local(scene).engine.docker("stop", "--time", "10", pod.spec.node_name)


def _pause(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    pod = scene.active()
    undo.callback(local(scene).engine.docker, "unpause", pod.spec.node_name, check=False)
    injection.victims += [pod.spec.node_name, pod.metadata.name]
    injection.at = time.monotonic()
    local(scene).engine.docker("pause", pod.spec.node_name)


def _drop(scene: Scene, node: str, rules: list[list[str]], undo: contextlib.ExitStack) -> None:
    """Put packet filter rules at the top of a node's chains; each is (chain, match...)."""
    for chain, *match in rules:
        undo.callback(scene.nodes.node_exec, node, "iptables", "-w", "-D", chain, *match, "-j", "DROP", check=False)
    script = "; ".join(f"iptables -w -I {' '.join(rule)} -j DROP" for rule in rules)
    scene.nodes.node_exec(node, "sh", "-ec", script)


def _cut_peers(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    """The other servers' pods cannot reach the active's, nor it them; clients and the node still can."""
    pod = scene.active()
    peers = [peer.status.pod_ip for name, peer in scene.pods().items() if name != pod.metadata.name]
    rules = [["FORWARD", "-s", peer, "-d", pod.status.pod_ip] for peer in peers]
    rules += [["FORWARD", "-s", pod.status.pod_ip, "-d", peer] for peer in peers]
    injection.victims.append(pod.metadata.name)
    injection.at = time.monotonic()
    _drop(scene, pod.spec.node_name, rules, undo)


def _cut_all(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    """No packet gets into or out of the active's node; its disk stays, as the shared directory is no network's."""
    pod = scene.active()
    rules = [["INPUT", "-i", "eth0"], ["OUTPUT", "-o", "eth0"], ["FORWARD", "-i", "eth0"], ["FORWARD", "-o", "eth0"]]
    injection.victims += [pod.spec.node_name, pod.metadata.name]
    injection.at = time.monotonic()
    _drop(scene, pod.spec.node_name, rules, undo)


def _api_back(scene: Scene) -> None:
    cluster = local(scene)
    cluster.node_exec(cluster.control_plane, "sh", "-c", f"test ! -e {_ASIDE} || mv {_ASIDE} {_MANIFEST}")
    cluster.wait_ready()


def _api_gone(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    cluster = local(scene)
    injection.victims.append(cluster.control_plane)
    injection.at = time.monotonic()
    undo.callback(_api_back, scene)
    cluster.node_exec(cluster.control_plane, "mv", _MANIFEST, _ASIDE)
    # The kubelet ends it in its own time; what is wanted is that it is gone now.
    wait.until(
        lambda: cluster.node_exec(cluster.control_plane, "sh", "-c", _END_API) == "",
        bounds.API_AWAY,
        "the API server did not stay away after its manifest was moved aside.",
        every=0.5,
    )


def _freeze_api(scene: Scene, undo: contextlib.ExitStack) -> None:
    """Every question to the API stays without an answer, and every watch on it without news."""
    cluster = local(scene)
    undo.callback(cluster.wait_ready)
    undo.callback(cluster.node_exec, cluster.control_plane, "pkill", "-CONT", "-x", "kube-apiserver")
    cluster.node_exec(cluster.control_plane, "pkill", "-STOP", "-x", "kube-apiserver")


def _kill_without_api(scene: Scene, injection: Injection, undo: contextlib.ExitStack) -> None:
    """Two faults at once: the takeover must not need Kubernetes."""
    pod = scene.active()
    node, pid = pod.spec.node_name, scene.pid(pod)
    injection.victims += [local(scene).control_plane, pod.metadata.name]
    _freeze_api(scene, undo)
    injection.at = scene.signal_pid(node, pid, signal.SIGKILL)


FAULTS = (
    Fault("node-kill", "the active's node killed, and back", Need.NODES, _kill, goal=CLEAN, patience=180),
    Fault("node-stop", "the active's node shut down, and back", Need.NODES, _stop, patience=180),
    Fault("node-pause", f"the active's node frozen for {CUT:.0f} s", Need.NODES, _pause, takeovers=(0, 1), lasts=CUT),
    Fault(
        "cut-peers",
        f"the active cut off from the other servers for {CUT:.0f} s",
        Need.NODES,
        _cut_peers,
        takeovers=(0, 1),
        lasts=CUT,
    ),
    Fault(
        "cut-all",
        f"the active's node cut off from everything for {CUT:.0f} s",
        Need.NODES,
        _cut_all,
        takeovers=(0, 1),
        lasts=CUT,
    ),
    Fault("api-gone", f"no Kubernetes API for {CUT:.0f} s", Need.NODES, _api_gone, takeovers=(0, 0), lasts=CUT),
    Fault(
        "kill-without-api",
        "SIGKILL of the active while the Kubernetes API does not answer",
        Need.NODES,
        _kill_without_api,
        goal=CLEAN,
    ),
)
