"""Plots as inline SVG text: outages as dots, a takeover as a timeline, throughput as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from stanft.drill.run import COURSE_BEFORE, COURSE_WIDTH
from stanft.drill.statistics import figures

WIDTH = 920  # user units; the page scales it
LEFT = 230  # room for the names of the rows
RIGHT = 30
ROW = 34
COLOURS = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#a16207")
MOMENTS = (
    ("last_ack", "last acknowledgement"),
    ("fault", "fault"),
    ("lock", "lock taken"),
    ("ready", "server ready"),
    ("first_ack", "first acknowledgement"),
    ("delivery", "first delivery"),
)


def _text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    extra = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _picture(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def dots(rows: Sequence[tuple[str, int, Sequence[float], float | None]]) -> str:
    """Outages per fault on a logarithmic axis: one dot per run, a bar at the median, a mark at p99 and at the goal.

    A row is (name, number of its colour, seconds, goal in seconds or None).
    """
    values = [value for _, _, seconds, _ in rows for value in seconds] or [1.0]
    low = 10 ** math.floor(math.log10(max(0.01, min([*values, 0.1]))))
    high = 10 ** math.ceil(math.log10(max([*values, 2.0]) * 1.05))
    span = WIDTH - LEFT - RIGHT
    height = 30 + ROW * len(rows) + 30

    def place(seconds: float) -> float:
        share = math.log10(max(seconds, low) / low) / math.log10(high / low)
        return LEFT + span * share

    parts = []
    decade = low
    while decade <= high * 1.001:
        for factor in (1, 2, 5):
            tick = decade * factor
            if tick <= high * 1.001:
                parts.append(_line(place(tick), 22, place(tick), height - 26, "grid" if factor == 1 else "fine"))
                parts.append(_text(place(tick), height - 10, f"{tick:g} s", anchor="middle", kind="axis"))
        decade *= 10
    for number, (name, colour, seconds, goal) in enumerate(rows):
        y = 30 + ROW * number + ROW / 2
        parts.append(_text(LEFT - 12, y + 4, name, anchor="end"))
        if goal is not None:
            parts.append(_line(place(goal), y - 13, place(goal), y + 13, "goal"))
        for order, value in enumerate(seconds):
            # Spread upwards and downwards in turn, so that equal outages stay apart.
            offset = ((order % 5) - 2) * 3.0
            parts.append(
                f'<circle cx="{place(value):.1f}" cy="{y + offset:.1f}" r="3.6" fill="{_colour(colour)}" '
                f'fill-opacity="0.55"><title>{escape(name)}, run {order + 1}: {value:.3f} s</title></circle>'
            )
        found = figures(seconds)
        if found:
            parts.append(_line(place(found.median), y - 11, place(found.median), y + 11, "median"))
            parts.append(_line(place(found.p99), y - 7, place(found.p99), y + 7, "p99"))
    return _picture(height, "Outage of each run", parts)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def timeline(title: str, moments: dict[str, float]) -> str:
    """One takeover: its moments in seconds relative to the fault, each on a line of its own so that no two collide."""
    known = [(name, words, moments[name]) for name, words in MOMENTS if name in moments]
    if len(known) < 2:
        return ""
    known.sort(key=lambda moment: moment[2])
    begin, end = min(0.0, known[0][2]), known[-1][2]
    margin = max(0.02, (end - begin) * 0.05)
    begin, end = begin - margin, end + margin
    axis = 24.0
    height = axis + 22 * len(known) + 14

    def place(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT - 230) * (seconds - begin) / (end - begin)

    parts = [_line(place(begin), axis, place(end), axis, "grid"), _text(LEFT - 12, axis + 4, title, anchor="end")]
    if "last_ack" in moments and "first_ack" in moments:
        left, right = place(moments["last_ack"]), place(moments["first_ack"])
        parts.append(f'<rect x="{left:.1f}" y="{axis - 7:.1f}" width="{right - left:.1f}" height="14" class="outage"/>')
    for number, (name, words, at) in enumerate(known):
        x, y = place(at), axis + 22 * (number + 1)
        parts.append(_line(x, axis, x, y, "stem"))
        parts.append(f'<circle cx="{x:.1f}" cy="{axis:.1f}" r="4" class="{"fault" if name == "fault" else "moment"}"/>')
        parts.append(_text(x + 6, y + 4, f"{words} {at:+.3f} s"))
    return _picture(height, f"Timeline of a takeover: {title}", parts)


def course(title: str, counts: Sequence[int], until: float) -> str:
    """Acknowledged messages per second around the fault; until is the last second to show."""
    shown = counts[: int((COURSE_BEFORE + until) / COURSE_WIDTH)]
    rates = [count / COURSE_WIDTH for count in shown]
    top = max([*rates, 1.0]) * 1.1
    height, base = 150.0, 118.0

    def x_of(number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * number / max(1, len(rates))

    def y_of(rate: float) -> float:
        return base - (base - 14) * rate / top

    points = []
    for number, rate in enumerate(rates):
        points += [f"{x_of(number):.1f},{y_of(rate):.1f}", f"{x_of(number + 1):.1f},{y_of(rate):.1f}"]
    fault = x_of(COURSE_BEFORE / COURSE_WIDTH)
    parts = [
        _line(LEFT, base, WIDTH - RIGHT, base, "grid"),
        _text(LEFT - 12, y_of(0) + 4, "0", anchor="end", kind="axis"),
        _text(LEFT - 12, y_of(top / 1.1) + 4, f"{top / 1.1:.0f}/s", anchor="end", kind="axis"),
        _text(LEFT - 12, height / 2 - 8, title, anchor="end"),
        _line(fault, 10, fault, base, "goal"),
        f'<polyline points="{" ".join(points)}" class="course"/>',
    ]
    seconds = len(rates) * COURSE_WIDTH - COURSE_BEFORE
    step = 1 if seconds <= 10 else 2
    for tick in range(-int(COURSE_BEFORE), int(seconds) + 1, step):
        x = x_of((tick + COURSE_BEFORE) / COURSE_WIDTH)
        parts.append(_text(x, base + 18, f"{tick:+d} s" if tick else "fault", anchor="middle", kind="axis"))
    return _picture(height, f"Throughput: {title}", parts)


def growth(title: str, unit: str, points: Sequence[tuple[float, float]], slope: float, start: float) -> str:
    """Seconds of recovery against the size of the store in some unit, with the fitted line start + slope x size."""
    right, top = max(x for x, _ in points) * 1.05, max([*(y for _, y in points), 0.1]) * 1.15
    height, base = 230.0, 190.0

    def x_of(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * size / right

    def y_of(seconds: float) -> float:
        return base - (base - 14) * max(0.0, min(seconds, top)) / top

    parts = [_text(LEFT - 80, height / 2 - 10, "recovery", anchor="end")]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(LEFT, y_of(top * share), WIDTH - RIGHT, y_of(top * share), "grid"))
        parts.append(_text(LEFT - 12, y_of(top * share) + 4, f"{top * share:.2f} s", anchor="end", kind="axis"))
        anchor = "end" if share == 1 else "middle"
        parts.append(_text(x_of(right * share), base + 18, f"{right * share:.0f} {unit}", anchor=anchor, kind="axis"))
    parts.append(_line(x_of(0), y_of(start), x_of(right), y_of(start + slope * right), "goal"))
    parts += [
        f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3.6" fill="{_colour(0)}" fill-opacity="0.55">'
        f"<title>{x:.0f} {unit}: {y:.3f} s</title></circle>"
        for x, y in points
    ]
    return _picture(height, title, parts)
