"""stan-ft verify: reads a store directory without a server and names what is wrong with it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from stanft.conf import duration, parse
from stanft.conf.told import Told, told
from stanft.ground.errors import UserError
from stanft.invariants import Manifests, directory
from stanft.store import limits, state, verify
from stanft.store.findings import Finding, Harm


def parser() -> argparse.ArgumentParser:
    """The arguments of this command."""
    made = argparse.ArgumentParser(
        prog="stan-ft verify",
        description="Reads the files of a NATS Streaming store (a mounted volume, a copy, a backup) without a server: "
        "counts channels, messages and durables, checks every checksum, index and position, and names each damage with "
        "what it does to a server: it stops it, or it loses messages without a word. Nothing is written.",
        epilog="Exit code: 0 whole, 1 damaged, 2 no store or not readable. While a server holds the store, ends of "
        "files that move are no damage. Examples: stan-ft verify /data/stan/store; helm template stan charts/stan-ft "
        "-f values.yaml | stan-ft verify /data/stan/store --config -",
    )
    made.add_argument("directory", type=Path, help="the store: streaming.dir of the configuration")
    made.add_argument("--channel", default="", help="only this channel")
    made.add_argument(
        "--config",
        metavar="FILE",
        help="a stan.conf, or manifests that hold one (- for standard input): say what a server would drop of this "
        "store at its first start with it, before it does",
    )
    made.add_argument("--json", action="store_true", help="print everything as JSON")
    made.add_argument(
        "--no-crc", action="store_true", help="leave checksums unread (stores with file_options.crc_poly of their own)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Read, print and judge as the arguments say; gives the exit code."""
    options = parser().parse_args(arguments)
    store = state.read(options.directory, crc=not options.no_crc, only=options.channel)
    if options.config:
        store.own += _by_configuration(store, options.config)
    print(json.dumps(verify.as_data(store), indent=2) if options.json else verify.as_text(store))
    return 1 if verify.judged_bad(store) else 0


def _by_configuration(store: state.Store, name: str) -> list[Finding]:
    """What the first start with a configuration would do to the store. Raises UserError for one that cannot be read."""
    known = _told(sys.stdin.read() if name == "-" else directory.text_of(Path(name)), name)
    settings: dict[tuple[str, ...], int] = {}
    for entry in (entry for source in known.sources for entry in source.entries()):
        for path in entry.names:
            if path[0] == "store_limits" and len(path) > 1 and (number := _number(entry.value)) is not None:
                settings[path[1:]] = number
    for key in limits.DEFAULTS:  # what options said counts more than the file
        if (number := _number(known.streaming.get(f"store_limits.{key}"))) is not None:
            settings[(key,)] = number
    found = limits.findings(store, settings, now=time.time_ns())
    wanted = known.streaming.get("id", "test-cluster")
    if store.cluster_id and isinstance(wanted, str) and wanted != store.cluster_id:
        text = f"it is the cluster {store.cluster_id}'s, the configuration says {wanted}: no server would start on it"
        found.append(Finding(state.SERVER, "identity", text, Harm.STOPS))
    return found


def _told(text: str, name: str) -> Told:
    """What a stan.conf, or the one server among manifests, is told."""
    if "apiVersion:" in text or '"apiVersion"' in text:
        items = [item for each in directory.documents(text, name) for item in directory.objects_of(each) or []]
        servers = Manifests(items).servers
        if len(servers) != 1 or not servers[0].known:
            raise UserError(f"{name} holds {len(servers)} servers whose configuration can be read: give those of one.")
        return servers[0].told
    try:
        document = parse.read(text)
    except parse.ConfError as error:
        raise UserError(f"{name} cannot be read as a stan.conf: {error}.") from error
    return told(["-sc", name], lambda _: document)


def _number(value: Any) -> int | None:
    """A limit as a number, an age in nanoseconds; None for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return duration.nanoseconds(value) if isinstance(value, str) else None
    except ValueError:
        return None
