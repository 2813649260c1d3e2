"""Where the rollout meets the trial of a new server: a directory that both containers of the Job's pod have."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

from .clock import Clock
from .ends import GiveUpError
from .settings import Settings

_BREATH = 15.0  # seconds without a sign of life


class Meeting:
    """The trial as seen from here; say gets the words of one that passed."""

    def __init__(self, settings: Settings, clock: Clock, say: Callable[[str], None]) -> None:
        self._directory = settings.trial
        self._settings = settings
        self._clock = clock
        self._say = say
        self._passed = settings.trial is None
        self._wanted: float | None = None

    def awaited(self) -> str:
        """What is still awaited, "" once a new server became active on a copy; raises GiveUpError if it did not."""
        if self._passed or self._directory is None:
            return ""
        if self._wanted is None:
            self._wanted = self._clock.now()
            (self._directory / "wanted").touch()
        verdict = self._directory / "verdict"
        if verdict.exists() and verdict.stat().st_size:
            self._read(verdict)
            return ""
        self._alive(self._directory / "alive", self._clock.now() - self._wanted)
        return "a new server is tried on a copy of the store"

    def leave(self) -> None:
        """Let the trial go on at once, however this ends."""
        if self._directory is not None:
            with contextlib.suppress(OSError):
                (self._directory / "over").touch()

    def _read(self, verdict: Path) -> None:
        result, value, words = verdict.read_text().splitlines()[:3]
        if result != "passed":
            raise GiveUpError(
                f"a new server did not become active on a copy of the store: {words}. The value to look at: {value}"
            )
        self._say(f"tried: {words}")
        self._passed = True

    def _alive(self, sign: Path, waited: float) -> None:
        if not sign.exists():
            if waited >= self._settings.begin:
                raise GiveUpError(
                    f"the trial of a new server did not start within {waited:.0f} s: an image (image, fencing.image) "
                    "cannot be pulled, or a Secret or the claim is missing. "
                    f"kubectl describe pod {socket.gethostname()} --namespace {self._settings.namespace} tells which"
                )
        elif time.time() - sign.stat().st_mtime > _BREATH:
            raise GiveUpError(
                "the trial of a new server was killed, most likely for want of memory. "
                "The value to look at: container.resources.limits.memory"
            )
