"""What stands in for an engine or a cluster: small shell scripts that are found first and note arguments; a group.

What a test wants to see is what the harness asks of them and what it makes of their answers.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.charts import render
from harness.ground import toolchain
from stanft.words import ACTIVE, STANDBY


class Programs:
    """A folder in front of PATH; each program in it notes its arguments and then does what its script says."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = directory / "programs"
        self.folder.mkdir()
        self._log = directory / "asked"
        self._log.touch()
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", f"{self.folder}:{os.environ['PATH']}")
        # For a user who is not root: sudo cleans the environment, and stand-ins would neither be found nor know a test.
        if sudo := shutil.which("sudo"):
            kept = f"[{sudo!r}, 'env', *map('='.join, os.environ.items()), *sys.argv[1:]]"
            program = f"import os, sys; os.execv({sudo!r}, {kept})"
            self._write(self.folder / "sudo", f"""exec {shlex.quote(sys.executable)} -c "{program}" "$@" """)

    def add(self, name: str, script: str = "") -> None:
        """A program of this name that notes what it is asked and runs the script (sh, the arguments in "$@")."""
        self._write(self.folder / name, self._noting(name) + script)

    def tools(self, **scripts: str) -> None:
        """The only pinned tools there are: those named (- as _) run their script, every other one does nothing."""

        def build(_: object, names: Sequence[str], directory: Path) -> None:
            for name in names:
                self._write(directory / name, self._noting(name) + scripts.get(name.replace("-", "_"), ""))

        render.engine_key(), render.engine()  # charts are still rendered for real: both are kept for this process
        self._monkeypatch.setenv("STAN_FT_CACHE", str(self.folder.parent / "cache"))
        self._monkeypatch.setattr(toolchain, "_build", build)

    def asked(self, words: str = "") -> list[str]:
        """The calls so far that begin with these words, each as one line."""
        return [line.rstrip() for line in self._log.read_text().splitlines() if line.startswith(words)]

    def _noting(self, name: str) -> str:
        # One write per call, also where an argument has several lines.
        return f"""printf '%s\\n' "$(printf '%s ' {name} "$@" | tr '\\n' ' ')" >>{shlex.quote(str(self._log))}\n"""

    def _write(self, file: Path, script: str) -> None:
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


def played_group(api: Any, namespace: str, pods: list[Any], active: str) -> Any:
    """A group of servers whose pods are these, the named one active: what the faults ask of stanft.group.live.Group."""
    states = [
        SimpleNamespace(pod=name, state=ACTIVE if name == active else STANDBY, is_active=name == active, routes=2)
        for name in (pod.metadata.name for pod in pods)
    ]
    return SimpleNamespace(
        name="stan",
        namespace=namespace,
        core=api,
        apps=api,
        pods=lambda: pods,
        servers=lambda: states,
        replicas=lambda: len(pods),
        wait_whole=lambda *_: states,
    )
