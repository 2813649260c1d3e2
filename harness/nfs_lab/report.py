"""Results of the NFS lab: kept as JSON after every run, and as a Markdown table per fault and setting."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.ground.paths import make
from harness.nfs_lab.engines import EMULATED
from harness.nfs_lab.faults import FAULTS
from harness.nfs_lab.pod import REMEDIES
from harness.nfs_lab.scenes import SCENES

# Of runs kept before the supervisor: defaults had the mount option sync and no read-ahead, the others these too, a
# guard that locked the server's files from beside it, a fence that ended it, or both.
EARLIER = ("defaults", "fence", "guard", "all")
COLUMNS = (
    "fault",
    "scene",
    "lease",
    "remedies",
    "machines",
    "runs",
    "takeover",
    "outage of the worst client",
    "of all clients",
    "active ended",
    "two actives",
    "acknowledged by the loser",
    "acknowledged, then lost",
    "harmed",
    "unknown",
)


def load(path: Path) -> list[dict[str, Any]]:
    """The results in a file, none if there is no such file."""
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def save(path: Path, results: list[dict[str, Any]]) -> None:
    """Write the results as JSON, a line each, and their table beside it as Markdown."""
    make(path.parent)
    lines = ",\n".join(json.dumps(each) for each in results)
    path.write_text(f"[\n{lines}\n]\n")
    path.with_suffix(".md").write_text(table(results))


def table(results: Iterable[dict[str, Any]]) -> str:
    """One row per fault and setting: median (least to most) in seconds.

    Harm, doubts and losses are those of every run. A void one, of which nothing else is known, is counted in brackets;
    runs kept before the last read was judged may be void and have harm too, which is told.
    """
    rows = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        settings = result["settings"]
        options = ",".join(settings["options"] or ())
        key = (
            list(FAULTS).index(result["fault"]),
            settings["lease"],
            (*REMEDIES, *EARLIER).index(settings["remedies"]),
            options,
            list(SCENES).index(settings.get("scene", "plain")),
            # Before it was told they were always emulated.
            result.get("machines") or EMULATED,
        )
        groups.setdefault(key, []).append(result)
    for (fault, lease, remedies, options, scene, machines), group in sorted(groups.items(), key=lambda item: item[0]):
        good = [each for each in group if not each["void"]]
        void = len(group) - len(good)
        cells = [
            FAULTS[list(FAULTS)[fault]].title,
            list(SCENES)[scene],
            f"{lease} s",
            ", ".join(text for text in ((*REMEDIES, *EARLIER)[remedies], options) if text),
            machines,
            f"{len(good)}" + (f" ({void} void)" if void else ""),
            _spread([each["takeover"] for each in good]),
            # Before each client was judged only the time without any acknowledgement was kept.
            _spread([each["outage"] for each in good if "outage_merged" in each]),
            _spread([each.get("outage_merged", each["outage"]) for each in good]),
            *(_spread([each[name] for each in good]) for name in ("ended", "two_actives")),
            _counts([each.get("acks_by_loser", 0) for each in group]),
            _counts([each.get("lost", 0) for each in group]),
            f"{sum(bool(each['harm']) for each in group)} of {len(group)}",
            f"{sum(bool(each.get('doubts')) for each in group)} of {len(group)}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _spread(values: list[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "never" if values else "-"
    text = f"{statistics.median(known):.1f}"
    if len(known) > 1:
        text += f" ({known[0]:.1f} to {known[-1]:.1f})"
    return text + (f", {len(values) - len(known)} x never" if len(known) < len(values) else "")


def _counts(values: list[int]) -> str:
    return "-" if not values else "0" if not any(values) else f"{min(values)} to {max(values)}"
