"""What stops scripts/up says what is wrong, where, and what to do instead."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from harness.cluster import engine, images, kind
from harness.ground import system
from harness.ground.paths import REPO
from harness.local.up import up
from stanft.ground.errors import UserError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def plain_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without root rights on a machine without sudo."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)


def test_no_engine_and_no_root_names_both_ways_out(plain_user: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: "/usr/bin/apt-get" if name == "apt-get" else None)
    with pytest.raises(
        UserError, match=r"root rights are needed.*apt-get install .*docker\.io\nRun it as root, or install sudo"
    ):
        system.ensure_packages({"no-such-engine": "docker.io"}, "the container engine")


def test_a_machine_without_apt_is_told_which_packages_to_install(plain_user: None) -> None:
    with pytest.raises(UserError, match=r"needs docker\.io.*no Debian or Ubuntu"):
        system.ensure_packages({"no-such-engine": "docker.io"}, "the container engine")


def test_an_engine_that_refuses_this_user_names_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: engine.Engine, *_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "permission denied while trying to connect to the Docker daemon")

    monkeypatch.setattr(engine.Engine, "docker", refuse)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/bin/docker")
    with pytest.raises(UserError, match="may not use it.*\n?.*usermod -aG docker"):
        engine.ensure()


def test_a_disk_that_is_nearly_full_is_named_with_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(100, 99, 2**30))
    with pytest.raises(UserError, match=r"1\.0 GiB free, and 12 GiB are needed.*\n.*STAN_FT_CACHE"):
        system.require_free_disk(tmp_path, 12 * 2**30)


def test_a_taken_port_is_named_with_the_variable_that_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on 127\.0\.0\.1 is taken.*\n.*STAN_FT_PORT"):
            system.require_free_port(port, "the cluster's client port", "Choose another one with STAN_FT_PORT.")


@pytest.mark.parametrize("text", ["0", "70000", "nats", "-1"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STAN_FT_PORT", text)
    with pytest.raises(UserError, match=f"STAN_FT_PORT is '{text}'.*1 to 65535"):
        kind.client_port()


@pytest.mark.parametrize("text", ["", "Upper", "under_score", "-dash"])
def test_a_cluster_name_that_kubernetes_refuses_is_refused_first(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STAN_FT_CLUSTER", text)
    with pytest.raises(UserError, match="STAN_FT_CLUSTER is .*lower-case letters"):
        kind.name()


def test_an_unknown_environment_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no environment 'prod': choose one of eks-csi, eks-legacy, kind, nfs"):
        up(environment="prod")


def test_an_environment_for_real_clusters_is_not_deployed_locally() -> None:
    with pytest.raises(
        UserError, match="'eks-csi' is for a cluster of yours.*\n.*helm install with -f environments/eks-csi"
    ):
        up(environment="eks-csi")


def test_scripts_up_ends_with_one_message_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.up", "--environment", "prod"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no environment 'prod'")
    assert "Traceback" not in done.stderr


class Answers(engine.Engine):
    """An engine whose every call ends with the words of a registry."""

    def __init__(self, words: str) -> None:
        super().__init__("")
        object.__setattr__(self, "words", words)

    def docker(self, *_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", self.words)  # type: ignore[attr-defined]


def test_a_registry_that_answers_but_lacks_the_image_is_told_from_one_that_does_not_answer() -> None:
    lacking = images.Registry(Answers("manifest for nats-streaming:0.25.6 not found: manifest unknown"))
    assert lacking.answers("nats-streaming:0.25.6")
    with pytest.raises(UserError, match="answers, but it does not give the image nats-streaming.*\n.*--registry none"):
        lacking.pull("nats-streaming:0.25.6")
    silent = images.Registry(Answers("dial tcp: lookup registry: no such host"))
    assert not silent.answers("nats-streaming:0.25.6")
    with pytest.raises(UserError, match="no registry answered for the image nats-streaming"):
        silent.pull("nats-streaming:0.25.6")


def test_an_image_that_only_a_registry_has_is_named() -> None:
    with pytest.raises(UserError, match="natsio/prometheus-nats-exporter:0.16.0 cannot be built"):
        images.build(["natsio/prometheus-nats-exporter:0.16.0"])


def test_the_retry_after_a_full_disk_is_warned_as_the_first_try_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path))
    monkeypatch.setattr(system.shutil, "disk_usage", lambda _: Usage(20 * 2**30, 19 * 2**30, 2**30))
    (kind.home() / "shared").mkdir(parents=True)
    (kind.home() / "images-from").write_text("packages")
    with pytest.raises(UserError, match="1.0 GiB free, and 12 GiB are needed"):
        up()


def test_a_program_that_only_the_end_needs_is_there_before_the_long_build_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(system, "require_free_disk", lambda *_: None)
    monkeypatch.setattr(system, "_found", lambda command: command != "ip")
    monkeypatch.setattr(engine, "ensure", lambda: pytest.fail("the engine comes after the programs"))
    with pytest.raises(UserError, match="the local cluster needs iproute2, and this is no Debian"):
        up()
