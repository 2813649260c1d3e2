"""Content-addressed cache: what was built is kept under a hash of everything that went into it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.ground.paths import cache, keep_owner, make
from stanft.ground.progress import say


def digest(*parts: str | bytes | Path) -> str:
    """A short hash over texts, files and directory trees (names and contents; executable bit included)."""
    total = hashlib.sha256()
    for part in parts:
        for item in _flatten(part):
            total.update(hashlib.sha256(item).digest())
    return total.hexdigest()[:16]


def _flatten(part: str | bytes | Path) -> Iterable[bytes]:
    if isinstance(part, str):
        yield part.encode()
    elif isinstance(part, bytes):
        yield part
    elif part.is_dir():
        for file in sorted(p for p in part.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            yield str(file.relative_to(part)).encode()
            yield b"x" if file.stat().st_mode & 0o100 else b"-"
            yield file.read_bytes()
    else:
        yield part.read_bytes()


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold an exclusive lock beside path, so that two runs never make the same thing at once.

    waiting is said when another run holds it.
    """
    make(path.parent)
    with Path(f"{path}.lock").open("w") as handle:
        keep_owner(Path(handle.name))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                say(f"    {waiting}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def built(kind: str, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory <cache>/<kind>/<name>-<key>, made by build(empty directory) if it is not there yet.

    A build that fails or is interrupted leaves nothing behind, so that a full disk does not stay full.
    Raises what build raises.
    """
    target = cache() / kind / f"{name}-{key}"
    if target.exists():
        return target
    with locked(target):
        if not target.exists():
            partial = target.with_name(f".{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                build(partial)
                keep_owner(partial)
                partial.rename(target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    return target


def full_disk_advice(error: OSError) -> str:
    """What to add to the words of an error that says that a disk is full; nothing for any other."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "\nFree some space there, or point STAN_FT_CACHE at a larger disk, then run this again." if full else ""
