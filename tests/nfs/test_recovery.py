"""What a recovery under the supervisor asks of a real NFSv4.1 server, beside one without it."""

from __future__ import annotations

import nfslab
import pytest

from harness.nfs_lab.recovery import BARE, REQUESTS, SUPERVISED

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(900)]


def test_each_file_of_a_recovered_store_is_locked_and_proven_without_a_write() -> None:
    log = nfslab.run("--recovery", "10", "--runs", "1")
    rows = {words[0]: words[1:] for words in map(str.split, log.splitlines()) if words[:1] in ([BARE], [SUPERVISED])}
    assert set(rows) == {BARE, SUPERVISED}, log[-4000:]
    bare, ours = (dict(zip(REQUESTS, map(float, rows[side][1:]), strict=True)) for side in (BARE, SUPERVISED))
    assert bare["LOCK"] < 1, "the server itself locks one file of the store"
    assert ours["LOCK"] >= 3, "of each channel: messages, index, subscriptions"
    assert ours["OPEN"] < bare["OPEN"] + 1, "no file is opened twice"
    assert ours["READ"] >= bare["READ"] + ours["LOCK"] - 1, "each lock is followed by a proof"
    seconds = float(rows[SUPERVISED][0])
    assert ours["WRITE"] * 10 <= 2 * seconds + 5, "it writes to renew the lease, once a second, not for each file"
