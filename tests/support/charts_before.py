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
