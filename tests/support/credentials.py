"""An operator with one account for tests, and credentials files of its users: what nsc would make."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stanft.stan.keys import KINDS, Identity

LIMITS = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
STORED = ("mem_storage", "disk_storage", "streams", "consumer")  # not for the system's account
CREDENTIALS = """\
-----BEGIN NATS USER JWT-----
{claim}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


def fresh(kind: str) -> Identity:
    """A new key: an operator's, an account's or a user's."""
    return Identity(Ed25519PrivateKey.generate(), KINDS[kind])


def _claim(by: Identity, of: Identity, kind: str, **more: Any) -> str:
    """A claim (JWT) about a key, signed by another."""
    body = {"jti": "test", "iat": int(time.time()), "iss": by.public, "sub": of.public, "name": kind}
    parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, {**body, "nats": {**more, "type": kind, "version": 2}})
    text = b".".join(_url(json.dumps(part).encode()) for part in parts)
    return (text + b"." + _url(by.sign(text))).decode()


def _url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class Operator:
    """An operator, whose account A has all rights and whose account SYS is the system's."""

    def __init__(self) -> None:
        self.key, self.account, self.system = fresh("operator"), fresh("account"), fresh("account")

    def config(self) -> str:
        """The lines that make a server trust it."""
        everything = {**dict.fromkeys((*LIMITS, *STORED), -1), "wildcards": True}
        limits = {self.account: everything, self.system: everything | dict.fromkeys(STORED, 0)}
        accounts = {one.public: _claim(self.key, one, "account", limits=own) for one, own in limits.items()}
        preload = "\n".join(f"  {name}: {claim}" for name, claim in accounts.items())
        operator = _claim(self.key, self.key, "operator")
        return (
            f"operator: {operator}\nsystem_account: {self.system.public}\nresolver: MEMORY\n"
            f"resolver_preload {{\n{preload}\n}}\n"
        )

    def user(self, path: Path) -> Path:
        """Write the credentials file of a new user of account A."""
        user = fresh("user")
        claim = _claim(self.account, user, "user", subs=-1, data=-1, payload=-1)
        path.write_text(CREDENTIALS.format(claim=claim, seed=user.seed))
        return path
