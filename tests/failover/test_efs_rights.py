"""What the chart allows its controller, proven on the real API server: enough for a real controller, and not more.

The controller is cluster/go/directory-provisioner: it is built on the library of nfs-subdir-external-provisioner v4.0.2
and runs with a token of the chart's own ServiceAccount. A proxy between it and the API server notes each request.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from efs_space import SHARED, Space, open_space

from harness.cluster import toolchain
from harness.cluster.kind import Cluster
from harness.render import layered

Right = tuple[str, str, str]  # verb, resource with its group, name that the right is tied to or ""
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Recorder:
    """A proxy on loopback that hands each request to the API server and notes what right it needed."""

    server: str
    authority: str
    token: str  # added here: client-go sends none over plain HTTP
    used: set[Right] = field(default_factory=set)
    refused: set[Right] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[str]:
        """The proxy's URL, as long as it runs."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # one request per connection: a watch ends with its connection

            def forward(self) -> None:
                recorder.forward(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
            proxy.daemon_threads = True
            proxy.block_on_close = False
            thread = threading.Thread(target=proxy.serve_forever, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{proxy.server_port}"
            finally:
                proxy.shutdown()
                thread.join()

    def forward(self, request: BaseHTTPRequestHandler) -> None:
        """Hand one request on, note it, and hand the answer back as it comes."""
        right = needed(request.command, request.path)
        address = urlsplit(self.server)
        context = ssl.create_default_context(cadata=self.authority)
        upstream = http.client.HTTPSConnection(str(address.hostname), address.port, context=context, timeout=600)
        try:
            body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
            headers = {
                key: value for key, value in request.headers.items() if key.lower() not in ("host", "connection")
            }
            extra = {"Accept-Encoding": "identity", "Authorization": f"Bearer {self.token}"}
            upstream.request(request.command, request.path, body or None, {**headers, **extra})
            answer = upstream.getresponse()
            if right is not None:
                (self.refused if answer.status == http.client.FORBIDDEN else self.used).add(right)
            request.send_response_only(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection"):
                    request.send_header(key, value)
            request.end_headers()
            while piece := answer.read1(65536):
                request.wfile.write(piece)
                request.wfile.flush()
        except OSError:
            pass  # the controller ended in the middle of a watch
        finally:
            upstream.close()


def needed(method: str, path: str) -> Right | None:
    """The right that a request needs, as RBAC sees it; None for one about the API itself, which everybody may ask."""
    address = urlsplit(path)
    parts = address.path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return None
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    verb = VERBS.get(method) or ("get" if name else "watch" if "watch" in parse_qs(address.query) else "list")
    return verb, f"{rest[0]}.{group}".rstrip("."), name


def granted(space: Space, *roles: tuple[str, str]) -> set[Right]:
    """The rights in live roles, given as kind and name."""
    return {
        (verb, f"{resource}.{group}".rstrip("."), name)
        for kind, role in roles
        for rule in space.get(kind, role)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    opened = open_space(cluster)
    yield opened
    opened.close()


def provisioner_name(space: Space) -> str:
    return f"example.com/{space.name}"


def values(space: Space, **more: Any) -> dict[str, Any]:
    """Engine nfs-subdir, whose own pod finds no node: its rights are what is under test."""
    nowhere = {"nodeSelector": {"example.com/no-such-node": "true"}}
    base = {
        "fullnameOverride": space.name,
        "engine": "nfs-subdir",
        "nfs": {"server": "192.0.2.1"},
        "provisionerName": provisioner_name(space),
        "storageClass": {"name": space.name, "reclaimPolicy": "Delete"},
        "controller": nowhere,
    }
    return layered(base, more)


@contextmanager
def controller(space: Space, directory: Path) -> Iterator[Recorder]:
    """The real controller at work under the chart's account; it is ended at the end."""
    admin = yaml.safe_load(space.cluster.kubeconfig.read_text())
    target = admin["clusters"][0]["cluster"]
    authority = base64.b64decode(target["certificate-authority-data"]).decode()
    token = space.kubectl("create", "token", space.name, "--duration=10m")
    recorder = Recorder(target["server"], authority, token)
    with recorder.running() as url:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
                    "current-context": "x",
                }
            )
        )
        with (directory / "controller.log").open("w") as log:
            process = subprocess.Popen(
                [toolchain.ensure("directory-provisioner")],
                env={
                    **os.environ,
                    "KUBECONFIG": str(kubeconfig),
                    "POD_NAMESPACE": space.name,
                    "PROVISIONER_NAME": provisioner_name(space),
                    "DIRECTORY": f"{SHARED}/{space.name}",
                },
                stdout=log,
                stderr=log,
            )
            try:
                yield recorder
                assert process.poll() is None, (directory / "controller.log").read_text()[-3000:]
            finally:
                process.terminate()
                process.wait(10)


def claim(space: Space, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": space.name,
            "resources": {"requests": {"storage": "1Mi"}},
            **spec,
        },
    }


def events(space: Space, reason: str) -> int:
    """How often an event of that reason was counted in the namespace."""
    found = json.loads(space.kubectl("get", "events", "-o", "json", f"--field-selector=reason={reason}"))["items"]
    return sum(event.get("count") or 1 for event in found)


