"""Invariants on images: pinned, and of versions that work together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stanft.conf import versions
from stanft.invariants.model import Manifests, Severity, invariant
from stanft.invariants.servers import Container, Server, tag
from stanft.kube.objects import dig, quantity

SERVER_VERSION = "0.25.6"  # the last release of nats-streaming-server (2023-11-17)
EXPORTER_VERSION = (0, 16, 0)  # the last release of prometheus-nats-exporter with STAN metrics (2024-12-06)
_GO_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB|TiB)?")  # Go runtime/debug.SetMemoryLimit
_GO_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_STAN_FLAGS = ("-channelz", "-serverz")


@invariant("images-pinned", lambda manifests: manifests.containers, "Use a tag with a full version, or a digest.")
def images_pinned(_: Manifests, container: Container) -> Iterator[str]:
    """Every image is named by a version or a digest, so that two replicas never run different programs."""
    name = tag(container.image)
    if "@sha256:" in container.image:
        return
    if name is None:
        yield f"image {container.image} has no tag"
    elif not re.search(r"\d+\.\d+", name):
        yield f"image {container.image} is a moving tag"


@invariant(
    "server-version",
    lambda manifests: manifests.servers,
    f"Use nats-streaming:{SERVER_VERSION}, the last release.",
    Severity.WARNING,
)
def server_version(_: Manifests, server: Server) -> Iterator[str]:
    """The server is the last release, with every fix that there will be."""
    image = server.image
    found = re.match(r"v?(\d+\.\d+\.\d+)", tag(image) or "")
    if found and found.group(1) != SERVER_VERSION:
        yield f"image {image} is not {SERVER_VERSION}"


@invariant(
    "memory-limit-kept",
    lambda manifests: manifests.servers,
    "Set GOMEMLIMIT to about nine tenths of the container's memory limit, in Go's units (230MiB), or leave it away.",
    Severity.WARNING,
)
def memory_limit_kept(_: Manifests, server: Server) -> Iterator[str]:
    """GOMEMLIMIT is below the container's memory limit: at or above it, it does nothing, and a recovery is killed."""
    told = server.environment.get("GOMEMLIMIT")
    limit = dig(server.container, "resources.limits.memory")
    if not told or told == "off":
        return
    if server.version is not None and server.version < versions.GOMEMLIMIT:
        yield f"GOMEMLIMIT does nothing for {server.image}, which was built before Go knew it"
        return
    match = _GO_SIZE.fullmatch(told)
    if match is None:
        yield f"GOMEMLIMIT is {told}, which Go does not read: the server ends at its start"
    elif limit is not None and int(match.group(1)) * _GO_UNITS[match.group(2) or "B"] >= quantity(limit):
        yield f"GOMEMLIMIT {told} is not below the memory limit {limit}"


@invariant(
    "exporter-speaks-stan",
    lambda manifests: manifests.exporters,
    "Use natsio/prometheus-nats-exporter:0.16.0: 0.17.0 dropped -channelz and -serverz.",
)
def exporter_speaks_stan(_: Manifests, exporter: Container) -> Iterator[str]:
    """The exporter is one that knows STAN: later ones end at once on the STAN flags, earlier ones lack metrics."""
    flags = [flag for flag in _STAN_FLAGS if any(word.lstrip("-") == flag.lstrip("-") for word in exporter.arguments)]
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", tag(exporter.image) or "")
    if found is None:
        if "@sha256:" not in exporter.image and flags:
            yield f"{exporter.image} is whatever is newest, and the newest refuses {' '.join(flags)}"
        return
    version = tuple(int(part) for part in found.groups())
    if version > EXPORTER_VERSION:
        yield f"{exporter.image} has no STAN metrics" + (f" and refuses {' '.join(flags)}" if flags else "")
    elif version < EXPORTER_VERSION:
        yield f"{exporter.image} is older than {'.'.join(map(str, EXPORTER_VERSION))}, the last with STAN metrics"
    if not flags:
        yield "neither -channelz nor -serverz is asked for: no STAN metrics"
