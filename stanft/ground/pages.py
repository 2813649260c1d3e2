"""Pages: one HTML file that needs no other, all in one style."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from stanft.ground import units

_STYLE = Path(__file__).parent / "page.css"


def render(template: Path, *, filters: dict[str, Callable[[Any], str]] | None = None, **values: Any) -> str:
    """A template with these values; what they hold is escaped. It may use count, size, duration, and the style."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": units.count, "size": units.size, "duration": units.duration, **(filters or {})}
    return environment.from_string(template.read_text()).render(style=_STYLE.read_text(), **values)
