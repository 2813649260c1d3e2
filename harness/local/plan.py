"""What the local cluster is to hold: values and objects of an environment, read and rendered once."""

from __future__ import annotations

import os
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.charts import environments
from harness.charts.render import environment as values_of
from harness.charts.render import render
from harness.cluster import images
from harness.ground.paths import CLUSTER
from harness.ground.toolchain import DEFAULT_MINOR, MINORS
from stanft.ground.errors import UserError
from stanft.kube import objects

ENVIRONMENT = "kind"  # the one environment that is a local cluster
# The official node images, by digest, of the minor versions that can be built: each the default of a kind release, the
# first of the one that cluster/go/kind pins, the second of v0.32.0 (pkg/apis/config/defaults of that Go module).
OFFICIAL_NODES = {
    "1.37": "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
    "1.36": "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
}
_CHARTS = ("efs-provisioner", "stan-ft")


@dataclass(frozen=True)
class Plan:
    """What up() makes: nothing of it changes on the way, and nothing is read again."""

    minor: str  # of Kubernetes
    values: Mapping[str, Mapping[str, Any]]  # chart -> its values
    storage: str  # the manifest of the dynamic provisioner
    claims: tuple[str, ...]
    images: frozenset[str]
    has_exporter: bool = True

    @property
    def official_node(self) -> str:
        """The node image to pull where a registry answers."""
        return OFFICIAL_NODES[self.minor]

    def image(self, repository: str) -> str:
        """The full name of the wanted image with this repository; raises StopIteration if none is wanted."""
        return next(image for image in self.images if images.repository(image) == repository)

    def built(self) -> Plan:
        """The same where images are built: without the metrics sidecar if its image can only be pulled."""
        can = frozenset(image for image in self.images if images.can_build(image))
        if can == self.images:
            return self
        stan = dict(self.values["stan-ft"])
        stan["promExporter"] = {**stan.get("promExporter", {}), "enabled": False}
        return replace(self, values={**self.values, "stan-ft": stan}, images=can, has_exporter=False)


def wanted_minor() -> str:
    """The minor version of Kubernetes that is asked for: $STAN_FT_KUBERNETES, else the default.

    Raises UserError for one that is not pinned in cluster/go.
    """
    text = os.environ.get("STAN_FT_KUBERNETES") or DEFAULT_MINOR
    if text not in MINORS:
        raise UserError(f"STAN_FT_KUBERNETES is {text!r}: set it to one of {', '.join(MINORS)}, or unset it.")
    return text


def require(environment: str) -> None:
    """Raise UserError for an environment that does not exist, or is for a cluster of the user's."""
    environments.require(environment)
    if environment != ENVIRONMENT:
        raise UserError(
            f"the environment {environment!r} is for a cluster of yours: scripts/up only makes the local one "
            f"({ENVIRONMENT}).\nUse helm install with -f environments/{environment}/stan-ft.yaml there."
        )


def make(environment: str = ENVIRONMENT) -> Plan:
    """The plan for an environment; raises UserError as require() and wanted_minor() do."""
    require(environment)
    minor = wanted_minor()
    values = {chart: values_of(environment, chart) for chart in _CHARTS}
    rendered = {chart: render(chart, values[chart]) for chart in _CHARTS}
    provisioner = rendered["efs-provisioner"]
    storage = string.Template((CLUSTER / "shared-storage.yaml").read_text()).safe_substitute(
        PROVISIONER=objects.find(provisioner, "StorageClass")["provisioner"]
    )
    claims = tuple(claim["metadata"]["name"] for claim in objects.find_all(provisioner, "PersistentVolumeClaim"))
    everything = [*provisioner, *rendered["stan-ft"], *objects.parse(storage)]
    return Plan(minor, values, storage, claims, frozenset(images_in(everything)))


def images_in(value: Any) -> Iterable[str]:
    """Every image that is named anywhere in objects, also in the provisioner's pod, a text inside a ConfigMap."""
    if isinstance(value, dict):
        if isinstance(value.get("image"), str):
            yield value["image"]
        for item in value.values():
            yield from images_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from images_in(item)
    elif isinstance(value, str) and "kind: Pod" in value:
        yield from images_in(objects.parse(value))
