"""The rule: which pod goes next, from what was seen. It asks nobody and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ACTIVE, STANDBY = "FT_ACTIVE", "FT_STANDBY"  # as a server's /streaming/serverz calls them


@dataclass(frozen=True)
class Pod:
    """One pod; old: it is to be restarted; trouble: why it cannot start; port: its monitor's."""

    name: str
    uid: str
    old: bool
    leaving: bool = False
    trouble: str = ""
    ready: bool = True
    running: bool = True
    address: str = ""
    port: int = 8222

    @property
    def asked(self) -> bool:
        """Whether its server is asked. An old one may never become Ready: its probes may be what the change mends."""
        return not self.leaving and not self.trouble and (self.ready or (self.old and self.running))


@dataclass(frozen=True)
class Answer:
    """What a server said: its state ("" for none), whether it says anything at all, to how many others it has routes.

    routes is None where it was not asked for them; apart: it is in no cluster of NATS servers, so has none to anybody.
    """

    state: str
    speaks: bool = True
    routes: int | None = None
    apart: bool = False


@dataclass(frozen=True)
class Seen:
    """The group at one moment; routes: how many each server must have; current: its controller has seen the change."""

    replicas: int
    routes: int
    current: bool
    pods: Sequence[Pod]
    answers: Mapping[str, Answer]

    @property
    def actives(self) -> list[str]:
        """Names of the servers that say that they are active."""
        return [pod.name for pod in self.pods if self.state(pod) == ACTIVE]

    def state(self, pod: Pod) -> str | None:
        """What a server says that it is; None where it was not asked."""
        answer = self.answers.get(pod.name)
        return answer.state if answer else None

    def mute(self, pod: Pod) -> bool:
        """Whether it is not Ready and says nothing, so cannot be waited for. One that recovers its store does speak."""
        return self.state(pod) == "" and not pod.ready and not self.answers[pod.name].speaks

    def failing(self) -> str:
        """Which new pod does not start, and why: it may be how all of them end."""
        broken = [pod for pod in self.pods if pod.trouble and not pod.old and not pod.leaving]
        return f"{broken[-1].name} does not start: {broken[-1].trouble}" if broken else ""

    def settling(self) -> str:
        """Which pod is on its way, in words."""
        for pod in self.pods:
            if pod.leaving:
                return f"{pod.name} is terminating"
            if not pod.trouble and not pod.asked:
                return f"{pod.name} is not Ready"
        for pod in self.pods:
            if self.state(pod) == "" and not self.mute(pod):
                return f"{pod.name} does not answer on its monitor port (a server that recovers its store does not)"
        return ""

    def strange(self) -> str:
        """Which server is in a state that no server of a group has."""
        odd = [pod for pod in self.pods if self.state(pod) not in (ACTIVE, STANDBY, "", None)]
        return f"{odd[0].name} is {self.state(odd[0])}" if odd else ""

    def lonely(self) -> str:
        """Which new server lacks routes; an old one may lack them for the very reason of this change."""
        for pod in self.pods:
            answer = self.answers.get(pod.name)
            if answer and not answer.apart and answer.routes is not None and answer.routes < self.routes:
                return f"{pod.name} has a route to {answer.routes} of {self.routes} other servers"
        return ""

    def hopeless(self) -> str:
        """Why nobody is active and nobody will be; "" where somebody is, or may yet become it."""
        stuck = any(pod.trouble and pod.old and not pod.leaving for pod in self.pods)
        return "" if self.actives or stuck or self.settling() else self.failing()


@dataclass(frozen=True)
class Wait:
    """Nothing is done yet, for this reason."""

    reason: str


@dataclass(frozen=True)
class Restart:
    """This very pod goes: evict it where it is healthy, so that budgets are heard, or delete it.

    tried: whether a new server has to have been tried before. With nobody active, and for a pod that cannot start,
    there is nothing that a bad change could take away.
    """

    pod: Pod
    why: str
    evict: bool = False
    tried: bool = True


@dataclass(frozen=True)
class Finished:
    """Every pod is new and whole, and this one is active."""

    active: str


def decide(seen: Seen) -> Wait | Restart | Finished:
    """What to do about the group as it was seen; of several pods the one with the highest number goes first."""
    if not seen.current:
        return Wait("the StatefulSet controller has not seen the change yet")
    old = [pod for pod in reversed(seen.pods) if pod.old and not pod.leaving]
    for pod in old:
        if pod.trouble:  # it serves nobody and will not get better
            return Restart(pod, pod.trouble, tried=False)
    if len(seen.pods) < seen.replicas:
        return Wait(f"{len(seen.pods)} of {seen.replicas} pods are there")
    if unsettled := seen.failing() or seen.settling() or seen.strange():
        return Wait(unsettled)
    return _among_settled(seen, old)


def _among_settled(seen: Seen, old: Sequence[Pod]) -> Wait | Restart | Finished:
    actives = seen.actives
    if len(actives) > 1:
        return Wait(f"more than one server says that it is active: {' '.join(actives)}")
    for pod in old:
        if seen.mute(pod):
            return Restart(pod, f"not Ready, and its monitor port {pod.port} says nothing", tried=bool(actives))
    if not actives:
        return Wait("no server is active")
    standbys = [pod for pod in old if seen.state(pod) == STANDBY]
    for pod in standbys:
        if not pod.ready:
            return Restart(pod, "standby, not Ready")
    if lonely := seen.lonely():
        return Wait(lonely)
    if standbys:
        return Restart(standbys[0], "standby", evict=True)
    if old:
        return Restart(old[0], "active, the last one", evict=True)
    return Finished(actives[0])
