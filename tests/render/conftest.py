"""Fixtures of the render suite: the golden files, and where they are kept."""

from __future__ import annotations

import difflib
import gc
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"

GARBAGE_AFTER = 50_000  # new objects: a render alone makes thousands, none of them in circles


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at thousands of tests and schemas again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a golden file (a path below tests/render/golden), or writes it with --update-golden."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            return
        if not file.exists():
            pytest.fail(f"no golden file {name}: run this test with --update-golden, review the file, commit it")
        expected = file.read_text()
        if text != expected:
            changes = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), "golden", "rendered now", lineterm=""
            )
            told = "\n".join(list(changes)[:120])
            pytest.fail(
                f"{name} has changed. If that is meant, run again with --update-golden and commit the file.\n{told}"
            )

    return compare
