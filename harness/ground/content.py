"""Content-addressed cache: what was built is kept under a hash of everything that went into it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from harness.ground.paths import cache, keep_owner, make
from stanft.ground.progress import step

_FULL = ("no space left on device", "disk quota exceeded")
_ROOM = 2**20  # bytes; a disk with less is what stopped a program


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
            with step(waiting) if waiting else nullcontext():
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
    with locked(target, f"another run makes {name}: waiting for it"):
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


def full_disk_advice(trouble: OSError | str) -> str:
    """What to do about an error, or about what a program said when it failed, if a disk is full; "" if it is not.

    A program's own files may be gone by now, so that its words tell of the full disk and the disk itself does not.
    """
    if isinstance(trouble, OSError):
        full = trouble.errno in (errno.ENOSPC, errno.EDQUOT)
    else:
        said = any(words in trouble.lower() for words in _FULL)
        full = said or shutil.disk_usage(cache()).free < _ROOM
    return "The disk is full: free some space, or point STAN_FT_CACHE at a larger disk, then run this again." * full
