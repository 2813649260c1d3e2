"""Finds single values in the text of a NATS configuration and changes them, leaving the rest as it was written."""

from __future__ import annotations

from stanft.conf import parse as conf
from stanft.conf.parse import Setting
from stanft.ground.errors import UserError


def settings(text: str) -> list[Setting]:
    """Every key of a configuration, inner ones before the map or array that holds them.

    An array's members have the last part "[]" in their path. Raises UserError that names the line if the text is no
    configuration.
    """
    try:
        return conf.read(text).settings
    except conf.ConfError as error:
        raise UserError(f"this is no NATS configuration: {error}") from error


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
