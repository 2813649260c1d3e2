"""The inventory: what has no counterpart, whose connection is whose, and a page that needs no other file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from stanft.exit import inventory, survey
from stanft.exit.source import Channel, Durable, Inventory, Passing, Session
from stanft.exit.survey import Sample
from stanft.ground import units

BILLS = Durable("orders", "app", "bills", "", 5, 2, False, 30, 16, ("app",))
CREW = Durable("orders", "", "work", "crew", 3, 0, True, 30, 16)
FOUND = Inventory(
    "c",
    [Channel("orders", 10, 1_000_000, 1, 10), Channel("a b", 0, 0, 1, 0), Channel("orders.new", 4, 400, 7, 10)],
    [BILLS, CREW],
    [Session("app", "_INBOX.hb"), Session("writer", "_INBOX.other"), Session("far", "_INBOX.far")],
    [Passing("orders.new", "", "plain", 3, 9, 1)],
    {"max_inactivity": 5_000_000_000, "max_channels": 100, "channels": {"orders.*": {"max_bytes": 9}}},
)


def connection(cid: int, sent: int, *subjects: str, **more: Any) -> dict[str, Any]:
    """One of connz."""
    return {"server": "http://a", "cid": cid, "in_msgs": sent, "ip": "10.0.0.9", "subscriptions_list": subjects, **more}


def differences(found: Inventory) -> dict[str, survey.Difference]:
    return {one.what: one for one in survey.survey(found, {}, []).differences}


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("no subject", "'a b': is no NATS subject"),
        ("cannot be the name of a stream", "orders.new"),
        ("durable:group", "orders: work:crew"),
        ("client id and name", "orders: app/bills"),
        ("chooses its start", "orders.new: queue group plain (3)"),
        ("limits for patterns", "orders.*"),
        ("max_bytes", "orders.new"),
        ("max_inactivity", "orders"),
        ("max_channels", "max_channels: 100"),
    ],
)
def test_what_has_no_counterpart_is_named_with_its_place(words: str, where: str) -> None:
    (one,) = [one for what, one in differences(FOUND).items() if words in what]
    assert any(where in each for each in one.where)


def test_what_is_not_used_is_not_told() -> None:
    plain = Inventory("c", [Channel("orders", 1, 10, 1, 1)], [], [], [], {})
    assert list(differences(plain)) == ["a channel that is made by its first message"]


def test_a_durable_that_missed_what_expired_has_only_the_rest_to_come() -> None:
    late = replace(BILLS, channel="orders.new", last_sent=2)
    found = survey.survey(Inventory("c", FOUND.channels, [late], [], [], {}), {}, [])
    assert [one.to_come for channel in found.channels for one in channel.durables] == [4]


def test_a_client_is_told_by_the_subject_of_its_heartbeats_or_by_its_name_and_sends_what_its_connection_sends() -> None:
    before = [connection(1, 10), connection(2, 0)]
    after = [connection(1, 10, "_INBOX.hb", lang="go", version="1.2"), connection(2, 400, name="writer")]
    reader, writer, far = survey.clients_of(FOUND, before, after, 2.0)
    assert (reader.reads, reader.library, reader.sends, reader.publishes) == (
        ["orders"],
        "go 1.2",
        0,
        "not while looked at",
    )
    assert (writer.reads, writer.sends, writer.publishes) == ([], 200, "yes")
    assert (far.sends, far.publishes) == (None, "not known: its connection is not here")


def test_what_a_reader_sends_may_be_acknowledgements() -> None:
    both = [connection(1, 0, "_INBOX.hb")], [connection(1, 99, "_INBOX.hb")]
    assert survey.clients_of(FOUND, *both, 2.0)[0].publishes == "yes, or acknowledges what it reads"


def test_the_time_of_a_copy_is_the_samples_for_all_messages_or_all_bytes_whichever_is_longer() -> None:
    few = survey.survey(FOUND, {}, [], sample=Sample("orders", 7, 1_000_400, 2.0))
    assert few.copy_seconds == pytest.approx(4.0)
    large = survey.survey(FOUND, {}, [], sample=Sample("orders", 14, 100_040, 2.0))
    assert large.copy_seconds == pytest.approx(20.0)


def test_the_table_shows_what_each_becomes() -> None:
    text = inventory.as_text(survey.survey(FOUND, {"orders": 2.5}, [], problem="not asked for"))
    assert "app/bills: sent up to 5, 2 not acknowledged, 5 to come, offline -> consumer app-bills" in text
    assert "cannot be moved: its name is no NATS subject" in text
    assert "2.5/s now" in text
    assert "queue group plain (3 members): no durable" in text
    assert "time of a copy: not measured (not asked for)" in text


def test_the_page_needs_no_other_file_and_names_are_text_in_it() -> None:
    odd = replace(FOUND, channels=[*FOUND.channels, Channel("<script>alert(1)</script>", 1, 1, 1, 1)])
    page = inventory.as_page(survey.survey(odd, {}, [], problem="not asked for"))
    assert not re.search(r"<script|<link|<img|src=|url\(|@import|https?:", page)
    assert "&lt;script&gt;" in page
    for words in ("app/bills", "consumer work-crew", "stream orders_new", "Cannot be moved", "max_channels: 100"):
        assert words in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "a second"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (93784, "1 d 2 h")],
)
def test_a_time_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert units.duration(seconds) == words


@pytest.mark.parametrize(("number", "words"), [(999, "999 B"), (1500, "1.5 kB"), (2_000_000_000_000_000, "2,000.0 TB")])
def test_a_size_is_told_in_a_unit_that_keeps_it_short(number: int, words: str) -> None:
    assert units.size(number) == words
