"""Tests on virtual machines with a real NFSv4.1 mount: they need root and QEMU, and say so where they are skipped."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "nfs: boots virtual machines with a real NFSv4.1 mount (minutes, needs root)")
