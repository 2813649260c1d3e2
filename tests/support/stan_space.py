"""A namespace of a test's own on the real cluster, with a group of servers and their claim."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.charts.render import layered
from harness.cluster.kind import Cluster
from harness.ground import toolchain
from harness.ground.paths import CHARTS
from harness.local import namespaces
from harness.local.compare import SECOND_GROUP
from stanft import words
from stanft.ground import shell
from stanft.group.live import Group
from stanft.traffic.clients import Plan, Traffic

BASE = SECOND_GROUP


@dataclass
class Space:
    """One namespace with at most one group, called stan."""

    cluster: Cluster
    name: str = field(default_factory=lambda: f"stan-{secrets.token_hex(3)}")

    def create(self, *, restricted: bool = True) -> None:
        """Make the namespace; restricted: it takes only pods of the Pod Security Standard "restricted"."""
        namespaces.create(self.cluster, self.name, restricted=restricted)

    def close(self) -> None:
        """Remove the namespace with all that is in it, and the volumes that its claims leave behind."""
        namespaces.remove(self.cluster, self.name)

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """What kubectl prints in this namespace; raises shell.CommandError if it fails."""
        return self.cluster.kubectl("-n", self.name, *arguments, **options)

    def helm(self, *arguments: str | Path, values: Mapping[str, Any] | None = None, timeout: float = 300) -> str:
        """What helm prints, stdout and stderr; timeout in seconds. Raises shell.CommandError if it fails."""
        command = [toolchain.ensure("helm"), *arguments, "--namespace", self.name]
        command += ["--kubeconfig", self.cluster.kubeconfig]
        command += ["--values", "-"] if values is not None else []
        done = shell.run(command, stdin=json.dumps(values) if values is not None else None, timeout=timeout)
        return done.stdout + done.stderr

    def deploy(self, values: Mapping[str, Any] | None = None, *arguments: str) -> str:
        """Install or upgrade the release `stan` with these values over the base ones; gives what helm prints."""
        return self.helm(
            "upgrade", "--install", "stan", CHARTS / "stan-ft", *arguments, values=layered(BASE, values or {})
        )

    @property
    def group(self) -> Group:
        """The servers."""
        return Group.connect(kubeconfig=self.cluster.kubeconfig, namespace=self.name)

    def urls(self) -> list[str]:
        """Where the servers that are not about to end take clients, also while there is no StatefulSet."""
        pods = self.group.core.list_namespaced_pod(self.name, label_selector="app=stan").items
        return [
            words.url(pod.status.pod_ip) for pod in pods if pod.status.pod_ip and not pod.metadata.deletion_timestamp
        ]

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Publishers and a durable subscriber at work, told of new pods as a Service's clients would be."""
        traffic = Traffic(self.urls(), plan=Plan(channel=f"test-{secrets.token_hex(3)}", publishers=2, rate=600))
        done = threading.Event()

        def follow() -> None:
            while not done.wait(0.5):
                if urls := self.urls():
                    traffic.learn(urls)

        with traffic.running():
            traffic.warm_up(timeout=60)
            follower = threading.Thread(target=follow, daemon=True)
            follower.start()
            try:
                yield traffic
            finally:
                done.set()
                follower.join()

    def activations(self) -> int:
        """How often the servers that run now became active, by their own logs."""
        logs = [self.kubectl("logs", pod.metadata.name, "-c", "stan") for pod in self.group.pods()]
        return sum(log.count("STREAM: Server is active") for log in logs)


@contextmanager
def opened(cluster: Cluster) -> Iterator[Space]:
    """A namespace that takes only restricted pods, without a group."""
    own = Space(cluster)
    own.create()
    try:
        yield own
    finally:
        own.close()


@contextmanager
def whole(cluster: Cluster, values: Mapping[str, Any] | None = None) -> Iterator[Space]:
    """The same with a whole group of these values over the base ones."""
    with opened(cluster) as own:
        own.deploy(values)
        own.group.wait_whole()
        yield own
