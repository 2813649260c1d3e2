"""Restarts a fault-tolerant group from outside of the cluster so that the active moves once: standbys first.

The rule itself is charts/stan-ft/files/rollout, which the chart's hook Job runs too (active_last is a link to it, and a
wheel carries what it leads to); here it asks the servers' monitors through the API server, so that a kubeconfig is all
it needs. It works on groups of any origin.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client

from stanft.ground.errors import UserError
from stanft.group.active_last import api as calls
from stanft.group.active_last import ends, monitors, view
from stanft.group.active_last.clock import Clock
from stanft.group.active_last.run import Outcome, Run
from stanft.group.active_last.settings import Settings
from stanft.kube import api
from stanft.words import MONITOR_PORT, NAME


class Kubeconfig:
    """The API that a kubeconfig leads to, as a rollout calls it."""

    def __init__(self, access: client.ApiClient) -> None:
        self._access = access

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = calls.SECONDS) -> Any:
        """As active_last.api.Api.call."""
        try:
            status, text = api.call(self._access, method, path, body, timeout=seconds)
        except api.AWAY as error:
            raise calls.AwayError(error) from error
        return calls.parsed(status, text)


def restart(
    namespace: str,
    statefulset: str = NAME,
    *,
    everything: bool = False,
    kubeconfig: Path | None = None,
    context: str = "",
    container: str = NAME,
    monitor_port: int = MONITOR_PORT,
    timeout: int = 240,
    say: Callable[[str], None] | None = None,
) -> Outcome:
    """Restart the pods that are older than their StatefulSet (all pods with everything), the active last.

    timeout is in seconds; say gets each line of progress (an error is raised instead). Pods that are up to date are
    left alone (unless everything). container is the servers', monitor_port their HTTP monitoring port.
    Raises UserError when the StatefulSet cannot be read or the group is not whole in time; what was restarted until
    then stays so, and the next call goes on from there.
    """
    settings = Settings(
        namespace,
        statefulset,
        container=container,
        monitor_port=monitor_port,
        timeout=timeout,
        everything=everything,
    )
    access = Kubeconfig(api.connect(kubeconfig, context or None, persistent=False))
    return run(settings, access, say or (lambda _: None))


def run(settings: Settings, access: calls.Api, say: Callable[[str], None], clock: Clock | None = None) -> Outcome:
    """A rollout that asks the servers through the API. Raises UserError when the group is not whole in time."""
    ask = monitors.through(access, view.path(settings), settings.answer)
    try:
        return Run(settings, access, ask, say, clock).run()
    except ends.StopError as error:
        raise UserError(str(error)) from error
