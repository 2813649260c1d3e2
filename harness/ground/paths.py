"""Where things are: the checkout and the cache (one place, so that nothing else builds a path from parts)."""

from __future__ import annotations

import os
from pathlib import Path

from stanft.ground.errors import UserError

REPO = Path(__file__).resolve().parents[2]
CHARTS = Path(os.environ.get("STAN_FT_CHARTS") or REPO / "charts")  # moved by scripts/mutate, to test broken copies
ENVIRONMENTS = REPO / "environments"
CLUSTER = REPO / "cluster"


def cache() -> Path:
    """The directory that keeps what was built, by content hash; STAN_FT_CACHE moves it, made if it is not there.

    Raises UserError where there is no place for it.
    """
    named = os.environ.get("STAN_FT_CACHE")
    # A relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification).
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(xdg) if xdg.startswith("/") else Path.home() / ".cache"
        directory = Path(named).expanduser().absolute() if named else base / "stan-ft"
    except RuntimeError as error:
        raise UserError("this user has no home directory: set HOME, or STAN_FT_CACHE to a directory.") from error
    if ":" in str(directory):
        raise UserError(f"the cache {directory} has a colon in its name, which PATH cannot hold: set STAN_FT_CACHE.")
    try:
        make(directory)
    except OSError as error:
        raise UserError(f"the cache {directory} cannot be made ({error.strerror}): set STAN_FT_CACHE.") from error
    return directory


def bytecode() -> dict[str, str]:
    """The variables with which pytest keeps compiled code in the cache, rewritten asserts too, to halve its start."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache() / "bytecode")}


def make(directory: Path) -> None:
    """Make a directory and those above it; what root makes in another user's directory stays that user's."""
    if directory.is_dir():
        return
    make(directory.parent)
    directory.mkdir(exist_ok=True)
    keep_owner(directory)


def keep_owner(path: Path) -> None:
    """Give what root made (a file, a directory with all in it) to the owner of the directory that holds it.

    sudo runs as root with the user's cache; what it leaves there has to be the user's, who could not use it otherwise.
    """
    if os.geteuid() != 0:
        return
    owner = path.parent.stat()
    if owner.st_uid == 0:
        return
    for each in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        if each.lstat().st_uid == 0:
            os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)
