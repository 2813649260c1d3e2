"""Text files: read as UTF-8 with one line for what is wrong; written beside their place and then put into it, whole."""

from __future__ import annotations

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


def write(path: Path, text: str) -> None:
    """Write a file, with its folder; who reads meanwhile sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
