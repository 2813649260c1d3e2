"""A standby takes over from an active that died, was deleted or hangs, and no acknowledged message is lost."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from bounds import assert_most_within

from harness.cluster.kind import Cluster
from stanft.faults import Scene
from stanft.ground.errors import UserError
from stanft.ground.shell import CommandError
from stanft.group.live import Group
from stanft.traffic.clients import Traffic

# What the server's protocol allows at most after a death: the standby's longest wait for a heartbeat, counted from the
# last one heard (nats-streaming-server server/ft.go: 1.25 s + 10 %), and as much again where the first try for the lock
# comes too early; the rest is for a busy machine.
TAKEOVER_LIMIT = 2 * 1.375 + 2.0
# Period x failures of the default liveness probe, its grace, the takeover, and the machine's own delay.
HUNG_LIMIT = 8.0


def pod_of(group: Group, name: str) -> object:
    """The pod object of a server."""
    return next(pod for pod in group.pods() if pod.metadata.name == name)


def takeover(group: Group, traffic: Traffic, fault: Callable[[str], object]) -> float:
    """Publish, hit the active when there is enough traffic, and go on until publishing recovered.

    Gives the outage in seconds, after it made sure that the run counts, that another server is active and that every
    acknowledged message was delivered.
    """
    active = group.wait_whole(180) and group.active()
    assert active
    with traffic.running():
        traffic.warm_up()
        at = traffic.mark("fault")
        fault(active.pod)
        traffic.wait_recovered(at, timeout=60.0)
    verdict, outage = traffic.ledger.verdict(at), traffic.ledger.outage(at)
    assert not verdict.void, verdict.void
    assert verdict.passed, verdict.sentence()
    assert outage.recovered
    group.wait_whole()
    now_active = group.active()
    assert now_active is not None
    assert now_active.pod != active.pod
    return outage.seconds


def test_a_standby_takes_over_when_the_active_is_killed_and_no_acknowledged_message_is_lost(
    cluster: Cluster, group: Group, new_traffic: Callable[[], Traffic]
) -> None:
    def kill(pod: str) -> None:
        Scene(group, cluster).signal(pod_of(group, pod), signal.SIGKILL)

    assert_most_within(TAKEOVER_LIMIT, lambda: takeover(group, new_traffic(), kill))


def test_a_standby_takes_over_when_the_active_is_deleted_and_no_acknowledged_message_is_lost(
    cluster: Cluster, group: Group, new_traffic: Callable[[], Traffic]
) -> None:
    def delete(pod: str) -> None:
        cluster.kubectl("delete", "pod", pod, "--wait=false")

    assert_most_within(TAKEOVER_LIMIT, lambda: takeover(group, new_traffic(), delete))


def test_a_hung_active_is_replaced_in_seconds_and_no_acknowledged_message_is_lost(
    cluster: Cluster, group: Group, new_traffic: Callable[[], Traffic]
) -> None:
    def once() -> float:
        stopped: list[object] = []

        def hang(pod: str) -> None:
            stopped.append(pod_of(group, pod))
            Scene(group, cluster).signal(stopped[0], signal.SIGSTOP)

        try:
            return takeover(group, new_traffic(), hang)
        finally:
            for pod in stopped:
                # A process that was replaced is gone; one that was not must not stay stopped.
                with contextlib.suppress(UserError, CommandError):
                    Scene(group, cluster).signal(pod, signal.SIGCONT)

    assert_most_within(HUNG_LIMIT, once)
