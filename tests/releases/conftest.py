"""The local cluster, for tests whose releases have namespaces of their own: they touch nothing of each other's."""

from __future__ import annotations

from live import cluster, deployment, pytest_runtest_makereport

__all__ = ["cluster", "deployment", "pytest_runtest_makereport"]
