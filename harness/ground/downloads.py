"""Tools as their projects release them, where this machine reaches the projects: quicker than a build.

cluster/downloads.json pins each by its sha256. A tool without one is built, as every tool is where nothing can be
downloaded. scripts/lock --downloads fills in what is missing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ground.paths import CLUSTER
from stanft.ground.progress import say, step

FILE = CLUSTER / "downloads.json"
ANSWER_TIMEOUT = 10.0  # seconds for a server to begin an answer, and between two parts of it
SWITCH = "STAN_FT_DOWNLOADS"  # "none" builds everything; any other text is a place that is asked instead of each host


@dataclass(frozen=True)
class Download:
    """A released file; member is the program's path where the file is an archive, "" where it is the program."""

    url: str
    sha256: str
    member: str = ""

    @property
    def place(self) -> str:
        """Where it is asked for: its own address, or the one below the place that the switch names."""
        mirror = os.environ.get(SWITCH, "")
        return f"{mirror.rstrip('/')}/{self.url.rsplit('/', 1)[-1]}" if mirror else self.url


def known(binary: str) -> Download | None:
    """The pinned download of a tool; None where there is none, or downloads are switched off."""
    entry = json.loads(FILE.read_text()).get(binary)
    if entry is None or not entry["sha256"] or os.environ.get(SWITCH) == "none":
        return None
    return Download(**entry)


def fetch(binary: str, target: Path) -> bool:
    """Put the released program into the file target; returns whether it could be had, and says why not.

    A file with another sha256 than the pinned one is never used.
    """
    wanted = known(binary)
    if wanted is None:
        return False
    try:
        with step(f"{binary} from {wanted.place}"):
            content = read(wanted.place)
    except (OSError, ValueError) as error:
        say(f"    {binary} is built instead: {getattr(error, 'reason', error)}")
        return False
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        say(f"    {binary} is built instead: what {wanted.place} gave is not the file that cluster/downloads.json pins")
        return False
    target.write_bytes(_member(content, wanted.member))
    target.chmod(0o755)
    return True


def read(url: str) -> bytes:
    """What is at an http or https address; raises OSError if it cannot be had, ValueError for another address."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url} is neither an http nor an https address")
    with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT) as answer:  # noqa: S310 (checked above)
        return bytes(answer.read())


def _member(content: bytes, name: str) -> bytes:
    if not name:
        return content
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        file = archive.extractfile(name)
        return file.read() if file else b""


def pin() -> None:
    """Fill in the sha256 of each download that has none, from what its server gives now.

    Raises OSError if one cannot be had.
    """
    entries: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    for name, entry in entries.items():
        if not entry["sha256"]:
            entry["sha256"] = hashlib.sha256(read(entry["url"])).hexdigest()
            print(f"{name}: {entry['sha256']}", file=sys.stderr)
    FILE.write_text(json.dumps(entries, indent=2) + "\n")
