"""What a rollout is told: by the Job through its environment, by stan-ft directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """All that can be set; times in seconds."""

    namespace: str
    statefulset: str
    container: str = "stan"
    monitor_port: int = 8222  # of pods that declare no port of this name
    timeout: float = 240  # until this gives up
    pause: float = 0.2  # between two looks
    answer: float = 2  # that a server has for an answer
    everything: bool = False  # every pod that is there at the start, not only those of an older revision
    release: str = ""  # of helm, for what is said
    trial: Path | None = None  # directory that is shared with the trial of a new server
    untried: str = ""  # why there is none
    patience: float = 30  # for a budget that forbids an eviction, for a group without an active that cannot start
    lease: int = 30  # after which a run that no longer renews its Lease is taken for gone
    routes: int | None = None  # that each server must have; None for one to every other where they form a cluster

    @property
    def begin(self) -> float:
        """Seconds until the trial's container has to have started."""
        return self.timeout / 2

    @property
    def back(self) -> str:
        """How to return to what ran before."""
        return "helm rollback" + (f" {self.release} --namespace {self.namespace}" if self.release else "")


def from_environment(variables: Mapping[str, str]) -> Settings:
    """The settings of the Job; raises KeyError without NAMESPACE or STATEFULSET, ValueError for what is no number."""
    routes = variables.get("ROUTES", "")
    return Settings(
        namespace=variables["NAMESPACE"],
        statefulset=variables["STATEFULSET"],
        container=variables.get("CONTAINER") or Settings.container,
        monitor_port=int(variables.get("MONITOR_PORT") or Settings.monitor_port),
        timeout=float(variables.get("TIMEOUT") or Settings.timeout),
        everything=variables.get("RESTART") == "all",
        release=variables.get("RELEASE", ""),
        trial=Path(variables["TRIAL"]) if variables.get("TRIAL") else None,
        untried=variables.get("UNTRIED", ""),
        routes=int(routes) if routes else None,
    )
