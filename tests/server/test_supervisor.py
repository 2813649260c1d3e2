"""Real servers under the supervisor of charts/stan-ft: what it locks, that a takeover goes on as before, how it ends.

What the locks are for needs an NFS server that takes them away: scripts/nfs-lab shows that.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from certificates import Authority
from loopback import MISSED, run

from harness.charts.render import at, layered
from harness.cluster.kind import wait_for
from harness.loopback import supervised
from harness.loopback.server import ACTIVE, HOST, STANDBY, Group, Server
from seccomp import calls
from stanft.stan.client import Client

PATIENCE = 20.0
OPENAT = next(str(number) for number, call in calls().items() if call.name == "openat")
WRITES = re.compile(r"^flags:\s+\d*[12]$", re.MULTILINE)  # the access mode is the last octal digit: open(2)


@pytest.fixture
def group(make_group: Callable[..., Group]) -> Iterator[Group]:
    """Two supervised servers that have not been started."""
    group = make_group({"replicas": 2}, size=2)
    supervised.supervise(group)
    yield group
    group.stop()


def publish(group: Group, channel: str, count: int = 1) -> None:
    """Store messages, which makes the channel's files if it is new."""

    async def work() -> None:
        async with await Client.connect(group.urls, client_id="writer") as client:
            for _ in range(count):
                await client.publish(channel, b"message")

    run(work())


def streaming(server: Server) -> int:
    """The process id of the streaming server under its supervisor."""
    return int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])


def written(server: Server) -> dict[int, str]:
    """Inode -> name of each file below the store that the server has open for writing."""
    found = {}
    for link in Path(f"/proc/{streaming(server)}/fd").iterdir():
        with suppress(FileNotFoundError):  # a connection that the server closes meanwhile
            path, info = link.readlink(), (link.parent.parent / "fdinfo" / link.name).read_text()
            if "store" in path.parts and WRITES.search(info):
                found[link.stat().st_ino] = path.name
    return found


def locked(server: Server) -> set[int]:
    """Inodes of the files that are locked by flock(2) through descriptors that the supervisor gave."""
    rows = re.findall(r"FLOCK .* WRITE (\d+) \w+:\w+:(\d+) ", Path("/proc/locks").read_text())
    return {int(inode) for pid, inode in rows if int(pid) == server.pid}


def metric(server: Server, name: str) -> float:
    """One number of a supervisor's /metrics."""
    address = server.prefix[server.prefix.index("--listen") + 1]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_every_file_that_the_active_writes_is_locked(group: Group) -> None:
    active = group.start()
    publish(group, "first")
    publish(group, "second")
    files = written(active)
    assert {"server.dat", "clients.dat", "msgs.1.dat", "msgs.1.idx"} <= set(files.values())
    assert {name for inode, name in files.items() if inode not in locked(active)} == {".rootdir.lck"}
    assert metric(active, "stan_fencing_guarded") == 1
    assert metric(active, "stan_fencing_files_unguarded_total") == 0


def test_the_standby_takes_over_when_the_actives_supervisor_is_killed(group: Group) -> None:
    active = group.start()
    publish(group, "channel", 10)
    server = streaming(active)
    active.kill()
    successor = group.wait_active(other_than=active)
    wait_for(lambda: not Path(f"/proc/{server}").exists(), PATIENCE, lambda: "the old server lives on")
    publish(group, "channel")
    assert successor.state == ACTIVE
    assert {name for inode, name in written(successor).items() if inode not in locked(successor)} == {".rootdir.lck"}


def test_the_standby_takes_over_when_the_active_itself_is_killed(group: Group) -> None:
    active = group.start()
    publish(group, "channel", 10)
    os.kill(streaming(active), signal.SIGKILL)
    assert active.wait_exit() == 137
    group.wait_active(other_than=active)
    publish(group, "channel")


def opens(server: Server) -> bool:
    """Whether a thread of the server waits for an answer to an open."""
    for task in Path(f"/proc/{streaming(server)}/task").iterdir():
        with suppress(OSError):  # a thread that ends meanwhile
            if (task / "syscall").read_text().split()[0] == OPENAT:
                return True
    return False


def waits(server: Server) -> bool:
    """Whether it waits for some time: a single look can meet an open that is answered at once."""
    for _ in range(4):
        if not opens(server):
            return False
        time.sleep(0.1)
    return True


def hear_nothing(active: Server, standby: Server) -> None:
    """Stop the active's server, until the standby waits at the lock."""
    os.kill(streaming(active), signal.SIGSTOP)
    wait_for(lambda: waits(standby), PATIENCE, lambda: "the standby does not wait at the lock", every=0.1)


def test_a_standby_that_hears_no_active_waits_at_the_lock_and_has_it_when_it_is_free(group: Group) -> None:
    active = group.start()
    publish(group, "channel", 10)
    standby = group.standbys()[0]
    hear_nothing(active, standby)
    time.sleep(2 * MISSED)
    assert waits(standby), "it goes on waiting"
    os.kill(streaming(active), signal.SIGKILL)
    group.wait_active(other_than=active)
    publish(group, "channel")


