"""Finds single values in the text of a NATS configuration and changes them, leaving the rest as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stanft.conf import parse as conf
from stanft.ground.errors import UserError


@dataclass(frozen=True)
class Setting:
    """One key with its value: path from the top, the value's text, and where that stands in the file (characters)."""

    path: tuple[str, ...]
    value: str
    start: int
    end: int


class _Places(conf._Parser):
    """The parser of stanft.conf.parse, which also notes where each value stands."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.path: list[str] = []
        self.found: list[Setting] = []

    def value_of(self, key: str) -> Any:
        self.path.append(unquoted(key))
        try:
            return super().value_of(key)
        finally:
            self.path.pop()

    def value(self) -> Any:
        self.skip()
        path, start = tuple(self.path), self.at
        value = super().value()
        self.found.append(Setting(path, self.text[start : self.at], start, self.at))
        return value

    def array(self) -> list[Any]:
        self.path.append("[]")
        try:
            return super().array()
        finally:
            self.path.pop()


def settings(text: str) -> list[Setting]:
    """Every key of a configuration, inner ones before the map or array that holds them.

    An array's members have the last part "[]" in their path. Raises UserError that names the line if the text is no
    configuration.
    """
    places = _Places(text)
    try:
        places.mapping(end="")
    except conf.ConfError as error:
        raise UserError(f"this is no NATS configuration: {error}") from error
    return places.found


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
