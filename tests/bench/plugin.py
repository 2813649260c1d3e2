"""A pytest plugin for scripts/bench: evenly spread checks, rendered our way or the usual way, helm calls counted.

The usual way is what most chart suites do: for each render one helm process, values through a file, and PyYAML's
pure-Python loader on its output; nothing is kept (apache/airflow chart_utils/helm_template_generator.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.charts import render
from harness.ground import toolchain

WAY = os.environ.get("STAN_FT_BENCH_WAY", "ours")
CHECKS = int(os.environ.get("STAN_FT_BENCH_CHECKS", "0"))
REPORT = os.environ.get("STAN_FT_BENCH_REPORT", "")
_calls = 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep CHECKS of the collected tests, evenly spread; the same ones for either way."""
    if CHECKS and len(items) > CHECKS:
        kept = [items[at * len(items) // CHECKS] for at in range(CHECKS)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def pytest_configure() -> None:
    """Replace the renderer when the usual way is measured."""
    if WAY == "usual":
        render.rendered = _usual


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write how many helm calls this process made."""
    calls = _calls if WAY == "usual" else render.statistics.by_helm
    if REPORT:
        Path(REPORT).mkdir(parents=True, exist_ok=True)
        (Path(REPORT) / f"{os.getpid()}.json").write_text(
            json.dumps({"calls": calls, "asked": render.statistics.asked})
        )


def _usual(wanted: render.Request) -> render.Rendered:
    global _calls  # noqa: PLW0603 (a count per process)
    _calls += 1
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(wanted.values)
        file.flush()
        command: list[Any] = [toolchain.ensure("helm"), "template", wanted.release, wanted.chart, "--values", file.name]
        command += ["--namespace", wanted.namespace, "--kube-version", wanted.kube_version]
        command += [word for each in wanted.set for word in ("--set", each)]
        command += [word for each in wanted.api_versions for word in ("--api-versions", each)]
        command += ["--is-upgrade"] if wanted.is_upgrade else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = done.stderr.removeprefix("Error: ").replace("\n\nUse --debug flag to render out invalid YAML", "")
        raise render.RenderError(message, wanted)
    items = [each for each in yaml.load_all(done.stdout, Loader=yaml.SafeLoader) if each is not None]
    return render.Rendered(wanted, done.stdout, "", json.dumps(items, default=str))
