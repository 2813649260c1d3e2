"""The Lease that keeps two rollouts of one group apart."""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import UTC, datetime
from typing import Any

from .api import Api, AwayError, RefusedError, allowed
from .clock import Clock
from .ends import GiveUpError


class Lease:
    """The Lease NAME in a namespace; whoever has not renewed it for so many seconds is taken for gone."""

    def __init__(self, api: Api, namespace: str, name: str, seconds: int, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name, self._namespace, self._seconds = name, namespace, seconds
        self._me = f"{socket.gethostname()}-{os.getpid()}"
        self._held: float | None = None  # since when it was last renewed
        self._version = ""
        self._seen = ("", 0.0)  # the version that another holder last wrote, and when it was first seen

    def renew(self) -> None:
        """Keep it, if it was taken. Raises as take does."""
        if self._held is not None:
            self.take()

    def take(self) -> str:
        """Take it, or renew it from time to time; gives why that cannot be, or "".

        Raises GiveUpError where another run has taken it over, StopError where the right is missing.
        """
        at = self._clock.now()
        if self._held is not None and at - self._held < self._seconds / 3:
            return ""
        try:
            there = self._read()
            if other := self._other(there, at):
                return other
            self._write(there)
        except (RefusedError, AwayError) as error:
            if isinstance(error, RefusedError):
                allowed(error)
            # Nobody takes it within this time, whatever the API server says now.
            safe = self._held is not None and at - self._held < self._seconds * 2 / 3
            return "" if safe else f"the Lease {self._name} is not to be had: {error}"
        self._held = at
        return ""

    def leave(self) -> None:
        """Let the next run go on at once."""
        if self._held is not None:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": self._version}}
            with contextlib.suppress(RefusedError, AwayError):
                self._api.call("DELETE", f"{self._all}/{self._name}", options)

    def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._api.call("GET", f"{self._all}/{self._name}")
        except RefusedError as error:
            if error.status != 404:
                raise
            return None
        return found

    def _other(self, there: dict[str, Any] | None, at: float) -> str:
        """Who else holds it and is alive. Its own clock may be wrong: what counts is that the Lease does not change."""
        holder = ((there or {}).get("spec") or {}).get("holderIdentity")
        if there is None or not holder or holder == self._me:
            return ""
        if self._held is not None:
            raise GiveUpError(f"another rollout ({holder}) has taken over")
        version = there["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = version, at
        return f"another rollout ({holder}) is at work" if at - self._seen[1] < self._seconds else ""

    def _write(self, there: dict[str, Any] | None) -> None:
        metadata = {"name": self._name, "namespace": self._namespace}
        if there is not None:
            metadata["resourceVersion"] = there["metadata"]["resourceVersion"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._me, "leaseDurationSeconds": self._seconds, "renewTime": now}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        written = (
            self._api.call("POST", self._all, body)
            if there is None
            else self._api.call("PUT", f"{self._all}/{self._name}", body)
        )
        self._version = written["metadata"]["resourceVersion"]
