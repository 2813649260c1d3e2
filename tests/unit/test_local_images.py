"""Where the local cluster's images come from, and that each is loaded into each node once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from standins import Programs

from harness.cluster import images, kind
from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster
from harness.ground import toolchain
from harness.local import plan, up
from stanft.ground.errors import UserError

NODES = ("stan-ft-control-plane", "stan-ft-worker", "stan-ft-worker2")
SERVER, BOX = "nats-streaming:0.25.6", "busybox:1.35.0"
# An engine whose registry may be silent, and whose nodes are folders that hold what was noted on them.
DOCKER = """
case "$1" in
ps) cd "$PLAY/nodes" && ls ;;
pull) [ -z "$SILENT" ] || { echo "dial tcp: lookup registry: no such host" >&2; exit 1; } ;;
image) case "$*" in *--format*) echo sha256:abc ;; *) grep -qxF "$3" "$PLAY/held" ;; esac ;;
save) : ;;
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
    (tmp_path / "held").write_text("")
    monkeypatch.setenv("PLAY", str(tmp_path))
    monkeypatch.setenv("SILENT", "")
    monkeypatch.delenv("STAN_FT_CLUSTER", raising=False)
    return made


def choose(registry: str = "auto") -> images.Registry | None:
    return up._choose_registry(Engine(""), registry, frozenset({SERVER, BOX}))


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


def test_an_answer_of_a_first_try_that_made_no_cluster_is_not_kept(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in NODES:
        (tmp_path / "nodes" / node).rmdir()
    assert choose() is not None
    monkeypatch.setenv("SILENT", "1")
    assert choose() is None


def test_an_image_that_the_engine_holds_from_before_is_no_answer_of_a_registry(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "held").write_text(f"{SERVER}\n")
    monkeypatch.setenv("SILENT", "1")
    assert choose() is None


def test_where_the_engine_holds_every_image_no_registry_is_asked(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "held").write_text(f"{SERVER}\n{BOX}\n")
    monkeypatch.setenv("SILENT", "1")
    assert choose() == images.Registry(Engine(""))
    assert not programs.asked("docker pull")


@pytest.mark.parametrize(("registry", "mirror"), [("none", None), ("mirror:5000", "mirror:5000")])
def test_what_the_user_chose_is_not_asked_for(programs: Programs, registry: str, mirror: str | None) -> None:
    chosen = choose(registry)
    assert (chosen.mirror if chosen else None) == mirror
    assert programs.asked("docker") == []


def test_pulled_images_are_loaded_into_the_nodes_once(programs: Programs) -> None:
    cluster = Cluster(Engine(""))
    for _ in range(2):
        up.load_into(cluster, frozenset({SERVER, BOX}), images.Registry(cluster.engine))
    [load] = programs.asked("kind load")
    assert load.startswith("kind load image-archive ")
    assert [call.split(" -o ")[0] for call in programs.asked("docker save")] == ["docker save --platform linux/amd64"]


def test_an_engine_that_does_not_know_platforms_saves_the_images_all_the_same(
    programs: Programs, tmp_path: Path
) -> None:
    programs.add(
        "docker",
        """
[ "$1" = save ] || exit 0
[ "$2" = -o ] && touch "$3" || { echo '"--platform" requires API version 1.48' >&2; exit 1; }
""",
    )
    with images.Registry(Engine("")).saved([SERVER]) as archive:
        assert archive.exists()
    assert not archive.exists()


def test_a_node_that_is_new_gets_the_images_too(programs: Programs, tmp_path: Path) -> None:
    cluster = Cluster(Engine(""))
    up.load_into(cluster, frozenset({SERVER}), None)
    (tmp_path / "nodes" / "stan-ft-worker3").mkdir()
    up.load_into(cluster, frozenset({SERVER}), None)
    assert len(programs.asked("kind load image-archive")) == 2


def test_the_storage_is_provisioned_under_the_name_of_the_charts_class_and_dns_is_proven_once(
    programs: Programs, tmp_path: Path
) -> None:
    cluster, made = Cluster(Engine("")), plan.make()
    for _ in range(2):
        up._storage(cluster, made)
    manifest = list(yaml.safe_load_all((tmp_path / "applied-0").read_text()))
    provisioner = made.values["efs-provisioner"]["provisionerName"]
    assert provisioner in json.dumps([each for each in manifest if each and each["kind"] == "Deployment"])
    assert "$" + "{PROVISIONER}" not in (tmp_path / "applied-0").read_text()
    probes = [call for call in programs.asked("kubectl") if "nslookup kubernetes.default" in call]
    assert len(probes) == 1


def test_the_charts_want_the_server_the_exporter_and_what_the_storage_runs() -> None:
    wanted = {images.repository(image) for image in plan.make().images}
    assert wanted >= {"nats-streaming", "busybox", "rancher/local-path-provisioner"}


def test_without_an_image_of_it_the_exporter_is_switched_off_and_nothing_else() -> None:
    whole = plan.make()
    built = whole.built()
    values, without = whole.values["stan-ft"], built.values["stan-ft"]
    assert (whole.has_exporter, built.has_exporter) == (True, False)
    assert without["promExporter"] == {**values.get("promExporter", {}), "enabled": False}
    assert {**without, "promExporter": None} == {**values, "promExporter": None}
    assert built.images == {image for image in whole.images if images.can_build(image)}


def test_every_minor_that_can_be_built_has_an_official_node_image_of_the_same_minor() -> None:
    assert plan.OFFICIAL_NODES.keys() == toolchain.MINORS.keys()
    for minor, image in plan.OFFICIAL_NODES.items():
        assert re.fullmatch(rf"kindest/node:v{re.escape(minor)}\.\d+@sha256:[0-9a-f]{{64}}", image)
        assert toolchain.MINORS[minor].kubernetes.startswith(f"v{minor}.")


def test_a_kubernetes_version_that_is_not_pinned_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAN_FT_KUBERNETES", "1.12")
    with pytest.raises(
        UserError, match=f"STAN_FT_KUBERNETES is '1.12': set it to one of {', '.join(toolchain.MINORS)}"
    ):
        plan.make()
