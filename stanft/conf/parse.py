"""Reads the configuration language of NATS servers as the server does: values, variables, included files.

Source: nats-server v2.9.24 conf/parse.go (bare sizes such as 32mb are numbers, m is 1000 squared and mb is 1024
squared; $NAME is looked up in the blocks around it, then in the environment, whose value is read like one in the file).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from stanft.conf.lexer import ConfError, Item, Kind, items, line_of

__all__ = ["ConfError", "Document", "Setting", "Variable", "parse", "read"]

_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_FACTORS: Final = {
    "": 1,
    **{letter: 1000**power for letter, power in _POWERS.items()},
    **{letter + rest: 1024**power for letter, power in _POWERS.items() for rest in ("b", "i", "ib")},
}
_DEEPEST: Final = 20  # files that include each other, variables that name each other: the server itself would not end


@dataclass(frozen=True)
class Variable:
    """A $NAME whose value cannot be seen: the server takes it from its environment."""

    name: str


@dataclass(frozen=True)
class Setting:
    """One key with its value: path from the top, the value's text, and where that stands in the file (characters).

    Members of a list have the last part "[]" in their path.
    """

    path: tuple[str, ...]
    value: str
    start: int
    end: int


@dataclass
class Document:
    """What a file says. Numbers and sizes are int, bare words and quoted text str, unknown variables Variable."""

    values: dict[str, Any] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)  # inner ones before the map or list that holds them
    used: set[tuple[str, ...]] = field(default_factory=set)  # paths of the keys that some $NAME refers to
    unset: list[str] = field(default_factory=list)  # variables that neither the file nor the environment has
    includes: list[str] = field(default_factory=list)  # full names of included files, as the server looks for them
    unseen: list[str] = field(default_factory=list)  # those of them whose text could not be had


def parse(text: str) -> dict[str, Any]:
    """The configuration as nested mappings. Raises ConfError with the line."""
    return read(text).values


def read(
    text: str,
    *,
    environment: Mapping[str, str | None] | None = None,
    include: Callable[[str], str | None] | None = None,
    directory: str = "",
) -> Document:
    """Everything that a configuration file says.

    environment is what the server finds there (None for a value that cannot be seen); without one, a variable may be
    anything. include gives the text of a file by its name, None if it cannot be had; directory is where the file lies
    that is read: the server takes every included name from there, also one that begins with a slash.
    Raises ConfError with the line.
    """
    builder = _Builder(text, environment, include or (lambda _: None), directory, depth=0)
    builder.run()
    return builder.made


class _Builder:
    """The server's stacks: the open maps and lists, and the keys that wait for their values."""

    def __init__(
        self,
        text: str,
        environment: Mapping[str, str | None] | None,
        include: Callable[[str], str | None],
        directory: str,
        depth: int,
    ) -> None:
        self.text = text
        self.environment = environment
        self.include = include
        self.directory = directory
        self.depth = depth
        self.made = Document()
        self.open: list[dict[str, Any] | list[Any]] = [self.made.values]
        self.paths: list[tuple[str, ...]] = [()]
        self.begun: list[int] = [0]
        self.keys: list[str] = []

    def fail(self, problem: str, item: Item) -> ConfError:
        return ConfError(f"line {line_of(self.text, item.start)}: {problem}")

    def run(self) -> None:
        last: Item | None = None
        for item in items(self.text):
            self.take(item)
            last = item
        if last is not None and last.kind is Kind.KEY and last.text != "}":
            raise self.fail(f"{last.text} has no value", last)

    def take(self, item: Item) -> None:
        match item.kind:
            case Kind.KEY:
                self.keys.append(item.text)
            case Kind.MAP_START | Kind.ARRAY_START:
                self.paths.append((*self.paths[-1], self.waiting()))
                self.open.append({} if item.kind is Kind.MAP_START else [])
                self.begun.append(item.start)
            case Kind.MAP_END | Kind.ARRAY_END:
                closed, path, start = self.open.pop(), self.paths.pop(), self.begun.pop()
                self.note(path, start, item.end)
                self.put(closed)
            case Kind.INCLUDE:
                self.included(item)
            case _:
                value = self.scalar(item)
                if value is not _NOTHING:
                    self.note((*self.paths[-1], self.waiting()), item.start, item.end)
                    self.put(value)

    def waiting(self) -> str:
        """The key that waits for a value; "[]" in a list."""
        return "[]" if isinstance(self.open[-1], list) or not self.keys else self.keys[-1]

    def note(self, path: tuple[str, ...], start: int, end: int) -> None:
        self.made.settings.append(Setting(path, self.text[start:end], start, end))

    def put(self, value: Any) -> None:
        holder = self.open[-1]
        if isinstance(holder, list):
            holder.append(value)
        else:
            holder[self.keys.pop()] = value

    def scalar(self, item: Item) -> Any:
        match item.kind:
            case Kind.INTEGER:
                return self.integer(item)
            case Kind.FLOAT:
                return float(item.text)
            case Kind.FLAG:
                return item.text.lower() in ("true", "yes", "on")
            case Kind.MOMENT:
                try:
                    return datetime.strptime(item.text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
                except ValueError as error:
                    raise self.fail(f"{item.text} is no date", item) from error
            case Kind.VARIABLE:
                return self.variable(item)
        return item.text

    def integer(self, item: Item) -> Any:
        digits = next((at for at, each in enumerate(item.text) if each != "-" and not each.isdecimal()), len(item.text))
        number, suffix = item.text[:digits], item.text[digits:].strip().lower()
        if not number.isascii() or not -(2**63) <= int(number) < 2**63:
            raise self.fail(f"{item.text} is too large a number", item)
        if suffix not in _FACTORS:
            return _NOTHING  # the server drops such a value without a word
        return (int(number) * _FACTORS[suffix] + 2**63) % 2**64 - 2**63  # what is too large wraps around

    def variable(self, item: Item) -> Any:
        name = item.text
        if name.startswith("2a$"):
            return f"${name}"  # a bcrypt hash without quotes
        for holder, path in zip(reversed(self.open), reversed(self.paths), strict=True):
            if isinstance(holder, dict) and name in holder:
                self.made.used.add((*path, name))
                return holder[name]
        if self.environment is None:
            return Variable(name)
        if name not in self.environment:
            self.made.unset.append(name)
            return Variable(name)
        text = self.environment[name]
        if text is None:
            return Variable(name)
        if self.depth > _DEEPEST:
            raise self.fail(f"the variable {name} leads back to itself", item)
        inner = _Builder(f"pk={text}", self.environment, self.include, "", self.depth + 1)
        try:
            inner.run()
        except ConfError as error:
            raise self.fail(f"the variable {name} is {text!r} in the environment: {error}", item) from error
        self.made.unset += inner.made.unset
        return inner.made.values.get("pk", Variable(name))

    def included(self, item: Item) -> None:
        name = posixpath.normpath(posixpath.join(self.directory, f"./{item.text}"))
        self.made.includes.append(name)
        if self.depth > _DEEPEST:
            raise self.fail(f"{name} includes itself", item)
        text = self.include(name)
        if text is None:
            self.made.unseen.append(name)
            return
        inner = _Builder(text, self.environment, self.include, posixpath.dirname(name), self.depth + 1)
        try:
            inner.run()
        except ConfError as error:
            raise self.fail(f"in {name}: {error}", item) from error
        for key, value in inner.made.values.items():
            self.keys.append(key)
            self.put(value)
        base = self.paths[-1]
        self.made.used |= {(*base, *path) for path in inner.made.used}
        self.made.unset += inner.made.unset
        self.made.includes += inner.made.includes
        self.made.unseen += inner.made.unseen


_NOTHING: Final = object()
