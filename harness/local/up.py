"""Everything from a bare machine to a verified message: what scripts/up does, and what the failover tests build on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.charts import releases
from harness.cluster import engine as engines
from harness.cluster import images, kind, network, nodeimage
from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster
from harness.ground import content, system
from harness.ground.paths import cache
from harness.local import plan as plans
from harness.local.plan import ENVIRONMENT, Plan
from harness.local.proof import prove
from stanft import words
from stanft.ground.progress import say, step
from stanft.group.live import Group, ServerState

DISK_FOR_BUILD = 12 * 2**30  # bytes: Go's caches, the Debian files, the images


@dataclass(frozen=True)
class Deployment:
    """The running result: the cluster, the group of servers, and what was planned."""

    cluster: Cluster
    group: Group
    plan: Plan

    @property
    def has_exporter(self) -> bool:
        """Whether the servers' pods carry the metrics sidecar."""
        return self.plan.has_exporter

    def servers(self) -> list[ServerState]:
        """The state of every server now."""
        return self.group.servers()

    def urls(self) -> list[str]:
        """The NATS address of each server's pod, reachable from this machine."""
        return [words.url(server.ip) for server in self.servers() if server.ip]


def wanted_registry() -> str:
    """Where images come from when nothing else is said: $STAN_FT_REGISTRY, else "auto"."""
    return os.environ.get("STAN_FT_REGISTRY", "auto")


def up(environment: str = ENVIRONMENT, registry: str | None = None) -> Deployment:
    """Bring up the local cluster with both charts, whole and proven by a message through each server.

    registry is "auto" (use one if it answers), "none" (build every image from package registries), or a mirror's host;
    None for wanted_registry(). A second call for the same cluster waits for the first.
    Raises UserError for whatever the user can solve, before anything is built where that is possible.
    """
    with _prepared(environment, registry) as (engine, plan, puller, node):
        cluster = kind.ensure(engine, node, plan.minor)
        load_into(cluster, plan.images, puller)
        _storage(cluster, plan)
        deployment = Deployment(cluster, _charts(cluster, plan), plan)
        with step("a message through each server"):
            network.ensure_routes(cluster)
            asyncio.run(prove(deployment.urls()))
        _whole().touch()
    return deployment


def start_engine() -> None:
    """Have a container engine that runs, installed if need be. Raises UserError where none can be had."""
    system.require_machine()
    with kind.locked():
        engines.ensure()


def prepare(environment: str = ENVIRONMENT, registry: str | None = None) -> None:
    """Fetch or build all that up() needs, and start the engine, but make no cluster. Raises what up() raises."""
    with _prepared(environment, registry) as (_, plan, puller, _):
        if puller is None:
            images.build(plan.images)
        else:
            puller.pull_all(sorted(plan.images))


@contextmanager
def _prepared(environment: str, registry: str | None) -> Iterator[tuple[Engine, Plan, images.Registry | None, str]]:
    """Under the cluster's lock: the engine, the plan, where images are pulled from, and the name of the node image."""
    plans.require(environment)
    minor = plans.wanted_minor()
    system.require_machine()
    with kind.locked():
        _require_disk()
        system.ensure_packages(network.PROGRAMS, "the local cluster")
        engine = engines.ensure()
        kind.require_settings(engine, minor)
        plan = plans.make(environment)
        wanted = plan.images | {plan.official_node}
        puller = _choose_registry(engine, wanted_registry() if registry is None else registry, wanted)
        if puller is None:
            plan = plan.built()
        if not plan.has_exporter:
            say("    no container registry answers: the metrics sidecar, which cannot be built here, is left out")
        yield engine, plan, puller, puller.pull(plan.official_node) if puller else nodeimage.ensure(engine, minor)


def load_images(cluster: Cluster, names: Iterable[str]) -> None:
    """Bring more images into every node, from where those of the charts came (see up()).

    Raises UserError for an image that cannot be had there.
    """
    wanted = frozenset(names)
    load_into(cluster, wanted, _choose_registry(cluster.engine, wanted_registry(), wanted))


def _whole() -> Path:
    """The file that says that this cluster was whole once: what had to be built is there."""
    return kind.home() / "whole"


def _require_disk() -> None:
    if not _whole().exists():
        system.require_free_disk(cache(), DISK_FOR_BUILD)


def _choose_registry(engine: Engine, registry: str, wanted: frozenset[str]) -> images.Registry | None:
    """The registry to pull from, None to build; an answer holds as long as the cluster that was made with it."""
    if registry == "none":
        return None
    if registry != "auto":
        return images.Registry(engine, registry)
    memory = kind.home() / "images-from"
    if not memory.exists() or not Cluster(engine).nodes():
        puller = images.Registry(engine)
        with step("asking for a container registry"):
            # The smallest of those that the charts have, where it is among them.
            servers = [image for image in wanted if images.repository(image) == "nats-streaming"]
            answers = puller.holds(wanted) or puller.answers(min(servers or wanted))
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text("registry" if answers else "packages")
    if memory.read_text() == "registry":
        return images.Registry(engine)
    say("    images are built from package registries (no container registry answered)")
    return None


def load_into(cluster: Cluster, wanted: frozenset[str], puller: images.Registry | None) -> None:
    """Bring the images into every node that has not got them: pulled where there is a puller, else built."""
    names = sorted(wanted)
    if puller:
        with step(f"pulling {len(names)} images"):
            identity = puller.pull_all(names)
    else:
        archive = images.build(names)
        identity = archive.parent.name
    marker = f"images-{content.digest(identity)}"
    if all(cluster.remembers(marker, node) for node in cluster.nodes()):
        return
    with step(f"loading {len(names)} images into {len(cluster.nodes())} nodes"):
        if puller:
            with puller.saved(names) as archive:
                cluster.load(archive)
        else:
            cluster.load(archive)
        for node in cluster.nodes():
            cluster.remember(marker, node)


def _storage(cluster: Cluster, plan: Plan) -> None:
    with step("the shared storage and the cluster's DNS"):
        cluster.kubectl("apply", "-f", "-", stdin=plan.storage)
        if not cluster.remembers("dns-proven"):
            network.ensure_dns(cluster, plan.image("busybox"))
            cluster.remember("dns-proven")
        cluster.wait_rollout("deployment/shared-storage", "shared-storage")


def _charts(cluster: Cluster, plan: Plan) -> Group:
    kubeconfig = cluster.kubeconfig
    with step("charts/efs-provisioner"):
        releases.ensure("efs-provisioner", "efs-provisioner", plan.values["efs-provisioner"], kubeconfig=kubeconfig)
        for claim in plan.claims:
            cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=90s", f"pvc/{claim}")
    with step("charts/stan-ft"):
        releases.ensure("stan", "stan-ft", plan.values["stan-ft"], kubeconfig=kubeconfig)
        group = Group.connect(kubeconfig=kubeconfig)
        group.wait_whole()
    return group
