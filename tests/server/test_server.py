"""The control of server processes itself: it says what is wrong, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import gone

from harness.ground.paths import REPO
from harness.loopback.server import ACTIVE, Group, ServerError, free_ports
from stanft.ground import wait

# A program that starts a group, says the process ids, and dies as the argument says.
DIES = """
import os, signal, sys, time
from harness.loopback.server import Group
group = Group(sys.argv[2])
for server in group.servers: server.start()
group[2].kill()
print(*[server.pid for server in group.servers if server.alive], flush=True)
if sys.argv[1] == "killed": os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "exits at once": os._exit(0)
if sys.argv[1] == "is interrupted":
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["killed", "exits at once", "is interrupted"])
def test_no_server_outlives_the_program_that_started_it(tmp_path: Path, end: str) -> None:
    program = subprocess.run(
        [sys.executable, "-c", DIES, end, tmp_path], cwd=REPO, capture_output=True, text=True, check=False
    )
    pids = [int(word) for word in program.stdout.split()]
    assert len(pids) == 2, program.stderr
    wait.until(
        lambda: all(gone(pid) for pid in pids),
        10,
        lambda: f"still there: {[pid for pid in pids if not gone(pid)]}",
        every=0.02,
    )


def test_a_group_in_no_given_folder_removes_its_own(make_group: Callable[..., Group]) -> None:
    with Group(size=1) as group:
        folder = group.directory
        group[0].start()
        group[0].wait_healthy()
        assert group[0].log_file.is_relative_to(folder)
    assert not folder.exists()
    assert not group[0].alive
    assert group[0].exit_code == -signal.SIGKILL


def test_a_server_is_started_once(group: Group) -> None:
    with pytest.raises(ServerError, match="stan-0 runs already"):
        group[0].start()


def test_the_exit_code_tells_how_a_server_ended(group: Group) -> None:
    group[1].pause()
    group[2].signal(signal.SIGINT)
    assert (group[0].stop(), group[1].kill(), group[2].wait_exit()) == (143, -9, 0)


def test_waiting_for_a_server_that_ended_tells_its_exit_code_and_the_end_of_its_log(
    make_group: Callable[..., Group],
) -> None:
    group = make_group(size=1)
    group[0].config.write_text("port: many")
    group[0].start()
    with pytest.raises(ServerError, match=r"(?s)stan-0 ended with exit code 1; its log ends with:.*conf:1:0"):
        group[0].wait_healthy()
    with pytest.raises(ServerError, match="every server has ended"):
        group.wait_active()


def test_waiting_for_what_does_not_happen_tells_what_it_was(group: Group) -> None:
    with pytest.raises(ServerError, match=r"stan-0 did not become FT_NOTHING within 0\.2 s"):
        group[0].wait_state("FT_NOTHING", timeout=0.2)
    active = group.wait_active()
    for server in group.servers:
        if server is not active:
            server.kill()
    with pytest.raises(ServerError, match=r"0 active servers after 0\.2 s, 1 was expected"):
        group.wait_active(0.2, other_than=active)
    standby = group[0 if active is not group[0] else 1]
    standby.start()
    standby.pause()  # else it may stand by before anybody looks
    with pytest.raises(ServerError, match="the group is not whole after 0 s"):
        group.wait_whole(0)


def test_a_group_can_have_a_configuration_of_its_own_per_server_and_arguments_for_all(
    make_group: Callable[..., Group],
) -> None:
    text = "streaming { id: own, store: file, dir: /x, ft_group_name: own, store_limits: { max_channels: $MAX } }"
    group = make_group(
        config=text, size=1, overrides={0: "debug: true\n" + text}, arguments=["--max_subs", "7"], env={"MAX": "9"}
    )
    group.start()
    assert group.cluster_id == "own"
    assert "[DBG]" in group[0].log
    store = group[0].json("/streaming/storez", timeout=5)
    assert store is not None
    assert (store["limits"]["max_channels"], store["limits"]["max_subscriptions"]) == (9, 7)


def test_a_paused_server_answers_nothing_until_it_goes_on(group: Group) -> None:
    active = group.wait_active()
    active.pause()
    assert active.alive
    assert active.get("/healthz", timeout=0.2) is None
    active.resume()
    active.wait_state(ACTIVE)


def test_free_ports_differ_and_can_be_used() -> None:
    ports = free_ports(9)
    assert len(set(ports)) == 9
    assert all(1024 < port < 65536 for port in ports)


def test_a_server_shows_the_pods_environment_to_its_configuration(group: Group) -> None:
    content = group[1].json("/varz")
    assert content is not None
    assert content["server_name"] == "stan-1"
    assert os.environ.get("POD_NAME") is None
