"""The mount options under which an FT group's lock does not hold, or its writes get lost: one list, each with why.

Sources: nfs(5), mount.cifs(8), amazon-efs-utils' mount helper (options that it takes away before the kernel sees them).
What the charts refuse has the same effect: tests/render/test_mount_options_agree.py holds both together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NFS, EFS, SMB, OTHER = (
    "nfs",
    "efs",
    "smb",
    "other",
)  # the kernel's NFS client, Amazon's mount helper, SMB, anything else
BETA_ANNOTATION: Final = "volume.beta.kubernetes.io/mount-options"

_LOCAL = "locks stay on the node, so every server believes that it is the active one"
_LOSES = "a write that times out returns an error or is dropped, so acknowledged messages may be lost"
_OLD = "before version 4, NFS keeps locks outside of the protocol, and a node that dies keeps its lock for ever"
_HELPER = (
    "it is an option of the EFS mount helper, and the kernel's NFS client refuses the mount (incorrect mount option)"
)
_TAKE_OUT = "take it out"


@dataclass(frozen=True)
class Rule:
    """An option by name and value, the file systems that it means harm on, why, and what to write instead."""

    name: str
    value: str
    on: frozenset[str]
    why: str
    instead: str


def _rule(
    name: str, why: str, instead: str = _TAKE_OUT, *, value: str = ".*", on: Iterable[str] = (NFS, EFS, OTHER)
) -> Rule:
    return Rule(name, value, frozenset(on), why, instead)


_ANY: Final = (NFS, EFS, SMB, OTHER)
RULES: Final = (
    _rule("nolocks?", _LOCAL, on=_ANY),
    _rule("nobrl", _LOCAL, on=_ANY),
    _rule("lock", _LOCAL, value="no|false|0", on=_ANY),
    _rule("local_lock", _LOCAL, "take it out, or write local_lock=none", value="(?!none$).*"),
    _rule("soft(err)?", _LOSES, "use hard", on=_ANY),
    _rule("nfsvers", _OLD, "use nfsvers=4.1", value="[23](\\..*)?"),
    _rule("vers", _OLD, "use nfsvers=4.1", value="[23](\\..*)?", on=(NFS, EFS)),
    _rule("vers", _OLD, "use nfsvers=4.1", value="[23]", on=(OTHER,)),
    _rule("v[23]", _OLD, "use nfsvers=4.1"),
    _rule("nocto", "a server that takes over could read its node's old view of the store"),
    _rule(
        "cache", "a server that takes over could read its node's old view of the store", value="loose", on=(SMB, OTHER)
    ),
    _rule("ro", "the store must be writable", on=_ANY),
    _rule("udp", "NFS 4 runs over TCP"),
    _rule("proto", "NFS 4 runs over TCP", value="udp.*"),
    _rule(
        "tls|iam|accesspoint|awsprofile|awscredsuri|awssts|jwtpath|rolearn|crossaccount|mounttargetip|tlsport|az|noocsp|ocsp",
        _HELPER,
        "use the driver efs.csi.aws.com with volumeHandle fs-...::fsap-..., or take it out",
        on=(NFS,),
    ),
)
_VERSION = re.compile(r"(nfsvers|vers)=.+|v[234](\.\d)?")


def split(options: Iterable[str] | str) -> list[str]:
    """Single options from a list, or a text, whose members may hold several between commas."""
    listed = [options] if isinstance(options, str) else [str(each) for each in options]
    return [part.strip() for each in listed for part in each.split(",") if part.strip()]


def problems(options: Iterable[str] | str, kind: str) -> list[str]:
    """What is wrong with the options of a mount of that kind, one sentence each with what to write instead."""
    found = []
    for option in split(options):
        name, _, value = option.lower().partition("=")
        for rule in RULES:
            if kind in rule.on and re.fullmatch(rule.name, name) and re.fullmatch(rule.value, value):
                found.append(f"{option}: {rule.why} ({rule.instead})")
                break
    return found


def names_version(options: Iterable[str] | str) -> bool:
    """Whether an NFS version is named; without one, a node may fall back to version 3."""
    return any(_VERSION.fullmatch(option.lower()) for option in split(options))


def kind_of(driver: str, protocol: str = "") -> str:
    """The kind of mount that a provisioner or CSI driver makes; protocol is a class parameter of some drivers."""
    name = driver.lower()
    if "efs.csi.aws.com" in name:
        return EFS
    if protocol.lower() == "nfs" or "nfs" in name or "aws-efs" in name or "efs-provisioner" in name:
        return NFS
    if "smb" in name or "cifs" in name or name in ("file.csi.azure.com", "kubernetes.io/azure-file"):
        return SMB
    return OTHER
