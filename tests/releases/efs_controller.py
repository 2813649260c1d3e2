"""A real controller at work under an account of the cluster, and a proxy that notes which rights it uses.

The controller is cluster/go/directory-provisioner, built on the library of nfs-subdir-external-provisioner v4.0.2.
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

import yaml
from efs_space import SHARED, Space

from harness.ground import toolchain

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


def provisioner_name(space: Space) -> str:
    """The name that the namespace's controller answers to."""
    return f"example.com/{space.name}"


@contextmanager
def controller(space: Space, directory: Path, account: str) -> Iterator[Recorder]:
    """The controller at work under an account of the namespace, its log in directory; it is ended at the end."""
    admin = yaml.safe_load(space.cluster.kubeconfig.read_text())
    target = admin["clusters"][0]["cluster"]
    authority = base64.b64decode(target["certificate-authority-data"]).decode()
    token = space.kubectl("create", "token", account, "--duration=10m")
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
