"""What a server's log says about a takeover: when it had the lock, when it was ready, and whether two were active.

The words are those of nats-streaming-server 0.25.6: server/ft.go, server/server.go.
"""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass
from typing import Any

from stanft.group.live import Group
from stanft.words import server_container

GOT_LOCK = "Server is active"
READY = "Streaming Server is ready"
TWO_ACTIVES = "claims to be active"
# The kubelet writes its node's own offset from UTC: kubernetes pkg/kubelet/kuberuntime/logs.
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ")


@dataclass(frozen=True)
class Takeover:
    """Monotonic seconds at which a server had the lock and was ready, None where its log does not say."""

    lock: float | None
    ready: float | None


def clock() -> float:
    """What this machine's clock on the wall is ahead of its monotonic seconds; it changes when somebody sets it."""
    return time.time() - time.monotonic()


def read(group: Group, pod: Any, since: float, was: float, *, previous: bool = False) -> list[tuple[float, str]] | None:
    """The log of a pod's server since a monotonic time, as (monotonic time, line); None if it cannot be read.

    was is clock() at that time. The node measures the time itself, so its own clock may be wrong: then only the lines'
    times are.
    """
    now = clock()
    # A clock that was put forward meanwhile has the node take what is new for old.
    seconds = max(1, int(time.monotonic() - since + max(0.0, now - was)) + 1)
    try:
        text = group.core.read_namespaced_pod_log(
            pod.metadata.name,
            group.namespace,
            container=server_container(pod),
            timestamps=True,
            since_seconds=seconds,
            previous=previous,
            _request_timeout=10,
        )
    except Exception:  # a pod that is gone has no log, and a container that never restarted no previous one
        return None
    lines = parse(str(text), now)
    return None if str(text).strip() and not lines else lines


def parse(text: str, offset: float) -> list[tuple[float, str]]:
    """Lines with the kubelet's time stamps as (monotonic time, rest); offset is wall clock minus monotonic seconds."""
    found = []
    for line in text.splitlines():
        stamp = _STAMP.match(line)
        if stamp:
            whole = datetime.datetime.fromisoformat(stamp[1] + stamp[3].replace("Z", "+00:00")).timestamp()
            found.append((whole + float(stamp[2] or 0) - offset, line[stamp.end() :]))
    return found


def takeover(lines: list[tuple[float, str]]) -> Takeover:
    """When the server of these lines took over for the first time."""

    def first(words: str) -> float | None:
        return next((at for at, line in lines if words in line), None)

    return Takeover(first(GOT_LOCK), first(READY))


def two_actives(lines: list[tuple[float, str]]) -> list[str]:
    """The lines in which a server says that another one is active too."""
    return [line for _, line in lines if TWO_ACTIVES in line]
