"""Directories as GitOps repositories have them: what is judged, and what is left out and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from goodgroup import GOOD

from stanft.cli import check
from stanft.ground.errors import UserError
from stanft.invariants import Manifests, sources
from stanft.kube import objects

GENERATOR = "resources: [all.yaml]\nconfigMapGenerator: [{name: stan-config, files: [stan.conf]}]"
PATCH = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: stan}, spec: {replicas: 5}}"


def lay(root: Path, **files: str) -> None:
    """Files by name; __ stands for a slash, DOT for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def left_out(root: Path) -> dict[str, str]:
    """Relative name -> why it was left out."""
    skipped: list[str] = []
    sources.from_paths([str(root)], {}, skipped)
    return {name.removeprefix(f"{root}/"): why for name, _, why in (each.partition(": ") for each in skipped)}


def test_what_is_no_whole_object_is_left_out_and_said(tmp_path: Path) -> None:
    lay(
        tmp_path,
        goodDOTyaml=GOOD,
        valuesDOTyaml="replicas: 3",
        packageDOTjson='{"name": "x"}',
        emptyDOTyml="# nothing",
        templateDOTyaml="a: {{ .Values.a }}\n{{- if b }}\nb: 1\n{{- end }}",
        namedDOTyaml='{apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ name }}"}}',
        DOTgithub__ciDOTyaml="a: [",
        node_modules__x__yDOTyaml="a: [",
        appDOTyaml="{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}, spec: {}}",
        readmeDOTmd="a: [",
    )
    why = left_out(tmp_path)
    assert why.keys() == {"values.yaml", "package.json", "empty.yml", "template.yaml", "named.yaml"}
    assert why["values.yaml"] == "no Kubernetes object (it has no apiVersion and kind)"
    assert why["template.yaml"] == why["named.yaml"] == "a template, which another program fills in"


def test_a_kustomizations_files_are_read_and_its_patches_are_not_objects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, rest = GOOD.split("---\n", 1)
    text = config.partition("stan.conf: |\n")[2]
    lay(
        tmp_path,
        base__allDOTyaml=rest,
        base__stanDOTconf="\n".join(line[4:] for line in text.splitlines()),
        base__kustomizationDOTyaml=GENERATOR,
        prod__patchDOTyaml=PATCH,
        prod__inlineDOTyaml=PATCH,
        prod__kustomizationDOTyaml="resources: [../base]\nnamePrefix: p-\npatches: [{path: patch.yaml}]",
    )
    assert check.main([str(tmp_path), "-n", "messaging"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "prod/patch.yaml: a patch of a kustomization, no whole object" in shown
    assert "what it changes (namePrefix, patches) is not judged" in shown
    assert "prod/inline.yaml: StatefulSet/stan is in" in shown
    (server,) = Manifests(sources.from_paths([str(tmp_path)])).servers
    assert (server.replicas, server.group[1], server.known) == (2, "test-cluster", True)


def test_a_chart_that_needs_values_is_left_out_with_helms_words(tmp_path: Path) -> None:
    lay(
        tmp_path,
        goodDOTyaml=GOOD,
        chart__ChartDOTyaml="{apiVersion: v2, name: chart, version: 0.1.0}",
        chart__templates__aDOTyaml='{{ required "give a" .Values.a }}',
        chart__charts__inner__ChartDOTyaml="{apiVersion: v2, name: inner, version: 0.1.0}",
        library__ChartDOTyaml="{apiVersion: v2, name: library, version: 0.1.0, type: library}",
    )
    why = left_out(tmp_path)
    assert why.keys() == {"chart", "library"}
    assert "give a" in why["chart"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [", r"x\.yaml cannot be read as Kubernetes objects: .*\(line \d\)\.$"),
        (b"a: \xff", r"x\.yaml is no UTF-8 text"),
        (b"a: !!python/none x", r"x\.yaml cannot be read as Kubernetes objects: could not determine a constructor"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    for place in (tmp_path, tmp_path / "x.yaml"):
        with pytest.raises(UserError, match=told) as caught:
            sources.from_paths([str(place)])
        assert "\n" not in str(caught.value)


def test_what_a_kustomization_names_elsewhere_is_read_too(tmp_path: Path) -> None:
    lay(
        tmp_path,
        base__allDOTyaml=GOOD,
        base__kustomizationDOTyaml="resources: [all.yaml]",
        prod__kustomizationDOTyaml="resources: [../base, ../more.yaml]",
        moreDOTyaml="{apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {}}",
    )
    items = sources.from_paths([str(tmp_path / "prod")])
    assert len(Manifests(items).servers) == 1
    assert any(each["metadata"]["name"] == "more" for each in items)


def test_json_objects_one_after_the_other_are_read(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text("\n".join(json.dumps(each) for each in objects.parse(GOOD)))
    assert sources.from_paths([str(tmp_path / "all.json")]) == objects.parse(GOOD)


def test_a_template_by_itself_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("metadata: {name: {{ .Release.Name }}}")
    with pytest.raises(UserError, match=r"it is a template\. Name the chart's directory"):
        sources.from_paths([str(tmp_path / "x.yaml")])
