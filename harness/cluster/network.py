"""The way from this machine to the pods of the local cluster, and proof that names resolve inside it."""

from __future__ import annotations

import ipaddress
import json
import shutil
import time

from harness.cluster.kind import Cluster, pod_subnet, wait_for
from harness.ground import system
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say

SLOW_LOOKUP = (
    2.0  # seconds; a healthy cluster DNS says "no such name" in milliseconds, a missing resolver takes 5 or more
)
_PROBE = "dns-probe"
PROGRAMS = {"ip": "iproute2"}  # program -> Debian package


def ensure_routes(cluster: Cluster) -> None:
    """Give this machine one route per node's pod range, so that clients here can speak to each pod.

    A node that came back with another address gets its route replaced. Raises UserError without root rights.
    """
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    wanted = {
        node["spec"]["podCIDR"]: next(
            address["address"] for address in node["status"]["addresses"] if address["type"] == "InternalIP"
        )
        for node in nodes
        if node["spec"].get("podCIDR")
    }
    current = _routes()
    for pods, node in wanted.items():
        if current.get(pods) != node:
            shell.run(system.as_root(["ip", "route", "replace", pods, "via", node]))


def remove_routes() -> None:
    """Take away the routes to the pods of the local cluster; raises UserError without root rights."""
    subnet = ipaddress.ip_network(pod_subnet())
    for pods in _routes():
        if ipaddress.ip_network(pods).subnet_of(subnet):  # type: ignore[arg-type]
            shell.run(system.as_root(["ip", "route", "del", pods]), check=False)


def _routes() -> dict[str, str]:
    """The routes of this machine that lead through a gateway: IPv4 network -> gateway."""
    if not shutil.which("ip"):
        return {}
    lines = (line.split() for line in shell.output(["ip", "-4", "route", "show"]).splitlines())
    return {words[0]: words[2] for words in lines if len(words) > 2 and words[1] == "via" and words[0] != "default"}


def lookup(cluster: Cluster, name: str, *, host_network: bool = False) -> tuple[bool, float]:
    """Whether a name resolves in a pod (or a host-network pod), and how many seconds the answer took."""
    pod = f"{_PROBE}{'-host' if host_network else ''}"
    started = time.monotonic()
    done = cluster.kubectl(
        "-n", "shared-storage", "exec", pod, "--",
        "sh", "-c", f"nslookup {name} >/dev/null 2>&1 && echo found || echo missing",
    )  # fmt: skip
    return done == "found", time.monotonic() - started


def ensure_dns(cluster: Cluster, image: str) -> None:
    """Make sure that names resolve in pods, and that unknown names are refused at once; image must have busybox.

    Where no resolver answers, each unknown name (and each search domain of a short one) would wait for seconds, and the
    servers' routes would take a minute to form: then CoreDNS stops asking further.
    Raises UserError if names do not resolve.
    """
    for suffix, host_network in (("", False), ("-host", True)):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_pod(f"{_PROBE}{suffix}", image, host_network)))
    try:
        cluster.kubectl(
            "-n", "shared-storage", "wait", "--for=condition=Ready", "--timeout=90s",
            f"pod/{_PROBE}", f"pod/{_PROBE}-host",
        )  # fmt: skip
        service = "kubernetes.default.svc.cluster.local"
        wait_for(
            lambda: lookup(cluster, service)[0],
            60,
            lambda: f"pods cannot resolve {service}: look at kubectl -n kube-system logs -l k8s-app=kube-dns",
        )
        unknown = "no-such-name.invalid"
        if lookup(cluster, unknown)[1] > SLOW_LOOKUP:
            say("    no resolver answers outside the cluster: CoreDNS now says so at once")
            _stop_forwarding(cluster)
            wait_for(
                lambda: lookup(cluster, unknown)[1] < SLOW_LOOKUP,
                90,
                lambda: (
                    "unknown names still take seconds to be refused in pods: look at the ConfigMap kube-system/coredns"
                ),
            )
        if not lookup(cluster, cluster.control_plane, host_network=True)[0]:
            raise UserError("host-network pods cannot resolve the control plane's name, so kube-proxy would fail.")
    finally:
        cluster.kubectl(
            "-n", "shared-storage", "delete", "pod", _PROBE, f"{_PROBE}-host",
            "--ignore-not-found", "--grace-period=0", "--force", "--wait=false",
        )  # fmt: skip


def _stop_forwarding(cluster: Cluster) -> None:
    document = json.loads(cluster.kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "json"))
    kept, depth = [], 0
    for line in document["data"]["Corefile"].splitlines():
        word = line.split()[0] if line.split() else ""
        if depth or word in ("forward", "loop"):
            depth += line.count("{") - line.count("}")
        else:
            kept.append(line)
    patch = json.dumps({"data": {"Corefile": "\n".join(kept) + "\n"}})
    cluster.kubectl("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", patch)
    cluster.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
    cluster.wait_rollout("deployment/coredns", "kube-system")


def _pod(name: str, image: str, host_network: bool) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shared-storage"},
        "spec": {
            "hostNetwork": host_network,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "probe", "image": image, "command": ["sleep", "600"]}],
        },
    }
