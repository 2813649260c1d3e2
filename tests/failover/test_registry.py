"""The way with a container registry, as far as a registry on loopback shows it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import loopback_registry
import pytest

from harness.cluster import images
from harness.cluster.kind import Cluster
from harness.ground import toolchain
from harness.local import plan
from harness.local.down import down
from harness.local.up import up
from stanft.ground.errors import UserError
from stanft.words import ACTIVE, EXPORTER, STANDBY

IMAGE = "nats-streaming:0.25.6"
# A cluster of its own beside the one that the other tests use.
OWN = {"STAN_FT_CLUSTER": "mirrored", "STAN_FT_PORT": "24422"}


@pytest.fixture
def mirror(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry on loopback."""
    with loopback_registry.registry(tmp_path) as address:
        yield address


def push(cluster: Cluster, mirror: str, image: str) -> str:
    """Bring an image of the engine into the registry, and out of the engine; gives its digest there."""
    docker, name = cluster.engine.docker, f"{mirror}/{image}"
    docker("tag", image, name)
    docker("push", "--quiet", name)
    digest = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", name).stdout.strip().split("@")[1]
    docker("rmi", "--force", name)
    return digest


@pytest.fixture
def registry(cluster: Cluster, mirror: str) -> Iterator[images.Registry]:
    """A registry on loopback that holds the server's image and nothing else."""
    docker = cluster.engine.docker
    docker("load", "-i", images.build([IMAGE]))
    push(cluster, mirror, IMAGE)
    docker("rmi", "--force", IMAGE)
    yield images.Registry(cluster.engine, mirror)
    docker("rmi", "--force", IMAGE, f"{mirror}/{IMAGE}", check=False)


def exporter(name: str, page: Path) -> images.ImageSpec:
    """An image in the exporter's place, which cannot be built here: it serves a page at the exporter's port."""
    page.write_text("up 1\n")
    box = images.RECIPES["busybox"](name)
    files = {**box.files, "/www/metrics": page}
    return replace(box, files=files, entrypoint=("/bin/sh", "-c", "exec httpd -f -p 7777 -h /www"), command=())


@pytest.fixture
def everything(
    cluster: Cluster, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[images.Registry]:
    """A registry that holds every image of scripts/up; the node image is the local one, with its digest there."""
    wanted = plan.make()
    [lacking] = wanted.images - wanted.built().images
    docker = cluster.engine.docker
    docker("load", "-i", images.build(wanted.built().images))
    images.write_archive([exporter(lacking, tmp_path / "metrics")], tmp_path / "exporter.tar")
    docker("load", "-i", tmp_path / "exporter.tar")
    for image in wanted.images:
        push(cluster, mirror, image)
        docker("rmi", "--force", image)
    node = f"kindest/node:{toolchain.MINORS[wanted.minor].kubernetes}"
    docker("tag", docker("inspect", "--format", "{{.Image}}", cluster.control_plane).stdout.strip(), node)
    digest = push(cluster, mirror, node)
    docker("rmi", node)
    monkeypatch.setitem(plan.OFFICIAL_NODES, wanted.minor, f"{node}@{digest}")
    for variable, value in OWN.items():
        monkeypatch.setenv(variable, value)
    yield images.Registry(cluster.engine, mirror)
    down()
    # Under both names, as an engine that holds an image may be taken for one that can pull it.
    pulled = [name for image in wanted.images for name in (image, f"{mirror}/{image}")]
    docker("rmi", "--force", *pulled, f"{mirror}/{node}@{digest}", check=False)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # seconds: a second cluster, and a gigabyte pushed and pulled
def test_the_whole_cluster_comes_up_from_a_registry_with_every_image_of_it(everything: images.Registry) -> None:
    deployment = up(registry=everything.mirror)
    assert deployment.has_exporter, "where a registry has the exporter's image, the sidecar runs"
    assert sorted(server.state for server in deployment.servers()) == [ACTIVE, STANDBY, STANDBY]
    containers = {one.name for one in deployment.group.stateful_set().spec.template.spec.containers}
    assert EXPORTER in containers


def test_an_image_is_pulled_from_a_mirror_under_its_own_name(cluster: Cluster, registry: images.Registry) -> None:
    assert registry.answers(IMAGE)
    assert registry.pull(IMAGE) == IMAGE
    shape = cluster.engine.docker("image", "inspect", "--format", "{{json .Config.Entrypoint}}", IMAGE).stdout
    assert shape.strip() == '["/nats-streaming-server"]'


def test_a_registry_that_lacks_the_image_is_an_error_that_names_it(registry: images.Registry) -> None:
    missing = "nats-streaming:no-such-tag"
    assert registry.answers(missing)
    with pytest.raises(UserError, match=f"answers, but it does not give the image .*{missing}"):
        registry.pull(missing)


def test_a_mirror_that_does_not_answer_is_an_error_that_says_so(cluster: Cluster) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = images.Registry(cluster.engine, f"127.0.0.1:{probe.getsockname()[1]}")
    assert not closed.answers(IMAGE)
    with pytest.raises(UserError, match="no registry answered"):
        closed.pull(IMAGE)
