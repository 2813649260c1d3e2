"""What a group has and what it becomes, as a table."""

from __future__ import annotations

from stanft.exit import names
from stanft.exit.plan import limits_of
from stanft.exit.source import Inventory


def as_text(found: Inventory) -> str:
    """A line per channel and durable, with the names that a plan would give, and what has no counterpart."""
    streams = names.distinct([one.name for one in found.channels])
    width = max((len(one.name) for one in found.channels), default=0)
    lines = [f"cluster {found.cluster_id}: {len(found.channels)} channels, {len(found.clients)} clients connected"]
    for channel in sorted(found.channels, key=lambda one: one.name):
        why = names.problem(channel.name)
        becomes = f"cannot be moved: its name {why}" if why else f"-> stream {streams[channel.name]}"
        lines.append(
            f"  {channel.name:{width}}  {channel.messages} messages ({channel.first} to {channel.last}), "
            f"{channel.size} bytes {becomes}"
        )
        for one in found.durables:
            if one.channel == channel.name:
                consumer = names.consumer(one.client_id, one.name, one.group)
                lines.append(
                    f"  {'':{width}}  - {one.label}: sent up to {one.last_sent}, {one.pending} not acknowledged, "
                    f"{channel.last - one.last_sent} to come, {'online' if one.online else 'offline'} "
                    f"-> consumer {consumer}"
                )
        if others := found.others.get(channel.name):
            lines.append(f"  {'':{width}}  - {others} subscriptions that are no durables: no position to move")
        if limits_of(found.limits, channel.name)["max_inactivity"]:
            lines.append(f"  {'':{width}}  - max_inactivity deletes the channel when it is unused: a stream stays")
    total = sum(one.messages for one in found.channels)
    size = sum(one.size for one in found.channels)
    lines.append(f"{total} messages, {size} bytes, {len(found.durables)} durables")
    return "\n".join(lines)
