"""What a drill found, as text, as one self-contained HTML page and as JUnit, from the data that stanft.drill gives."""

from __future__ import annotations

import statistics
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stanft.drill import FORMAT
from stanft.drill.statistics import counted, figures, missed, outages
from stanft.ground import pages
from stanft.ground.errors import UserError
from stanft.report import shape, svg
from stanft.traffic.ledger import FATAL, NOTED

_TEMPLATE = Path(__file__).parent / "page.html.j2"
LINE_FROM = 100.0  # MB, or channels, between the smallest and the largest store for a line to be drawn
FEW_CHANNELS = 50  # below it the number of channels does not matter beside the bytes
COURSE_SHOWN = 5.0  # seconds of throughput to show after publishing goes on


@dataclass(frozen=True)
class Bounds:
    """What fails a drill besides its runs: an outage above most seconds, and with goals a missed goal."""

    most: float | None = None
    goals: bool = False


@dataclass(frozen=True)
class Row:
    """One fault of one drill in figures; seconds, None where nothing was measured."""

    label: str
    colour: int
    fault: str
    sentence: str
    n: int
    void: int
    median: float | None
    p99: float | None
    longest: float | None
    detection: float | None
    recovery: float | None
    client: float | None
    takeovers: str
    acknowledged: int
    lost: int
    two_actives: int
    failed: int
    goal: str
    missed: tuple[str, ...]


