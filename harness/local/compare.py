"""The chart beside what it replaces, on the local cluster: the same faults in turn, under the same traffic."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness.charts import environments, releases
from harness.cluster.kind import Cluster
from harness.ground.paths import REPO
from harness.local import namespaces
from harness.local.plan import images_in
from harness.local.up import load_images
from stanft import drill, words
from stanft.drill import reach
from stanft.drill.judge import RESTART
from stanft.drill.run import Settings, refresh
from stanft.faults import Fault, Scene
from stanft.ground.errors import UserError
from stanft.group.live import Group
from stanft.kube.charts import layered
from stanft.kube.objects import Object, parse

FIXTURES = REPO / "tests" / "fixtures"
# What a second group on the local cluster needs: no exporter (its image may be missing), its own claim, and not the
# node port that the first group has.
SECOND_GROUP = layered(
    environments.values("kind", "stan-ft"),
    {
        "promExporter": {"enabled": False},
        "persistence": {"existingClaim": ""},
        "service": {"type": "ClusterIP", "nodePort": None},
    },
)
CLAIM: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "efs"},
    "spec": {
        "storageClassName": "aws-efs",
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "1Mi"}},
    },
}
# Each run has a channel of its own, and the server deletes it soon after: a takeover reads the whole store.
INACTIVITY = "60s"  # the channel is read again after a restart of all servers
CHANNELS = 1000
WHOLE_WITHIN = 180.0  # seconds
SETTINGS = Settings(fresh_channels=True, last_read=RESTART)


@dataclass(frozen=True)
class Contender:
    """One way to run the servers; without a manifest it is charts/stan-ft."""

    key: str
    label: str
    manifest: Path | None = None
    name: str = words.NAME
    cluster_id: str = words.CLUSTER_ID

    @property
    def namespace(self) -> str:
        """Where a comparison installs it."""
        return f"compare-{self.key}"


CHART = Contender("chart", "this chart")
RECIPE = Contender("recipe", "the recipe", FIXTURES / "recipe" / "runnable" / "stan.yaml")
OFFICIAL = Contender(
    "official", "official chart's shape", FIXTURES / "official-stan-shape" / "stan.yaml", "my-stan", "my-stan"
)
CONTENDERS = (CHART, RECIPE, OFFICIAL)


@dataclass(frozen=True)
class Round:
    """A fault, how often the chart meets it, and how often each other contender does."""

    fault: Fault
    runs: int
    others: int


def rounds(words: Sequence[str], find: Callable[[str], Fault]) -> list[Round]:
    """Rounds from words such as "kill", "kill=30" or "hang=10/2"; raises UserError."""
    found = []
    for word in words:
        name, given, text = word.partition("=")
        match = re.fullmatch(r"(\d+)(?:/(\d+))?", text if given else "1")
        runs, others = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < runs <= drill.MOST_RUNS or others > drill.MOST_RUNS:
            raise UserError(
                f"--fault {word}: write {name}=RUNS or {name}=RUNS/RUNS-OF-THE-OTHERS, such as {name}=10 or "
                f"{name}=10/3, each up to {drill.MOST_RUNS}."
            )
        found.append(Round(find(name), runs, others))
    return found


def manifests(contender: Contender, namespace: str = "default") -> list[Object]:
    """A contender's own objects with the claim that it needs, for that namespace.

    Without the exporter, whose image a cluster without a registry lacks.
    """
    assert contender.manifest is not None
    found = [
        each
        for each in parse(contender.manifest.read_text().replace(".default.svc", f".{namespace}.svc"))
        if each["kind"] != "PersistentVolumeClaim"
    ]
    for each in found:
        if each["kind"] == "StatefulSet":
            pod = each["spec"]["template"]["spec"]
            pod["containers"] = [container for container in pod["containers"] if container["name"] != "metrics"]
    return [*found, CLAIM]


def with_short_lived_channels(objects: Sequence[Object]) -> list[Object]:
    """The objects with room for a channel per run, which the server deletes when it is quiet."""
    found = []
    for each in objects:
        if each["kind"] == "ConfigMap":
            data = {
                key: re.sub(
                    r"store_limits \{",
                    f'store_limits {{\n max_inactivity: "{INACTIVITY}"',
                    re.sub(r"max_channels: \d+", f"max_channels: {CHANNELS}", text),
                )
                for key, text in each["data"].items()
            }
            each = {**each, "data": data}  # noqa: PLW2901
        found.append(each)
    return found


def apply(cluster: Cluster, namespace: str, objects: Sequence[Object]) -> None:
    """Make the objects, and bring their images into the nodes before: the recipe has another one than the chart.

    Raises UserError for an image that cannot be had.
    """
    load_images(cluster, images_in(list(objects)))
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


@contextlib.contextmanager
def installed(cluster: Cluster, contender: Contender) -> Iterator[Scene]:
    """The contender whole in a namespace of its own, which is removed with its volume afterwards."""
    name = contender.namespace
    with namespaces.own(cluster, name, restricted=False):
        if contender.manifest is None:
            values: dict[str, Any] = {
                "persistence": {"claim": {"keep": False}},
                "config": {"streaming": {"store_limits": {"max_inactivity": INACTIVITY, "max_channels": CHANNELS}}},
            }
            layers = layered(SECOND_GROUP, values)
            releases.ensure("stan", "stan-ft", layers, kubeconfig=cluster.kubeconfig, namespace=name)
        else:
            apply(cluster, name, with_short_lived_channels(manifests(contender, name)))
        group = Group.connect(kubeconfig=cluster.kubeconfig, name=contender.name, namespace=name)
        group.wait_whole(WHOLE_WITHIN)
        yield Scene(group, cluster, cluster.kubeconfig)


def compare(
    scenes: dict[Contender, Scene],
    wanted: Sequence[Round],
    *,
    settings: Settings = SETTINGS,
    keep: Callable[[dict[str, dict[str, Any]]], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Play every round on every contender, run by run in turn, so that the machine's moods meet all of them.

    Gives a drill's data for each contender's key; keep is called with all of it after every run. Raises UserError if
    runs cannot be made several times in a row.
    """
    way = reach.Direct()
    subjects = {
        one: drill.Subject(scene, way, replace(settings, cluster_id=one.cluster_id), one.label, named=True)
        for one, scene in scenes.items()
    }
    data = {one.key: drill.begin(subject) for one, subject in subjects.items()}
    for each in wanted:
        series = {one: drill.add_series(data[one.key], each.fault) for one in scenes}
        for number in range(1, max(each.runs, each.others) + 1):
            for one, subject in subjects.items():
                runs = each.runs if one == CHART else each.others
                if number > runs:
                    continue
                for scene in scenes.values():  # a lost node is everybody's
                    refresh(scene, WHOLE_WITHIN)
                drill.attempt(series[one], each.fault, subject, number, runs, keep_going=True)
                if keep is not None:
                    keep(data)
    return data
