"""Everything from a bare machine to a verified message: what scripts/up does, and what the failover tests build on."""

from __future__ import annotations

import asyncio
import os
import shutil
import string
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness.charts import environments, releases
from harness.charts.render import render
from harness.cluster import engine as engines
from harness.cluster import images, kind, network, nodeimage
from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster
from harness.ground import content, system
from harness.ground.paths import CLUSTER, cache
from stanft import words
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step
from stanft.group.live import Group, ServerState
from stanft.kube import objects
from stanft.stan.client import Client
from stanft.stan.options import Start

# The official node image whose Kubernetes minor version is the one that cluster/go/kubernetes pins, by digest
# (kind's release notes for v0.31.0).
OFFICIAL_NODE = "kindest/node:v1.34.3@sha256:08497ee19eace7b4b5348db5c6a1591d7752b164530a36f855cb0f2bdcbadd48"
ENVIRONMENT = "kind"  # the one environment that is a local cluster
DISK_FOR_BUILD = 12 * 2**30  # bytes: Go's caches, the Debian files, the images


@dataclass(frozen=True)
class Deployment:
    """The running result: the cluster, the group of servers, and what the values were."""

    cluster: Cluster
    group: Group
    has_exporter: bool

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
    None for wanted_registry().
    Raises UserError for whatever the user can solve.
    """
    environments.require(environment)
    if environment != ENVIRONMENT:
        raise UserError(
            f"the environment {environment!r} is for a cluster of yours: scripts/up only makes the local one "
            f"({ENVIRONMENT}).\nUse helm install with -f environments/{environment}/stan-ft.yaml there."
        )
    _require_disk()
    engine = engines.ensure()
    wanted = _wanted_images(environment)
    puller = _choose_registry(engine, wanted_registry() if registry is None else registry, wanted)
    has_exporter = puller is not None or all(images.can_build(image) for image in wanted)
    cluster = kind.ensure(engine, puller.pull(OFFICIAL_NODE) if puller else nodeimage.ensure(engine))
    if not has_exporter:
        wanted = {image for image in wanted if images.can_build(image)}
        say("    no container registry answers: the metrics sidecar, which cannot be built here, is left out")
    _load_images(cluster, wanted, puller)
    _ensure_storage(cluster, environment, next(image for image in wanted if images.repository(image) == "busybox"))
    group = _ensure_charts(cluster, environment, has_exporter)
    deployment = Deployment(cluster, group, has_exporter)
    with step("a message through each server"):
        network.ensure_routes(cluster)
        asyncio.run(prove(deployment.urls()))
    return deployment


def chart_values(environment: str, has_exporter: bool) -> dict[str, Any]:
    """The values of charts/stan-ft on this cluster: the environment's, without what has no image here."""
    values = environments.values(environment, "stan-ft")
    if not has_exporter:
        values = {**values, "metrics": {**values.get("metrics", {}), "enabled": False}}
    return values


def load_images(cluster: Cluster, names: Iterable[str]) -> None:
    """Bring more images into every node, from where those of the charts came (see up()).

    Raises UserError for an image that cannot be had there.
    """
    wanted = set(names)
    _load_images(cluster, wanted, _choose_registry(cluster.engine, wanted_registry(), wanted))


def _require_disk() -> None:
    if not kind.home().exists():
        system.require_free_disk(cache(), DISK_FOR_BUILD)


def _wanted_images(environment: str) -> set[str]:
    rendered = [
        obj
        for chart in ("efs-provisioner", "stan-ft")
        for obj in render(chart, environments.values(environment, chart))
    ]
    rendered += objects.parse((CLUSTER / "shared-storage.yaml").read_text())
    return set(_images_in(rendered))


def _images_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["image"]] if isinstance(value.get("image"), str) else []
        return here + [image for item in value.values() for image in _images_in(item)]
    if isinstance(value, list):
        return [image for item in value for image in _images_in(item)]
    # The provisioner's helper pod is a text inside a ConfigMap.
    if isinstance(value, str) and "kind: Pod" in value:
        return [image for obj in objects.parse(value) for image in _images_in(obj)]
    return []


