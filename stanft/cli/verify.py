"""stan-ft verify: reads a store directory without a server and names what is wrong with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stanft.store import state, verify


def parser() -> argparse.ArgumentParser:
    """The arguments of this command."""
    made = argparse.ArgumentParser(
        prog="stan-ft verify",
        description="Reads the files of a NATS Streaming store (a mounted volume, a copy, a backup) without a server: "
        "counts channels, messages and durables, checks every checksum, index and position, and names each damage with "
        "what it does to a server: it stops it, or it loses messages without a word. Nothing is written.",
        epilog="Exit code: 0 whole, 1 damaged, 2 no store or not readable. While a server holds the store, ends of "
        "files that move are no damage. Example: stan-ft verify /data/stan/store",
    )
    made.add_argument("directory", type=Path, help="the store: streaming.dir of the configuration")
    made.add_argument("--channel", default="", help="only this channel")
    made.add_argument("--json", action="store_true", help="print everything as JSON")
    made.add_argument(
        "--no-crc", action="store_true", help="leave checksums unread (stores with file_options.crc_poly of their own)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Read, print and judge as the arguments say; gives the exit code."""
    options = parser().parse_args(arguments)
    store = state.read(options.directory, crc=not options.no_crc, only=options.channel)
    print(json.dumps(verify.as_data(store), indent=2) if options.json else verify.as_text(store))
    return 1 if verify.judged_bad(store) else 0
