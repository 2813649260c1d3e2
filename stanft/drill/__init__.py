"""A failover drill against any cluster: chosen faults, each played so many times, with everything they showed as data.

The data is one dictionary: what stanft.report draws, and what stan-ft drill keeps as JSON.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stanft.drill import environment
from stanft.drill.reach import Reach
from stanft.drill.run import Settings, play, refresh
from stanft.faults import Fault, Scene
from stanft.ground.errors import UserError
from stanft.ground.progress import say

FORMAT = 1
MOST_RUNS = 500  # of one fault in one drill
MOST_SKIPPED = 3  # runs in a row that could not be made, with keep_going


@dataclass(frozen=True)
class Subject:
    """The group that is hit, the way to it, how to measure, and its name in reports; named: progress tells it too."""

    scene: Scene
    reach: Reach
    settings: Settings
    label: str = ""
    named: bool = False

    @property
    def prefix(self) -> str:
        """What a line of progress begins with."""
        return f"{self.label}: " if self.named else ""


def drill(
    faults: Sequence[tuple[Fault, int]],
    scene: Scene,
    reach: Reach,
    settings: Settings,
    *,
    label: str = "",
    keep_going: bool = False,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Play each fault so many times and give everything that was seen.

    keep is called with the data after every run, so that an interrupted drill leaves what it has. Ends after the first
    run that fails, unless keep_going. Raises UserError if a fault cannot be played or the group does not get whole;
    with keep_going only when that happens so many times in a row, and the data name the runs that were skipped.
    """
    for fault, _ in faults:
        fault.check(scene)
    subject = Subject(scene, reach, settings, label)
    data = begin(subject)
    for fault, runs in faults:
        series = add_series(data, fault)
        for number in range(1, runs + 1):
            run = attempt(series, fault, subject, number, runs, keep_going=keep_going)
            if run is None:
                continue
            if keep is not None:
                keep(data)
            if run["problems"] and not keep_going:
                return data
            if (fault, runs) != faults[-1] or number < runs:
                refresh(scene, settings.whole_within)
    return data


def begin(subject: Subject) -> dict[str, Any]:
    """The data of a drill of which nothing was played yet."""
    scene, settings = subject.scene, subject.settings
    return {
        "format": FORMAT,
        "label": subject.label or f"{scene.group.namespace}/{scene.group.name}",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": {**environment.describe(scene), "clients reach the servers by": subject.reach.description},
        # JSON has no infinity, which stands for "never".
        "traffic": {
            **{key: None if value == math.inf else value for key, value in asdict(settings.plan).items()},
            "minimum_rate": settings.minimum_rate,
        },
        "client": {
            "reconnect_wait": settings.options.reconnect_wait,
            "connect_timeout": settings.options.connect_timeout,
            "follows announced addresses": settings.options.discover,
        },
        "series": [],
    }


def add_series(data: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """A new series of runs of a fault, at the end of the data."""
    series: dict[str, Any] = {
        "fault": fault.name,
        "sentence": fault.sentence,
        "goal": asdict(fault.goal),
        "takeovers": list(fault.takeovers),
        "sum_gaps": fault.name == "roll",
        "runs": [],
        "skipped": [],
    }
    data["series"].append(series)
    return series


def attempt(
    series: dict[str, Any], fault: Fault, subject: Subject, number: int, runs: int, *, keep_going: bool = False
) -> dict[str, Any] | None:
    """Play a fault once and add the run to its series; None where it could not be made and keep_going allows that.

    Raises UserError where it could not be made, with keep_going only when that happened MOST_SKIPPED times in a row.
    """
    try:
        run = play(fault, subject.scene, subject.reach, subject.settings, number)
    except UserError as error:
        made = series["runs"][-1]["number"] if series["runs"] else 0
        if not keep_going or number - made >= MOST_SKIPPED:
            raise
        series["skipped"].append(str(error))
        say(f"    {subject.prefix}{fault.name} {number}/{runs}: not made: {error}")
        return None
    series["runs"].append(run)
    say(f"    {subject.prefix}{line(fault, run, runs)}")
    return run


def line(fault: Fault, run: dict[str, Any], runs: int) -> str:
    """One run in one line."""
    outcome = (
        "; ".join(run["problems"]) if run["problems"] else f"{run['verdict']['acknowledged']} acknowledged, lost 0"
    )
    return (
        f"{fault.name} {run['number']}/{runs}: {run['outage']:.2f} s without acknowledgement, "
        f"{run['takeovers']} takeover{'' if run['takeovers'] == 1 else 's'}, load {run['load']:.1f}: {outcome}"
    )


def wanted(words: Sequence[str], runs: int) -> list[tuple[str, int]]:
    """Fault names with their numbers of runs from words such as "kill" or "kill=30"; raises UserError."""
    found = []
    for word in words:
        name, _, text = word.partition("=")
        count = runs if not text else int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
        if not 0 < count <= MOST_RUNS:
            raise UserError(f"--fault {word}: the number of runs must be from 1 to {MOST_RUNS}, such as {name}=10.")
        found.append((name, count))
    return found
