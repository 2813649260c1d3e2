"""What an invariant is, what it finds, and the view of a set of objects that it looks through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from stanft.invariants.servers import Container, Server, repository, server_of, total
from stanft.kube import kubeschema, objects
from stanft.kube.objects import Object, dig

EXPORTER_IMAGE: Final = "prometheus-nats-exporter"
_HOOKS: Final = {"helm.sh/hook", "argocd.argoproj.io/hook"}


class Severity(StrEnum):
    """How bad a violation is: an error breaks the FT promise, a warning weakens it, advice is a matter of taste."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


class State(StrEnum):
    """What became of an invariant over one set of objects."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNSEEN = "not seen"
    NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True)
class Unseen:
    """What an invariant would need to see and the objects do not hold."""

    what: str


@dataclass(frozen=True)
class Finding:
    """One violation, or one thing that could not be seen: where, what, and what to do about it."""

    invariant: str
    severity: Severity
    where: str
    problem: str
    remedy: str
    unseen: bool = False


@dataclass(frozen=True)
class Invariant:
    """A named rule over a kind of subject; check yields a sentence per violation."""

    name: str
    sentence: str
    severity: Severity
    remedy: str
    over: Callable[[Manifests], Iterable[Any]]
    check: Callable[[Manifests, Any], Iterator[str | Unseen]]

    def run(self, manifests: Manifests) -> Outcome:
        """Look at every subject."""
        try:
            return self._run(manifests)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            if manifests.well_shaped:
                raise
            what = "some of these objects are not of the shape that Kubernetes takes, so this could not be judged"
            unseen = Finding(self.name, self.severity, "these objects", what, "Mend what the rule served names.", True)
            return Outcome(self, State.UNSEEN, (unseen,))

    def _run(self, manifests: Manifests) -> Outcome:
        subjects = list(self.over(manifests))
        findings = [
            Finding(
                self.name,
                self.severity,
                where(subject),
                said.what if isinstance(said, Unseen) else said,
                self.remedy,
                isinstance(said, Unseen),
            )
            for subject in subjects
            for said in self.check(manifests, subject)
        ]
        if any(not finding.unseen for finding in findings):
            state = State.VIOLATED
        elif findings:
            state = State.UNSEEN
        else:
            state = State.HOLDS if subjects else State.NOT_APPLICABLE
        return Outcome(self, state, tuple(findings))


@dataclass(frozen=True)
class Outcome:
    """An invariant's state over one set of objects, with its findings."""

    invariant: Invariant
    state: State
    findings: tuple[Finding, ...]


REGISTRY: Final[dict[str, Invariant]] = {}
Check = Callable[["Manifests", Any], Iterator["str | Unseen"]]


def invariant(
    name: str, over: Callable[[Manifests], Iterable[Any]], remedy: str, severity: Severity = Severity.ERROR
) -> Callable[[Check], Check]:
    """Register a check under a name; its docstring is the rule in one sentence."""

    def register(check: Check) -> Check:
        if name in REGISTRY:
            raise ValueError(f"two invariants are named {name}")
        REGISTRY[name] = Invariant(name, " ".join((check.__doc__ or "").split()), severity, remedy, over, check)
        return check

    return register


def where(subject: Any) -> str:
    """A subject in words: StatefulSet/stan, StatefulSet/stan container stan."""
    if isinstance(subject, Server):
        return objects.label(subject.workload)
    if isinstance(subject, Container):
        return f"{objects.label(subject.workload)} container {subject.spec.get('name', '?')}"
    return objects.label(subject) if isinstance(subject, dict) else str(subject)


class Manifests:
    """A set of objects, seen as servers, pods, claims and so on. namespace is where they go, if that is known."""

    def __init__(
        self, items: Sequence[Object], namespace: str | None = None, kube_version: str | None = None, live: bool = False
    ) -> None:
        self.given = list(items)
        self.items = self.given if live else [kubeschema.shaped(each, kube_version) for each in items]
        self.namespace = namespace
        self.kube_version = kube_version
        self.live = live

    @cached_property
    def well_shaped(self) -> bool:
        """Whether Kubernetes would take every object (custom resources are not known well enough to say so)."""
        return all(
            kubeschema.knows(each, self.kube_version) and not kubeschema.problems(each, self.kube_version)
            for each in self.given
        )

    def of(self, *kinds: str) -> list[Object]:
        """The objects of these kinds."""
        return [item for item in self.items if item.get("kind") in kinds]

    def get(self, kind: str, name: str) -> Object | None:
        """The object of that kind and name, None if it is not among them."""
        return next(iter(objects.find_all(self.items, kind, name)), None)

    def namespace_of(self, item: Object) -> str | None:
        """The namespace of an object: its own, else the one that the whole set goes to."""
        return dig(item, "metadata.namespace") or self.namespace

    @cached_property
    def workloads(self) -> list[Object]:
        """Everything that runs pods, Helm test pods included."""
        return objects.workloads(self.items)

    @cached_property
    def containers(self) -> list[Container]:
        """Every container of every workload, init containers included."""
        return [Container(workload, each) for workload in self.workloads for each in objects.containers(workload)]

    @cached_property
    def servers(self) -> list[Server]:
        """The workloads that run nats-streaming-server."""
        found = [
            server_of(workload, each, self._get_beside(workload))
            for workload in self.workloads
            if workload.get("kind") not in ("Pod", "Job", "CronJob") or self._is_lone_server(workload)
            for each in objects.lasting(workload)
        ]
        return [server for server in found if server is not None]

    def _is_lone_server(self, workload: Object) -> bool:
        """Whether a bare pod is meant as a server (Helm's test pods and Jobs use the same image for clients)."""
        return workload.get("kind") == "Pod" and not dig(workload, "metadata.annotations", {}).keys() & _HOOKS

    def _get_beside(self, workload: Object) -> Callable[[str, str], Object | None]:
        """Looks objects up by kind and name in a workload's own namespace."""
        home = self.namespace_of(workload)

        def get(kind: str, name: str) -> Object | None:
            same = [each for each in self.of(kind) if objects.name(each) == name]
            here = [each for each in same if self.namespace_of(each) == home]
            near = [each for each in same if home is None or self.namespace_of(each) is None]
            return next(iter(here or near), None)

        return get

    def group_size(self, server: Server) -> int:
        """How many servers stand by for each other with this one, over all workloads of its group."""
        return total(self.servers, server.group) if server.group[1] is not None else server.replicas

    def mates(self, server: Server) -> list[Server]:
        """The workloads of a server's group, its own among them."""
        return [each for each in self.servers if each is server or (each.group == server.group and server.group[1])]

    @cached_property
    def exporters(self) -> list[Container]:
        """The containers that run the NATS exporter."""
        return [each for each in self.containers if repository(each.image).endswith(EXPORTER_IMAGE)]

    def pods_of(self, selector: dict[str, Any] | None) -> list[Object]:
        """The workloads whose pods a selector selects."""
        return [
            workload
            for workload in self.workloads
            if objects.selects(selector, dig(objects.pod_template(workload) or {}, "metadata.labels", {}))
        ]

    def store_claims(self) -> list[Object]:
        """The claims, among the objects, that hold a server's store (no server: that nothing here mounts itself)."""
        names = {server.claim for server in self.servers if server.claim}
        volumes = [each for workload in self.workloads for each in objects.volumes(workload).values()]
        mounted = {dig(each, "persistentVolumeClaim.claimName") for each in volumes}
        every = self.of("PersistentVolumeClaim")
        if self.servers:
            return [claim for claim in every if objects.name(claim) in names]
        return [claim for claim in every if objects.name(claim) not in mounted]
