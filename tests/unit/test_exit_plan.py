"""The plan of a move: names that never collide, limits as the server has them, and files that are refused by place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stanft.exit import names, plan, record
from stanft.exit.plan import ConsumerPlan, Plan, StreamPlan
from stanft.exit.source import Channel, Durable, Inventory, durables_of
from stanft.ground.errors import UserError

CHANNELS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=260)


def durable(**fields: object) -> Durable:
    """A durable of the channel orders."""
    values = {"channel": "orders", "client_id": "app", "name": "bills", "group": "", "last_sent": 5, "pending": 2}
    more = {"online": False, "ack_wait": 30, "max_in_flight": 16}
    return Durable(**(values | more | fields))  # type: ignore[arg-type]


# --- names --------------------------------------------------------------------------------------------------------


@given(st.lists(CHANNELS, unique=True, max_size=30))
def test_no_two_channels_get_one_stream_and_every_name_is_allowed(channels: list[str]) -> None:
    made = names.distinct(channels)
    assert len({name.lower() for name in made.values()}) == len(channels)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,220}", name) for name in made.values())


def test_simple_names_stay_and_dots_become_underscores() -> None:
    assert names.distinct(["orders", "orders.new"]) == {"orders": "orders", "orders.new": "orders_new"}


def test_names_that_would_collide_are_told_apart() -> None:
    made = names.distinct(["a.b", "a_b", "A_B"])
    assert len({name.lower() for name in made.values()}) == 3


@pytest.mark.parametrize("channel", ["a b", "a..b", ".a", "a.", "a.*", ">", "$JS.API", "_INBOX.x", "_exit.a"])
def test_names_that_cannot_be_subjects_are_refused(channel: str) -> None:
    assert names.problem(channel)


@pytest.mark.parametrize("channel", ["orders", "orders.new.v1", "größe", "a-b_c"])
def test_other_names_are_fine(channel: str) -> None:
    assert names.problem(channel) == ""


# --- limits -------------------------------------------------------------------------------------------------------

LIMITS = {
    "max_msgs": 100,
    "max_bytes": 1000,
    "max_age": 5_000_000_000,
    "channels": {
        ">": {"max_msgs": 70},
        "orders.*": {"max_msgs": 50, "max_age": 0},
        "orders.new": {"max_bytes": -1},
    },
}


def test_limits_are_those_of_the_channel_then_of_its_patterns_then_the_global_ones() -> None:
    assert plan.limits_of(LIMITS, "orders.new") == {
        "max_msgs": 50,
        "max_bytes": 0,
        "max_age": 5_000_000_000,
        "max_inactivity": 0,
    }
    assert plan.limits_of(LIMITS, "bills")["max_msgs"] == 70


@pytest.mark.parametrize(
    ("pattern", "channel", "expected"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a", "a", True),
        ("a.b", "a", False),
    ],
)
def test_patterns_match_as_nats_has_it(pattern: str, channel: str, expected: bool) -> None:
    assert plan.matches(pattern, channel) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a.*", "a.b", True), ("a.>", "a", False), (">", "a.b", True), ("a.b", "a.c", False), ("a", "a.b", False)],
)
def test_overlapping_subjects_are_seen(one: str, other: str, expected: bool) -> None:
    assert plan.overlap(one, other) is plan.overlap(other, one) is expected


# --- the file -----------------------------------------------------------------------------------------------------


def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    consumers = (ConsumerPlan("app", "bills", "", "app-bills", 30, 16), ConsumerPlan("", "work", "crew", "w", 2.5, 1))
    written = Plan("no", (StreamPlan("123", "s", 3, "memory", 5, 6, 7200.5, True, consumers), StreamPlan("b", "b")))
    (tmp_path / "plan.yaml").write_text(plan.as_yaml(written))
    assert plan.read(tmp_path / "plan.yaml") == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("format: 1", "format: 2"), "is no plan of this version"),
        (("replicas: 1", "replicas: 7"), r"channels\[0\] \(orders\): replicas is 7: write 1, 3 or 5"),
        (("replicas: 1", "replica: 1"), r"channels\[0\]: replica: no such key"),
        (("max_age: 0", "max_age: 1w"), r"max_age is '1w': write 0, or a number with s, m, h or d"),
        (("max_messages: 0", "max_messages: -1"), "max_messages is -1: write a whole number"),
        (("max_bytes: 0", "max_bytes: true"), "max_bytes is True"),
        (("storage: file", "storage: tape"), "storage is 'tape': write file or memory"),
        (("keep_age: false", "keep_age: 'yes'"), "keep_age is 'yes': write true or false"),
        (("ack_wait: 30s", "ack_wait: soon"), r"consumers\[0\]: ack_wait is 'soon'"),
        (("max_ack_pending: 16", "max_ack_pending: 0"), "max_ack_pending is 0"),
        (("client_id: app", "group: ''"), "give client_id .* or group"),
        (("  stream: orders", "  name: orders"), "no such key"),
        (("channels:", "channels: ["), "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    inventory = Inventory("c", [Channel("orders", 1, 1, 1, 1)], [durable()], [], [], {})
    text = plan.as_yaml(plan.propose(inventory, 1))
    assert change[0] in text
    (tmp_path / "plan.yaml").write_text(text.replace(*change))
    with pytest.raises(UserError, match=said):
        plan.read(tmp_path / "plan.yaml")


# --- what the server tells ----------------------------------------------------------------------------------------


def test_members_of_a_durable_queue_group_are_one_and_what_is_no_durable_is_kept_apart() -> None:
    member = {"client_id": "a", "queue_name": "work:crew", "last_sent": 5, "pending_count": 2, "max_inflight": 10}
    found = {
        "name": "orders",
        "subscriptions": [
            {**member, "ack_wait": 30, "is_offline": False},
            {**member, "client_id": "b", "last_sent": 7, "pending_count": 1, "ack_wait": 60, "is_offline": True},
            {"client_id": "c", "durable_name": "d", "last_sent": 1, "is_offline": True, "ack_wait": 5},
            {"client_id": "c", "queue_name": "plain", "pending_count": 1},
            {"client_id": "d", "queue_name": "plain", "pending_count": 2},
            {"client_id": "c"},
        ],
    }
    (crew, plain), (passing, alone) = durables_of(found)
    assert (crew.label, crew.last_sent, crew.pending, crew.online, crew.max_in_flight) == ("work:crew", 7, 3, True, 20)
    assert (plain.label, plain.online) == ("c/d", False)
    assert (alone.label, alone.members) == ("c", 1)
    assert (passing.label, passing.members, passing.pending) == ("queue group plain", 2, 3)
    assert passing.readers == ("c", "d")


def test_a_time_is_written_without_loss() -> None:
    assert record.stamp(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
