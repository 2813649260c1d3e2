"""The mount options under which an FT group's lock does not hold, or its writes get lost: one list, each with why.

Sources: nfs(5), mount.cifs(8), amazon-efs-utils' mount helper (options that it takes away before the kernel sees them).
The charts read the same list from their files/facts.json, which is made from this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NFS, EFS, SMB, OTHER = "nfs", "efs", "smb", "other"  # the kernel's NFS client, an EFS file system, SMB, anything else
BETA_ANNOTATION: Final = "volume.beta.kubernetes.io/mount-options"

_LOCAL = "locks stay on the node, so every server believes that it is the active one"
_LOSES = "a write that times out returns an error or is dropped, so acknowledged messages may be lost"
_OLD = "before version 4, NFS keeps locks outside of the protocol, and a node that dies keeps its lock for ever"
_STALE = "a server that takes over could read its node's old view of the store"
_HELPER = (
    "it is an option of the EFS mount helper, and the kernel's NFS client refuses the mount (incorrect mount option)"
)
_TAKE_OUT = "take it out"


@dataclass(frozen=True)
class Rule:
    """An option by name and value, the file systems that it means harm on, why, and what to write instead.

    Name and value are expressions that Python and Go's RE2 read alike: charts read them too (files/facts.json).
    """

    name: str
    value: str
    on: tuple[str, ...]
    why: str
    instead: str

    @property
    def match(self) -> str:
        """One expression for the whole option in lower case, without blanks."""
        return f"^({self.name})(=({self.value}))?$" if self.value == _ANY_VALUE else f"^({self.name})=({self.value})$"


def _rule(
    name: str, why: str, instead: str = _TAKE_OUT, *, value: str = ".*", on: tuple[str, ...] = (NFS, EFS, OTHER)
) -> Rule:
    return Rule(name, value, on, why, instead)


_ANY_VALUE: Final = ".*"
_ANY: Final = (NFS, EFS, SMB, OTHER)
RULES: Final = (
    _rule("nolocks?|no_remote_lock|no_remote_posix_lock|no_remote_flock", _LOCAL, on=_ANY),
    _rule("nobrl|noflock|localflocks?|nodfs_lock", _LOCAL, on=_ANY),
    _rule("lock", _LOCAL, value="no|false|0", on=_ANY),
    _rule("local_lock", _LOCAL, "take it out, or write local_lock=none", value="all|posix|flock"),
    _rule("soft|softerr|softreval", _LOSES, "use hard", on=_ANY),
    _rule("nfsvers", _OLD, "use nfsvers=4.1", value="[23](\\..*)?"),
    _rule("vers", _OLD, "use nfsvers=4.1", value="[23](\\..*)?", on=(NFS, EFS)),
    _rule("vers", _OLD, "use nfsvers=4.1", value="[23]", on=(OTHER,)),
    _rule("v[23]", _OLD, "use nfsvers=4.1"),
    _rule("nfsvers|vers", "EFS speaks NFS 4.0 and 4.1 only", "use nfsvers=4.1", value="4\\.2", on=(EFS,)),
    _rule("v4\\.2", "EFS speaks NFS 4.0 and 4.1 only", "use nfsvers=4.1", on=(EFS,)),
    _rule("nocto", _STALE),
    _rule("cache", _STALE, value="loose", on=(SMB, OTHER)),
    _rule("ro", "the store must be writable", on=_ANY),
    _rule("udp6?", "NFS 4 runs over TCP"),
    _rule("proto", "NFS 4 runs over TCP", value="udp.*"),
    _rule("nconnect", "EFS does not support it", on=(EFS,)),
    _rule("sec", "EFS does not support it", value="krb5.*", on=(EFS,)),
    _rule(
        "tls|iam|accesspoint|awsprofile|awscredsuri|awssts|jwtpath|rolearn|crossaccount|mounttargetip|tlsport|az|noocsp"
        "|ocsp|cafile|stunnel.*",
        _HELPER,
        "use the driver efs.csi.aws.com with volumeHandle fs-...::fsap-..., or take it out",
        on=(NFS,),
    ),
)
VERSION: Final = r"^((nfsvers|vers)=.+|v[234](\.[0-9])?)$"
# What a provisioner's or CSI driver's name says about its mounts; the first that is found decides.
DRIVERS: Final = (
    (r"efs\.csi\.aws\.com", EFS),
    (r"nfs|aws-efs|efs-provisioner", NFS),
    (r"smb|cifs|^(file\.csi\.azure\.com|kubernetes\.io/azure-file)$", SMB),
)


def split(options: Iterable[str] | str) -> list[str]:
    """Single options from a list, or a text, whose members may hold several between commas."""
    listed = [options] if isinstance(options, str) else [str(each) for each in options]
    return [part.strip() for each in listed for part in each.split(",") if part.strip()]


def problems(options: Iterable[str] | str, kind: str) -> list[str]:
    """What is wrong with the options of a mount of that kind, one sentence each with what to write instead."""
    found = []
    for option in split(options):
        for rule in RULES:
            if kind in rule.on and re.search(rule.match, option.lower()):
                found.append(f"{option}: {rule.why} ({rule.instead})")
                break
    return found


def names_version(options: Iterable[str] | str) -> bool:
    """Whether an NFS version is named; without one, a node may fall back to version 3."""
    return any(re.search(VERSION, option.lower()) for option in split(options))


def kind_of(driver: str, protocol: str = "") -> str:
    """The kind of mount that a provisioner or CSI driver makes; protocol is a class parameter of some drivers."""
    if protocol.lower() == "nfs" and "efs.csi.aws.com" not in driver.lower():
        return NFS
    return next((kind for pattern, kind in DRIVERS if re.search(pattern, driver.lower())), OTHER)
