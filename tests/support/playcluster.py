"""An API server that plays one StatefulSet and its servers, so that real programs can be run.

Time passes with each look at the StatefulSet, so nothing here depends on the clock.
"""

from __future__ import annotations

import itertools
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import yaml
from playapi import Answering

from stanft.group.active_last.api import parsed
from stanft.group.active_last.clock import Clock

_uids = itertools.count(1)
_CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "efs"},
    "spec": {"storageClassName": "aws-efs", "accessModes": ["ReadWriteMany"]},
    "status": {"phase": "Bound", "accessModes": ["ReadWriteMany"]},
}


@dataclass
class Pod:
    """One pod as a rollout sees it; `age` counts the looks since it was made."""

    name: str
    revision: str = "old"
    state: str = "FT_STANDBY"
    ready: bool = True
    waiting: str = ""
    before: str = ""  # what its init container waits for
    routes: int = 2
    apart: bool = False  # in no cluster of NATS servers: NATS is elsewhere
    mute: bool = False  # nothing answers on the monitoring port
    port: int = 0  # of its monitor, where that is declared; otherwise it answers on every one
    restarts: int = 0
    deleted: bool = False
    age: int = 9
    uid: str = field(default_factory=lambda: f"uid-{next(_uids)}")

    def manifest(self) -> dict[str, Any]:
        """The pod as the API gives it."""
        running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        waits = "PodInitializing" if self.before else self.waiting
        container = {
            "name": "stan",
            "image": "nats-streaming",
            "imageID": "",
            "ready": self.ready,
            "restartCount": self.restarts,
            "state": {"waiting": {"reason": waits}} if waits else running,
        }
        metadata: dict[str, Any] = {
            "name": self.name,
            "uid": self.uid,
            "namespace": "default",
            "labels": {"controller-revision-hash": self.revision},
        }
        if self.deleted:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        conditions = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True" if self.ready and not waits else "False"},
        ]
        status = {"podIP": "127.0.0.1", "conditions": conditions, "containerStatuses": [container]}
        if self.before:
            program = {"name": "program", "state": {"waiting": {"reason": self.before}}}
            status["initContainerStatuses"] = [
                program,
                {"name": "x", "state": {"waiting": {"reason": "PodInitializing"}}},
            ]
        declared = [{"name": "monitor", "containerPort": self.port}] if self.port else []
        spec = {"nodeName": f"node-of-{self.name}", "containers": [{"name": "stan", "ports": declared}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


class PlayCluster:
    """Three servers, of which one is active, and what happens to them when a pod is deleted."""

    def __init__(
        self, directory: Path, active: int = 0, replicas: int = 3, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self.pods = {name: Pod(name) for name in (f"stan-{n}" for n in range(replicas))}
        self.pods[f"stan-{active}"].state = "FT_ACTIVE"
        self.replicas = replicas
        self.containers = ["stan", "metrics"]
        self.update_revision = "new"
        self.observed_generation = 2
        self.deletions: list[str] = []
        self.evictions: list[str] = []  # those of them that a budget was asked for
        self.budget = ""  # why it forbids every eviction
        self.lease: dict[str, Any] | None = None
        self.leases = 0  # how often one was written
        self.looks = 0
        self.tokens: set[str] = set()  # that came with requests
        self._hung_up = False
        self.forbidden = False
        self.not_allowed: set[str] = set()  # verbs that this user may not
        self.on_look: Callable[[PlayCluster], None] = lambda _: None
        self.newborn: Callable[[Pod], None] = lambda _: None  # changes a pod as it is made anew
        self.before_delete: Callable[[Pod], None] = lambda _: None
        self.now = 0.0  # seconds on its own clock, which passes when a rollout waits
        self.clock = Clock(lambda: self.now, self._wait)
        self._lock = threading.Lock()
        cluster = self

        class Handler(Answering, BaseHTTPRequestHandler):
            def parse_request(self) -> bool:
                whole = super().parse_request()
                if whole and cluster._hung_up:
                    cluster._hung_up, self.close_connection = False, True
                    return False
                if whole:
                    cluster.tokens |= {self.headers["Authorization"]} - {None}
                return whole

            def do_GET(self) -> None:
                self.answer(*cluster._serve("GET", self.path, None))

            def do_POST(self) -> None:
                self.answer(*cluster._serve("POST", self.path, json.loads(self._body())))

            def do_PUT(self) -> None:
                self.answer(*cluster._serve("PUT", self.path, json.loads(self._body())))

            def do_DELETE(self) -> None:
                self.answer(*cluster._serve("DELETE", self.path, json.loads(self._body() or b"{}")))

            def _body(self) -> bytes:
                """The request's body; kubectl sends it in chunks when it comes from a pipe."""
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                return body

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # Not in the thread that accepts: a client that goes away would end it.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "play",
                    "contexts": [{"name": "play", "context": {"cluster": "play", "user": "play"}}],
                    "clusters": [
                        {"name": "play", "cluster": {"server": f"http://127.0.0.1:{self._server.server_port}"}}
                    ],
                    "users": [{"name": "play", "user": {}}],
                }
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = 10) -> Any:  # noqa: ARG002
        """The API without a network between, as a rollout calls it (active_last.api.Api)."""
        code, answer = self._serve(method, path, body)
        return parsed(code, answer if isinstance(answer, str) else json.dumps(answer))

    def _serve(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        path = unquote(path.partition("?")[0])
        with self._lock:
            if method == "GET":
                return self._get(path)
            if method == "DELETE" and "/leases/" in path:
                self.lease = None
                return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            if method == "DELETE":
                return self._delete(path.rpartition("/")[2], body)
            if body.get("kind") == "Eviction":
                return self._evict(body)
            if body.get("kind") == "Lease":
                return self._put_lease(body)
            verb = body["spec"]["resourceAttributes"]["verb"]
            return 201, {**body, "status": {"allowed": verb not in self.not_allowed}}

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def hang_up(self) -> None:
        """Close the connection on which the next request comes, without an answer."""
        self._hung_up = True

    @contextmanager
    def monitors(self) -> Iterator[None]:
        """Let each server answer on a port of its own, now and when it is made anew."""
        cluster, newborn = self, self.newborn
        servers: dict[str, ThreadingHTTPServer] = {}
        for name in self.pods:

            class Monitor(Answering, BaseHTTPRequestHandler):
                pod = name

                def do_GET(self) -> None:
                    with cluster._lock:
                        port = cluster.pods[self.pod].port
                        self.answer(*cluster._monitor(f"/pods/{self.pod}:{port}/proxy{self.path}"))

            servers[name] = ThreadingHTTPServer(("127.0.0.1", 0), Monitor)
            threading.Thread(target=servers[name].serve_forever, args=(0.02,), daemon=True).start()

        def placed(pod: Pod) -> None:
            pod.port = servers[pod.name].server_port
            newborn(pod)

        for pod in self.pods.values():
            pod.port = servers[pod.name].server_port
        self.newborn = placed
        try:
            yield
        finally:
            for server in servers.values():
                server.shutdown()
                server.server_close()

    def actives(self) -> list[str]:
        """Names of the servers that are active."""
        return [pod.name for pod in self.pods.values() if pod.state == "FT_ACTIVE"]

    def _pass_time(self) -> None:
        self.looks += 1
        for name, pod in list(self.pods.items()):
            pod.age += 1
            if pod.deleted and pod.age >= 1:
                self.pods[name] = Pod(name, revision=self.update_revision, ready=False, age=0)
                self.newborn(self.pods[name])
            elif not pod.ready and pod.age == 2 and pod.revision == self.update_revision:
                pod.ready = True
        self.on_look(self)

    def _get(self, path: str) -> tuple[int, Any]:
        resources = [
            {"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": True, "verbs": ["get", "delete"]},
        ]
        sets = [{**resources[0], "name": "statefulsets", "singularName": "statefulset", "kind": "StatefulSet"}]
        group_version = {"groupVersion": "apps/v1", "version": "v1"}
        static = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {
                "kind": "APIGroupList",
                "groups": [{"name": "apps", "versions": [group_version], "preferredVersion": group_version}],
            },
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources},
            "/apis/apps/v1": {"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": sets},
        }
        if path in static:
            return 200, static[path]
        if self.forbidden and self.looks > 2:
            return 403, _status(403, "Forbidden", "pods is forbidden")
        if path.endswith("/statefulsets/stan"):
            self._pass_time()
            return 200, self._statefulset()
        if "/proxy/" in path:
            return self._monitor(path)
        if "/leases/" in path and self.lease:
            return 200, self.lease
        if path.endswith("/pods"):
            return 200, {"apiVersion": "v1", "kind": "PodList", "items": [pod.manifest() for pod in self.pods.values()]}
        if path.endswith("/persistentvolumeclaims/efs"):
            return 200, _CLAIM
        pod = self.pods.get(path.rpartition("/")[2])
        return (200, pod.manifest()) if pod else (404, _status(404, "NotFound", f"{path} not found"))

    def _statefulset(self) -> dict[str, Any]:
        return {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "stan", "uid": "set", "generation": 2},
            "spec": {
                "replicas": self.replicas,
                "serviceName": "stan",
                "selector": {"matchLabels": {"app": "stan"}},
                "template": {
                    "spec": {
                        "containers": [{"name": name} for name in self.containers],
                        "volumes": [{"name": "efs", "persistentVolumeClaim": {"claimName": "efs"}}],
                    }
                },
                "updateStrategy": {"type": "OnDelete"},
            },
            "status": {
                "replicas": self.replicas,
                "observedGeneration": self.observed_generation,
                "updateRevision": self.update_revision,
            },
        }

    def _monitor(self, path: str) -> tuple[int, Any]:
        name = path.split("/pods/")[1].split(":", maxsplit=1)[0]
        pod = self.pods[name]
        if pod.deleted or pod.mute or (pod.port and f"{name}:{pod.port}/" not in path):
            return 503, _status(503, "ServiceUnavailable", "no answer")
        if path.endswith("/varz"):
            return 200, json.dumps({"cluster": {} if pod.apart else {"cluster_port": 6222}}, indent=2)
        if not pod.state:
            return 503, _status(503, "ServiceUnavailable", "no answer")
        if path.endswith("/routez"):
            routes = [{"rid": n, "remote_id": f"N{n}"} for n in range(pod.routes)]
            return 200, json.dumps({"num_routes": pod.routes, "routes": routes}, indent=2)
        return 200, json.dumps({"cluster_id": "", "state": pod.state}, indent=2)

    def _put_lease(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        """Write the one Lease as the API does: only over the version that was read."""
        there = self.lease["metadata"]["resourceVersion"] if self.lease else ""
        if wanted["metadata"].get("resourceVersion", "") != there:
            return 409, _status(409, "Conflict", "the object has been modified")
        self.leases += 1
        self.lease = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": f"v{self.leases}"}}
        return 200, self.lease

    def hold(self, holder: str) -> None:
        """Let somebody else have the Lease, newly renewed."""
        there = self.lease["metadata"]["resourceVersion"] if self.lease else ""
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"resourceVersion": there}}
        self._put_lease({**lease, "spec": {"holderIdentity": holder}})

    def _evict(self, eviction: dict[str, Any]) -> tuple[int, Any]:
        if self.budget:
            code, reason = (403, "Forbidden") if "is forbidden: User" in self.budget else (429, "TooManyRequests")
            return code, _status(code, reason, self.budget)
        code, answer = self._delete(eviction["metadata"]["name"], eviction["deleteOptions"])
        if code == 200:
            self.evictions.append(eviction["metadata"]["name"])
        return code, answer

    def delete(self, name: str) -> None:
        """End a pod as somebody else does it, such as a drain."""
        self.pods[name].deleted, self.pods[name].state, self.pods[name].age = True, "", 0

    def _delete(self, name: str, options: dict[str, Any]) -> tuple[int, Any]:
        pod = self.pods[name]
        self.before_delete(pod)
        if options.get("preconditions", {}).get("uid") != self.pods[name].uid:
            return 409, _status(409, "Conflict", "the UID in the precondition does not match")
        self.deletions.append(name)
        was_active = pod.state == "FT_ACTIVE"
        pod.deleted, pod.state, pod.age = True, "", 0
        if was_active:
            standbys = [each for each in self.pods.values() if each.state == "FT_STANDBY" and each.ready]
            if standbys:
                standbys[0].state = "FT_ACTIVE"
        return 200, pod.manifest()


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
