"""Text files: read as UTF-8 with one line for what is wrong; written beside their place and then put into it, whole."""

from __future__ import annotations

import os
from pathlib import Path

from stanft.ground.errors import UserError


def read(path: Path) -> str:
    """The text of a file that the user named. Raises UserError if it cannot be read or is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text (byte {error.start}): write it in UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def check_target(path: Path) -> None:
    """Raise UserError for a file that cannot be written: the name is a folder's, or no folder can be made for it."""
    if not path.name or path.is_dir():
        raise UserError(f"{path} is a folder: name a file in it.")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "this user may not write there" if there.is_dir() else "it is no folder"
        raise UserError(f"{path} cannot be written: {there}: {why}. Name another place.")


def write(path: Path, text: str) -> None:
    """Write a file, with its folder; who reads meanwhile sees the old one or the new one. Raises UserError."""
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()  # what a link leads to is written, and the link stays
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")  # a device or a pipe, which a file must not take the place of
        return
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
