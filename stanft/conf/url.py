"""Which addresses Go can read: one that it cannot is a nil pointer for the server, or the end of its start.

Source: Go net/url/url.go Parse (as far as addresses of NATS servers need it).
"""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_BAD_IN_HOST = re.compile(r"[\s\\^`{|}%]")


def problem(text: str) -> str | None:
    """Why Go cannot read an address, None if it can."""
    text = text.partition("#")[0].partition("?")[0]
    if any(ord(each) < 0x20 or ord(each) == 0x7F for each in text):
        return "it holds a control character"
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    if text.startswith(":") or (not scheme and ":" in rest.partition("/")[0] and not rest.startswith("/")):
        return "it has no scheme such as nats://"
    if not rest.startswith("//"):
        return None
    host = rest[2:].partition("/")[0].rpartition("@")[2]
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if _BAD_IN_HOST.search(host):
        return "its host holds a character that no host has"
    if colon and port and not port.isdecimal():
        return f"its port is {port}"
    if name.startswith("[") != name.endswith("]"):
        return "a bracket of its host is missing"
    return None


def credentials(text: str) -> bool:
    """Whether an address carries a password: something behind the user's name and a colon."""
    match = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://([^/@]*)@", text.strip())
    return match is not None and ":" in match.group(1) and not match.group(1).endswith(":")
