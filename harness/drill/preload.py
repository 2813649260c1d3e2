"""Fills the store before a drill, so that takeovers of stores of a known size can be measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness import shell
from harness.cluster import toolchain
from harness.errors import UserError

CHANNEL = "stan-ft-drill-store"
PUBLISHERS = 4
TIMEOUT = 600.0  # seconds
MOST = 4 * 2**30  # bytes of one fill


def amount(text: str) -> tuple[int, int]:
    """Messages and bytes of each from a text such as "100000x512"; raises UserError for any other text."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    messages, size = (int(part) for part in found.groups()) if found else (0, 0)
    if not messages or not size or messages * size > MOST:
        raise UserError(
            f"{text!r} is no amount of messages: write NUMBERxBYTES, such as 100000x512, up to 4 GiB in all."
        )
    return messages, size


def fill(urls: Sequence[str], cluster_id: str, messages: int, size: int) -> None:
    """Publish so many messages of so many bytes with stan-bench; raises shell.CommandError if it fails."""
    command: list[str | Path] = [
        toolchain.ensure("stan-bench"),
        "-s",
        ",".join(urls),
        "-c",
        cluster_id,
        "-id",
        "stan-ft-drill-fill",
    ]
    command += ["-np", str(PUBLISHERS), "-n", str(messages), "-ms", str(size), CHANNEL]
    shell.run(command, timeout=TIMEOUT)