def known(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The data if it is a drill's; raises UserError otherwise."""
    if not isinstance(data, dict) or data.get("format") != FORMAT or "series" not in data:
        raise UserError(f"{where} is not a drill's JSON of format {FORMAT}: make one with stan-ft drill --json FILE.")
    if wrong := shape.differs(data):
        raise UserError(f"{where} is not as a drill wrote it: {wrong}. Make it again with stan-ft drill --json FILE.")
    return data


def rows(drills: Sequence[dict[str, Any]]) -> list[Row]:
    """One row per fault and drill, the same faults beside each other."""
    found = [_row(data, colour, series) for colour, data in enumerate(drills) for series in data["series"]]
    order = list(dict.fromkeys(row.fault for row in found))
    return sorted(found, key=lambda row: order.index(row.fault))


def _row(data: dict[str, Any], colour: int, series: dict[str, Any]) -> Row:
    runs = series["runs"]
    found = figures(outages(series))
    takeovers = sorted({run["takeovers"] for run in runs})
    goal = series.get("goal") or {}
    names = {"median": "median", "p99": "p99", "worst": "each"}
    return Row(
        label=data["label"],
        colour=colour,
        fault=series["fault"],
        sentence=series["sentence"],
        n=len(counted(series)),
        void=len(runs) - len(counted(series)),
        median=found.median if found else None,
        p99=found.p99 if found else None,
        longest=found.longest if found else None,
        # The active is the last to be restarted by a rolling upgrade: nothing has to be detected before.
        detection=None if series.get("sum_gaps") else _phase(runs, "fault", "lock"),
        recovery=_phase(runs, "lock", "ready"),
        # The longest gap may be another one than the takeover's.
        client=_phase([run for run in runs if _spans(run["timeline"])], "ready", "first_ack"),
        takeovers=" to ".join(str(count) for count in {takeovers[0]: 0, takeovers[-1]: 0}) if takeovers else "",
        acknowledged=sum(run["verdict"]["acknowledged"] for run in runs),
        lost=sum(run["verdict"]["findings"]["lost"]["count"] for run in runs),
        two_actives=sum(bool(run["two_actives"]) for run in runs),
        failed=sum(bool(run["problems"]) for run in runs),
        goal=", ".join(f"{names[name]} ≤ {bound:g} s" for name, bound in goal.items() if bound is not None),
        missed=tuple(missed(series)),
    )


def _spans(timeline: dict[str, float]) -> bool:
    return "ready" in timeline and timeline["last_ack"] <= timeline["ready"]


def _phase(runs: Sequence[dict[str, Any]], begin: str, end: str) -> float | None:
    """The median seconds between two moments of the takeovers that have both."""
    lengths = [
        run["timeline"][end] - run["timeline"][begin]
        for run in runs
        if begin in run["timeline"] and end in run["timeline"]
    ]
    return statistics.median(lengths) if lengths else None


def failures(data: dict[str, Any], bounds: Bounds) -> list[str]:
    """Why the drill failed, in words; empty if it passed."""
    found = []
    for series in data["series"]:
        for run in series["runs"]:
            found += [f"{series['fault']} run {run['number']}: {problem}" for problem in _problems(run, bounds)]
        if bounds.goals:
            found += [f"{series['fault']}: {words}" for words in missed(series)]
    return found


def _problems(run: dict[str, Any], bounds: Bounds) -> list[str]:
    found = list(run["problems"])
    if bounds.most is not None and run["outage"] > bounds.most:
        found.append(f"{run['outage']:.2f} s without an acknowledgement, where {bounds.most:g} s are allowed")
    return found


def text(drills: Sequence[dict[str, Any]]) -> str:
    """A table for the terminal."""
    lines = [
        f"{'FAULT':18} {'GROUP':22} {'N':>3} {'MEDIAN':>8} {'P99':>8} {'LONGEST':>8} {'ACKED':>9} {'LOST':>5} "
        f"{'TWO ACTIVES':>11} {'TAKEOVERS':>9}  GOAL"
    ]
    for row in rows(drills):
        verdict = "" if not row.goal else f"{row.goal}: {_kept(row)}"
        lines.append(
            f"{row.fault:18} {row.label[:22]:22} {row.n:3} {seconds(row.median):>8} {seconds(row.p99):>8} "
            f"{seconds(row.longest):>8} {row.acknowledged:9} {row.lost:5} "
            f"{row.two_actives:11} {row.takeovers:>9}  {verdict}"
        )
    return "\n".join(lines)


def _kept(row: Row) -> str:
    return "not measured" if not row.n else "missed" if row.missed else "met"


def seconds(value: float | None) -> str:
    """Seconds for a reader."""
    return "-" if value is None else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def junit(drills: Sequence[dict[str, Any]], bounds: Bounds | None = None) -> str:
    """One test case per run, with what failed; a run that proves nothing counts as failed too."""
    root = ET.Element("testsuites", name="failover drill")
    for data in drills:
        for series in data["series"]:
            suite = ET.SubElement(
                root, "testsuite", name=f"{data['label']} {series['fault']}", timestamp=data["started"]
            )
            wrong = 0
            for run in series["runs"]:
                case = ET.SubElement(
                    suite,
                    "testcase",
                    classname=f"drill.{series['fault']}",
                    name=f"{series['sentence']}, run {run['number']}",
                    time=f"{run['outage']:.3f}",
                )
                problems = _problems(run, bounds or Bounds())
                if problems:
                    wrong += 1
                    ET.SubElement(case, "failure", message=problems[0]).text = "\n".join(problems)
                ET.SubElement(case, "system-out").text = run["verdict"]["sentence"]
            suite.set("tests", str(len(series["runs"])))
            suite.set("failures", str(wrong))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


@dataclass(frozen=True)
class Growth:
    """Seconds of recovery of takeovers against the size of the store, and the line start + slope x size."""

    title: str
    unit: str
    points: list[tuple[float, float]]
    slope: float
    start: float

    @property
    def sentence(self) -> str:
        """The line in words."""
        slope = f"{self.slope * 1000:.2f} s per 1000 {self.unit}"
        return f"{len(self.points)} takeovers, fitted line: {self.start:.2f} s + {slope}"


def growth(drills: Sequence[dict[str, Any]]) -> list[Growth]:
    """Recovery against megabytes (in few channels) and against channels (in a small store).

    Only where the stores differ by 100 or more, as no line means anything else.
    """
    found = [
        (
            run["store"]["bytes"] / 1e6,
            run["store"].get("channels", 1),
            run["timeline"]["ready"] - run["timeline"]["lock"],
        )
        for data in drills
        for series in data["series"]
        for run in series["runs"]
        if run.get("store") and {"lock", "ready"} <= run["timeline"].keys()
    ]
    by_size = [(size, seconds) for size, channels, seconds in found if channels < FEW_CHANNELS]
    by_channels = [(float(channels), seconds) for size, channels, seconds in found if size < LINE_FROM]
    lines = []
    for title, unit, points in (
        ("Recovery against the size of the store", "MB", by_size),
        ("Recovery against the number of channels", "channels", by_channels),
    ):
        sizes = [size for size, _ in points]
        if points and max(sizes) - min(sizes) >= LINE_FROM:
            line = statistics.linear_regression(sizes, [seconds for _, seconds in points])
            lines.append(Growth(title, unit, points, line.slope, line.intercept))
    return lines


def page(drills: Sequence[dict[str, Any]], *, title: str = "Failover drill", preface: str = "") -> str:
    """One HTML page that needs no other file; preface is a plain paragraph on top."""
    found = rows(drills)
    ledger = ("attempted", "acknowledged", "not_stored", "refused", "unknown", "delivered")
    return pages.render(
        _TEMPLATE,
        filters={"seconds": seconds},
        title=title,
        preface=preface,
        drills=drills,
        rows=found,
        colours=svg.COLOURS,
        several=len(drills) > 1,
        acknowledged=sum(row.acknowledged for row in found),
        lost=sum(row.lost for row in found),
        two_actives=sum(row.two_actives for row in found),
        runs=sum(row.n for row in found),
        failed=sum(row.failed for row in found),
        growth=[
            (each, svg.growth(each.title, each.unit, each.points, each.slope, each.start)) for each in growth(drills)
        ],
        dots=svg.dots(_dots(drills)),
        pictures=[
            picture for data in drills for series in data["series"] for picture in _pictures(data, series, drills)
        ],
        ledger=[
            {
                "label": data["label"],
                "fault": series["fault"],
                "counts": [sum(run["verdict"][key] for run in series["runs"]) for key in ledger],
                "findings": {
                    # Drills kept by an earlier version may lack a kind of finding.
                    kind: sum(run["verdict"]["findings"].get(kind, {"count": 0})["count"] for run in series["runs"])
                    for kind in (*FATAL, *NOTED)
                },
            }
            for data in drills
            for series in data["series"]
            if series["runs"]
        ],
        ledger_names=[name.replace("_", " ") for name in ledger],
        problems=[failure for data in drills for failure in failures(data, Bounds())],
        rates=[
            {"label": data["label"], "fault": series["fault"], **_rates(series)}
            for data in drills
            for series in data["series"]
            if series["runs"]
        ],
    )


def _dots(drills: Sequence[dict[str, Any]]) -> list[tuple[str, int, Sequence[float], float | None]]:
    found: list[tuple[str, int, Sequence[float], float | None]] = []
    for fault in dict.fromkeys(series["fault"] for data in drills for series in data["series"]):
        for colour, data in enumerate(drills):
            for series in data["series"]:
                if series["fault"] == fault:
                    goal = series.get("goal") or {}
                    bound = goal.get("p99") or goal.get("worst")
                    name = f"{fault} ({data['label']})" if len(drills) > 1 else fault
                    found.append((name, colour, outages(series), bound))
    return found


def _pictures(data: dict[str, Any], series: dict[str, Any], drills: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Timeline and throughput of the run with the median outage."""
    runs = sorted(counted(series), key=lambda run: run["outage"])
    if not runs:
        return []
    run = runs[len(runs) // 2]
    name = f"{series['fault']} ({data['label']})" if len(drills) > 1 else series["fault"]
    back = run["timeline"].get("first_ack", 0.0)
    return [
        {
            "name": name,
            "sentence": series["sentence"],
            "number": run["number"],
            "timeline": svg.timeline(f"run {run['number']}", run["timeline"]),
            "course": svg.course("acknowledged", run["course"], max(back, 0.0) + COURSE_SHOWN),
        }
    ]


def _rates(series: dict[str, Any]) -> dict[str, float]:
    found = {
        when: statistics.median(run["rates"][when] for run in series["runs"]) for when in ("before", "during", "after")
    }
    for when in ("before", "after"):
        p99 = [run["latency"][when]["p99"] for run in series["runs"] if run["latency"][when]]
        found[f"p99_{when}"] = statistics.median(p99) if p99 else 0.0
    return found
