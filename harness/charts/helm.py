"""Helm through pyhelm3, with the pinned binary and the gaps that matter here closed.

Source of the gaps: pyhelm3 0.5.8 command.py (no --kube-version, pure-Python YAML, None for an empty document).
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Coroutine, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyhelm3  # type: ignore[import-untyped]
from pyhelm3.command import Command  # type: ignore[import-untyped]

from harness.ground import toolchain

T = TypeVar("T")

# pyhelm3 logs each refusal that it then raises; the one who catches it decides what the user reads.
logging.getLogger("pyhelm3.command").setLevel(logging.CRITICAL)


class PinnedCommand(Command):  # type: ignore[misc]
    """pyhelm3's command with the pinned helm, a Kubernetes version for every render, and its text as helm prints it."""

    def __init__(self, *, kube_version: str = toolchain.KUBERNETES_VERSION, **options: Any) -> None:
        super().__init__(executable=str(toolchain.ensure("helm")), **options)
        self.kube_version = kube_version

    async def run(self, command: list[Any], input: bytes | None = None) -> bytes:  # noqa: A002 (pyhelm3 calls it so)
        """Run helm; a render always names the Kubernetes version, so that a new helm does not change the outcome."""
        if command[0] == "template":
            command = [*command, "--kube-version", self.kube_version]
        return bytes(await super().run(command, input))

    async def template_text(
        self, release: str, chart: Path, values: Mapping[str, Any] | None = None, *, namespace: str = "default"
    ) -> str:
        """What `helm template` prints for one mapping of values."""
        command = ["template", release, str(chart), "--skip-crds", "--values", "-", "--namespace", namespace]
        return (await self.run(command, json.dumps(values or {}).encode())).decode()


def client(*, kubeconfig: Path | None = None, context: str | None = None, timeout: str = "5m") -> pyhelm3.Client:
    """A pyhelm3 client over the pinned helm; timeout is helm's duration text. Give it one mapping of values only."""
    command = PinnedCommand(kubeconfig=kubeconfig, kubecontext=context, default_timeout=timeout)
    return pyhelm3.Client(command, executable=str(toolchain.ensure("helm")))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="helm", daemon=True).start()
    return loop


def run(coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Wait for a pyhelm3 call from ordinary code, on the one event loop kept for it; timeout in seconds.

    Raises what the call raises, TimeoutError when time is up (helm is then ended by pyhelm3).
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result(timeout)
    except BaseException:
        future.cancel()
        raise
