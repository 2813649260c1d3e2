"""Numbers as people read them."""

from __future__ import annotations


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"


def size(number: float) -> str:
    """Bytes in the unit that keeps the number short; 1 kB is 1,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say it, less than a second as such."""
    if seconds < 1:
        return "a second"
    left, found = round(seconds), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number:
            found.append(f"{number} {unit}")
    return " ".join(found[:2])
