"""What a store holds and what is wrong with it, as text and as data."""

from __future__ import annotations

from typing import Any

from stanft.store.findings import Harm
from stanft.store.state import Store

SHOWN = 50  # findings that a person is shown


def judged_bad(store: Store) -> bool:
    """Whether a server would not start on it, or would lose or hide something."""
    return any(finding.harm is not Harm.NOTHING for finding in store.findings)


def as_data(store: Store) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "directory": str(store.directory),
        "cluster_id": store.cluster_id,
        "live": store.live,
        "clients": sorted(store.clients),
        "channels": [
            {
                "name": one.name,
                "messages": one.messages.count,
                "bytes": one.messages.size,
                "first": one.messages.first,
                "last": one.messages.last,
                "slices": one.messages.slices,
                "durables": [
                    {
                        "name": durable.name,
                        "client_id": durable.client_id,
                        "queue_group": durable.group,
                        "last_sent": durable.last_sent,
                        "pending": sorted(durable.pending),
                        "online": durable.online,
                    }
                    for durable in one.durables
                ],
            }
            for one in store.channels
        ],
        "findings": [
            {"where": one.where, "kind": one.kind, "text": one.text, "harm": one.harm.value} for one in store.findings
        ],
        "ok": not judged_bad(store),
    }


def as_text(store: Store) -> str:
    """The same for a person: a line per channel and durable, then what is wrong, then the verdict."""
    lines = [f"store {store.directory} of the cluster {store.cluster_id or '(unknown)'}"]
    if store.live:
        lines.append("a server holds it: the end of each file moves, and positions lag behind what was acknowledged")
    width = max((len(one.name) for one in store.channels), default=0)
    for one in store.channels:
        held = one.messages
        lines.append(
            f"  {one.name:{width}}  {held.count} messages ({held.first} to {held.last}), {held.size} bytes, "
            f"{held.slices} slices, {len(one.durables)} durables"
        )
        for durable in one.durables:
            lines.append(
                f"  {'':{width}}  - {durable.label}: sent up to {durable.last_sent}, "
                f"{len(durable.pending)} not acknowledged, {'online' if durable.online else 'offline'}"
            )
    total = sum(one.messages.count for one in store.channels)
    durables = sum(len(one.durables) for one in store.channels)
    lines.append(f"{len(store.channels)} channels, {total} messages, {durables} durables, {len(store.clients)} clients")
    findings = store.findings
    lines += [finding.line() for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"and {len(findings) - SHOWN} more (--json lists them all)")
    stops = sum(finding.harm is Harm.STOPS for finding in findings)
    loses = sum(finding.harm is Harm.LOSES for finding in findings)
    if stops or loses:
        lines.append(f"damaged: {stops} findings on which no server starts, {loses} that lose or hide messages")
    else:
        lines.append("whole")
    return "\n".join(lines)
