"""Figures over the runs of one fault, and whether they keep its goal."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figures:
    """Seconds of outage over n runs; p99 is the nearest rank, so below 100 runs it is the longest of all."""

    n: int
    shortest: float
    median: float
    p99: float
    longest: float


def percentile(values: Sequence[float], share: float) -> float:
    """The value that at least this share of the values does not exceed (nearest rank); raises ValueError if empty."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figures(values: Sequence[float]) -> Figures | None:
    """The figures of some outages in seconds, None for none."""
    if not values:
        return None
    return Figures(len(values), min(values), statistics.median(values), percentile(values, 0.99), max(values))


def counted(series: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a series that count: those with enough traffic before the fault."""
    return [run for run in series["runs"] if not run["verdict"]["void"]]


def outages(series: dict[str, Any]) -> list[float]:
    """The outage of each run that counts, in seconds; where takeovers follow each other, the sum of their gaps."""
    return [between_reigns(run) if series.get("sum_gaps") else run["outage"] for run in counted(series)]


def between_reigns(run: dict[str, Any]) -> float:
    """The sum of the gaps without acknowledgement that lie across a change of the active, in seconds.

    It is that of the publisher with most of them; runs kept by an earlier version know all publishers together only.
    A long run on a busy machine has other short gaps, which are nobody's takeover.
    """
    changes = [(one["last"], other["first"]) for one, other in itertools.pairwise(run["reigns"])]
    each = [one["gaps"] for one in run.get("publishers", {}).values()] or [run["gaps"]]
    return max(
        float(
            sum(
                length
                for start, length in gaps
                if any(start < after and start + length > before for before, after in changes)
            )
        )
        for gaps in each
    )


def missed(series: dict[str, Any]) -> list[str]:
    """Which parts of the goal the series does not keep, in words; empty if it keeps it or has none."""
    found = figures(outages(series))
    goal = series.get("goal") or {}
    if found is None:
        return []
    values = {"median": found.median, "p99": found.p99, "worst": found.longest}
    return [
        f"{name} {values[name]:.2f} s is above {bound:g} s"
        for name, bound in goal.items()
        if bound is not None and values[name] > bound
    ]


def slower(data: dict[str, Any], kept: dict[str, Any], ratio: float) -> list[str]:
    """Which faults take longer than in a kept drill, at the median or at the longest, by more than this ratio.

    Compared is the time in which no publisher was served, which drills of every version have; of faults in both.
    """
    now, then = ({each["fault"]: figures(merged(each)) for each in one["series"]} for one in (data, kept))
    found = []
    for fault, before in then.items():
        if before is None or fault not in now:
            continue
        after = now[fault]
        if after is None:
            found.append(f"{fault}: no run counts, so nobody knows whether it is slower")
            continue
        for name, long, short in (("median", after.median, before.median), ("longest", after.longest, before.longest)):
            if long > ratio * short:
                found.append(
                    f"{fault}: {name} {long:.2f} s (n = {after.n}), before it was {short:.2f} s (n = {before.n})"
                )
    return found


def merged(series: dict[str, Any]) -> list[float]:
    """The outage of all publishers together of each run that counts, in seconds."""
    if series.get("sum_gaps"):
        return [between_reigns({"gaps": run["gaps"], "reigns": run["reigns"]}) for run in counted(series)]
    return [run.get("merged", run["outage"]) for run in counted(series)]
