"""What scripts/nfs-lab --recovery tells: requests as the kernel counts them, medians of recoveries."""

from __future__ import annotations

import pytest

from harness.nfs_lab.recovery import BARE, SUPERVISED, Recovery, requests, table

# The lines that Linux writes for a mount (net/sunrpc/stats.c): kind, requests, transmissions, and more.
SAID = """
device 10.99.0.1:/ mounted on /data/stan with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.1
\t       OPEN: 3 3 0 900 700 1 2 3 0
\tOPEN_NOATTR: 40 41 0 900 700 1 2 3 0
\t      CLOSE: 42 42 0 900 700 1 2 3 0
\t       LOCK: 5 5 0 900 700 1 2 3 0
\t      LOCKT: 600 600 0 900 700 1 2 3 0
\t      LOCKU: 4 4 0 900 700 1 2 3 0
"""


@pytest.mark.parametrize(("kind", "number"), [("OPEN", 43), ("CLOSE", 42), ("LOCK", 5), ("LOCKU", 4), ("READ", 0)])
def test_requests_of_a_kind_are_counted_once_each(kind: str, number: int) -> None:
    assert requests(SAID, kind) == number


def test_the_table_has_the_median_of_the_seconds_and_requests_for_each_channel() -> None:
    def recoveries(*seconds: float, locks: int) -> list[Recovery]:
        kinds = dict.fromkeys(("OPEN", "CLOSE", "LOCKU", "READ", "WRITE", "GETATTR"), 0)
        return [Recovery(each, {**kinds, "LOCK": locks}) for each in seconds]

    found = {BARE: recoveries(1.0, 9.0, 2.0, locks=0), SUPERVISED: recoveries(3.0, 4.0, 30.0, locks=40)}
    head, bare, supervised = (line.split() for line in table(found, 10).splitlines())
    column = 1 + head[2:].index("LOCK") + 1
    assert (bare[1], bare[column]) == ("2.00", "0.00")
    assert (supervised[1], supervised[column]) == ("4.00", "4.00")
