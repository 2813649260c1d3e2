"""A workload that runs nats-streaming-server, with what the server is told as far as the objects show it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stanft.conf import parse
from stanft.conf.entries import Entry, streaming_block
from stanft.conf.parse import Document, Variable
from stanft.conf.told import Told, told
from stanft.invariants import command, mounted
from stanft.invariants.command import Command
from stanft.invariants.mounted import Environment, File, Get
from stanft.kube import objects
from stanft.kube.objects import Object, dig

OFFICIAL_IMAGES = ("nats-streaming", "nats-streaming-server")


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


@dataclass(frozen=True, eq=False)
class Server:
    """One container that runs the server; every replica of its workload is one server."""

    workload: Object
    container: Object
    command: Command
    environment: Environment
    get: Get  # an object by kind and name, None if it is not among them

    @property
    def name(self) -> str:
        """The workload's name; with a StatefulSet the pods are <name>-0, <name>-1, and so on."""
        return objects.name(self.workload)

    @property
    def replicas(self) -> int:
        """How many servers the workload starts."""
        return int(dig(self.workload, "spec.replicas", 1))

    @cached_property
    def image(self) -> str:
        """The image of its program: the container's, or an init container's that left it on a scratch volume."""
        own = str(self.container.get("image", ""))
        if _is_official(own):
            return own
        pod = objects.pod_spec(self.workload)
        scratch = {each.get("name") for each in pod.get("volumes") or [] if "emptyDir" in each}
        shared = scratch & {each.get("name") for each in self.container.get("volumeMounts") or []}
        for first in pod.get("initContainers") or []:
            image = str(first.get("image", ""))
            if _is_official(image) and shared & {each.get("name") for each in first.get("volumeMounts") or []}:
                return image
        return own

    @cached_property
    def told(self) -> Told:
        """What the server is told by options and files together."""
        return told(self.command.words, self._document)

    def file(self, path: str) -> File:
        """A file of the container."""
        if path in self.command.files:
            return File(self.command.files[path], kind="Pod")
        return mounted.file(self.workload, self.container, path, self.get)

    def _document(self, path: str) -> Document | None:
        text = self.file(path).text
        if text is None:
            return None
        return parse.read(
            text,
            environment=self.environment,
            include=lambda name: self.file(name).text,
            directory=posixpath.dirname(path),
        )

    @property
    def version(self) -> tuple[int, ...] | None:
        """The version that the image's tag names, None where it names none."""
        return version(self.image)

    @property
    def known(self) -> bool:
        """Whether everything that the server is told could be read."""
        return self.command.unread is None and self.told.known

    @property
    def unseen(self) -> list[str]:
        """What could not be read of what the server is told, and why."""
        why = [self.command.unread] if self.command.unread else []
        why += ["the server refuses its options, so what they set is not known"] if self.told.flags.refusals else []
        why += [
            self.file(source.path).why
            for source in self.told.sources
            if source.document is None and source.error is None and not self.file(source.path).absent
        ]
        return why + [self.file(name).why for each in self._documents() for name in each.unseen]

    def _documents(self) -> list[Document]:
        return [source.document for source in self.told.sources if source.document is not None]

    @property
    def entries(self) -> list[Entry]:
        """The keys of the configuration files that the server looks at."""
        return [entry for source in self.told.sources for entry in source.entries()]

    @property
    def used_keys(self) -> set[tuple[str, ...]]:
        """The keys that some variable of the files refers to."""
        return {path for document in self._documents() for path in document.used}

    @property
    def included(self) -> list[str]:
        """The full names of the files that the configuration includes."""
        return [name for document in self._documents() for name in document.includes]

    @property
    def open_texts(self) -> list[tuple[str, str]]:
        """Name and text of each configuration file that lies in a ConfigMap, where anybody may read it."""
        names = [source.path for source in self.told.sources if source.document is not None]
        found = [(name, self.file(name)) for name in [*names, *self.included]]
        return [
            (name, file.text) for name, file in found if file.text is not None and file.kind in ("ConfigMap", "Pod")
        ]

    @property
    def has_file(self) -> bool:
        """Whether a configuration file is among the objects."""
        return bool(self._documents())

    @property
    def streaming(self) -> dict[str, Any]:
        """The settings of the streaming server, by the first spelling of each key."""
        return self.told.streaming

    @property
    def nats(self) -> dict[str, Any]:
        """The settings of the NATS server inside, by the first spelling of each key."""
        return self.told.nats

    @property
    def clustered(self) -> bool:
        """Whether the embedded server has a cluster block, or is told to listen for routes."""
        return bool(self.nats.get("cluster"))

    @property
    def group(self) -> tuple[Any, Any]:
        """Cluster id and FT group: servers with the same pair stand by for each other."""
        return self.streaming.get("id", "test-cluster"), self.streaming.get("ft_group_name") or None

    def differs(self, value: object) -> bool:
        """Whether a setting differs from pod to pod."""
        return self.environment.differs(value)

    @property
    def embedded(self) -> bool:
        """Whether the server runs NATS itself, rather than connecting to another NATS."""
        return not self.streaming.get("nats_server_url")

    @property
    def store(self) -> str:
        """The kind of the store in lower case: memory, file or sql."""
        return str(self.streaming.get("store", "memory")).lower()

    @property
    def store_directory(self) -> str | None:
        """The directory of the file store."""
        found = self.streaming.get("dir")
        if isinstance(found, Variable):
            return f"${found.name}"
        return None if not found else str(found).rstrip("/")

    @property
    def store_mount(self) -> Object | None:
        """The volume mount that holds the store directory: the longest mount path above it."""
        if self.store_directory is None:
            return None
        base = str(self.container.get("workingDir") or "/")
        return mounted.deepest_mount(self.container, posixpath.normpath(posixpath.join(base, self.store_directory)))

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
        """The port that the server opens for client, cluster or monitor; None where it opens none or it is unseen."""
        if purpose == "cluster":
            found = self.nats.get("cluster.port")
        elif purpose == "client":
            found = self.nats.get("port") or 4222
        else:
            found = self.nats.get("http_port") or self.nats.get("https_port")
        return found if isinstance(found, int) and found > 0 else None


