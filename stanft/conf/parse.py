"""Reads the configuration language of NATS servers: enough to check what a stan.conf says, not to run it.

Source: nats-server v2.9.24 conf/lex.go and conf/parse.go (keys with ":", "=" or a blank; bare sizes such as 32mb are
numbers, m is 1000 squared and mb is 1024 squared; $NAME is looked up in the file, then in the environment).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_SIZE = re.compile(r"^([-+]?\d+)(?:([kmgtpe])(b|i|ib)?)?$", re.IGNORECASE)
_FLOAT = re.compile(r"^[-+]?\d+\.\d+$")
_BLANK = re.compile(r"(?:[\s,;]+|(?:\#|//)[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"[^\s:={}\[\],;\"'#]+")
_TEXT = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'")
_BARE = re.compile(r"[^\s,;{}\[\]\"'#]+")


class ConfError(ValueError):
    """The text is no NATS configuration; says in which line and why."""


@dataclass(frozen=True)
class Variable:
    """A $NAME that the file does not define: the server takes it from its environment."""

    name: str


@dataclass(frozen=True)
class Quoted:
    """A text in quotes: never read as a number or a size by the server."""

    text: str

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> dict[str, Any]:
    """The configuration as nested mappings: numbers and sizes as int, quoted text as Quoted, $NAME as Variable.

    Files named by include are listed under the key "include". Raises ConfError with the line.
    """
    parser = _Parser(text)
    found = parser.mapping(end="")
    resolved: dict[str, Any] = _resolve(found, found)
    return resolved


def plain(value: Any) -> Any:
    """The value without the marks of parse(): Quoted becomes str, all the way down."""
    if isinstance(value, Quoted):
        return value.text
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


class _Parser:
    """Recursive descent over the text; keys end at ":", "=", blanks and braces, bare values at blanks and brackets."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, problem: str, at: int | None = None) -> ConfError:
        line = self.text.count("\n", 0, self.at if at is None else at) + 1
        return ConfError(f"line {line}: {problem}")

    def skip(self, pattern: re.Pattern[str] = _BLANK) -> str:
        """Step over blanks (by default also lines, commas and comments) and give the character that follows."""
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def take(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise self.fail(f"{what} is missing before {self.text[self.at : self.at + 20].splitlines()[:1]}")
        self.at = match.end()
        return match.group()

    def mapping(self, end: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        opened = self.at
        while (following := self.skip()) != end:
            if not following:
                raise self.fail("this { is never closed", opened)
            quoted = following in "\"'"
            key = self.take(_TEXT if quoted else _KEY, "a key")
            value = self.value_of(key)
            if key == "include":
                found.setdefault("include", []).append(str(plain(value)))
            else:
                found[key[1:-1] if quoted else key] = value
        self.at += 1
        return found

    def value_of(self, key: str) -> Any:
        if self.skip(_SPACE) in (":", "="):
            self.at += 1
        started = self.at
        line_ends = self.skip(_SPACE) in ("\n", "\r", "#", "")
        if self.skip() not in ("{", "[") and (line_ends or self.text[self.at : self.at + 1] in ("}", "]", "")):
            raise self.fail(f"{key} has no value", started)
        return self.value()

    def value(self) -> Any:
        following = self.skip()
        if following == "{":
            self.at += 1
            return self.mapping("}")
        if following == "[":
            self.at += 1
            return self.array()
        if following and following in "\"'":
            return Quoted(self.take(_TEXT, "the end of a quoted text")[1:-1])
        return _scalar(self.take(_BARE, "a value"))

    def array(self) -> list[Any]:
        found: list[Any] = []
        opened = self.at
        while (following := self.skip()) != "]":
            if not following:
                raise self.fail("this [ is never closed", opened)
            found.append(self.value())
        self.at += 1
        return found


def _scalar(text: str) -> Any:
    size = _SIZE.match(text)
    if size:
        number, power, binary = int(size.group(1)), size.group(2), size.group(3)
        return number * (1024 if binary else 1000) ** _POWERS[power.lower()] if power else number
    if _FLOAT.match(text):
        return float(text)
    if text.lower() in ("true", "yes", "on"):
        return True
    if text.lower() in ("false", "no", "off"):
        return False
    return Variable(text[1:]) if text.startswith("$") else text


def _resolve(value: Any, root: dict[str, Any]) -> Any:
    if isinstance(value, Variable):
        known = root.get(value.name)
        return value if known is None or isinstance(known, Variable) else known
    if isinstance(value, dict):
        return {key: _resolve(each, root) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolve(each, root) for each in value]
    return value
