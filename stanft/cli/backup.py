"""stan-ft backup and stan-ft restore: a copy of a store that may repeat and never loses, and its way back."""

from __future__ import annotations

import argparse
from pathlib import Path

from stanft.store import backup


def parser() -> argparse.ArgumentParser:
    """The arguments of stan-ft backup."""
    made = argparse.ArgumentParser(
        prog="stan-ft backup",
        description="Copies a NATS Streaming store into a new folder, also while servers run on it, and proves the "
        "copy. What was acknowledged to a publisher before the start is in it; positions of durables may be a little "
        "old, so that a restore can deliver a message again and never leaves one out. Cut ends, stale indexes and "
        "positions that are ahead of their messages are mended in the copy.",
        epilog="Exit code: 0 done and proven, 2 not done. Example: stan-ft backup /data/stan/store /backups/2026-11-26",
    )
    made.add_argument("directory", type=Path, help="the store: streaming.dir of the configuration")
    made.add_argument("target", type=Path, help="a new folder, outside the store")
    made.add_argument("--no-crc", action="store_true", help="leave checksums unread (stores with their own crc_poly)")
    return made


def restore_parser() -> argparse.ArgumentParser:
    """The arguments of stan-ft restore."""
    made = argparse.ArgumentParser(
        prog="stan-ft restore",
        description="Puts a backup into an empty store directory and proves it there. Stop every server of the group "
        "before, also standbys. What was published after the backup is gone, and its sequence numbers are given again.",
        epilog="Exit code: 0 done and proven, 2 not done. "
        "Example: stan-ft restore /backups/2026-11-26 /data/stan/store",
    )
    made.add_argument("backup", type=Path, help="a folder that stan-ft backup made")
    made.add_argument("directory", type=Path, help="the store's directory, empty")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Make a backup as the arguments say; gives the exit code."""
    options = parser().parse_args(arguments)

    return _told(backup.backup(options.directory, options.target, crc=not options.no_crc), "backed up")


def restore_main(arguments: list[str] | None = None) -> int:
    """Restore as the arguments say; gives the exit code."""
    options = restore_parser().parse_args(arguments)
    return _told(backup.restore(options.backup, options.directory), "restored")


def _told(done: backup.Copied, what: str) -> int:
    for note in done.notes:
        print(f"note: {note}")
    how = " while a server wrote" if done.live else ""
    print(
        f"{what} and proven{how}: {done.channels} channels, {done.messages} messages, {done.durables} durables, "
        f"{done.size} bytes"
    )
    return 0
