"""What a server would drop of a store at its start, by the limits of a configuration: it does so without a word.

Source: nats-streaming-server v0.25.6 stores/limits.go and stores/store.go DefaultStoreLimits; that messages go and that
channels and subscriptions beyond their limits stay was seen with the real server (tests/server/test_store_limits.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from stanft.store import channel
from stanft.store.findings import Finding, Harm
from stanft.store.state import Channel, Store

Settings = Mapping[
    tuple[str, ...], int
]  # ("max_msgs",) or ("channels", name, "max_msgs") -> number; ages in nanoseconds

DEFAULTS: Final = {
    "max_channels": 100,
    "max_subs": 1000,
    "max_msgs": 1_000_000,
    "max_bytes": 1_000_000 * 1024,
    "max_age": 0,
}


def of_channel(settings: Settings, name: str) -> dict[str, int]:
    """The limits of a channel, 0 for none: its own, else those of the patterns above it, else the store's."""
    made = {key: settings.get((key,), value) for key, value in DEFAULTS.items()}
    patterns = {path[1] for path in settings if path[0] == "channels" and _covers(path[1], name)}
    # The closest pattern counts last: one token more, and of two alike the one with a name where the other has a star.
    for pattern in sorted(patterns, key=lambda each: (len(each.split(".")), ">" not in each, "*" not in each)):
        made |= {key: own for key in made if (own := settings.get(("channels", pattern, key), 0))}
    return {key: max(value, 0) for key, value in made.items()}  # a negative number takes the limit off


def _covers(pattern: str, name: str) -> bool:
    wanted, given = pattern.split("."), name.split(".")
    if wanted[-1] == ">":
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
        return len(given) == len(wanted) < len(name.split(".")) and _alike(wanted, given)
    return len(wanted) == len(given) and _alike(wanted, given)


def _alike(wanted: list[str], given: list[str]) -> bool:
    return all(each in ("*", other) for each, other in zip(wanted, given, strict=True))


def findings(store: Store, settings: Settings, *, now: int) -> list[Finding]:
    """What goes at the first start with these limits, and what is beyond them; now in nanoseconds."""
    found = [each for one in store.channels for each in _of(one, of_channel(settings, one.name), now)]
    most = settings.get(("max_channels",), DEFAULTS["max_channels"])
    if 0 < most < len(store.channels):
        text = f"{len(store.channels)} channels, max_channels is {most}: they stay, new ones are refused"
        found.append(Finding(store.directory.name, "limit", text, Harm.NOTHING))
    return found


def _of(one: Channel, limits: Mapping[str, int], now: int) -> Iterator[Finding]:
    held = one.messages
    dropped = {
        "max_msgs": held.count - limits["max_msgs"] if limits["max_msgs"] else 0,
        "max_bytes": _beyond_bytes(held, limits["max_bytes"]),
        "max_age": _too_old(held, now - limits["max_age"]) if limits["max_age"] else 0,
    }
    worst = max(dropped, key=lambda key: dropped[key])
    if dropped[worst] > 0:
        limit = f"{limits[worst] / 1e9:g} s" if worst == "max_age" else limits[worst]
        text = f"{dropped[worst]} of {held.count} messages are dropped at the first start ({worst} is {limit})"
        yield Finding(one.name, "limit", text, Harm.LOSES)
    if 0 < limits["max_subs"] < len(one.durables):
        text = f"{len(one.durables)} durables, max_subs is {limits['max_subs']}: they stay, new ones are refused"
        yield Finding(one.name, "limit", text, Harm.NOTHING)


def _beyond_bytes(held: channel.Messages, most: int) -> int:
    if not most or held.size <= most:
        return 0
    count, left = 0, held.size
    for size in channel.sizes(held):
        if left <= most:
            break
        count, left = count + 1, left - size
    return count


def _too_old(held: channel.Messages, oldest: int) -> int:
    count = 0
    for message in channel.messages(held):
        if message.timestamp > oldest:
            break
        count += 1
    return count
