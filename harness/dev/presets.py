"""The durability presets beside bare servers: the configurations that are compared, and the figures of the rounds."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stanft.conf import edit
from stanft.drill.statistics import percentile
from stanft.ground.errors import UserError

PRESETS = ("durable", "throughput")
GOAL = 5.0  # percent that the chart's configuration may cost against a bare server with the same options
BARE = """\
port: 4222
http: 8222
streaming {{
  id: "test-cluster"
  store: file
  dir: /data/stan/store
{blocks}
}}
"""
BENCH_RATE = re.compile(r"Pub stats: ([\d,]+) msgs/sec")


@dataclass
class Measured:
    """What one server showed: messages acknowledged per second, by round, and seconds to each acknowledgement."""

    rates: list[float] = field(default_factory=list)
    latencies: list[list[float]] = field(default_factory=list)


def block(text: str, name: str) -> str:
    """The block `name { ... }` of a server's configuration; raises UserError if there is none."""
    for setting in edit.settings(text):
        if setting.path[-1] == name:
            return f"{name} {setting.value}"
    raise UserError(f"the configuration has no block {name}, so there is nothing to compare with.")


def bare(text: str) -> str:
    """A configuration with the same store options and limits, but without fault tolerance, routes and the rest."""
    return BARE.format(blocks="\n".join(block(text, name) for name in ("file_options", "store_limits")))


def rate(printed: str) -> float:
    """Messages per second from what stan-bench printed; raises UserError if it says none."""
    found = BENCH_RATE.search(printed)
    if not found:
        raise UserError(f"stan-bench measured nothing: {printed.strip()[-300:] or 'it printed nothing'}")
    return float(found[1].replace(",", ""))


def order(names: Sequence[str], turn: int) -> list[str]:
    """The names in the order of a round: each begins in turn, and every other round runs backwards."""
    start = turn % len(names)
    turned = [*names[start:], *names[:start]]
    return turned[::-1] if turn % 2 else turned


def overheads(ours: Sequence[float], others: Sequence[float], *, more_is_better: bool) -> list[float]:
    """Percent that ours costs against the other's, round by round (negative: ours was better)."""
    sign = 1 if more_is_better else -1
    return [sign * 100 * (1 - mine / other) for mine, other in zip(ours, others, strict=True)]


@dataclass(frozen=True)
class Overhead:
    """Percent over the rounds: the median, and the quarter below and above it."""

    median: float
    low: float
    high: float

    @property
    def met(self) -> bool:
        """Whether the goal is kept, as far as rounds that scatter like these can tell."""
        return self.median <= GOAL


def overhead(values: Sequence[float]) -> Overhead:
    """The overhead over at least two rounds; raises ValueError for fewer."""
    if len(values) < 2:
        raise ValueError("at least two rounds are needed")
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Overhead(middle, low, high)


def compared(ours: Measured, other: Measured) -> dict[str, Overhead]:
    """The overhead of ours in rate and in median latency, from the rounds that both have."""
    medians = [[statistics.median(each) for each in side.latencies] for side in (ours, other)]
    return {
        "rate": overhead(overheads(ours.rates, other.rates, more_is_better=True)),
        "latency": overhead(overheads(*medians, more_is_better=False)),
    }


def row(measured: Measured) -> dict[str, float]:
    """One line of the table: median rate, and median and p99 latency in milliseconds over all rounds."""
    every = [value for each in measured.latencies for value in each]
    return {
        "rounds": len(measured.rates),
        "rate": statistics.median(measured.rates),
        "rate_lowest": min(measured.rates),
        "rate_highest": max(measured.rates),
        "latency_median_ms": 1000 * statistics.median(every),
        "latency_p99_ms": 1000 * percentile(every, 0.99),
        "acknowledgements": len(every),
    }


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The rows as text for people."""
    lines = [f"{'':34}{'acks/s':>9}{'lowest':>9}{'highest':>9}{'median ms':>11}{'p99 ms':>9}{'n':>7}"]
    for name, each in rows.items():
        lines.append(
            f"{name:34}{each['rate']:9,.0f}{each['rate_lowest']:9,.0f}{each['rate_highest']:9,.0f}"
            f"{each['latency_median_ms']:11.2f}{each['latency_p99_ms']:9.2f}{each['acknowledgements']:7,.0f}"
        )
    return "\n".join(lines)
