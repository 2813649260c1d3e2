"""The local cluster and its one group, for tests that break something of either: one after the other."""

from __future__ import annotations

from live import cluster, deployment, group, new_traffic, pytest_runtest_makereport, scene

__all__ = ["cluster", "deployment", "group", "new_traffic", "pytest_runtest_makereport", "scene"]
