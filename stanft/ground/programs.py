"""Where other programs come from: PATH, or whoever built them (the workshop gives its pinned ones)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from stanft.ground.errors import UserError

_HOW = {
    "helm": "it renders charts; install it (https://helm.sh/docs/intro/install), or give what `helm template` printed",
    "kubectl": "install it (https://kubernetes.io/docs/tasks/tools)",
}
_providers: list[Callable[[str], Path]] = []


def provided_by(provider: Callable[[str], Path]) -> None:
    """Take programs from there from now on instead of from PATH: a function from a name to a path."""
    _providers[:] = [provider]


def find(name: str) -> Path:
    """The program of that name; raises UserError that says what it is for where there is none."""
    for provider in _providers:
        return provider(name)
    found = shutil.which(name)
    if found is None:
        raise UserError(f"the program {name} is not on PATH: {_HOW.get(name, 'install it')}.")
    return Path(found)
