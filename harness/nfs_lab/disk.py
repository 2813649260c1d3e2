"""The NFS server's disk after a run: kept as an image, and its store read by one server that stands alone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from harness.loopback.server import Group, ServerError
from harness.nfs_lab.pod import Pod
from stanft.conf import edit
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.shell import CommandError
from stanft.traffic.ledger import Ledger, View
from stanft.traffic.reading import Reader

MOST = 64 * 2**20  # bytes of an image that is kept, without its holes
EXPORT = "export"  # the folder that the NFS server gives away, guest/nfs-server.sh
START = 60.0  # seconds for the server to recover the store
LIMIT = 120.0  # seconds for the reading
QUIET = 10.0


def keep(disk: Path, target: Path) -> str:
    """Copy a machine's disk, whose machine is off, without its holes; gives why it was not kept, "" if it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shell.run(["cp", "--sparse=always", str(disk), str(target)])
    size = target.stat().st_blocks * 512
    if size <= MOST:
        return ""
    target.unlink()
    return f"the disk has {size / 2**20:.0f} MiB, and at most {MOST / 2**20:.0f} MiB are kept"


def unpack(disk: Path, folder: Path) -> Path:
    """The exported files of a disk, below folder; the disk itself is mended as at any mount after a power loss.

    Raises CommandError if it is no file system any more.
    """
    # 1 = mended.
    done = shell.run(["e2fsck", "-fy", str(disk)], check=False)
    folder.mkdir(parents=True, exist_ok=True)
    # Into its own directory, as it would end a path at a blank.
    shell.run(["debugfs", "-R", f"rdump /{EXPORT} .", str(disk.absolute())], cwd=folder)
    found = folder / EXPORT
    if not found.is_dir():
        raise CommandError(done.args, done.returncode, f"{done.stdout}{done.stderr}\nthere is no /{EXPORT} on it")
    return found


def read(disk: Path, pod: Pod, folder: Path, ledger: Ledger, channels: list[str]) -> list[View]:
    """What one server with the pod's configuration reads in a disk's store, as views of the ledger.

    It works on copies below folder. A view tells if its reading did not end, or why the server did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "disk"
    shutil.copy(disk, copy)
    why = ""
    try:
        files = unpack(copy, folder)
        store = files / _store(pod).relative_to(pod.mount)
        with Group(folder / "alone", size=1, config=pod.configuration, store=store) as group:
            group.start(timeout=START)
            reader = Reader(group.urls, group.cluster_id, limit=LIMIT, quiet=QUIET)
            return [asyncio.run(reader.read(ledger, channel, name="kept disk")) for channel in channels]
    except (CommandError, ServerError, UserError) as error:
        why = f"no server reads the kept disk: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    views = [ledger.view("kept disk", channel, last=True) for channel in channels]
    for view in views:
        view.unfinished = why
    return views


def _store(pod: Pod) -> Path:
    return Path(edit.find(pod.configuration, "streaming", "dir") or pod.mount)
