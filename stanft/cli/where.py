"""The options that say which cluster and group are meant, as kubectl has them, and what they lead to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stanft.faults.scene import Nodes
from stanft.group.live import Group
from stanft.kube import api
from stanft.words import MONITOR_PORT, NAME

_own: list[Callable[[], Nodes | None]] = []


def own_cluster(find: Callable[[], Nodes | None]) -> None:
    """Say what finds a cluster of one's own, whose nodes can be reached; it is the default where it exists."""
    _own[:] = [find]


@dataclass(frozen=True)
class Where:
    """The cluster that is meant: how it is asked, the namespace, and its nodes if they are ours."""

    kubeconfig: Path | None
    context: str | None
    namespace: str
    nodes: Nodes | None

    def group(self, name: str, monitor_port: int = MONITOR_PORT) -> Group:
        """The group of that StatefulSet; raises UserError if there is no usable kubeconfig."""
        made = Group.connect(kubeconfig=self.kubeconfig, context=self.context, name=name, namespace=self.namespace)
        made.monitor_port = monitor_port
        return made


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add --context, --kubeconfig and --namespace."""
    parser.add_argument("--context", help="kubeconfig context (default: the current one)")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="kubeconfig file (default: as for kubectl)")
    parser.add_argument("--namespace", "-n", help="namespace (default: the context's)")


def add_name(parser: argparse._ActionsContainer) -> None:
    """Add --name, the StatefulSet of the group."""
    parser.add_argument(
        "--name", "--statefulset", dest="name", default=NAME, help="name of the StatefulSet (default: %(default)s)"
    )


def add_monitor_port(parser: argparse._ActionsContainer) -> None:
    """Add --monitor-port."""
    parser.add_argument(
        "--monitor-port", type=_port, default=MONITOR_PORT, metavar="PORT", help="of the servers (default: %(default)s)"
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535, such as {MONITOR_PORT}")
    return int(text)


def find(options: argparse.Namespace) -> Where:
    """What the options of add_options lead to."""
    kubeconfig, context = options.kubeconfig, options.context
    own = next((find() for find in _own), None)
    if own is not None and kubeconfig is None and (context == own.context or (context is None and not _chosen())):
        kubeconfig = own.kubeconfig
    is_own = (
        own is not None
        and kubeconfig is not None
        and kubeconfig.resolve() == own.kubeconfig.resolve()
        and context in (None, own.context)
    )
    namespace = options.namespace or api.namespace(kubeconfig, context)
    return Where(kubeconfig, context, namespace, own if is_own else None)


def _chosen() -> bool:
    return "KUBECONFIG" in os.environ
