"""What an invariant is, what it finds, and the view of a set of objects that it looks through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from stanft.conf import parse as conf
from stanft.kube import objects
from stanft.kube.objects import Object, dig

SERVER_IMAGES: Final = ("nats-streaming", "nats-streaming-server")
EXPORTER_IMAGE: Final = "prometheus-nats-exporter"
# Command-line options of the server that say what its configuration file may say as well (stan options only).
_OPTIONS: Final = {
    "cid": "id",
    "cluster_id": "id",
    "st": "store",
    "store": "store",
    "dir": "dir",
    "ft_group": "ft_group_name",
    "sync": "sync_on_flush",
}


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


@dataclass(frozen=True)
class Container:
    """A container and the workload that it belongs to."""

    workload: Object
    spec: Object

    @property
    def image(self) -> str:
        """The image reference as written."""
        return str(self.spec.get("image", ""))

    @property
    def arguments(self) -> list[str]:
        """The words of command and args in one list."""
        return [str(word) for key in ("command", "args") for word in self.spec.get(key) or []]


@dataclass(frozen=True)
class Server:
    """A workload that runs nats-streaming-server, with its configuration as far as the objects hold it."""

    workload: Object
    container: Object
    conf_path: str | None  # the file named on the command line
    conf_text: str | None  # None when no ConfigMap among the objects holds that file
    conf_error: str | None
    conf: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The workload's name; with a StatefulSet the pods are <name>-0, <name>-1, and so on."""
        return objects.name(self.workload)

    @property
    def replicas(self) -> int:
        """How many servers the workload starts."""
        return int(dig(self.workload, "spec.replicas", 1))

    @property
    def known(self) -> bool:
        """Whether the configuration could be read (or there is none besides the command line)."""
        return self.conf_error is None and (self.conf_text is not None or self.conf_path is None)

    @property
    def streaming(self) -> dict[str, Any]:
        """The streaming block, command-line options on top, keys in lower case, without quote marks."""
        block = self.conf.get("streaming")
        found = {key.lower(): conf.plain(value) for key, value in block.items()} if isinstance(block, dict) else {}
        return {**found, **_from_options(Container(self.workload, self.container).arguments)}

    @property
    def cluster(self) -> dict[str, Any]:
        """The embedded server's cluster block."""
        block = self.conf.get("cluster")
        return {key.lower(): conf.plain(value) for key, value in block.items()} if isinstance(block, dict) else {}

    def option(self, *names: str, default: Any = None) -> Any:
        """The first of several spellings that the streaming block sets."""
        return next((self.streaming[name] for name in names if name in self.streaming), default)

    @property
    def group(self) -> tuple[Any, Any]:
        """Cluster id and FT group: servers with the same pair stand by for each other."""
        return self.option("id", "cid", "cluster_id", default="test-cluster"), self.option("ft_group_name", "ft_group")

    @property
    def embedded(self) -> bool:
        """Whether the server runs NATS itself, rather than connecting to another NATS."""
        return not self.option("ns", "nats_server", "nats_server_url")

    @property
    def file_store(self) -> bool:
        """Whether the messages are kept in files (and so on a volume)."""
        return str(self.option("store", "store_type", "st", "storetype", default="memory")).lower() == "file"

    @property
    def store_directory(self) -> str | None:
        """The directory of the file store."""
        found = self.option("dir", "datastore")
        return None if found is None else str(found).rstrip("/")

    @property
    def store_mount(self) -> Object | None:
        """The volume mount that holds the store directory: the longest mount path above it."""
        directory = self.store_directory
        if directory is None:
            return None
        above = [
            mount
            for mount in self.container.get("volumeMounts") or []
            if f"{directory}/".startswith(str(mount["mountPath"]).rstrip("/") + "/")
        ]
        return max(above, key=lambda mount: len(str(mount["mountPath"])), default=None)

    @property
    def store_volume(self) -> Object | None:
        """The pod volume behind the store directory (None also where it comes from a claim template)."""
        mount = self.store_mount
        return objects.volumes(self.workload).get(mount["name"]) if mount else None

    @property
    def claim(self) -> str | None:
        """The name of the claim that holds the store."""
        found = dig(self.store_volume or {}, "persistentVolumeClaim.claimName")
        return None if found is None else str(found)

    def port(self, purpose: str) -> int | None:
        """The port that the configuration gives for client, cluster or monitor; None where it gives none."""
        if purpose == "cluster":
            return _port(self.cluster.get("port", self.cluster.get("listen")))
        words = Container(self.workload, self.container).arguments
        if purpose == "client":
            return _port(_option_value(words, "p", "port") or self.conf.get("port", self.conf.get("listen"))) or 4222
        on_line = _option_value(words, "m", "http_port")
        return _port(
            on_line or next((self.conf[key] for key in ("http", "http_port", "monitor_port") if key in self.conf), None)
        )


