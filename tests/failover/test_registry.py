"""The way with a container registry, as far as a registry on loopback shows it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import images
from harness.cluster.kind import Cluster
from harness.ground import system
from stanft.ground import wait
from stanft.ground.errors import UserError

IMAGE = "nats-streaming:0.25.6"
CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture
def registry(cluster: Cluster, tmp_path: Path) -> Iterator[images.Registry]:
    """A registry on loopback that holds the server's image and nothing else."""
    system.ensure_packages({"docker-registry": "docker-registry"}, "the registry test", services=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = tmp_path / "registry.yaml"
    configuration.write_text(CONFIGURATION.format(root=tmp_path / "data", port=port))
    server = subprocess.Popen(
        ["docker-registry", "serve", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    mirror = f"127.0.0.1:{port}"
    docker = cluster.engine.docker
    try:
        wait.until(
            lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 30, "the registry did not start", every=0.1
        )
        docker("load", "-i", images.build([IMAGE]))
        docker("tag", IMAGE, f"{mirror}/{IMAGE}")
        docker("push", "--quiet", f"{mirror}/{IMAGE}")
        docker("rmi", "--force", IMAGE, f"{mirror}/{IMAGE}")
        yield images.Registry(cluster.engine, mirror)
    finally:
        server.terminate()
        server.wait(20)
        docker("rmi", "--force", IMAGE, f"{mirror}/{IMAGE}", check=False)


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
