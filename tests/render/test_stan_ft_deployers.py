"""What deployers other than helm make of the chart: the values of docs/upgrade.md for them do what that page says."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.charts.render import chart_values, layered, render
from harness.ground.paths import REPO
from stanft.kube import objects
from stanft.kube.objects import Object, dig

SECTION = (REPO / "docs" / "upgrade.md").read_text().partition("## Where the chart is used")[2].partition("\n## ")[0]
ARGO, PLAIN = (yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))
HOOK = "helm.sh/hook"
ARGO_HOOK = "argocd.argoproj.io/hook"  # one that names its phase is none of helm's for Argo CD


def annotation(item: Object, name: str) -> str:
    """What an annotation of an object says; empty without it."""
    found: dict[str, str] = dig(item, "metadata.annotations", {})
    return found.get(name, "")


def test_for_argo_cd_the_job_and_all_that_it_needs_are_of_the_sync_phase() -> None:
    items = [item for item in render("stan-ft", ARGO) if "post-upgrade" in annotation(item, HOOK)]
    assert {"Job", "ServiceAccount", "Role", "RoleBinding", "ConfigMap"} <= {item["kind"] for item in items}
    assert {annotation(item, ARGO_HOOK) for item in items} == {"Sync"}
    assert {annotation(item, "argocd.argoproj.io/sync-wave") for item in items} == {"0"}


def test_for_argo_cd_nothing_else_is_a_hook_of_its_sync() -> None:
    others = [item for item in render("stan-ft", ARGO) if "post-upgrade" not in annotation(item, HOOK)]
    assert {annotation(item, ARGO_HOOK) for item in others} == {""}
    assert {annotation(item, HOOK) for item in others} == {"", "test"}


def test_without_helm_no_object_is_a_hook() -> None:
    assert [objects.label(item) for item in render("stan-ft", PLAIN) if annotation(item, HOOK)] == []


def test_without_helm_every_object_names_its_namespace_so_that_apply_puts_it_there() -> None:
    for item in render("stan-ft", PLAIN, namespace="messaging"):
        assert item["metadata"]["namespace"] == "messaging", objects.label(item)


def test_the_page_on_images_names_each_default_image() -> None:
    text = (REPO / "docs" / "security.md").read_text()
    values: dict[str, Any] = layered(chart_values("stan-ft"), {})
    rows = dict(re.findall(r"^\| `([\w.]*image)` \| (\S+?:[\w.-]+)[ |]", text, re.MULTILINE))
    for path in ("image", "fencing.image", "promExporter.image", "tests.image"):
        image = dig(values, path)
        assert rows[path] == f"{image['repository']}:{image['tag'] or '0.25.6'}"