def test_a_standby_that_waits_at_the_lock_answers_and_stops_when_it_is_asked_to(group: Group) -> None:
    active = group.start()
    standby = group.standbys()[0]
    hear_nothing(active, standby)
    began = time.monotonic()
    assert standby.state == STANDBY
    assert standby.stop() == 143
    assert time.monotonic() - began < 5.0, "it does not wait for the lock any more"
    assert "STREAM: Shutting down." in standby.log
    os.kill(streaming(active), signal.SIGCONT)


def test_a_stop_is_the_servers_own_graceful_one(group: Group) -> None:
    active = group.start()
    assert active.stop() == 143
    assert "STREAM: Shutting down." in active.log


def test_a_reload_reaches_the_server(group: Group) -> None:
    active = group.start()
    active.reload()
    wait_for(lambda: "Reloaded server configuration" in active.log, PATIENCE, lambda: active.log)


def shown(server: Server) -> bytes:
    """The certificate that a server shows to a client."""
    with socket.create_connection((HOST, server.ports.client), timeout=5) as connection:
        connection.recv(65536)  # NATS speaks first, then TLS
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        with trust.wrap_socket(connection) as secured:
            return secured.getpeercert(binary_form=True) or b""


def test_a_renewed_certificate_is_shown_without_a_restart(make_group: Callable[..., Group], tmp_path: Path) -> None:
    authority, folder = Authority(tmp_path / "authority"), tmp_path / "tls"
    folder.mkdir()

    def renew() -> bytes:
        for name, text in authority.sign("stan", "DNS:localhost,IP:127.0.0.1").items():
            (folder / name).write_text(text)
        return ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text())

    old = renew()
    tls = f'tls {{ cert_file: "{folder}/tls.crt", key_file: "{folder}/tls.key" }}'
    own = (
        f'streaming {{ id: test-cluster, store: file, dir: /data/stan/store, tls {{ client_ca: "{folder}/ca.crt" }} }}'
    )
    group = make_group(config=f"{tls}\n{own}", size=1)
    supervised.supervise(group, ["--reread", str(folder)])
    [server] = group.servers
    server.start()
    server.wait_log("Streaming Server is ready")
    assert shown(server) == old
    new = renew()
    wait_for(lambda: shown(server) == new, PATIENCE, lambda: server.log)
    assert f"{folder} has changed" in server.log
    assert server.alive


def test_slices_roll_and_quiet_channels_go_under_the_gate(make_group: Callable[..., Group]) -> None:
    streaming = {"store_limits": {"max_inactivity": "2s"}, "file_options": {"slice_max_msgs": 5}}
    group = make_group({"replicas": 2, "config": {"streaming": streaming}}, size=2)
    supervised.supervise(group)
    active = group.start()
    publish(group, "channel", 20)
    names = metric(active, "stan_fencing_names_proven_total")
    assert len(list((group.store / "channel").glob("msgs.*.dat"))) > 1
    wait_for(lambda: not (group.store / "channel").exists(), PATIENCE, lambda: "the quiet channel stays")
    assert metric(active, "stan_fencing_names_proven_total") > names
    assert active.alive


@pytest.mark.parametrize(
    ("durability", "empty", "told"),
    [
        ("durable", ("msgs.3.dat", "msgs.3.idx", "subs.dat"), "reached the storage"),
        ("throughput", ("msgs.3.dat",), "reached the storage, of 5 messages by its index"),
    ],
)
def test_a_store_whose_node_lost_its_power_before_a_file_was_begun_is_served(
    make_group: Callable[..., Group], durability: str, empty: tuple[str, ...], told: str
) -> None:
    """The names are there, and nothing is in them: a server by itself ends on that, and so does each after it."""
    values = {"replicas": 1, "allowSingleReplica": True, "store": {"durability": durability}}
    group = make_group(layered(values, at("config.streaming.file_options.slice_max_msgs", 10)), size=1)
    supervised.supervise(group, ["--unsynced"] if durability == "throughput" else [])
    group.start()
    group.wait_active()
    publish(group, "orders", 25)
    [server] = group.servers
    server.kill()
    folder = group.store / "orders"
    for name in empty:
        (folder / name).write_bytes(b"")
    server.start()
    group.wait_active()
    publish(group, "orders", 3)
    assert f"orders/msgs.3.dat was empty and is begun: what was to be in it never {told}\n" in server.log
    assert (folder / "msgs.3.dat").stat().st_size > 100
    group.stop()


def test_a_server_whose_store_is_elsewhere_is_ended_and_told(make_group: Callable[..., Group], tmp_path: Path) -> None:
    group = make_group({"replicas": 2}, size=2)
    supervised.supervise(group)
    lone = group[0]
    lone.prefix[lone.prefix.index("--directory") + 1] = str(tmp_path / "elsewhere")
    lone.start()
    assert lone.wait_exit(PATIENCE) == 1
    assert f"the server's store is {group.store}, but {tmp_path / 'elsewhere'} is guarded" in lone.log


def test_it_needs_no_capability(group: Group) -> None:
    alone = ["setpriv", "--no-new-privs", "--inh-caps", "-all", "--ambient-caps", "-all"]
    # Any other user than root has none to begin with.
    alone += ["--bounding-set", "-all"] if os.geteuid() == 0 else []
    for server in group.servers:
        server.prefix = [*alone, *server.prefix]
    active = group.start()
    publish(group, "channel")
    status = Path(f"/proc/{streaming(active)}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert len(locked(active)) > 3
