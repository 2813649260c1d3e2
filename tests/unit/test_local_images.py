"""Where the local cluster's images come from, and that each is loaded into each node once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from standins import Programs

from harness import local
from harness.charts import environments
from harness.cluster import images, kind
from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster

NODES = ("stan-ft-control-plane", "stan-ft-worker", "stan-ft-worker2")
SERVER, BOX = "nats-streaming:0.25.6", "busybox:1.35.0"
# An engine whose registry may be silent, and whose nodes are folders that hold what was noted on them.
DOCKER = """
case "$1" in
ps) cd "$PLAY/nodes" && ls ;;
pull) [ -z "$SILENT" ] || { echo "dial tcp: lookup registry: no such host" >&2; exit 1; } ;;
image) case "$*" in *--format*) echo sha256:abc ;; *) exit 1 ;; esac ;;
exec) case "$3" in
  touch) touch "$PLAY/nodes/$2/$(basename "$4")" ;;
  test) test -e "$PLAY/nodes/$2/$(basename "$5")" ;;
  esac ;;
*) exit 64 ;;
esac
"""
KUBECTL = """
case "$*" in
*"apply -f -") cat >"$PLAY/applied-$(ls "$PLAY" | grep -c applied-)" ;;
*nslookup*) echo found ;;
*) : ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A cluster of three nodes, and a registry that answers."""
    made = Programs(tmp_path, monkeypatch)
    made.tools(kubectl=KUBECTL)
    made.add("docker", DOCKER)
    for node in NODES:
        (tmp_path / "nodes" / node).mkdir(parents=True)
    monkeypatch.setenv("PLAY", str(tmp_path))
    monkeypatch.setenv("SILENT", "")
    monkeypatch.delenv("STAN_FT_CLUSTER", raising=False)
    return made


def choose(registry: str = "auto") -> images.Registry | None:
    return local._choose_registry(Engine(""), registry, {SERVER, BOX})


def test_a_registry_that_answers_once_is_not_asked_again(programs: Programs) -> None:
    assert choose() == images.Registry(Engine(""))
    assert choose() == images.Registry(Engine(""))
    assert programs.asked("docker pull") == [f"docker pull --quiet {SERVER}"]


def test_where_no_registry_answers_images_are_built_and_that_is_remembered_too(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SILENT", "1")
    assert choose() is None
    assert "built from package registries" in capsys.readouterr().err
    monkeypatch.setenv("SILENT", "")
    assert choose() is None, "until the cluster is taken away"
    (kind.home() / "images-from").unlink()
    assert choose() is not None


@pytest.mark.parametrize(("registry", "mirror"), [("none", None), ("mirror:5000", "mirror:5000")])
def test_what_the_user_chose_is_not_asked_for(programs: Programs, registry: str, mirror: str | None) -> None:
    chosen = choose(registry)
    assert (chosen.mirror if chosen else None) == mirror
    assert programs.asked("docker") == []


def test_pulled_images_are_loaded_into_the_nodes_once(programs: Programs) -> None:
    cluster = Cluster(Engine(""))
    for _ in range(2):
        local._load_images(cluster, {SERVER, BOX}, images.Registry(cluster.engine))
    assert programs.asked("kind load") == [f"kind load docker-image {BOX} {SERVER} --name stan-ft"]


def test_a_node_that_is_new_gets_the_images_too(programs: Programs, tmp_path: Path) -> None:
    cluster = Cluster(Engine(""))
    local._load_images(cluster, {SERVER}, None)
    (tmp_path / "nodes" / "stan-ft-worker3").mkdir()
    local._load_images(cluster, {SERVER}, None)
    assert len(programs.asked("kind load image-archive")) == 2


def test_the_storage_is_provisioned_under_the_name_of_the_charts_class_and_dns_is_proven_once(
    programs: Programs, tmp_path: Path
) -> None:
    cluster = Cluster(Engine(""))
    for _ in range(2):
        local._ensure_storage(cluster, "kind", BOX)
    manifest = list(yaml.safe_load_all((tmp_path / "applied-0").read_text()))
    provisioner = environments.values("kind", "efs-provisioner")["provisionerName"]
    assert provisioner in json.dumps([each for each in manifest if each and each["kind"] == "Deployment"])
    assert "$" + "{PROVISIONER}" not in (tmp_path / "applied-0").read_text()
    probes = [call for call in programs.asked("kubectl") if "nslookup kubernetes.default" in call]
    assert len(probes) == 1


def test_the_charts_want_the_server_the_exporter_and_what_the_storage_runs() -> None:
    wanted = {images.repository(image) for image in local._wanted_images("kind")}
    assert wanted >= {"nats-streaming", "busybox", "rancher/local-path-provisioner"}


def test_without_an_image_of_it_the_exporter_is_switched_off_and_nothing_else() -> None:
    whole, without = (local.chart_values("kind", has_exporter) for has_exporter in (True, False))
    assert without["metrics"] == {**whole.get("metrics", {}), "enabled": False}
    assert {**without, "metrics": None} == {**whole, "metrics": None}
