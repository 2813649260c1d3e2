"""What a drill's JSON has to hold so that a report can be drawn of it; the first place that differs is named."""

from __future__ import annotations

import math
from typing import Any

NUMBER = float  # finite, from 0 on unless it is a moment
MOMENT = complex  # seconds before or after the fault
# Only what every version wrote; a list of one shape stands for any number of it, a dictionary for at least these keys.
_VERDICT = {
    "void": str,
    **dict.fromkeys(("attempted", "acknowledged", "not_stored", "refused", "unknown", "delivered"), int),
    "findings": {"lost": {"count": int}},
}
_RUN = {
    "number": int,
    "outage": NUMBER,
    "gaps": [[MOMENT]],
    "reigns": [{"first": MOMENT, "last": MOMENT}],
    "takeovers": int,
    "two_actives": list,
    "problems": [str],
    "timeline": {"fault": MOMENT, "last_ack": MOMENT},
    "load": NUMBER,
    "rates": {"before": NUMBER, "during": NUMBER, "after": NUMBER},
    "latency": dict,
    "course": [NUMBER],
    "verdict": _VERDICT,
}
DRILL = {
    "label": str,
    "started": str,
    "environment": dict,
    "traffic": {
        "publishers": int,
        "rate": NUMBER,
        "size": int,
        "subscribers": int,
        "minimum_rate": NUMBER,
    },
    "client": {"reconnect_wait": NUMBER, "connect_timeout": NUMBER},
    "series": [{"fault": str, "sentence": str, "runs": [_RUN]}],
}


def differs(value: Any, wanted: Any = DRILL, where: str = "the drill") -> str:
    """Where a value has not the shape that is wanted, in words; "" if it has it everywhere."""
    if wanted in (NUMBER, MOMENT):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and math.isfinite(value) and (wanted is MOMENT or value >= 0)
        return "" if fits else f"{where} is {value!r:.40} and no number{'' if wanted is MOMENT else ' from 0 on'}"
    if isinstance(wanted, type):
        return "" if isinstance(value, wanted) else f"{where} is {value!r:.40} and no {wanted.__name__}"
    kind = type(wanted)
    if not isinstance(value, kind):
        return f"{where} is {value!r:.40} and no {kind.__name__}"
    if kind is list:
        parts = [(each, wanted[0], f"{where}[{number}]") for number, each in enumerate(value)]
    else:
        if missing := next((key for key in wanted if key not in value), ""):
            return f"{where} has no {missing!r}"
        parts = [(value[key], each, key if where == "the drill" else f"{where}.{key}") for key, each in wanted.items()]
    return next((found for part in parts if (found := differs(*part))), "")
