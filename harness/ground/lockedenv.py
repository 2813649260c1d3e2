"""Makes the virtual environment that holds what requirements.lock pins, before anything else is there.

Called by scripts/lib/bootstrap.sh with any Python of the lock's versions, so it stands on the standard library alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness.ground import content
from harness.ground.paths import REPO, cache
from stanft.ground.errors import UserError
from stanft.ground.progress import say

LOCK = REPO / "requirements.lock"
# Settings of pip that would put packages elsewhere or leave some out; index, proxy and certificates stay the user's.
_FOREIGN = ("PIP_CONSTRAINT", "PIP_DRY_RUN", "PIP_PREFIX", "PIP_REQUIREMENT", "PIP_ROOT", "PIP_TARGET")


def main() -> None:
    """Print the path of the cache and that of the environment's Python, a line each; exit code 1 for an error."""
    try:
        print(cache(), ensure(), sep="\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        words = content.full_disk_advice(error) or error.strerror
        print(f"error: {error.filename or cache()}: {words}", file=sys.stderr)
        sys.exit(1)


def ensure() -> Path:
    """The Python of the environment for this lock file and this interpreter, made first if it is not there.

    What an earlier try left half done is removed. Raises UserError if the packages cannot be had or do not fit.
    """
    interpreter = Path(sys.executable).resolve()
    key = content.digest(LOCK, f"{sys.version}\n{interpreter}")
    target = cache() / "venv" / key
    complete = target / ".complete"
    if not complete.exists():
        with content.locked(target):
            if not complete.exists():
                _make(target, interpreter)
                complete.touch()
    return target / "bin" / "python"


def _make(target: Path, interpreter: Path) -> None:
    say("==> Python packages from requirements.lock")
    started = time.monotonic()
    temporary = target.with_name(f"{target.name}.tmp")  # beside it: a small /tmp is no place for 100 MB of wheels
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # A second copy of all wheels in the user's home would stay there.
    variables |= {"PIP_NO_CACHE_DIR": "1", "PIP_USER": "0", "TMPDIR": str(temporary)}
    pip: list[str | Path] = [target / "bin" / "python", "-I", "-m", "pip", "--disable-pip-version-check"]
    whole = False
    try:
        for folder in (target, temporary):
            shutil.rmtree(folder, ignore_errors=True)
        temporary.mkdir()
        _run(
            [interpreter, "-I", "-m", "venv", target],
            variables,
            f"{interpreter} could not make a virtual environment",
            "Install the distribution's package with the module venv, or another Python.",
        )
        options = ["--quiet", "--no-compile", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        _run(
            [*pip, "install", *options, "--requirement", LOCK],
            variables,
            "the Python packages could not be installed",
            "Check that this machine reaches a Python package index (pip's settings), then run this again.",
        )
        _run(
            [*pip, "check"],
            variables,
            "the installed Python packages do not fit each other",
            "This is a mistake in requirements.lock: scripts/lock writes it anew.",
        )
        whole = True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not whole:
            shutil.rmtree(target, ignore_errors=True)
    say(f"    done in {time.monotonic() - started:.0f} s")


def _run(command: list[str | Path], variables: dict[str, str], failure: str, remedy: str) -> None:
    done = subprocess.run(
        command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        if full := content.full_disk_advice(said):
            raise UserError(f"{failure}. {full}")
        raise UserError(f"{failure}:\n{said[-2000:]}\n{remedy}")
