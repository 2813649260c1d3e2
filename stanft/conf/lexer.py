"""Takes the text of a NATS configuration apart into items, with every rule and quirk of the server's own reader.

Source: nats-server v2.9.24 conf/lex.go. Examples of quirks: a number ends at blanks, commas, semicolons and "}", but
not at "]", so that [1] is the text "1]"; a single quote ends a bare text; "{" at the top level is skipped; a line that
begins with a lone "/" continues.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SPACE: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)
_SEPARATORS: Final = frozenset("=:")
_SUFFIXES: Final = frozenset("kKmMgGtTpPeE")
_ENDS_NUMBER: Final = frozenset(["\n", "\r", "", "}", ";", ",", " ", "\t"])
_ENDS_BARE: Final = frozenset(["\n", "\r", "", ";", ",", "]", "}", " ", "\t"])
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "\\": "\\"}
_WORDS: Final = frozenset(["true", "false", "on", "off", "yes", "no"])
_MOMENT: Final = "00-00T00:00:00Z"  # what follows "YYYY-"; 0 is any digit


class ConfError(ValueError):
    """The text is no NATS configuration; says in which line and why."""


class Kind(StrEnum):
    """What an item is."""

    KEY = "key"
    TEXT = "text"
    FLAG = "true or false"
    INTEGER = "integer"
    FLOAT = "float"
    MOMENT = "date and time"
    VARIABLE = "variable"
    INCLUDE = "include"
    MAP_START = "{"
    MAP_END = "}"
    ARRAY_START = "["
    ARRAY_END = "]"


@dataclass(frozen=True)
class Item:
    """One item: its text without quotes and escapes, and where it stands in the file (characters, quotes included)."""

    kind: Kind
    text: str
    start: int
    end: int


class _EndOfItems(Exception):  # noqa: N818 (no error: the server's reader stops without a word)
    """The text ends where the server stops to read without calling it an error."""


def items(text: str) -> list[Item]:
    """All items of a configuration, in order. Raises ConfError with the line for what the server refuses to read."""
    lexer = _Lexer(text)
    with contextlib.suppress(_EndOfItems):
        lexer.top()
    return lexer.found


def line_of(text: str, at: int) -> int:
    """The number of the line that holds a position, from 1."""
    return text.count("\n", 0, at) + 1


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: list[Item] = []
        self.pieces: list[str] = []  # of the text that is being read, between its escapes

    # Single characters: "" is the end of the text, and so is NUL for the server.

    def peek(self) -> str:
        character = self.text[self.at : self.at + 1]
        return "" if character == "\0" else character

    def next(self) -> str:
        character = self.peek()
        self.at += len(character)
        return character

    def emit(self, kind: Kind, text: str, start: int) -> None:
        self.found.append(Item(kind, text, start, self.at))

    def fail(self, problem: str) -> ConfError:
        return ConfError(f"line {line_of(self.text, self.at)}: {problem}")

    def skip(self, wanted: frozenset[str]) -> None:
        while self.peek() in wanted:
            self.at += 1

    def comment(self) -> None:
        while self.peek() not in ("\n", "\r", ""):
            self.at += 1

    def slash(self) -> bool:
        """Read the rest of a comment if a second slash follows the one that was read; say whether it was one."""
        if self.peek() != "/":
            return False
        self.comment()
        return True

    # The top level.

    def top(self) -> None:
        while True:
            following = self.next()
            if following in _SPACE or following == "{":
                continue
            if following == "#":
                self.comment()
            elif following == "/":
                if not self.slash():
                    raise self.fail("a single / begins no comment")
            elif following == "":
                if self.at < len(self.text):
                    raise self.fail("there is a NUL character")
                return
            else:
                self.at -= 1
                self.top_key()
                self.top_value_end()

    def top_key(self) -> None:
        following = self.peek()
        if following in _SEPARATORS:
            raise self.fail(f"a key is missing before {following}")
        if following in ("'", '"'):
            self.quoted_key(following, inside=False)
        elif self.bare_key(inside=False):
            return
        self.skip(_SPACE)
        if self.peek() == "":
            raise _EndOfItems
        if self.peek() in _SEPARATORS:
            self.at += 1
        self.value()

    def top_value_end(self) -> None:
        while True:
            following = self.next()
            if following == "#":
                return self.comment()
            if following == "/":
                if self.slash():
                    return None
            elif following in ("\n", "\r", "", ";", ",", "}"):
                return None
            elif following not in (" ", "\t"):
                raise self.fail(f"a value ends at a new line, a comment or a comma, not at {following}")

    # Keys.

    def quoted_key(self, quote: str, *, inside: bool) -> None:
        start = self.at
        end = self.text.find(quote, start + 1)
        if end < 0:
            self.at = len(self.text)
            if not inside and start + 1 == len(self.text):
                raise _EndOfItems
            raise self.fail("a quoted key is never closed")
        self.at = end + 1
        self.emit(Kind.KEY, self.text[start + 1 : end], start)

    def bare_key(self, *, inside: bool) -> bool:
        """Read a key, or a whole include; say whether it was an include."""
        start = self.at
        self.next()
        while self.peek() not in _SPACE and self.peek() not in _SEPARATORS:
            if self.peek() == "":
                if inside:
                    raise self.fail("a { is never closed")
                break
            self.at += 1
        if self.peek() in _SPACE and self.text[start : self.at].lower() == "include":
            self.include()
            return True
        self.emit(Kind.KEY, self.text[start : self.at], start)
        return False

    def include(self) -> None:
        self.skip(frozenset(" \t"))
        start = self.at
        following = self.peek()
        if following in ("'", '"'):
            end = self.text.find(following, start + 1)
            if end < 0:
                raise self.fail("the name of an included file is never closed")
            self.at = end + 1
            return self.emit(Kind.INCLUDE, self.text[start + 1 : end], start)
        if following in ("[", "{", "(", "\\", "-", "\n", "\r") or following.isdecimal():
            raise self.fail("include wants the name of a file")
        while self.peek() not in ("\n", "\r", "", ";", "}", " ", "\t", "'"):
            self.at += 1
        self.emit(Kind.INCLUDE, self.text[start : self.at], start)
        if self.peek() == "'":
            self.at += 1
        return None

    # Maps and arrays: what opens them was read.

    def mapping(self) -> None:
        opened = self.at
        while not self.member(opened):
            pass

    def member(self, opened: int) -> bool:
        """Read one key with its value, or what stands between two; say whether the map ended."""
        following = self.peek()
        if following == "":
            raise ConfError(f"line {line_of(self.text, opened - 1)}: this {{ is never closed")
        if following in _SPACE:
            self.at += 1
            return False
        if following == "}":
            return self.close(Kind.MAP_END)
        if following == "#":
            self.comment()
            return False
        if following == "/":
            self.at += 1
            if self.slash():
                return False
        return self.member_itself(following)

    def member_itself(self, following: str) -> bool:
        """Read one key with its value; say whether the map ended."""
        if following in _SEPARATORS or following == "]":
            raise self.fail(f"a key is missing before {following}")
        if following in ("'", '"'):
            self.quoted_key(following, inside=True)
        elif self.bare_key(inside=True):
            return self.member_end()
        self.skip(_SPACE)
        if self.peek() in _SEPARATORS:
            self.at += 1
            self.skip(_SPACE)
        if self.peek() == ",":
            raise self.fail("a value is missing before ,")
        if self.peek() == "}":
            return self.close(Kind.MAP_END)
        self.value()
        return self.member_end()

    def member_end(self) -> bool:
        while True:
            following = self.next()
            if following == "#":
                self.comment()
            elif following == "/":
                if not self.slash():
                    return False
            elif following in (";", ",", "\n", "\r"):
                return False
            elif following == "}":
                self.at -= 1
                return self.close(Kind.MAP_END)
            elif following not in (" ", "\t"):
                raise self.fail(
                    f"in a block a value ends at a comma, a new line or }}, not at {following or 'the end'}"
                )

    def array(self) -> None:
        while True:
            self.skip(_SPACE)
            following = self.next()
            if following == "#":
                self.comment()
            elif following == "/" and self.slash():
                pass
            elif following in ("/", ","):
                raise self.fail(f"a value is missing before {following}")
            elif following == "]":
                self.at -= 1
                self.close(Kind.ARRAY_END)
                return
            else:
                self.at -= len(following)
                self.value()
                if self.element_end():
                    return

    def element_end(self) -> bool:
        while True:
            following = self.next()
            if following == "#":
                self.comment()
            elif following == "/":
                if not self.slash():
                    return False
            elif following in (",", "\n", "\r"):
                return False
            elif following == "]":
                self.at -= 1
                return self.close(Kind.ARRAY_END)
            elif following not in (" ", "\t"):
                raise self.fail(f"in a list a value ends at a comma, a new line or ], not at {following or 'the end'}")

    def close(self, kind: Kind) -> bool:
        self.at += 1
        self.emit(kind, kind.value, self.at - 1)
        return True

    # Values.

    def value(self) -> None:
        self.skip(frozenset(" \t"))
        start, following = self.at, self.peek()
        if following == "[":
            self.at += 1
            self.emit(Kind.ARRAY_START, "[", start)
            self.array()
        elif following == "{":
            self.at += 1
            self.emit(Kind.MAP_START, "{", start)
            self.mapping()
        elif following == "'":
            self.single_quoted()
        elif following == '"':
            self.at += 1
            self.escaped(start, self.double_quoted)
        elif following == "-":
            self.negative()
        elif following == "(":
            self.block()
        elif following.isdecimal():
            self.number()
        elif following == ".":
            raise self.fail("a number begins with a digit")
        elif following in ("\n", "\r"):
            raise self.fail("a value is missing before the end of the line")
        else:
            self.escaped(start, self.bare)

    def single_quoted(self) -> None:
        start = self.at
        end = self.text.find("'", start + 1)
        if end < 0:
            self.at = len(self.text)
            if start + 1 == len(self.text):
                raise _EndOfItems
            raise self.fail("a quoted text is never closed")
        self.at = end + 1
        self.emit(Kind.TEXT, self.text[start + 1 : end], start)

    def escaped(self, start: int, read: Callable[[int, int], bool]) -> None:
        """Read a text with escapes, piece by piece: read(start, where the piece begins) says whether the text ended."""
        self.pieces = []
        begun = self.at
        while not read(start, begun):
            begun = self.at

    def double_quoted(self, start: int, begun: int) -> bool:
        while (following := self.next()) not in ('"', "\\", ""):
            pass
        if following == "":
            if start + 1 == len(self.text):
                raise _EndOfItems
            raise self.fail("a quoted text is never closed")
        self.pieces.append(self.text[begun : self.at - 1])
        if following == "\\":
            self.pieces.append(self.escape())
            return False
        self.emit(Kind.TEXT, "".join(self.pieces), start)
        return True

    def bare(self, start: int, begun: int) -> bool:
        while (following := self.peek()) not in _ENDS_BARE and following not in ("'", "\\"):
            self.at += 1
        self.pieces.append(self.text[begun : self.at])
        if following == "\\":
            self.at += 1
            self.pieces.append(self.escape())
            return False
        text, plain = "".join(self.pieces), len(self.pieces) == 1
        if following == "'":
            self.emit(Kind.TEXT, text, start)
            self.at += 1
        elif plain and text.lower() in _WORDS:
            self.emit(Kind.FLAG, text, start)
        elif plain and text.startswith("$"):
            self.emit(Kind.VARIABLE, text[1:], start)
        else:
            self.emit(Kind.TEXT, text, start)
        return True

    def escape(self) -> str:
        following = self.next()
        if following == "x":
            digits = self.text[self.at : self.at + 2]
            try:
                byte = bytes.fromhex(digits) if len(digits) == 2 else b""
            except ValueError:
                byte = b""
            if not byte:
                raise self.fail("two hexadecimal digits follow \\x")
            self.at += 2
            return byte.decode("utf-8", "surrogateescape")
        if following not in _ESCAPES:
            raise self.fail(f'\\{following} is no escape: there are \\xXX, \\t, \\n, \\r, \\", \\\\')
        return _ESCAPES[following]

    def block(self) -> None:
        """A text in ( ), which ends at a ) that stands alone on its line."""
        start = self.at
        self.at += 1
        while (following := self.next()) != "":
            if following == ")" and self.text[self.at - 2] == "\n" and self.peek() in ("\n", ""):
                end = self.at - 1 if self.peek() else self.at  # at the end of the file the ) itself belongs to the text
                return self.emit(Kind.TEXT, self.text[start + 1 : end], start)
        raise self.fail("a ( is closed by a ) alone on its line")

    # Numbers, and what begins like one.

    def number(self) -> None:
        start = self.at
        while True:
            following = self.next()
            if following == "-":
                return self.moment(start)
            if following == ".":
                return self.fraction(start)
            if following in _SUFFIXES:
                return self.suffixed(start)
            if following in _ENDS_NUMBER:
                self.at -= len(following)
                return self.emit(Kind.INTEGER, self.text[start : self.at], start)
            if not following.isdecimal():
                return self.rest_of_bare(start)

    def rest_of_bare(self, start: int) -> None:
        self.pieces = []
        begun = start
        while not self.bare(start, begun):
            begun = self.at

    def suffixed(self, start: int) -> None:
        self.skip(frozenset("bBiI"))
        if self.peek() in _ENDS_NUMBER or self.peek().isdecimal():
            return self.emit(Kind.INTEGER, self.text[start : self.at], start)
        return self.rest_of_bare(start)

    def negative(self) -> None:
        start = self.at
        self.at += 1
        if not self.peek().isdecimal():
            raise self.fail("a digit follows a -")
        while self.peek().isdecimal():
            self.at += 1
        if self.peek() == ".":
            self.at += 1
            return self.fraction(start)
        if self.peek() in _SUFFIXES:
            self.at += 1
            return self.suffixed(start)
        return self.emit(Kind.INTEGER, self.text[start : self.at], start)

    def fraction(self, start: int) -> None:
        if not self.peek().isdecimal():
            raise self.fail("a digit follows the . of a number")
        while self.peek().isdecimal():
            self.at += 1
        if self.peek() != ".":
            return self.emit(Kind.FLOAT, self.text[start : self.at], start)
        while self.peek().isdecimal() or self.peek() in (".", ":", "-"):
            self.at += 1
        return self.emit(Kind.TEXT, self.text[start : self.at], start)  # an address such as 127.0.0.1:4222

    def moment(self, start: int) -> None:
        if self.at - start != len("2026-"):
            raise self.fail("a date is written like 2026-01-31T12:00:00Z")
        for wanted in _MOMENT:
            following = self.next()
            if not (following.isdecimal() if wanted == "0" else following == wanted):
                raise self.fail("a date is written like 2026-01-31T12:00:00Z")
        self.emit(Kind.MOMENT, self.text[start : self.at], start)
