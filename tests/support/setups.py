"""The values that docs/set-ups.md gives, by section."""

from __future__ import annotations

import re
from typing import Any

from harness.ground.paths import REPO
from stanft.kube import objects

PAGE = (REPO / "docs" / "set-ups.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}


def blocks(section: str) -> list[dict[str, Any]]:
    """The blocks of values of a section, in their order."""
    return [objects.values(text) for text in re.findall(r"```yaml\n(.*?)```", SECTIONS[section], re.DOTALL)]