def _choose_registry(engine: Engine, registry: str, wanted: set[str]) -> images.Registry | None:
    """The registry to pull from, None to build; the first answer is kept until the cluster is taken away."""
    if registry == "none":
        return None
    if registry != "auto":
        return images.Registry(engine, registry)
    memory = kind.home() / "images-from"
    if not memory.exists():
        puller = images.Registry(engine)
        with step("asking for a container registry"):
            answers = puller.answers(min(image for image in wanted if images.repository(image) == "nats-streaming"))
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text("registry" if answers else "packages")
    if memory.read_text() == "registry":
        return images.Registry(engine)
    say("    images are built from package registries (no container registry answered)")
    return None


def _load_images(cluster: Cluster, wanted: set[str], puller: images.Registry | None) -> None:
    names = sorted(wanted)
    if puller:
        with step(f"pulling {len(names)} images"), ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(puller.pull, names))
        identity = cluster.engine.docker("image", "inspect", "--format", "{{.Id}}", *names).stdout
        load = ["load", "docker-image", *names]
    else:
        archive = images.build(names)
        identity = archive.parent.name
        load = ["load", "image-archive", str(archive)]
    marker = f"images-{content.digest(identity)}"
    if all(cluster.remembers(marker, node) for node in cluster.nodes()):
        return
    with step(f"loading {len(names)} images into {len(cluster.nodes())} nodes"):
        cluster.kind(*load, "--name", cluster.name)
        for node in cluster.nodes():
            cluster.remember(marker, node)


def _ensure_storage(cluster: Cluster, environment: str, busybox: str) -> None:
    storage_class = objects.find(
        render("efs-provisioner", environments.values(environment, "efs-provisioner")), "StorageClass"
    )
    manifest = string.Template((CLUSTER / "shared-storage.yaml").read_text()).safe_substitute(
        PROVISIONER=storage_class["provisioner"]
    )
    with step("the shared storage and the cluster's DNS"):
        cluster.kubectl("apply", "-f", "-", stdin=manifest)
        if not cluster.remembers("dns-proven"):
            network.ensure_dns(cluster, busybox)
            cluster.remember("dns-proven")
        cluster.wait_rollout("deployment/shared-storage", "shared-storage")


def _ensure_charts(cluster: Cluster, environment: str, has_exporter: bool) -> Group:
    kubeconfig = cluster.kubeconfig
    with step("charts/efs-provisioner"):
        values = environments.values(environment, "efs-provisioner")
        releases.ensure("efs-provisioner", "efs-provisioner", values, kubeconfig=kubeconfig)
        claims = [
            obj["metadata"]["name"]
            for obj in objects.find_all(render("efs-provisioner", values), "PersistentVolumeClaim")
        ]
        for claim in claims:
            cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=90s", f"pvc/{claim}")
    with step("charts/stan-ft"):
        releases.ensure("stan", "stan-ft", chart_values(environment, has_exporter), kubeconfig=kubeconfig)
        group = Group.connect(kubeconfig=kubeconfig)
        group.wait_whole()
    return group


async def prove(urls: list[str], cluster_id: str = words.CLUSTER_ID) -> None:
    """Publish a message through each server and receive all of them; raises what the client raises if one is missing.

    The channel is deleted by nobody, as the server cannot: it is always the same one and holds one message per run.
    """
    channel = "stan-ft.proof"
    for number, url in enumerate(urls):
        token = f"proof-{number}".encode()
        client = await Client.connect(url, client_id=f"stan-ft-proof-{number}", cluster_id=cluster_id)
        async with client:
            received: asyncio.Queue[bytes] = asyncio.Queue()

            async def on_message(message: Any, queue: asyncio.Queue[bytes] = received) -> None:
                queue.put_nowait(message.data)

            await client.subscribe(channel, on_message, start=Start.new())
            await client.publish(channel, token, timeout=10.0)
            async with asyncio.timeout(10.0):
                while await received.get() != token:
                    pass


def down(everything: bool = False) -> None:
    """Take away the cluster and the engine that was started here; with everything also the cache.

    An engine that was there before keeps running. Does nothing where there is nothing.
    """
    engine = engines.find()
    if engine is not None:
        kind.delete(engine)
    shutil.rmtree(kind.home(), ignore_errors=True)
    if (engine is None or not kind.all_nodes(engine)) and engines.stop_own():
        say("    the container engine that was started here is stopped")
    if everything:
        with step("removing the cache"):
            shutil.rmtree(cache(), ignore_errors=True)
