"""scripts/bench compares the same checks both ways, and takes no time of checks that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import bench
from stanft.ground.errors import UserError


def test_both_ways_run_the_same_checks_and_only_the_usual_one_renders_each_with_a_helm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "COMPARED", ("test_stan_ft_metrics.py",))
    code = bench.main(["--checks", "3", "--workers", "0", "--no-whole"])
    out = capsys.readouterr().out.splitlines()
    usual, ours = (line.split()[-4:] for line in out[1:3])
    assert usual[0] == ours[0] == "3"
    assert int(usual[3]) >= int(ours[3]) > 0
    factor = float(out[3].split(" times")[0].rpartition(" ")[2])
    assert code == (0 if factor >= bench.WANTED_FACTOR else 1)


def test_checks_that_fail_are_shown_and_their_time_means_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "COMPARED", ("test_stan_ft_metrics.py",))
    monkeypatch.setenv("STAN_FT_CHARTS", str(tmp_path))
    with pytest.raises(UserError, match=r"^a run: checks failed.*scripts/test render first"):
        bench._run("a run", "ours", 1, 0)
    assert "test_stan_ft_metrics.py" in capsys.readouterr().err
