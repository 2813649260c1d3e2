"""stan-ft rollout: restarts a fault-tolerant group, standbys first and the active last."""

from __future__ import annotations

import argparse
import dataclasses
import json

from stanft.cli import where
from stanft.ground import bounds
from stanft.ground.errors import UserError
from stanft.ground.progress import say
from stanft.group import rollout
from stanft.words import server_container

MOST_SECONDS = 86400
EPILOG = """examples:
  stan-ft rollout --namespace messaging --context prod
  stan-ft rollout -n messaging --all                     also pods that are up to date, or of any origin

Needs a user who may get the StatefulSet, get and delete its pods, create pods/eviction, get pods/proxy, and get,
create, update and delete leases. It can be run again at any point.

exit codes: 0 the group is whole again, 2 it is not, or could not be read (what was restarted stays so)."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft rollout",
        description="Restart the pods of a fault-tolerant NATS Streaming group that are older than their StatefulSet: "
        "standbys first, each Ready and with all its routes before the next, the active last. The active moves once. "
        "For StatefulSets with the update strategy OnDelete, which leaves the restarts to this program "
        "(rollout.strategy: OnDelete in charts/stan-ft); any group of any origin can be restarted with --all.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where.add_options(made)
    where.add_name(made)
    made.add_argument("--all", action="store_true", help="restart every pod, also those that are up to date")
    where.add_monitor_port(made)
    made.add_argument(
        "--timeout",
        type=int,
        default=int(bounds.ROLLED),
        metavar="SECONDS",
        help="for all of it (default: %(default)s)",
    )
    made.add_argument("--format", choices=("table", "json"), default="table", help="of the outcome (default: table)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Restart as the arguments say. Raises UserError when the group is not whole again in time."""
    options = parser().parse_args(arguments)
    if not 1 <= options.timeout <= MOST_SECONDS:
        raise UserError(f"--timeout must be from 1 to {MOST_SECONDS} seconds, such as --timeout {bounds.ROLLED:.0f}.")
    place = where.find(options)
    template = place.group(options.name).stateful_set().spec.template
    try:
        done = rollout.restart(
            place.namespace,
            options.name,
            everything=options.all,
            kubeconfig=place.kubeconfig,
            context=place.context or "",
            container=server_container(template),
            monitor_port=options.monitor_port,
            timeout=options.timeout,
            say=say if options.format == "json" else lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        say("stopped; the pods restarted so far stay so, and another run goes on from here.")
        raise
    if options.format == "json":
        print(json.dumps(dataclasses.asdict(done)))
    return 0
