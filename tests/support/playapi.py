"""An API server that gives objects as a real one lists them: by group, namespace and kind, each kind's name once."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

PLURALS = {"NetworkPolicy": "networkpolicies", "StorageClass": "storageclasses"}  # not made by an s behind it


def plural_of(item: dict[str, Any]) -> str:
    """The name under which objects of a kind are listed."""
    return PLURALS.get(item["kind"], f"{item['kind'].lower()}s")


# The kinds that helm looks for before it renders with a cluster, by group and version.
KINDS = {
    "v1": ("PersistentVolumeClaim", "PersistentVolume", "ConfigMap", "Service", "ServiceAccount", "Pod"),
    "apps/v1": ("StatefulSet",),
    "batch/v1": ("Job",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
    "rbac.authorization.k8s.io/v1": ("Role", "RoleBinding"),
}


def discovery(path: str) -> dict[str, Any] | None:
    """What an API server says of itself and of its kinds; None for any other path."""
    if path == "/version":
        return {"major": "1", "minor": "37", "gitVersion": "v1.37.2"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = []
        for each in KINDS:
            if "/" in each:
                version = {"groupVersion": each, "version": each.rpartition("/")[2]}
                groups.append({"name": each.partition("/")[0], "versions": [version], "preferredVersion": version})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version_of = path.partition("/api/")[2] or path.partition("/apis/")[2]
    if version_of not in KINDS:
        return None
    resources = [
        {
            "name": plural_of({"kind": kind}),
            "namespaced": kind != "PersistentVolume",
            "kind": kind,
            "verbs": ["get", "list"],
        }
        for kind in KINDS[version_of]
    ]
    return {"kind": "APIResourceList", "groupVersion": version_of, "resources": resources}


class Answering(BaseHTTPRequestHandler):
    """Answers with JSON, over connections that are kept."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Let a client that does not trust the certificate go without a word."""
        with suppress(ssl.SSLError):
            super().handle()

    def answer(self, code: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class PlayApi:
    """Serves objects of one namespace and of the cluster over HTTP; remembers what was asked."""

    def __init__(self, directory: Path, items: Sequence[dict[str, Any]], namespace: str) -> None:
        self.items, self.namespace = items, namespace
        self.forbidden = ""  # a plural that this user may not list, or a name that it may not read
        self.asked: list[str] = []
        cluster = self

        class Handler(Answering):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                cluster.asked.append(path)
                self.answer(*cluster.answer(path))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.kubeconfig = directory / "kubeconfig"
        server = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "play",
                    "contexts": [
                        {"name": "play", "context": {"cluster": "play", "user": "play", "namespace": namespace}}
                    ],
                    "clusters": [{"name": "play", "cluster": {"server": server}}],
                    "users": [{"name": "play", "user": {}}],
                }
            )
        )

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status code and body for a path."""
        if (itself := discovery(path)) is not None:
            return 200, itself
        if path == f"/api/v1/namespaces/{self.namespace}":
            return 200, {"kind": "Namespace", "metadata": {"name": self.namespace}}
        parts = path.strip("/").split("/")
        version, plural = "/".join(parts[1:2] if parts[0] == "api" else parts[1:3]), parts[-1]
        if "namespaces" in parts and parts[parts.index("namespaces") + 1] != self.namespace:
            return 404, {"kind": "Status", "message": "not found"}
        if "monitoring.coreos.com" in path:
            return 404, {"kind": "Status", "message": "the server could not find the requested resource"}
        if plural == self.forbidden:
            return 403, {"kind": "Status", "message": f"{plural} is forbidden"}
        found = [
            {key: value for key, value in each.items() if key not in ("apiVersion", "kind")}
            for each in self.items
            if each["apiVersion"] == version and plural_of(each) == plural
        ]
        if "namespaces" in parts and len(parts) - parts.index("namespaces") == 4:  # one object, not a list
            name, kind = plural, parts[-2]
            one = [each for each in self.items if plural_of(each) == kind and each["metadata"]["name"] == name]
            return (200, one[0]) if one else (404, {"kind": "Status", "reason": "NotFound", "message": "not found"})
        return 200, {"kind": "List", "apiVersion": version, "items": found}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
