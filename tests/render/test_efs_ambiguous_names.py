"""Names that YAML would read as numbers or booleans stay text, wherever a chart's user may give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.charts.render import ci_values, layered, render
from stanft.kube import kubeschema, objects

AMBIGUOUS = ["0", "no", "1e3", "0x10", "null", "y", "true", "12"]
NAMES = ("name", "app", "app.kubernetes.io/name", "app.kubernetes.io/instance", "claimName", "storageClassName")


def named(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value under a key of NAMES, at any depth."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key in NAMES:
                yield key, below
            yield from named(below)
    elif isinstance(value, list):
        for each in value:
            yield from named(each)


@pytest.mark.parametrize("engine", ["efs-provisioner", "existing-static"])
@pytest.mark.parametrize("text", AMBIGUOUS)
def test_every_name_stays_text(engine: str, text: str) -> None:
    own = {
        "nameOverride": text,
        "fullnameOverride": text,
        "storageClass": {"name": text},
        "claims": [{"name": text, "size": "1Gi"}],
        "serviceAccount": {"name": text},
    }
    items = render("efs-provisioner", layered(ci_values("efs-provisioner")[engine], own), release=text)
    assert [(key, found) for key, found in named(items) if not isinstance(found, str)] == []
    assert [problem for item in items for problem in kubeschema.problems(item)] == []
    claim = objects.find(items, "PersistentVolumeClaim", text)
    assert claim["metadata"]["labels"]["app.kubernetes.io/name"] == text
    assert claim["spec"]["storageClassName"] == text
