"""Reads the text of a NATS configuration file and changes single values in it, leaving the rest as it was written.

The grammar is that of nats-server conf/lex.go as far as configurations for this server need it: maps, arrays, quoted
and bare values, comments, and `:`, `=` or a space between key and value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import UserError

BLANK = " \t\r\n,;"


@dataclass(frozen=True)
class Setting:
    """One key with its value: path from the top, the value's text, and where that stands in the file (characters)."""

    path: tuple[str, ...]
    value: str
    start: int
    end: int


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def error(self, what: str) -> UserError:
        line = self.text.count("\n", 0, self.at) + 1
        return UserError(f"configuration, line {line}: {what}")

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip(self, blank: str = BLANK) -> None:
        """Go past white space, separators and comments."""
        while self.at < len(self.text):
            if self.text[self.at] in blank:
                self.at += 1
            elif self.peek() == "#" or self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def quoted(self) -> str:
        quote, start = self.peek(), self.at
        self.at += 1
        while self.peek() != quote:
            if not self.peek():
                raise self.error(f"the text that starts with {self.text[start : start + 20]!r} has no closing {quote}")
            self.at += 2 if quote == '"' and self.peek() == "\\" else 1
        self.at += 1
        return self.text[start : self.at]

    def bare(self, stop: str) -> str:
        start = self.at
        while self.peek() and self.peek() not in stop:
            self.at += 1
        return self.text[start : self.at].rstrip()

    def key(self) -> str:
        if self.peek() in "\"'":
            return self.quoted()[1:-1]
        return self.bare(BLANK + ":={[")

    def map(self, path: tuple[str, ...], *, nested: bool) -> Iterator[Setting]:
        while True:
            self.skip()
            if not self.peek():
                if nested:
                    raise self.error(f"{'.'.join(path)} has no closing brace }}")
                return
            if self.peek() == "}":
                if not nested:
                    raise self.error("a closing brace } too many")
                self.at += 1
                return
            key = self.key()
            if not key:
                raise self.error(f"a key was expected, not {self.peek()!r}")
            self.skip(" \t\r\n:=")
            yield from self.value((*path, key))

    def value(self, path: tuple[str, ...]) -> Iterator[Setting]:
        start = self.at
        if self.peek() == "{":
            self.at += 1
            yield from self.map(path, nested=True)
        elif self.peek() == "[":
            self.at += 1
            while True:
                self.skip()
                if self.peek() == "]":
                    break
                if not self.peek():
                    raise self.error(f"{'.'.join(path)} has no closing bracket ]")
                yield from self.value((*path, "[]"))
            self.at += 1
        elif self.peek() in ('"', "'"):
            self.quoted()
        elif not self.bare(BLANK + "]}"):
            raise self.error(f"{'.'.join(path)} has no value")
        end = start + len(self.text[start : self.at].rstrip())
        yield Setting(path, self.text[start:end], start, end)


def settings(text: str) -> list[Setting]:
    """Every key of a configuration, inner ones before the map or array that holds them.

    An array's members have the last part "[]" in their path. Raises UserError that names the line if the text is no
    configuration.
    """
    return list(_Reader(text).map((), nested=False))


def find(text: str, *path: str) -> str | None:
    """The value of one key as it is written, without its quotes, or None; names match in any case."""
    wanted = [part.lower() for part in path]
    for setting in settings(text):
        if [part.lower() for part in setting.path] == wanted:
            return unquoted(setting.value)
    return None


def unquoted(value: str) -> str:
    """A value without its quotes, if it has any."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def replaced(text: str, changes: dict[Setting, str]) -> str:
    """The text with the given settings' values replaced, the rest as it was."""
    for setting in sorted(changes, key=lambda setting: setting.start, reverse=True):
        text = text[: setting.start] + changes[setting] + text[setting.end :]
    return text
