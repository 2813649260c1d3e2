"""Reading the configuration language of NATS servers."""

from __future__ import annotations

from typing import Any

import pytest

from stanft.conf.parse import ConfError, Setting, Variable, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32mb", 32 * 1024**2),
        ("32m", 32_000_000),
        ("256gb", 256 * 1024**3),
        ("1gib", 1024**3),
        ("5k", 5000),
        ("-1", -1),
        ("2.5", 2.5),
        ("true", True),
        ("off", False),
        ("1h", "1h"),
        ('"32mb"', "32mb"),
        ("'a b'", "a b"),
        ("30m", 30_000_000),
        ("[1, 2 ]", [1, 2]),
        ('"a\\tb\\x41"', "a\tbA"),
        ("(\ntwo\nlines\n)\n", "\ntwo\nlines\n"),
        ("$2a$11$hash", "$2a$11$hash"),
        ("$POD_NAME", Variable("POD_NAME")),
        ("nats://stan-0.stan:6222", "nats://stan-0.stan:6222"),
        ("[a, b\n c]", ["a", "b", "c"]),
        ("{x: 1, y: {z: 2}}", {"x": 1, "y": {"z": 2}}),
        ("[]", []),
    ],
)
def test_a_value_is_read_as_the_server_reads_it(text: str, value: Any) -> None:
    assert parse(f"key: {text}") == {"key": value}


@pytest.mark.parametrize(
    "text", ["a: 1", "a = 1", "a 1", "a=1", '"a": 1', "a: 1 # why", "// why\na: 1", "a: 1;", "a:\t1\r\n"]
)
def test_every_way_to_write_a_key_is_understood(text: str) -> None:
    assert parse(text) == {"a": 1}


@pytest.mark.parametrize("text", ["a {b: 1}", "a: {\n b: 1\n}", "a\n{\n b: 1\n}", "a = { b 1 }"])
def test_every_way_to_write_a_block_is_understood(text: str) -> None:
    assert parse(text) == {"a": {"b": 1}}


def test_a_variable_that_the_file_defines_is_replaced() -> None:
    assert parse("PORT = 6222\ncluster { port: $PORT }")["cluster"] == {"port": 6222}


def test_a_variable_is_looked_up_in_the_blocks_around_it_and_then_in_the_environment() -> None:
    found = read("a: 1\nb { c: $a, d: $SIZE, e: $POD }", environment={"SIZE": "12k", "POD": None})
    assert found.values["b"] == {"c": 1, "d": 12_000, "e": Variable("POD")}
    assert (found.used, found.unset) == ({("a",)}, [])
    assert read("a: $NONE", environment={}).unset == ["NONE"]


def test_an_included_file_stands_where_it_is_named_also_from_the_root() -> None:
    files = {"/etc/stan/auth/users.conf": "token: t\ninclude more.conf", "/etc/stan/auth/more.conf": "timeout: 5"}
    found = read(
        "authorization { include '/auth/users.conf' }\ninclude none.conf", include=files.get, directory="/etc/stan"
    )
    assert found.values == {"authorization": {"token": "t", "timeout": 5}}
    assert found.unseen == ["/etc/stan/none.conf"]


def test_each_value_is_found_with_its_place() -> None:
    text = "a: 'x'\nb { c: [1, 2 ] }"
    places = [each for each in read(text).settings if each.path in (("a",), ("b", "c", "[]"), ("b", "c"))]
    assert places == [
        Setting(("a",), "'x'", 3, 6),
        Setting(("b", "c", "[]"), "1", 15, 16),
        Setting(("b", "c", "[]"), "2", 18, 19),
        Setting(("b", "c"), "[1, 2 ]", 14, 21),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {\n b: 1\n", "line 1: this { is never closed"),
        ("a: 1\nb: [1, 2", "line 2: in a list a value ends at a comma, a new line or ], not at the end"),
        ("a: 1\nb:\nc: 2", "line 2: a value is missing before the end of the line"),
        ("a: 1\nb", "line 2: b has no value"),
        ("\n: 3", "line 2: a key is missing"),
        ('a: "open', "line 1: a quoted text is never closed"),
        ("a: .5", "line 1: a number begins with a digit"),
        ("a: 1m30s", "line 1: a value ends at a new line"),
        ('a: "\\q"', "line 1: \\q is no escape"),
        ("a: 99999999999999999999", "line 1: 99999999999999999999 is too large a number"),
        ("a: 2026-13-01T00:00:00Z", "line 1: 2026-13-01T00:00:00Z is no date"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)
