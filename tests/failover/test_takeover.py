"""A standby takes over from an active that died, was deleted or hangs, and no acknowledged message is lost."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from harness.cluster.kind import Cluster
from harness.cluster.processes import signal_server
from harness.errors import UserError
from harness.group import Group
from harness.ledger import Outage, Verdict
from harness.shell import CommandError
from harness.traffic import Traffic

# What the server's protocol allows at most after a death: the standby's longest wait for a heartbeat, counted from the
# last one heard (nats-streaming-server server/ft.go: 1.25 s + 10 %), and as much again where the first try for the lock
# comes too early; the rest is for a busy machine.
TAKEOVER_LIMIT = 2 * 1.375 + 2.0
# Period x failures of the default liveness probe, its grace, the takeover, and the machine's own delay.
HUNG_LIMIT = 8.0


def pod_of(group: Group, name: str) -> object:
    """The pod object of a server."""
    return next(pod for pod in group.pods() if pod.metadata.name == name)


def run(
    traffic: Traffic, group: Group, fault: Callable[[str], None], *, timeout: float = 60.0
) -> tuple[Verdict, Outage, str]:
    """Publish, cause the fault on the active when there is enough traffic, go on until publishing recovered."""
    active = group.active()
    assert active is not None
    with traffic.running():
        traffic.warm_up()
        at = traffic.mark("fault")
        fault(active.pod)
        traffic.wait_recovered(at, timeout=60.0)
    return traffic.ledger.verdict(at), traffic.ledger.outage(at), active.pod


def assert_nothing_lost(verdict: Verdict) -> None:
    """The run counts (enough traffic before the fault) and every acknowledged message was delivered."""
    assert not verdict.void, verdict.void
    assert verdict.passed, verdict.sentence()


def test_a_standby_takes_over_when_the_active_is_killed_and_no_acknowledged_message_is_lost(
    cluster: Cluster, group: Group, traffic: Traffic
) -> None:
    verdict, outage, killed = run(
        traffic, group, lambda pod: void(signal_server(cluster, pod_of(group, pod), signal.SIGKILL))
    )
    assert_nothing_lost(verdict)
    assert outage.recovered
    assert outage.seconds < TAKEOVER_LIMIT, f"no acknowledgement for {outage.seconds:.2f} s"
    group.wait_whole()
    now_active = group.active()
    assert now_active is not None
    assert now_active.pod != killed


def test_a_standby_takes_over_when_the_active_is_deleted_and_no_acknowledged_message_is_lost(
    cluster: Cluster, group: Group, traffic: Traffic
) -> None:
    verdict, outage, deleted = run(
        traffic, group, lambda pod: void(cluster.kubectl("delete", "pod", pod, "--wait=false"))
    )
    assert_nothing_lost(verdict)
    assert outage.seconds < TAKEOVER_LIMIT, f"no acknowledgement for {outage.seconds:.2f} s"
    group.wait_whole()
    now_active = group.active()
    assert now_active is not None
    assert now_active.pod != deleted


def test_a_hung_active_is_replaced_in_seconds_and_no_acknowledged_message_is_lost(
    cluster: Cluster, group: Group, traffic: Traffic
) -> None:
    stopped: list[object] = []

    def hang(pod: str) -> None:
        stopped.append(pod_of(group, pod))
        signal_server(cluster, stopped[0], signal.SIGSTOP)

    try:
        verdict, outage, _ = run(traffic, group, hang)
    finally:
        for pod in stopped:
            # A process that was replaced is gone; one that was not must not stay stopped.
            with contextlib.suppress(UserError, CommandError):
                signal_server(cluster, pod, signal.SIGCONT)
    assert_nothing_lost(verdict)
    assert outage.seconds < HUNG_LIMIT, f"no acknowledgement for {outage.seconds:.2f} s"


def void(_: object) -> None:
    """Drop a value where a fault must return nothing."""
