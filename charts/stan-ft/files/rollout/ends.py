"""The ways in which a rollout ends that is not done."""

from __future__ import annotations


class StopError(Exception):
    """It ends with these words, and waiting longer would not help."""


class GiveUpError(Exception):
    """It ends for this reason; who serves the clients now is said behind it."""
