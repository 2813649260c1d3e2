"""Where things are: the checkout and the cache (one place, so that nothing else builds a path from parts)."""

from __future__ import annotations

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CHARTS = Path(os.environ.get("STAN_FT_CHARTS") or REPO / "charts")  # moved by scripts/mutate, to test broken copies
ENVIRONMENTS = REPO / "environments"
CLUSTER = REPO / "cluster"


def cache() -> Path:
    """The directory that keeps what was built, by content hash; STAN_FT_CACHE moves it."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stan-ft"
    directory = Path(os.environ.get("STAN_FT_CACHE") or default)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def bytecode() -> dict[str, str]:
    """The variables with which pytest keeps compiled code in the cache, rewritten asserts too, to halve its start."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache() / "bytecode")}
