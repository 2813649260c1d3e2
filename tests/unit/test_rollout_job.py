"""The rollout's program as the Job runs it: alone, over https with an account, asking the servers themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from playcluster import PlayCluster, Pod

from harness.ground.paths import CHARTS
from stanft.group.active_last.api import AwayError, InCluster
from stanft.group.active_last.monitors import directly
from stanft.group.active_last.rule import Pod as Seen

FILES = CHARTS / "stan-ft" / "files"
# As `python3 -m rollout`, with an account in another place.
PROGRAM = (
    f"import sys; sys.path.insert(0, {str(FILES)!r}); from pathlib import Path; "
    "from rollout.__main__ import main; sys.exit(main(Path(sys.argv[1])))"
)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pod's account, with the certificate that the API server shows beside it."""
    folder = tmp_path_factory.mktemp("account")
    authority = Authority(folder / "made")
    authority.sign("server", "DNS:localhost,IP:127.0.0.1")
    (folder / "ca.crt").write_text((folder / "made" / "authority.crt").read_text())
    (folder / "token").write_text("first\n")
    return folder


@pytest.fixture
def cluster(account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayCluster]:
    """Three outdated servers, stan-0 active, behind an API server as pods see one."""
    made = account / "made"
    with PlayCluster(tmp_path, certificate=(made / "server.crt", made / "server.key")) as played:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(played.port))
        yield played


def begin(account: Path, **environment: str) -> subprocess.Popen[str]:
    """The Job's program, with what the chart gives it."""
    given = {"NAMESPACE": "default", "STATEFULSET": "stan", "RELEASE": "mq", "TIMEOUT": "60", **environment}
    return subprocess.Popen(
        [sys.executable, "-BEsS", "-c", PROGRAM, account],
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_job_restarts_the_standbys_and_then_the_active(cluster: PlayCluster, account: Path) -> None:
    with cluster.monitors():
        said, _ = begin(account).communicate(timeout=120)
    assert "done in" in said, said
    assert "restarted stan-2 stan-1 stan-0; active is stan-1; takeovers: 1" in said
    assert cluster.lease is None
    assert cluster.tokens == {"Bearer first"}


def test_its_own_verdict_is_exit_code_1_and_nothing_else_is(cluster: PlayCluster, account: Path) -> None:
    refused = begin(account, STATEFULSET="other")
    said, _ = refused.communicate(timeout=120)
    assert said.endswith("error: StatefulSet other is not in namespace default\n")
    assert refused.returncode == 1
    broken = begin(account, TIMEOUT="soon")
    broken.communicate(timeout=120)
    assert broken.returncode == 2


def test_a_job_that_is_ended_gives_its_lease_back_and_lets_the_trial_go(
    cluster: PlayCluster, account: Path, tmp_path: Path
) -> None:
    def never_ready(pod: Pod) -> None:
        pod.age = -(10**6)

    cluster.newborn = never_ready
    (tmp_path / "verdict").write_text("passed\n-\nit did\n")
    with cluster.monitors():
        job = begin(account, TRIAL=str(tmp_path))
        assert job.stdout is not None
        assert any("waiting: stan-2 is not Ready" in line for line in iter(job.stdout.readline, ""))
        assert cluster.lease is not None
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 143
    assert cluster.lease is None
    assert (tmp_path / "over").exists()


def test_it_is_found_below_the_directory_in_which_the_job_is_started() -> None:
    done = subprocess.run(
        [sys.executable, "-BEsSu", "-m", "rollout"], cwd=FILES, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "KeyError: 'NAMESPACE'" in done.stderr


def test_a_token_that_was_renewed_is_taken_over_the_same_connection(cluster: PlayCluster, account: Path) -> None:
    api = InCluster(account)
    api.call("GET", "/api")
    (account / "token").write_text("second\n")
    api.call("GET", "/api")
    (account / "token").write_text("first\n")
    assert cluster.tokens == {"Bearer first", "Bearer second"}


def test_an_api_server_that_was_away_is_reached_again(cluster: PlayCluster, account: Path, tmp_path: Path) -> None:
    api = InCluster(account)
    api.call("GET", "/api")
    cluster.hang_up()
    with pytest.raises(AwayError, match="the API server does not answer"):
        api.call("GET", "/api")
    assert api.call("GET", "/api")["kind"] == "APIVersions"


def test_an_api_server_of_another_authority_is_not_spoken_to(cluster: PlayCluster, tmp_path: Path) -> None:
    Authority(tmp_path, "ca")
    (tmp_path / "token").write_text("secret")
    with pytest.raises(AwayError, match="certificate verify failed"):
        InCluster(tmp_path).call("GET", "/api")
    assert cluster.tokens == set()


def serving(address: str, family: socket.AddressFamily, answer: Callable[[socket.socket], None]) -> int:
    """The port of a server that takes one connection and answers as told."""
    listener = socket.create_server((address, 0), family=family)

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(1000)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_servers_are_asked_at_addresses_of_either_family(address: str, family: socket.AddressFamily) -> None:
    port = serving(address, family, lambda connection: connection.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"state": "x"}'))
    pod = Seen("stan-0", "uid", old=True, address=address, port=port)
    assert directly(20)(pod, "/streaming/serverz") == {"state": "x"}


def test_a_server_that_drips_has_no_more_time_than_one_that_is_silent() -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(600):
            try:
                connection.sendall(b"H")
            except OSError:
                return
            time.sleep(0.1)

    pod = Seen("stan-0", "uid", old=True, address="127.0.0.1", port=serving("127.0.0.1", socket.AF_INET, drip))
    began = time.monotonic()
    assert directly(0.5)(pod, "/varz") is None
    assert time.monotonic() - began < 30
