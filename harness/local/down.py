"""Takes away what scripts/up made: the cluster, the engine that was started here, and on request what was built."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.cluster import engine as engines
from harness.cluster import kind, network
from harness.ground import system
from harness.ground.paths import REPO, cache
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say, step


def down(everything: bool = False) -> None:
    """Take away the cluster and the engine that was started here; with everything also all that was built.

    An engine that was there before keeps running, without anything that was put into it. Does nothing where there is
    nothing; waits for a scripts/up of the same cluster. Raises UserError without root rights.
    """
    if everything and (REPO.is_relative_to(cache()) or Path.home().is_relative_to(cache())):
        raise UserError(f"the cache is {cache()}, which holds more than what was built: clear it by hand.")
    with kind.locked():
        engine = engines.find()
        if engine is not None:
            kind.delete(engine)
            network.remove_routes()
        shutil.rmtree(kind.home(), ignore_errors=True)
        last = engine is None or not kind.all_nodes(engine)
        if engine is not None and last and (everything or engine.host == engines.OWN_SOCKET):
            engines.remove_network(engine)
            if everything:
                engines.remove_images(engine)
        if last and engines.stop_own():
            say("    the container engine that was started here is stopped")
    if everything:
        with step("removing what was built"):
            if last:
                engines.remove_own()
            shell.run(system.as_root(["rm", "-rf", cache()]))
