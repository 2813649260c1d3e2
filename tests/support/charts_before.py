"""The charts of version 0.1.0, as packages (without README and the descriptions in their schemas), and their values."""

from __future__ import annotations

import tarfile
from typing import Any, Final

import yaml

from harness.charts import render
from harness.ground.paths import CHARTS, REPO

PACKAGES: Final = {
    chart: REPO / "tests" / "fixtures" / "charts-0.1.0" / f"{chart}-0.1.0.tgz" for chart in render.RELEASES
}


def values(chart: str) -> dict[str, Any]:
    """The default values of a chart of version 0.1.0."""
    with tarfile.open(PACKAGES[chart]) as archive:
        file = archive.extractfile(f"{chart}/values.yaml")
        assert file is not None
        found: dict[str, Any] = yaml.safe_load(file)
    return found


def new_names(chart: str) -> dict[str, str]:
    """What each old key is called now, from which docs/values-of-other-charts.md is written."""
    found: dict[str, str] = yaml.safe_load((CHARTS / chart / "files" / "old-keys.yaml").read_text())
    return found


def translated(chart: str, old: dict[str, Any]) -> dict[str, Any]:
    """Values of version 0.1.0 under their names of today; for keys that have one, or that are still called so."""
    names, found = new_names(chart), {}

    def place(value: Any, path: str) -> None:
        nonlocal found
        if path not in names and isinstance(value, dict):
            for key, below in value.items():
                place(below, f"{path}.{key}".lstrip("."))
        else:
            found = render.layered(found, render.at(names.get(path, path), value))

    place(old, "")
    return found
