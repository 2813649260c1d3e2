"""Processes of this machine, as /proc shows them."""

from __future__ import annotations

from pathlib import Path


def gone(pid: int) -> bool:
    """Whether no process of this id runs (one that waits to be reaped by init does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between the opening and the reading
        return True
