"""Durations as Go writes and reads them: 1h, 90m, 1m30s, 1.5s."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)


def nanoseconds(text: str) -> int:
    """A duration in nanoseconds. Raises ValueError for what Go's time.ParseDuration refuses (a day has no unit)."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise ValueError(f"{text!r} is no duration")
        number, unit = part.groups()
        total += int(Fraction(number.rstrip(".") if not number.startswith(".") else f"0{number}") * _NANOSECONDS[unit])
        rest = rest[part.end() :]
    if text in ("", "+", "-") or total > 2**63 - (sign > 0):
        raise ValueError(f"{text!r} is no duration")
    return sign * total
