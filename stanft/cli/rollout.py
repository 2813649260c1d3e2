"""scripts/rollout: restarts a fault-tolerant group, standbys first and the active last."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stanft.ground.errors import UserError
from stanft.group import rollout


def main() -> None:
    """Restart as the arguments say; exit code 0 when the group is whole again, 1 when not, 2 for bad arguments."""
    options = _parser().parse_args()
    try:
        rollout.restart(
            options.namespace,
            options.statefulset,
            everything=options.all,
            kubeconfig=options.kubeconfig,
            context=options.context,
            monitor_port=options.monitor_port,
            timeout=options.timeout,
            say=lambda line: print(line, flush=True),
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the pods restarted so far stay so, and another run goes on from here.", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/rollout",
        description="Restart the pods of a fault-tolerant NATS Streaming group that are older than their StatefulSet: "
        "standbys first, each Ready and with all its routes before the next, the active last. The active moves once. "
        "For StatefulSets with the update strategy OnDelete, which leaves the restarts to this program "
        "(rollout.strategy: OnDelete in charts/stan-ft); any group of any origin can be restarted with --all.",
        epilog="Needs a kubeconfig whose user may get the StatefulSet, get and delete its pods, and get pods/proxy. "
        "It can be run again at any point. Example: scripts/rollout --namespace messaging --context prod",
    )
    parser.add_argument("--namespace", "-n", default="default", help="namespace of the group (default: default)")
    parser.add_argument("--statefulset", default="stan", help="name of the StatefulSet (default: stan)")
    parser.add_argument("--all", action="store_true", help="restart every pod, also those that are up to date")
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig file (default: as for kubectl)")
    parser.add_argument("--context", default="", help="context of the kubeconfig (default: its current one)")
    parser.add_argument("--monitor-port", type=int, default=8222, metavar="PORT", help="default: 8222")
    parser.add_argument("--timeout", type=int, default=240, metavar="SECONDS", help="default: 240")
    return parser


if __name__ == "__main__":
    main()
