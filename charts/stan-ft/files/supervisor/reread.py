"""Files that the server reads at its start and when it is told to: whether they changed, as a renewed certificate."""

from __future__ import annotations

import os
from collections.abc import Sequence

EVERY = 5.0  # seconds between two looks; the kubelet takes about a minute to bring a changed Secret


class Files:
    """What is in some folders; a folder that cannot be read, as while it is exchanged, counts as unchanged."""

    def __init__(self, folders: Sequence[bytes]) -> None:
        self._seen = {folder: _look(folder) for folder in folders}
        self._next = 0.0

    def changed(self, at: float) -> bytes:
        """The first folder that changed since the last look, or b""; looks are EVERY seconds apart or more."""
        if not self._seen or at < self._next:
            return b""
        self._next = at + EVERY
        new = {folder: _look(folder) or seen for folder, seen in self._seen.items()}
        found = [folder for folder, seen in self._seen.items() if new[folder] != seen]
        self._seen = new
        return found[0] if found else b""


def _look(folder: bytes) -> tuple[tuple[bytes, int, int, int], ...]:
    """Each file's name, identity, time and size; what begins with two dots is Kubernetes' own, to which names lead."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(b".."))
        stats = [os.stat(os.path.join(folder, name)) for name in names]
    except OSError:
        return ()
    return tuple((name, one.st_ino, one.st_mtime_ns, one.st_size) for name, one in zip(names, stats, strict=True))
