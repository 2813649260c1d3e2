"""Runs a command of stan-ft in this process and gives its exit code, ended as every command ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stanft.cli import common


def exit_code(main: Callable[[list[str]], int], *arguments: str) -> int:
    """The exit code of a command with these arguments; what it says goes where it would go."""
    with pytest.raises(SystemExit) as ended:
        common.run(lambda: main(list(arguments)))
    return int(ended.value.code or 0)
