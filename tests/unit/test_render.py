"""Rendering: the engine that stays up, what it keeps, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyhelm3
import pytest

from harness.charts import helm, render
from stanft.ground.errors import UserError
from stanft.kube import objects

TEMPLATE = """
{{- if gt (int .Values.size) 3 }}{{ fail "size must be 3 or less" }}{{ end }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
data:
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  upgrade: {{ .Release.IsUpgrade | quote }}
  monitoring: {{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" | quote }}
  values: {{ .Values | toJson | quote }}
"""
HOOK = """
apiVersion: v1
kind: Pod
metadata:
  name: test
  annotations: {helm.sh/hook: test}
spec: {containers: [{name: c, image: "a:1"}]}
"""
SCHEMA = {
    "properties": {"size": {"type": "integer"}, "names": {"type": "object", "additionalProperties": {"type": "string"}}}
}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart with one template, one test hook, a schema and notes."""
    root = tmp_path / "tiny"
    (root / "templates").mkdir(parents=True)
    (root / "Chart.yaml").write_text("{apiVersion: v2, name: tiny, version: 0.1.0}\n")
    (root / "values.yaml").write_text("size: 1\nlist: [a, b]\nmap: {x: 1, w: 2}\n")
    (root / "values.schema.json").write_text(json.dumps(SCHEMA))
    (root / "templates" / "config.yaml").write_text(TEMPLATE)
    (root / "templates" / "test.yaml").write_text(HOOK)
    (root / "templates" / "empty.yaml").write_text("{{- /* nothing */ -}}\n# only a comment\n")
    (root / "templates" / "NOTES.txt").write_text("Hello {{ .Release.Name }} of size {{ .Values.size }}\n")
    return root


def data(items: list[objects.Object]) -> dict[str, Any]:
    """What the template was given, as it saw it."""
    found = objects.find(items, "ConfigMap")["data"]
    return {**found, "values": json.loads(found["values"])}


def test_a_chart_is_rendered_with_its_hooks_and_without_empty_documents(chart: Path) -> None:
    assert objects.inventory(render.render(chart)) == {("ConfigMap", "tiny"), ("Pod", "test")}


def test_release_namespace_and_kubernetes_version_reach_the_templates(chart: Path) -> None:
    config = objects.find(render.render(chart, release="r", namespace="ns", kube_version="1.28.3"), "ConfigMap")
    assert (config["metadata"]["name"], config["metadata"]["namespace"]) == ("r", "ns")
    assert config["data"]["kubernetes"] == "v1.28.3"


def test_upgrades_and_api_versions_can_be_rendered(chart: Path) -> None:
    seen = data(render.render(chart, is_upgrade=True, api_versions=["monitoring.coreos.com/v1"]))
    assert (seen["upgrade"], seen["monitoring"]) == ("true", "true")
    assert data(render.render(chart))["monitoring"] == "false"


def test_maps_are_merged_lists_replaced_and_null_deletes_a_default(chart: Path) -> None:
    seen = data(render.render(chart, {"map": {"x": None, "z": 3}, "list": ["c"]}))
    assert seen["values"] == {"size": 1, "list": ["c"], "map": {"w": 2, "z": 3}}


def test_set_is_read_as_helm_reads_it(chart: Path) -> None:
    assert data(render.render(chart, set=["size=2", "map.x=true", "list={q}"]))["values"] == {
        "size": 2,
        "list": ["q"],
        "map": {"x": True, "w": 2},
    }


def test_notes_are_rendered(chart: Path) -> None:
    assert render.render_notes(chart, {"size": 2}).strip() == "Hello tiny of size 2"


def test_a_failing_template_is_refused_with_its_own_words(chart: Path) -> None:
    with pytest.raises(render.RenderError, match=r"size must be 3 or less"):
        render.render(chart, {"size": 4})


def test_a_schema_violation_is_refused_and_names_the_key(chart: Path) -> None:
    with pytest.raises(render.RenderError, match=r"(?s)size.*want integer"):
        render.render(chart, {"size": "big"})


def test_a_refusal_is_remembered_and_refused_again(chart: Path) -> None:
    for _ in range(2):
        with pytest.raises(render.RenderError, match="3 or less"):
            render.render(chart, {"size": 5})


def test_a_refusal_carries_the_command_that_repeats_it(chart: Path) -> None:
    with pytest.raises(render.RenderError) as caught:
        render.render(chart, {"size": 4}, namespace="ns", set=["a=b"])
    command = caught.value.request.command()
    assert command.startswith("scripts/tool helm template tiny ")
    assert all(each in command for each in ("--namespace ns", "--set a=b", "--kube-version"))
    assert command.endswith("--values - <<'EOF'\nsize: 4\nEOF")


def test_a_template_that_makes_no_yaml_is_refused(chart: Path) -> None:
    (chart / "templates" / "bad.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n  metadata: [\n")
    with pytest.raises(render.RenderError, match=r"bad\.yaml"):
        render.render(chart)


def test_a_template_that_makes_no_object_is_refused(chart: Path) -> None:
    (chart / "templates" / "bad.yaml").write_text("just: text\n")
    with pytest.raises(render.RenderError, match=r"not to Kubernetes objects.*just"):
        render.render(chart)


def test_an_unknown_chart_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"nats is no chart: .*efs-provisioner, stan-ft"):
        render.render("nats")


def test_a_render_is_made_once_and_each_caller_gets_a_copy(chart: Path) -> None:
    first = render.render(chart, {"size": 2})
    before = render.statistics.by_helm
    first[0]["metadata"]["name"] = "spoilt"
    again = render.render(chart, {"size": 2})
    assert again[0]["metadata"]["name"] == "tiny"
    assert render.statistics.by_helm == before


def test_another_process_finds_the_render_on_disk(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = render.render(chart, {"size": 2})
    before = render.statistics.by_helm
    monkeypatch.setattr(render, "_memory", {})  # what a new process starts with
    assert render.render(chart, {"size": 2}) == expected
    assert render.statistics.by_helm == before


def test_a_changed_template_is_rendered_anew(chart: Path) -> None:
    render.render(chart)
    file = chart / "templates" / "config.yaml"
    file.write_text(file.read_text().replace("upgrade:", "upgraded:"))
    assert "upgraded" in objects.find(render.render(chart), "ConfigMap")["data"]


def test_a_cache_that_cannot_be_written_costs_time_only(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_store", lambda *_: Path("/proc/no-such-directory"))
    assert data(render.render(chart, {"size": 3}))["values"]["size"] == 3


def test_a_kept_render_that_another_process_removes_meanwhile_stops_nobody(
    chart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "renders"
    kept.mkdir()
    (kept / "removed-after-it-was-listed").symlink_to(kept / "nowhere")
    monkeypatch.setenv("STAN_FT_RENDERS", str(kept))
    render.render(chart, {"size": 2})
    assert len(list(kept.glob("tiny-*/*.json"))) == 1


def test_the_engine_comes_back_after_it_was_ended(chart: Path) -> None:
    engine = render.engine()
    engine.ask(render.request(chart).payload())
    assert engine._process is not None
    engine._process.kill()
    engine._process.wait()
    assert engine.ask(render.request(chart).payload())["manifest"]


def test_the_engine_ends_with_its_owner(chart: Path) -> None:
    engine = render.Engine(render.engine().binary)
    engine.ask(render.request(chart).payload())
    process = engine._process
    assert process is not None
    engine.close()
    assert process.returncode == 0


def test_observers_see_every_render_until_they_end(chart: Path) -> None:
    seen: list[render.Request] = []
    stop = render.on_render(seen.append)
    render.render(chart, release="watched")
    stop()
    render.render(chart, release="unwatched")
    assert [each.release for each in seen] == ["watched"]


def test_layers_merge_as_helm_merges_files(chart: Path) -> None:
    below, above = {"map": {"x": 5}, "list": ["a"], "size": 2}, {"map": {"y": None, "z": {"q": 1}}, "list": ["b"]}
    merged = render.layered(below, above)
    assert merged == {"map": {"x": 5, "y": None, "z": {"q": 1}}, "list": ["b"], "size": 2}
    assert below == {"map": {"x": 5}, "list": ["a"], "size": 2}


def test_at_makes_values_of_one_key() -> None:
    assert render.at("config.streaming.store_limits.channels", 3) == {
        "config": {"streaming": {"store_limits": {"channels": 3}}}
    }


@pytest.mark.parametrize("values", [{}, {"size": 2, "map": {"x": None}, "text": "1e3", "number": 1e3, "quoted": "017"}])
def test_pyhelm3_and_the_engine_give_the_same_text(chart: Path, values: dict[str, Any]) -> None:
    command = helm.PinnedCommand()
    assert helm.run(command.template_text("tiny", chart, values, namespace="ns")) == render.render_text(
        chart, values, release="tiny", namespace="ns"
    )


@pytest.mark.parametrize(
    "text", ["12:30", "1e3", "0o17", "017", "y", "2020-01-01", "0x10", "1_000", ".5", "-.inf", "0b101", "~"]
)
def test_plain_scalars_are_read_as_helm_reads_them(chart: Path, text: str) -> None:
    (chart / "templates" / "config.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {read: '{{ fromYaml \"k: "
        + text
        + "\" | toJson }}'}\n"
    )
    read = objects.find(render.render(chart), "ConfigMap")["data"]["read"]
    if "inf" in text:
        assert "Inf" in read or "inf" in read or read == ""  # JSON knows no infinity
    else:
        assert json.loads(read) == objects.values(f"k: {text}")


@pytest.mark.parametrize("values", [{"size": "big"}, {"size": 4}, {"names": {"a": 1}}])
def test_the_engine_refuses_in_the_words_of_helm(chart: Path, values: dict[str, Any]) -> None:
    with pytest.raises(pyhelm3.errors.Error) as by_helm:
        helm.run(helm.PinnedCommand().template_text("tiny", chart, values))
    with pytest.raises(render.RenderError) as by_engine:
        render.render(chart, values)
    assert by_engine.value.message.strip() in by_helm.value.stderr.decode()


def test_a_key_that_is_there_twice_is_refused(chart: Path) -> None:
    (chart / "templates" / "twice.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: a, name: b}\n")
    with pytest.raises(render.RenderError, match=r'(?s)not to Kubernetes objects.*"name" already set'):
        render.render(chart)


SHIPPED = [(chart, name) for chart in render.RELEASES for name in render.shipped(chart)]


@pytest.mark.parametrize(("chart_name", "name"), SHIPPED, ids=["-".join(case) for case in SHIPPED])
def test_pyhelm3_and_the_engine_agree_on_everything_that_the_charts_come_with(chart_name: str, name: str) -> None:
    directory, values = render.chart_directory(chart_name), render.shipped(chart_name)[name]
    text = helm.run(helm.PinnedCommand().template_text(render.RELEASES[chart_name], directory, values))
    assert text == render.render_text(chart_name, values)
    assert objects.parse(text) == render.render(chart_name, values)
