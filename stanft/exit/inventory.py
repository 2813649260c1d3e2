"""What a group has and what it becomes, for people: a table, and one page that needs no other file."""

from __future__ import annotations

from pathlib import Path

from stanft.exit.survey import ChannelSeen, DurableSeen, Survey
from stanft.ground import pages
from stanft.ground.units import count, duration, size

_PAGE = Path(__file__).parent / "inventory.html.j2"
_SHOWN = 3  # places that a line of the table names


def as_text(found: Survey) -> str:
    """A line per channel, durable, client, with the names that a plan would give, and what has no counterpart."""
    width = max((len(one.name) for one in found.channels), default=0)
    durables = sum(len(one.durables) for one in found.channels)
    lines = [
        f"cluster {found.cluster_id}, {found.taken}: {len(found.channels)} channels, {count(found.messages)} messages, "
        f"{size(found.size)}, {durables} durables, {len(found.clients)} clients"
    ]
    for channel in found.channels:
        lines.append(f"  {channel.name:{width}}  {_channel(channel)}")
        lines += [f"  {'':{width}}  - {_durable(one)}" for one in channel.durables]
        for other in channel.others:
            members = f" ({other.members} members)" if other.group else ""
            lines.append(f"  {'':{width}}  - {other.label}{members}: no durable, no position to move")
    if found.clients:
        lines.append("clients")
    for client in found.clients:
        reads = f"reads {', '.join(client.reads)}" if client.reads else "reads nothing"
        sends = "" if client.sends is None else f", sends {client.sends:,.0f}/s"
        lines.append(f"  {client.client_id}: {reads}{sends}; publishes: {client.publishes or 'not known from files'}")
    lines.append("without counterpart in JetStream")
    for one in found.differences:
        more = f" and {len(one.where) - _SHOWN} more" if len(one.where) > _SHOWN else ""
        lines.append(f"  {one.what} ({'; '.join(one.where[:_SHOWN])}{more})\n    -> {one.becomes}")
    return "\n".join([*lines, estimate(found)])


def estimate(found: Survey) -> str:
    """How long a copy takes at least, and how that was measured."""
    if found.sample is None or found.copy_seconds is None:
        return f"time of a copy: not measured ({found.sample_problem})"
    return (
        f"time of a copy: at least {duration(found.copy_seconds)} for reading {count(found.messages)} messages once; "
        f"measured with {count(found.sample.messages)} messages of {found.sample.channel} in "
        f"{found.sample.seconds:.1f} s ({found.sample.rate:,.0f}/s), writing to the target comes on top"
    )


def _channel(one: ChannelSeen) -> str:
    rate = "" if one.rate is None else f", {one.rate:,.1f}/s now"
    becomes = f"cannot be moved: its name {one.problem}" if one.problem else f"-> stream {one.stream}"
    return (
        f"{count(one.messages)} messages ({one.first} to {one.last}), {size(one.size)}{rate}, "
        f"limits: {limits(one)} {becomes}"
    )


def limits(one: ChannelSeen) -> str:
    """The limits that the channel has, in words."""
    found = [
        (one.max_messages, f"{count(one.max_messages)} messages"),
        (one.max_bytes, size(one.max_bytes)),
        (one.max_age, f"age {duration(one.max_age)}"),
        (one.max_inactivity, f"deleted when unused for {duration(one.max_inactivity)}"),
    ]
    return ", ".join(words for value, words in found if value) or "none"


def _durable(one: DurableSeen) -> str:
    return (
        f"{one.label}: sent up to {one.last_sent}, {one.pending} not acknowledged, {one.to_come} to come, "
        f"{'online' if one.online else 'offline'} -> consumer {one.consumer}"
    )


def as_page(found: Survey) -> str:
    """One HTML page that needs no other file."""
    return pages.render(
        _PAGE,
        found=found,
        estimate=estimate(found),
        limits=limits,
        durables=[(channel, one) for channel in found.channels for one in channel.durables],
        others=[one for channel in found.channels for one in channel.others],
        blocked=[one for one in found.channels if one.problem],
    )
