"""Reading the configuration language of NATS servers."""

from __future__ import annotations

from typing import Any

import pytest

from stanft.conf.parse import ConfError, Quoted, Variable, parse, plain


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
        ('"32mb"', Quoted("32mb")),
        ("'a b'", Quoted("a b")),
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


def test_included_files_are_listed() -> None:
    assert parse("include ./auth.conf\ninclude 'tls.conf'") == {"include": ["./auth.conf", "tls.conf"]}


def test_plain_takes_the_quote_marks_off_all_the_way_down() -> None:
    assert plain(parse('a { b: ["x"], c: "y" }')) == {"a": {"b": ["x"], "c": "y"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {\n b: 1\n", "line 1: this { is never closed"),
        ("a: 1\nb: [1, 2", "line 2: this [ is never closed"),
        ("a: 1\nb:\nc: 2", "line 2: b has no value"),
        ("a: }", "line 1: a has no value"),
        ("\n: 3", "line 2: a key is missing"),
        ('a: "open', "line 1: the end of a quoted text is missing"),
        ("a: 1 }", "line 1: a key is missing"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)
