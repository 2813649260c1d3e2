"""scripts/up that was interrupted at any step can be run again and succeeds."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from harness.cluster.kind import Cluster
from harness.ground.paths import REPO
from stanft.ground import shell

# A cluster of its own beside the one that the other tests use.
OWN = {"STAN_FT_CLUSTER": "interrupted", "STAN_FT_PORT": "24222"}
STEPS = ("a kind cluster", "loading", "the shared storage", "charts/stan-ft")
INTERRUPTED = 130


@pytest.fixture
def removed_afterwards(cluster: Cluster) -> Iterator[None]:
    yield
    shell.run([REPO / "scripts" / "down"], env=OWN, timeout=300)


def up_until(step: str) -> int:
    """Run scripts/up, press Ctrl-C when it begins a step, and give its exit code."""
    process = subprocess.Popen(
        [REPO / "scripts" / "up"],
        env={**os.environ, **OWN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"==> {step}"):
            # As a terminal does: to every process in the foreground.
            os.killpg(process.pid, signal.SIGINT)
            break
    else:
        pytest.fail(f"scripts/up never came to the step {step!r}")
    process.stderr.read()
    return process.wait(120)


@pytest.mark.slow
def test_up_succeeds_after_it_was_interrupted_at_each_step(cluster: Cluster, removed_afterwards: None) -> None:
    for step in STEPS:
        assert up_until(step) == INTERRUPTED, step
    done = shell.run([REPO / "scripts" / "up"], env=OWN, timeout=400)
    assert "FT_ACTIVE" in done.stdout
    assert done.stdout.count("FT_STANDBY") == 2
