"""Logins with NKeys and credentials files: the server's nonce is signed with a seed, an Ed25519 key in NATS' letters.

nats-py leaves that to the package nkeys, of which there are no wheels.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stanft.ground import textfile
from stanft.ground.errors import UserError

# nats-io/nkeys strkey.go: the first letter of a key is what it is (S a seed, U a user), two bytes at the end check it.
_SEED = 18 << 3
KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_PART = r"-----BEGIN {0}-----\s+(\S+)\s+-+END {0}-----"


@dataclass(frozen=True)
class Identity:
    """A seed and what it opens; token is the signed claim (JWT) of a credentials file, "" for a bare key."""

    key: Ed25519PrivateKey
    kind: int
    token: str = ""

    @property
    def public(self) -> str:
        """The public key in NATS' letters."""
        return _letters(bytes([self.kind]) + self.key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The seed in NATS' letters."""
        head = bytes([_SEED | self.kind >> 5, (self.kind & 31) << 3])
        return _letters(head + self.key.private_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """The signature of a text, as its bare bytes."""
        return self.key.sign(text)


def of_seed(seed: str, where: str) -> Identity:
    """The key of a seed in NATS' letters. Raises UserError that names where it stands, and not the seed."""
    wrong = UserError(f"{where} holds no NKey seed: it begins with S and has 58 letters (nk -gen user writes one).")
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except ValueError:
        raise wrong from None
    if len(raw) != 36 or _check(raw[:-2]) != raw[-2:] or raw[0] & 0xF8 != _SEED:
        raise wrong
    return Identity(Ed25519PrivateKey.from_private_bytes(raw[2:34]), (raw[0] & 7) << 5 | raw[1] >> 3)


def of_seed_file(path: Path) -> Identity:
    """The key of a file that holds a seed. Raises UserError."""
    return of_seed(textfile.read(path).strip(), str(path))


def of_credentials(path: Path) -> Identity:
    """The key and the claim of a credentials file. Raises UserError."""
    text = textfile.read(path)
    claim, seed = (re.search(_PART.format(what), text) for what in ("NATS USER JWT", "USER NKEY SEED"))
    if claim is None or seed is None:
        raise UserError(f"{path} is no credentials file: it has a part NATS USER JWT and a part USER NKEY SEED.")
    return Identity(of_seed(seed[1], str(path)).key, KINDS["user"], claim[1])


def _check(raw: bytes) -> bytes:
    return binascii.crc_hqx(raw, 0).to_bytes(2, "little")


def _letters(raw: bytes) -> str:
    return base64.b32encode(raw + _check(raw)).decode().rstrip("=")