def server_of(workload: Object, container: Object, get: Get) -> Server | None:
    """The server that a container runs, None if it runs something else."""
    known = mounted.environment(container, get)

    def script(path: str) -> str | None:
        return mounted.file(workload, container, path, get).text

    words = {
        key: ["" if word is None else str(word) for word in container.get(key) or []] for key in ("command", "args")
    }
    image = str(container.get("image", ""))
    found = command.server(image, words["command"], words["args"], known, script)
    if found is None:
        found = _by_mounted_file(workload, container, get)
    if found is None:
        return None
    if found.by_shell or not _is_official(image):
        known.open = True  # a shell may set variables, and another image may bring its own
    return Server(workload, container, found, known, get)


def _by_mounted_file(workload: Object, container: Object, get: Get) -> Command | None:
    """The command of an image whose own entry point starts the server, known by a configuration file that it mounts."""
    if container.get("command") or command.is_other(str(container.get("image", ""))):
        return None
    if any(_names_server(each) for each in objects.lasting(workload) if each is not container):
        return None  # it stands beside the server, and reads its file for another reason
    for path, text in mounted.texts(workload, container, get):
        if not path.endswith(".conf"):
            continue
        try:
            document = parse.read(text)
        except parse.ConfError:
            continue
        if streaming_block(document) is not None:
            return Command(("-sc", path), by_shell=True)
    return None


def _names_server(container: Object) -> bool:
    """Whether a container says by itself that it runs the server."""
    words = [[str(word) for word in container.get(key) or []] for key in ("command", "args")]
    return command.server(str(container.get("image", "")), words[0], words[1], {}, lambda _: None) is not None


def _is_official(image: str) -> bool:
    return repository(image).rpartition("/")[2] in OFFICIAL_IMAGES


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


def version(image: str) -> tuple[int, ...] | None:
    """The version that an image's tag names, None where it names none."""
    parts = (tag(image) or "").removeprefix("v").partition("-")[0].split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts):
        return None
    return tuple(int(part) for part in parts)


def total(servers: Sequence[Server], group: tuple[Any, Any]) -> int:
    """How many servers a group has, over all of its workloads."""
    return sum(server.replicas for server in servers if server.group == group)
