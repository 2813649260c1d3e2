"""scripts/up: from a bare machine to a running, proven fault-tolerant group on a local kind cluster."""

from __future__ import annotations

import argparse
import time

from harness.charts import environments
from harness.ground.toolchain import MINORS
from harness.local.plan import ENVIRONMENT
from harness.local.status import show
from harness.local.up import up, wanted_registry
from stanft.cli import common
from stanft.ground.progress import say
from stanft.group import status


def main() -> int:
    """Bring everything up and print its state."""
    parser = argparse.ArgumentParser(
        prog="scripts/up",
        description="Brings up a 4-node kind cluster with both charts, and proves it by a message through each server. "
        "Installs and starts what it needs. Running it again is quick and harmless.",
        epilog=f"STAN_FT_KUBERNETES chooses the Kubernetes of a new cluster: {', '.join(MINORS)}. STAN_FT_PORT, "
        "STAN_FT_CLUSTER and STAN_FT_DEBIAN (a Debian mirror for the node image): see README.md.",
    )
    parser.add_argument(
        "--environment",
        default=ENVIRONMENT,
        metavar="NAME",
        help=f"values from environments/NAME ({', '.join(environments.names())}; default: %(default)s)",
    )
    parser.add_argument(
        "--registry",
        default=wanted_registry(),
        metavar="auto|none|HOST",
        help="auto: pull images if a container registry answers, else build them; none: build; HOST: pull from a "
        "mirror (also STAN_FT_REGISTRY; default: %(default)s)",
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    deployment = up(arguments.environment, arguments.registry)
    say(f"==> ready after {time.monotonic() - started:.0f} s\n")
    print(show(deployment.cluster, status.look(deployment.group)))
    return 0


if __name__ == "__main__":
    common.run(main)
