"""The comparison on the real cluster: three groups under the same faults, and nothing left of them."""

from __future__ import annotations

import json
from pathlib import Path

from harness.cli import compare as cli
from harness.cluster.kind import Cluster
from harness.local.compare import CONTENDERS


def test_chart_recipe_and_official_shape_are_played_in_turn_and_taken_away(cluster: Cluster, tmp_path: Path) -> None:
    assert cli.main(["--fault", "delete", "--folder", str(tmp_path)]) == 0
    for contender in CONTENDERS:
        data = json.loads((tmp_path / f"{contender.key}.json").read_text())
        [series] = data["series"]
        [run] = series["runs"]
        assert run["takeovers"] == 1, contender.label
        assert run["verdict"]["findings"]["lost"]["count"] == 0
        assert contender.label in (tmp_path / "index.html").read_text().replace("&#39;", "'")
    left = cluster.kubectl("get", "namespaces", "-o", "name")
    assert not [each.namespace for each in CONTENDERS if each.namespace in left]
