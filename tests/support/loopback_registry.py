"""An OCI registry on loopback, over plain HTTP: Debian's docker-registry on a port of its own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.ground import system
from stanft.ground import wait

CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """The registry's host and port while the block runs; what it holds is under folder."""
    system.ensure_packages({"docker-registry": "docker-registry"}, "the test of the registry", services=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = folder / "registry.yaml"
    settings.write_text(CONFIGURATION.format(root=folder / "data", port=port))
    server = subprocess.Popen(
        ["docker-registry", "serve", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait.until(
            lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 30, "the registry did not start", every=0.1
        )
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)
