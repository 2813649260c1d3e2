"""A whole rollout: look, decide, restart, until every pod is new and one server is active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import monitors, view
from .api import Api, AwayError, RefusedError, allowed
from .clock import Clock
from .ends import GiveUpError, StopError
from .lease import Lease
from .meeting import Meeting
from .rule import ACTIVE, Answer, Finished, Pod, Restart, Seen, decide
from .settings import Settings


@dataclass(frozen=True)
class Outcome:
    """How it went: the pods in the order of their restarts, the seconds it took, and who is active now."""

    restarted: tuple[str, ...]
    seconds: int
    active: str
    takeovers: int


class Run:
    """One rollout; say gets each line of progress, with the time of day before it."""

    def __init__(
        self, settings: Settings, api: Api, ask: monitors.Ask, say: Callable[[str], None], clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._api = api
        self._ask = ask
        self._clock = clock or Clock()
        self._tell = say
        self._lease = Lease(api, settings.namespace, f"{settings.statefulset}-rollout", settings.lease, self._clock)
        self._meeting = Meeting(settings, self._clock, self._say)
        self._began = self._active_at = self._clock.now()
        self._started = False
        self._condemned: set[str] = set()  # by uid, where every pod that is there now has to go
        self._seen: Seen | None = None
        self._restarted: list[str] = []
        self._untried = settings.untried
        self._forbidden = ("", 0.0)  # the uid of the pod whose eviction is forbidden, and since when
        self._active = ""
        self._takeovers = 0

    def _say(self, words: str) -> None:
        self._tell(stamped(words))

    def run(self) -> Outcome:
        """Restart what is old. Raises StopError, whose words are for the user, when the group is not whole in time."""
        try:
            return self._rounds()
        except GiveUpError as error:
            raise StopError(self._last_words(error)) from error
        finally:
            self._meeting.leave()
            self._lease.leave()

    def _start(self) -> None:
        """Find the StatefulSet; raises StopError if it cannot be read, RefusedError or AwayError if it may be later."""
        settings = self._settings
        try:
            found = view.statefulset(self._api, settings)
            if settings.everything:
                there = view.manifests(self._api, settings, _replicas(found))
                self._condemned = {each["metadata"]["uid"] for each in there}
        except RefusedError as error:
            if error.status >= 500:
                raise
            where = f"StatefulSet {settings.statefulset} in namespace {settings.namespace}"
            raise StopError(f"{where} cannot be read: {error}") from error
        strategy = found["spec"].get("updateStrategy", {}).get("type")
        self._started = True
        if strategy != "OnDelete" and not settings.everything:
            self._say(
                f"note: the update strategy of {settings.statefulset} is {strategy}, so its own controller restarts "
                "pods as well; OnDelete leaves that to this program"
            )

    def _rounds(self) -> Outcome:
        last = ""
        while True:
            reason, finished = self._round()
            if finished:
                return self._done(finished)
            if not reason:  # a pod was restarted
                last = ""
                continue
            if reason != last:
                self._say(f"waiting: {reason}")
            last = reason
            if self._clock.now() - self._began >= self._settings.timeout:
                raise GiveUpError(f"gave up after {self._settings.timeout:.0f} s: {reason}")
            self._clock.sleep(self._settings.pause)

    def _round(self) -> tuple[str, Finished | None]:
        """Look once and do what follows from it; gives what is waited for."""
        reason = ""
        try:
            if not self._started:
                self._start()
            self._seen = seen = self._look()
        except RefusedError as error:
            reason = f"the API server refuses: {error}"
        except AwayError as error:
            reason = str(error)
        self._lease.renew()
        if reason:
            return reason, None
        self._notice(seen)
        step = decide(seen)
        if isinstance(step, Finished):
            return "", step
        return (self._restart(step) if isinstance(step, Restart) else step.reason), None

    def _look(self) -> Seen:
        settings = self._settings
        found = view.statefulset(self._api, settings)
        status = found.get("status") or {}
        revision = status.get("updateRevision")
        replicas = _replicas(found)
        pods = [
            view.pod(manifest, settings, old=self._is_old(manifest, revision))
            for manifest in view.manifests(self._api, settings, replicas)
        ]
        routes = replicas - 1 if settings.routes is None else settings.routes
        return Seen(
            replicas=replicas,
            routes=routes,
            current=bool(revision) and status.get("observedGeneration", 0) >= found["metadata"]["generation"],
            pods=pods,
            answers=self._answers(pods, routes),
        )

    def _answers(self, pods: list[Pod], routes: int) -> dict[str, Answer]:
        return monitors.answers(self._ask, pods, routes, may_be_apart=self._settings.routes is None)

    def _is_old(self, manifest: dict[str, Any], revision: str | None) -> bool:
        metadata = manifest["metadata"]
        if self._settings.everything:
            return metadata["uid"] in self._condemned
        return bool(metadata.get("labels", {}).get("controller-revision-hash") != revision)

    def _notice(self, seen: Seen) -> None:
        """Who is active, and whether anybody will be."""
        now = self._clock.now()
        if seen.actives:
            self._active_at = now
        elif (hopeless := seen.hopeless()) and now - self._active_at >= self._settings.patience:
            raise GiveUpError(
                f"no server has been active for {self._settings.patience:.0f} s, and none will be: {hopeless}"
            )
        if len(seen.actives) == 1 and seen.actives[0] != self._active:
            self._takeovers += bool(self._active)
            self._active = seen.actives[0]
            self._say(f"{self._active} is active")

    def _restart(self, step: Restart) -> str:
        """Have this very pod go, never its successor of the same name; gives why that cannot be yet, or ""."""
        reason = (self._meeting.awaited() if step.tried else "") or self._lease.take()
        if reason:
            return reason
        if self._untried and step.tried:
            self._say(f"note: a new server was not tried on a copy of the store: {self._untried}")
            self._untried = ""
        reason = self._evict(step.pod) if step.evict else self._delete(step.pod)
        if not reason:
            self._say(f"restarting {step.pod.name} ({step.why})")
            self._restarted.append(step.pod.name)
        return reason

    def _evict(self, pod: Pod) -> str:
        metadata = {"name": pod.name, "namespace": self._settings.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": _options(pod)}
        try:
            self._api.call("POST", f"{view.path(self._settings)}/{pod.name}/eviction", body)
        except AwayError as error:
            return str(error)
        except RefusedError as error:
            now = self._clock.now()
            if self._forbidden[0] != pod.uid:
                self._forbidden = pod.uid, now
            allowed(error)
            if now - self._forbidden[1] < self._settings.patience:
                return f"{pod.name} was not evicted: {error}"
            self._say(
                f"note: a PodDisruptionBudget has forbidden this for {self._settings.patience:.0f} s "
                f"with every server Ready, so {pod.name} is deleted"
            )
            return self._delete(pod)
        return ""

    def _delete(self, pod: Pod) -> str:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", **_options(pod)}
        try:
            self._api.call("DELETE", f"{view.path(self._settings)}/{pod.name}", options)
        except AwayError as error:
            return str(error)
        except RefusedError as error:
            return f"{pod.name} was not deleted: {allowed(error)}"
        return ""

    def _done(self, finished: Finished) -> Outcome:
        seconds = int(self._clock.now() - self._began)
        assert self._seen is not None
        apart = any(answer.apart for answer in self._seen.answers.values())
        mesh = ", in no cluster" if apart else " with all its routes"
        self._say(
            f"done in {seconds} s: restarted {self._so_far()}; active is {finished.active}; "
            f"takeovers: {self._takeovers}; every server is Ready{mesh}"
        )
        return Outcome(tuple(self._restarted), seconds, finished.active, self._takeovers)

    def _last_words(self, error: GiveUpError) -> str:
        """Why it ends, and who serves the clients now."""
        actives = []
        if self._seen is not None:
            found = self._answers(list(self._seen.pods), 0)
            actives = [name for name, answer in found.items() if answer.state == ACTIVE]
        back = self._settings.back
        who = f"No server says that it is active: go back with {back}, or mend this and run it again."
        if actives:
            who = f"Nothing else was touched, and {' '.join(actives)} is active; "
            who += f"mend this and run it again, or go back: {back}."
        return f"{error}. Restarted so far: {self._so_far()}. {who}"

    def _so_far(self) -> str:
        return " ".join(self._restarted) or "none"


def stamped(words: str) -> str:
    """A line of the log: the time of day in UTC, and the words."""
    return f"{datetime.now(UTC):%H:%M:%S} {words}"


def _replicas(statefulset: dict[str, Any]) -> int:
    return int(statefulset["spec"].get("replicas", 1))


def _options(pod: Pod) -> dict[str, Any]:
    return {"preconditions": {"uid": pod.uid}}