class Manifests:
    """A set of objects, seen as servers, pods, claims and so on. namespace is where they go, if that is known."""

    def __init__(
        self, items: Sequence[Object], namespace: str | None = None, kube_version: str | None = None, live: bool = False
    ) -> None:
        self.items = list(items)
        self.namespace = namespace
        self.kube_version = kube_version
        self.live = live

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
        return [
            _server(self, workload, each)
            for workload in self.workloads
            if workload.get("kind") != "Pod" and workload.get("kind") != "Job"
            for each in objects.containers(workload, init=False)
            if _is_server(Container(workload, each))
        ]

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


def repository(image: str) -> str:
    """An image reference without tag and digest."""
    name = image.partition("@")[0]
    head, _, last = name.rpartition("/")
    plain = last.partition(":")[0]
    return f"{head}/{plain}" if head else plain


def tag(image: str) -> str | None:
    """The tag of an image reference, None where it has none."""
    last = image.partition("@")[0].rpartition("/")[2]
    return last.partition(":")[2] or None


def _is_server(container: Container) -> bool:
    if any("nats-streaming-server" in word for word in container.arguments):
        return True
    # the image by itself starts the server, unless a command makes it do something else
    return not container.spec.get("command") and repository(container.image).rpartition("/")[2] in SERVER_IMAGES


def _server(manifests: Manifests, workload: Object, container: Object) -> Server:
    words = Container(workload, container).arguments
    path = _option_value(words, "sc", "stan_config") or _option_value(words, "c", "config")
    text = _mounted_text(manifests, workload, container, path) if path else None
    parsed: dict[str, Any] = {}
    error = None
    if text is not None:
        try:
            parsed = {key.lower() if key != "streaming" else key: value for key, value in conf.parse(text).items()}
        except conf.ConfError as problem:
            error = str(problem)
    return Server(workload, container, path, text, error, parsed)


def _mounted_text(manifests: Manifests, workload: Object, container: Object, path: str) -> str | None:
    """The text of a file in a container, where it comes from a ConfigMap among the objects."""
    volumes = objects.volumes(workload)
    for mount in container.get("volumeMounts") or []:
        base = str(mount["mountPath"]).rstrip("/")
        source = volumes.get(mount["name"], {})
        for wanted in [source, *dig(source, "projected.sources", [])]:
            name = dig(wanted, "configMap.name")
            if not name or not (path == base or path.startswith(f"{base}/")):
                continue
            file = mount.get("subPath") or path[len(base) + 1 :]
            keys = {each["path"]: each["key"] for each in dig(wanted, "configMap.items", [])}
            data = (manifests.get("ConfigMap", name) or {}).get("data") or {}
            if keys.get(file, file) in data:
                return str(data[keys.get(file, file)])
    return None


def _option_value(words: Sequence[str], *names: str) -> str | None:
    for at, word in enumerate(words):
        option, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and option in names:
            return value if equals else (words[at + 1] if at + 1 < len(words) else None)
    return None


def _from_options(words: Sequence[str]) -> dict[str, Any]:
    found = {key: _option_value(words, option) for option, key in _OPTIONS.items()}
    return {key: value for key, value in found.items() if value is not None}


def _port(value: Any) -> int | None:
    text = str(conf.plain(value)).rpartition(":")[2]
    return int(text) if text.isdigit() else None
