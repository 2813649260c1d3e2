"""A text stays a text, wherever the chart puts it: YAML reads a bare 0, no, 1e3 or 0x1 as something else."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import schemavalues

from harness.charts import render
from harness.charts.schema import LIKE
from stanft.kube import objects

# What YAML 1.1 or 1.2 takes for a number, a truth value, nothing, or a time of day.
TEXTS = ("0", "0x1", "1e3", "no", "null", "y", "12:30")
# Texts that are whole objects or a whole file: they are no text any more when the chart has read them.
# Each pull Secret is named once, so that a second list would only shorten the first.
APART = {"configFile.override", "extraObjects", "image.pullSecrets"}
# Texts that are read before they are written: paths, mount options, alerts by name, fields of Kubernetes' own.
READ = re.compile(
    r"^(fullnameOverride|persistence\.(mountPath|staticVolume\.(nfs|efs)\.mountOptions)|config\.streaming\.(dir|id|ft_group_name|discover_prefix|nats_server_url)|clusterDomain"
    r"|global\.imageRegistry|(.*\.)?image\.(registry|repository|tag|digest)|container\.env"
    r"|container\.(\w+Probe|resources|securityContext|args)|podTemplate\.(securityContext|affinity)"
    r"|promExporter\.prometheusRule\.overrides|config\.((cluster\.)?routes|ping_interval)|.*[mM]erge\w*|.*\.resources)(\.|$)"
)
CHART = "stan-ft"
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")  # the only texts that nameOverride takes


def holding(schema: dict[str, Any], text: str) -> Any:
    """The text as this leaf takes it: bare, as an item of a list, or as a mapping's value; None if it takes none."""
    return next((each for each in (text, [text], {"key": text}) if accepts(schema, each)), None)


def accepts(schema: dict[str, Any], value: Any) -> bool:
    return bool(jsonschema.Draft7Validator(schema).is_valid(value))


@cache
def texts_of(chart: str = CHART) -> dict[str, dict[str, Any]]:
    """The leaves that take a text of one's own choice, with their schemas."""
    found = schemavalues.leaves(render.chart_schema(chart), render.chart_values(chart))
    named = {".".join(path): schema for path, schema in found}
    return {
        leaf: schema
        for leaf, schema in named.items()
        if leaf not in APART
        and not READ.search(leaf)
        and "x-kind" not in schema
        and "enum" not in schema
        and holding(schema, "zqx") is not None
    }


def likes(schema: dict[str, Any]) -> list[str]:
    """What a leaf's text, or each text of a leaf that is a map, has to look like."""
    below = schema.get("additionalProperties")
    return [each["x-like"] for each in (schema, below) if isinstance(each, dict) and "x-like" in each]


@cache
def tried(name: str, text: str) -> dict[str, dict[str, Any]]:
    """The leaves that a ci file (or the defaults) fills and that can hold this text instead."""
    values = render.layered(render.chart_values(CHART), render.ci_values(CHART)[name])
    return {
        leaf: schema
        for leaf, schema in texts_of().items()
        if objects.dig(values, leaf)
        and holding(schema, text) is not None
        # Others are refused in words, as is the word that stands for the text at first.
        and all(re.search(LIKE[like][0], each) for like in likes(schema) for each in (text, "zqx"))
        and leaf != "podDisruptionBudget.maxUnavailable"
        and not leaf.endswith(("requests.memory", "limits.memory"))
        and (leaf != "nameOverride" or LABEL.fullmatch(text))
    }


def changed(item: Any, words: dict[str, str]) -> Any:
    """An object with words replaced in all its texts and without the checksums, which no two renders share."""
    if isinstance(item, dict):
        return {key: changed(below, words) for key, below in item.items() if not key.startswith("checksum/")}
    if isinstance(item, list):
        return [changed(below, words) for below in item]
    return re.sub("|".join(words), lambda match: words[match[0]], item) if isinstance(item, str) else item


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """The places where two objects differ, in words."""
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        return [each for key in wanted for each in differences(wanted[key], found[key], f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [each for number, pair in pairs for each in differences(*pair, f"{path}.{number}")]
    return [] if wanted == found and type(wanted) is type(found) else [f"{path}: {wanted!r} became {found!r}"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", sorted(render.ci_values(CHART)))
def test_a_text_that_yaml_takes_for_something_else_stays_a_text(name: str, text: str) -> None:
    leaves = tried(name, text)
    words = {f"zq{number:03}": text for number in range(len(leaves))}
    values = render.ci_values(CHART)[name]
    pairs = list(zip(words, leaves.items(), strict=True))
    marked = render.layered(values, *(render.at(leaf, holding(schema, word)) for word, (leaf, schema) in pairs))
    literal = render.layered(values, *(render.at(leaf, holding(schema, text)) for _, (leaf, schema) in pairs))
    items = zip(render.render(CHART, marked), render.render(CHART, literal), strict=True)
    wrong = [
        f"{objects.label(wanted)}{each}"
        for wanted, found in items
        for each in differences(changed(wanted, words), changed(found, {"zq": "zq"}))
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["no", "y", "true", "null", "on"])
def test_a_release_may_be_called_by_any_name_that_kubernetes_takes(text: str) -> None:
    wanted = changed(render.render(CHART, release="zqx"), {"zqx": text})
    assert differences(wanted, changed(render.render(CHART, release=text), {"zq": "zq"})) == []


@pytest.mark.parametrize(
    "section",
    ["podTemplate.labels", "service.merge.metadata.labels", "persistence.claim.merge.metadata.labels"],
)
def test_a_label_given_twice_is_the_nearer_one(section: str) -> None:
    values = render.layered({"commonLabels": {"team": "all"}}, render.at(section, {"team": "one"}))
    values = render.layered(values, render.at("persistence.existingClaim", ""))
    found = [objects.dig(item, "metadata.labels.team") for item in render.render(CHART, values)]
    pods = objects.dig(objects.find(render.render(CHART, values), "StatefulSet"), "spec.template.metadata.labels.team")
    assert (pods == "one") == (section == "podTemplate.labels")
    assert found.count("one") == (section != "podTemplate.labels")


def test_nearly_every_text_of_the_values_is_tried() -> None:
    found = {leaf for name in render.ci_values(CHART) for text in TEXTS for leaf in tried(name, text)}
    assert len(found) >= 60
    assert {
        "nameOverride",
        "tests.channel",
        "persistence.existingClaim",
        "commonLabels",
    } <= found
