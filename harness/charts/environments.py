"""The values of an environment: environments/<name>/<chart>.yaml."""

from __future__ import annotations

from typing import Any

import yaml

from harness.ground.paths import ENVIRONMENTS
from stanft.ground.errors import UserError


def names() -> list[str]:
    """The environments that there are."""
    return sorted(directory.name for directory in ENVIRONMENTS.iterdir() if directory.is_dir())


def require(environment: str) -> None:
    """Raise UserError that names the known environments if this is none of them."""
    if environment not in names():
        raise UserError(f"there is no environment {environment!r}: choose one of {', '.join(names())}.")


def values(environment: str, chart: str) -> dict[str, Any]:
    """The values that an environment gives a chart; raises UserError for a name that does not exist."""
    require(environment)
    document = yaml.load((ENVIRONMENTS / environment / f"{chart}.yaml").read_text(), Loader=yaml.CSafeLoader)
    return dict(document or {})
