"""The state of a live group as data and as text: its servers, its claims, and what is missing for it to be whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stanft.group.live import Group, ServerState
from stanft.words import EXPORTER


@dataclass(frozen=True)
class Claim:
    """A claim that the servers mount, as the API gives it."""

    name: str
    phase: str
    access_modes: tuple[str, ...]
    storage_class: str


@dataclass(frozen=True)
class Status:
    """A group as it was when asked; problem is "" if it is whole."""

    name: str
    namespace: str
    servers: tuple[ServerState, ...]
    claims: tuple[Claim, ...]
    has_exporter: bool
    problem: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable data."""
        return {**asdict(self), "whole": not self.problem}


def look(group: Group) -> Status:
    """Ask a group; raises UserError if there is none of that name."""
    pod = group.stateful_set().spec.template.spec
    return Status(
        group.name,
        group.namespace,
        tuple(group.servers()),
        tuple(
            _claim(group, volume.persistent_volume_claim.claim_name)
            for volume in pod.volumes or []
            if volume.persistent_volume_claim
        ),
        any(container.name == EXPORTER for container in pod.containers),
        group.problem(),
    )


def _claim(group: Group, name: str) -> Claim:
    found = group.core.read_namespaced_persistent_volume_claim(name, group.namespace)
    return Claim(name, found.status.phase, tuple(found.status.access_modes or ()), found.spec.storage_class_name or "")


def show(seen: Status) -> str:
    """A table of the servers, a line for each claim, and one that says whether the group is whole."""
    width = max([8, *(len(server.pod) for server in seen.servers)]) + 2
    lines = [f"{'SERVER':<{width}}{'STATE':<13}{'READY':<7}{'ROUTES':<8}{'RESTARTS':<10}NODE"]
    for server in seen.servers:
        state = server.state or "no answer"
        ready = "yes" if server.ready else "no"
        routes = server.routes if server.meshed else "none"
        lines.append(f"{server.pod:<{width}}{state:<13}{ready:<7}{routes:<8}{server.restarts:<10}{server.node}")
    lines.append("")
    lines += [
        f"claim:      {claim.name}, {claim.phase}, {', '.join(claim.access_modes)}, StorageClass {claim.storage_class}"
        for claim in seen.claims
    ]
    lines.append(
        f"group:      {seen.namespace}/{seen.name} is {'not whole: ' + seen.problem if seen.problem else 'whole'}"
    )
    return "\n".join(lines)
