"""The values of an environment: environments/<name>/<chart>.yaml, read as Helm reads them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.ground.paths import ENVIRONMENTS
from stanft.ground.errors import UserError
from stanft.kube import objects
from stanft.kube.charts import copied


def names() -> list[str]:
    """The environments that there are."""
    return sorted(directory.name for directory in ENVIRONMENTS.iterdir() if directory.is_dir())


def require(environment: str) -> None:
    """Raise UserError that names the known environments if this is none of them."""
    if environment not in names():
        raise UserError(f"there is no environment {environment!r}: choose one of {', '.join(names())}.")


def values(environment: str, chart: str) -> dict[str, Any]:
    """The values that an environment gives a chart, a fresh copy; raises UserError for a name that does not exist."""
    require(environment)
    return values_file(ENVIRONMENTS / environment / f"{chart}.yaml")


def values_file(path: Path) -> dict[str, Any]:
    """A file of values, a fresh copy; read anew only when it has changed."""
    found: dict[str, Any] = copied(_read(path, path.stat().st_mtime_ns))
    return found


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> dict[str, Any]:
    return objects.values(path.read_text())
