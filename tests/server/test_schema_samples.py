"""What the schema accepts, the chart renders and the real server starts with: values drawn by hypothesis."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemavalues
from effects import make
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st

from harness.charts import render
from harness.loopback.server import ServerError

EXAMPLES = 12  # each waits for a server, about two seconds; the same ones in every run
START = 30.0  # seconds that a server may take until it is active

# Values that reach stan.conf, in the blocks that a server can be given without anything beside it.
BLOCKS = re.compile(r"^(store\.durability|config\.)")
# What is left out here, and why; each has tests of its own with what it needs.
LEFT_OUT = {
    r"\.(credentials|nkey_seed_file|username|password|token|user|pass|encrypt|encryption_\w+|secure)$": "logins",
    r"\.tls$|\.tls\.": "certificates (test_config_effect_security)",
    r"^config\.streaming\.(ns|nats_server|nats_server_url)$": "a NATS server beside it (test_config_effect_security)",
    r"^config\.streaming\.(sql|sql_options)|^config\.streaming\.cluster": "a database, and what is refused",
    r"^config\.streaming\.(st|store|store_type|storetype)$": "decided by store.type",
    r"\.(dir|datastore|partitioning|slice_archive\w*|slice_script|syslog_name)$": "paths, and keys that need others",
    r"^config\.(port|http|cluster)|_port$|^config\.\w+$": "addresses; the NATS part takes what it knows",
}


@cache
def leaves() -> list[tuple[str, st.SearchStrategy[Any]]]:
    """The leaves that are drawn here, with a strategy for what the schema accepts there."""
    found = schemavalues.leaves(render.chart_schema("stan-ft"), render.chart_values("stan-ft"), unlisted=True)
    named = [(".".join(path), schema) for path, schema in found]
    kept = [each for each in named if BLOCKS.search(each[0]) and not any(re.search(why, each[0]) for why in LEFT_OUT)]
    return [(name, schemavalues.strategy(schema)) for name, schema in kept]


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    """Values with a quarter to a half of those leaves changed to something that the schema accepts."""
    values: dict[str, Any] = {}
    chosen = draw(
        st.lists(
            st.sampled_from(leaves()),
            min_size=len(leaves()) // 4,
            max_size=len(leaves()) // 2,
            unique_by=lambda leaf: leaf[0],
        )
    )
    for name, strategy in chosen:
        values = render.layered(values, render.at(name, draw(strategy)))
    return values


def test_every_reason_to_leave_something_out_still_fits_a_value() -> None:
    found = schemavalues.leaves(render.chart_schema("stan-ft"), render.chart_values("stan-ft"), unlisted=True)
    names = [".".join(path) for path, _ in found]
    assert [why for why in LEFT_OUT if not any(re.search(why, name) for name in names)] == []


@given(values=samples())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # no shrinking: each try waits for a server, and the server says what it refuses
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_the_server_becomes_active_with_what_the_schema_accepts(values: dict[str, Any]) -> None:
    try:
        render.render("stan-ft", values)
    except render.RenderError:
        assume(False)  # refused in words, which tests/render/test_properties.py judges: draw another one
    note(render.request("stan-ft", values).command())
    with tempfile.TemporaryDirectory(prefix="stan-sample-") as directory, make(Path(directory), values) as group:
        try:
            group.start(timeout=START)
        except ServerError as error:
            pytest.fail(f"{error}\n{group[0].log}")
