"""A namespace of a test's own on the real cluster: releases of charts/efs-provisioner, claims, pods that mount them."""

from __future__ import annotations

import functools
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.charts import releases
from harness.charts.render import layered
from harness.cluster.kind import Cluster
from harness.ground.paths import CLUSTER
from harness.local import plan
from stanft import words
from stanft.ground import wait
from stanft.ground.shell import CommandError

# The image that the cluster has for small jobs, and the provisioner that it runs: written once, in the cluster's files.
_BUSYBOX = re.findall(r"image: (busybox:\S+)", (CLUSTER / "shared-storage.yaml").read_text())[0]
SHARED = "/var/lib/shared"  # the directory that all nodes share


@functools.cache
def _server_image() -> str:
    """The image of the server that the local cluster brought up with it."""
    return plan.make().image("nats-streaming")


@dataclass
class Space:
    """One namespace; what it makes in the cluster's scope carries the label space=<name>, so that close() finds it."""

    cluster: Cluster
    name: str = field(default_factory=lambda: f"efs-{secrets.token_hex(3)}")

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl prints in this namespace; raises shell.CommandError if it fails and check is True."""
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin, check=check)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """A live object; raises shell.CommandError if there is none."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "-o", "name"))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Make or change objects."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def install(self, values: Mapping[str, Any], release: str = "efs-provisioner", **options: Any) -> None:
        """Install or upgrade the chart; raises UserError with helm's words if it is refused."""
        releases.ensure(
            release,
            "efs-provisioner",
            layered(values, {"commonLabels": {"space": self.name}}),
            kubeconfig=self.cluster.kubeconfig,
            namespace=self.name,
            **options,
        )

    def uninstall(self, release: str = "efs-provisioner") -> None:
        """Uninstall a release and wait until what it does not keep is gone."""
        releases.uninstall(release, kubeconfig=self.cluster.kubeconfig, namespace=self.name)

    def wait_bound(self, claim: str = "efs", timeout: float = 120) -> dict[str, Any]:
        """The claim, once it is bound; timeout in seconds. Raises UserError with its events otherwise."""
        self.wait_until(lambda: self.get("pvc", claim)["status"].get("phase") == "Bound", timeout)
        return self.get("pvc", claim)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 120) -> None:
        """Wait for a condition; timeout in seconds. Raises UserError with this namespace's pods, claims and events."""
        wait.until(
            condition,
            timeout,
            lambda: f"not within {timeout:.0f} s:\n{self.kubectl('get', 'pods,pvc,events', check=False)}",
        )

    def volume_of(self, claim: str = "efs") -> dict[str, Any]:
        """The volume that a claim is bound to."""
        return self.get("pv", self.get("pvc", claim)["spec"]["volumeName"])

    def pod(self, name: str, claim: str = "efs", *, node: str | None = None, wait: bool = True) -> str:
        """Start a pod that only sleeps, with the claim at /data; returns its name, when it runs if wait is True."""
        self._run(name, claim, {"image": _BUSYBOX, "command": ["sleep", "3600"]}, node)
        if wait:
            self._wait_ready(name)
        return name

    def server(self, name: str, claim: str = "efs") -> str:
        """Run a single server of cluster id "kept" over the claim; returns its URL when it takes clients."""
        command = ["nats-streaming-server", "-store", "file", "-dir", "/data/store", "-cid", "kept", "-m", "8222"]
        probe = {"httpGet": {"path": "/streaming/serverz", "port": 8222}, "periodSeconds": 1}
        self._run(name, claim, {"image": _server_image(), "command": command, "readinessProbe": probe})
        self._wait_ready(name)
        return words.url(self.get("pod", name)["status"]["podIP"])

    def _wait_ready(self, name: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")

    def _run(self, name: str, claim: str, container: Mapping[str, Any], node: str | None = None) -> None:
        """Start a pod that Pod Security "restricted" allows, as the user of the servers in charts/stan-ft."""
        user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001}
        safe = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {
                    "nodeName": node,
                    "terminationGracePeriodSeconds": 3,
                    "automountServiceAccountToken": False,
                    "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [
                        {
                            "name": "main",
                            "imagePullPolicy": "IfNotPresent",
                            "securityContext": safe,
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                            **container,
                        }
                    ],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
                },
            }
        )

    def sh(self, pod: str, script: str, check: bool = True) -> str:
        """What a shell script prints in a pod; raises shell.CommandError if it fails and check is True."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script, check=check).strip()

    def delete_pod(self, name: str) -> None:
        """Delete a pod and wait until it is gone."""
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force")

    def close(self) -> None:
        """Remove the namespace with all in it, and what belongs to it in the cluster's scope; does not wait."""
        self.cluster.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait=false")
        wide = "clusterrole,clusterrolebinding,storageclass"
        self.cluster.kubectl("delete", wide, "-l", f"space={self.name}", "--ignore-not-found", "--wait=false")
        volumes = json.loads(self.cluster.kubectl("get", "pv", "-o", "json"))["items"]
        mine = [each for each in volumes if each["spec"].get("claimRef", {}).get("namespace") == self.name]
        names = [each["metadata"]["name"] for each in mine]
        if names:
            self.cluster.kubectl("delete", "pv", *names, "--ignore-not-found", "--wait=false")
        self.cluster.node_exec(self.cluster.workers()[0], "sh", "-c", f"rm -rf {SHARED}/*{self.name}*")


def open_space(cluster: Cluster, labels: Mapping[str, str] | None = None) -> Space:
    """A new, empty namespace."""
    space = Space(cluster)
    metadata = {"name": space.name, "labels": dict(labels or {})}
    cluster.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    )

    def has_account() -> bool:
        """A pod cannot start before the namespace has its default account."""
        try:
            return bool(space.get("serviceaccount", "default"))
        except CommandError:
            return False

    wait.until(has_account, 30, f"namespace {space.name} has no default ServiceAccount after 30 s")
    return space