def test_a_real_controller_uses_every_right_that_the_chart_grants_and_is_refused_none(
    space: Space, tmp_path: Path
) -> None:
    space.install(values(space))
    with controller(space, tmp_path) as recorder:
        space.wait_bound()
        # an event that repeats is patched, not made again
        space.apply(claim(space, "refused", selector={"matchLabels": {"a": "b"}}))
        space.wait_until(lambda: events(space, "ProvisioningFailed") >= 2)
        # a volume of reclaim policy Delete goes with its claim
        space.apply(claim(space, "short-lived"))
        volume = space.wait_bound("short-lived")["spec"]["volumeName"]
        space.kubectl("delete", "pvc", "short-lived")
        space.wait_until(lambda: not space.exists("pv", volume))
    lock = provisioner_name(space).replace("/", "-")
    roles = granted(space, ("clusterrole", f"{space.name}-runner"), ("role", f"leader-locking-{space.name}"))
    leases = {right for right in roles if right[1] == "leases.coordination.k8s.io"}
    tied = {(verb, what, name if name == lock else "") for verb, what, name in recorder.used}
    assert recorder.refused == set()
    assert tied == roles - leases  # leases wait for an image that is built on a later library


def test_the_right_to_lock_a_lease_is_there_for_an_image_built_on_a_later_library(space: Space) -> None:
    space.install(values(space))
    lock = provisioner_name(space).replace("/", "-")
    for verb, name in (("create", ""), ("get", lock), ("update", lock)):
        assert allowed(space, verb, "leases.coordination.k8s.io", name)
    assert not allowed(space, "update", "leases.coordination.k8s.io", "another")


def test_late_binding_needs_the_node_and_gets_it(cluster: Cluster, space: Space, tmp_path: Path) -> None:
    space.install(values(space, storageClass={"volumeBindingMode": "WaitForFirstConsumer"}))
    with controller(space, tmp_path) as recorder:
        space.pod("consumer", wait=False)
        space.wait_bound()
    nodes = {name for verb, what, name in recorder.used if (verb, what) == ("get", "nodes")}
    assert len(nodes) == 1
    assert nodes <= set(cluster.workers())
    assert recorder.refused == set()


def test_without_the_right_to_make_volumes_the_claim_stays_pending(space: Space, tmp_path: Path) -> None:
    space.install(values(space))
    role = space.get("clusterrole", f"{space.name}-runner")
    role["rules"][0]["verbs"].remove("create")
    space.apply(role)
    with controller(space, tmp_path) as recorder:
        space.wait_until(lambda: ("create", "persistentvolumes", "") in recorder.refused)
    assert space.get("pvc", "efs")["status"]["phase"] == "Pending"


def allowed(space: Space, verb: str, resource: str, name: str = "", namespace: str | None = None) -> bool:
    """What `kubectl auth can-i` says about the chart's account; namespace None is the release's own."""
    what = f"{resource}/{name}" if name else resource
    account = f"system:serviceaccount:{space.name}:{space.name}"
    where = ("--all-namespaces",) if namespace == "*" else ("-n", namespace or space.name)
    said = space.cluster.kubectl("auth", "can-i", verb, what, f"--as={account}", *where, check=False)
    return said.splitlines()[-1:] == ["yes"]


def test_what_the_controller_has_no_business_with_is_refused(space: Space) -> None:
    space.install(values(space))
    lock = provisioner_name(space).replace("/", "-")
    needed_rights = [
        ("create", "persistentvolumes", "", None),
        ("delete", "persistentvolumes", "", None),
        ("list", "persistentvolumeclaims", "", "*"),
        ("watch", "storageclasses.storage.k8s.io", "", None),
        ("create", "events", "", "*"),
        ("create", "endpoints", "", None),
        ("update", "endpoints", lock, None),
    ]
    refused_rights = [
        ("update", "persistentvolumes", "", None),
        ("patch", "persistentvolumes", "", None),
        ("deletecollection", "persistentvolumes", "", None),
        ("create", "persistentvolumeclaims", "", None),
        ("update", "persistentvolumeclaims", "", None),
        ("delete", "persistentvolumeclaims", "", None),
        ("create", "storageclasses.storage.k8s.io", "", None),
        ("delete", "storageclasses.storage.k8s.io", "", None),
        ("get", "secrets", "", None),
        ("list", "secrets", "", "*"),
        ("get", "configmaps", "", None),
        ("list", "pods", "", None),
        ("create", "pods", "", None),
        ("create", "pods/exec", "", None),
        ("get", "nodes", "", None),
        ("list", "events", "", None),
        ("update", "endpoints", "kubernetes", "default"),
        ("update", "endpoints", "another", None),
        ("create", "endpoints", "", "kube-system"),
        ("delete", "endpoints", lock, None),
        ("list", "endpoints", "", None),
        ("create", "serviceaccounts/token", "", None),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io", "", None),
        ("*", "*", "", None),
    ]
    said = {right: allowed(space, *right) for right in (*needed_rights, *refused_rights)}
    assert said == {**dict.fromkeys(needed_rights, True), **dict.fromkeys(refused_rights, False)}
