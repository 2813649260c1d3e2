"""A new server tried on a copy of a live store, as the rollout's Job does it: what passes, and what it blames."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loopback import run, stan_conf

from harness.charts.render import layered, render
from harness.ground import toolchain
from harness.ground.paths import CHARTS
from harness.loopback.server import Group, free_ports
from stanft.kube.objects import find, pod_template
from stanft.stan.client import Client
from stanft.stan.options import Start

TRIAL = CHARTS / "stan-ft/files/trial/trial.py"
ONE = {"replicas": 1, "allowSingleReplica": True}
SECRET = {"store": {"encryption": {"enabled": True, "existingSecret": "secrets"}}}
# Another user may not read this machine's Python, so everything is loaded before.
BECOME = f"""import os, sys; sys.path.insert(0, {str(TRIAL.parent)!r}); import trial
os.setgid(10007); os.setuid(10007); sys.exit(trial.main(sys.argv[1:]))"""
KEY = "NATS_STREAMING_ENCRYPTION_KEY"


@dataclass
class Verdict:
    """What the trial leaves for the rollout."""

    result: str
    value: str
    words: str


class Job:
    """The Job's directory and the trial in it, over the store of a group."""

    def __init__(self, directory: Path, store: Path) -> None:
        self.meeting, self.store = directory, store
        directory.mkdir()
        directory.chmod(0o777)
        self.program = toolchain.ensure("nats-streaming-server")
        self.arguments: list[str] = []
        self.starter: list[str | Path] = [TRIAL]
        self.env: dict[str, str] = {}
        self.limit = 20.0
        self.memory: int | None = None

    def start(self, values: dict[str, Any] | None = None) -> subprocess.Popen[str]:
        """Start it with the configuration that the chart renders for it."""
        template = pod_template(find(render("stan-ft", values or {}), "Job"))
        text = template["metadata"]["annotations"]["stan-ft/stan.conf"]
        (client,) = free_ports(1)
        config = self.meeting / "stan.conf"
        config.write_text(
            text.replace("port: 4222", f"port: {client}").replace("/trial/copy", str(self.meeting / "copy"))
        )
        key = ["--key=secrets/key"] if "encrypt: true" in text else []
        command = [sys.executable, "-BEsS", *self.starter, f"--meeting={self.meeting}", f"--store={self.store}"]
        command += [f"--copy={self.meeting / 'copy'}", f"--program={self.program}", f"--config={config}"]
        command += [
            f"--client={client}",
            "--discover=_STAN.discover.test-cluster",
        ]
        memory = [] if self.memory is None else [f"--memory={self.memory}"]
        command += [f"--limit={self.limit}", *memory, *key, "--", *self.arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.env)

    def verdict(self, values: dict[str, Any] | None = None) -> Verdict:
        """Run it at once and to its end."""
        (self.meeting / "wanted").touch()
        with self.start(values) as process:
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said == (self.meeting / "verdict").read_text()
        return Verdict(*said.splitlines())


@pytest.fixture
def job(tmp_path: Path, group: Group) -> Job:
    """A Job over the store of a whole group."""
    return Job(tmp_path / "job", group.store)


def publish(group: Group, channel: str, count: int, size: int = 20) -> None:
    """Store messages, with a durable that has read half of them."""

    async def work() -> None:
        async with await Client.connect(group.urls, client_id="app") as client:
            durable = await client.subscribe(channel, durable="bills", start=Start.first(), manual_acks=True)
            await asyncio.gather(*(client.publish(channel, b"x" * size) for _ in range(count)))
            for _ in range(count // 2):
                await (await durable.next(10)).ack()

    run(work())


def test_a_good_change_passes_on_a_small_part_of_a_large_store(job: Job, group: Group) -> None:
    publish(group, "large", 300, size=20_000)
    publish(group, "small", 3)
    verdict = job.verdict()
    assert verdict.result == "passed", verdict
    assert "2 channels, 303 messages, 0 of 5 MiB copied" in verdict.words
    assert not (job.meeting / "copy").exists()


def test_a_server_that_is_ready_is_so_whatever_it_says_then(job: Job) -> None:
    """It sends again at once what a client has not acknowledged, and the copy does not have that."""
    job.program, job.limit = job.meeting / "server", 5.0
    job.program.write_text(
        "#!/bin/sh\nsleep 0.25\necho '[1] 2026/01/01 00:00:00.000000 [INF] STREAM: Streaming Server is ready'\n"
        "seq 5000 | sed 's/^/[1] [ERR] STREAM: Error getting message for redelivery subid=1, seq=/'\nexec sleep 60\n"
    )
    job.program.chmod(0o755)
    assert job.verdict().result == "passed"


@pytest.mark.parametrize("name", ["test-cluster", "other"])
def test_it_is_not_fooled_by_a_store_that_is_written(job: Job, group: Group, name: str) -> None:
    async def load() -> Verdict:
        async with await Client.connect(group.urls, client_id="writer") as client:

            async def write() -> None:
                while True:
                    await client.publish("busy", b"x" * 500)

            writers = [asyncio.create_task(write()) for _ in range(20)]
            await asyncio.sleep(0.3)
            verdict = await asyncio.to_thread(job.verdict, {"config": {"streaming": {"id": name}}})
            for writer in writers:
                writer.cancel()
            return verdict

    assert run(load()).result == ("passed" if name == "test-cluster" else "failed")


def test_the_group_neither_hears_the_trial_nor_changes(job: Job, group: Group) -> None:
    publish(group, "orders", 10)
    before = [server.log for server in group.servers]
    assert job.verdict().result == "passed"
    for server, log in zip(group.servers, before, strict=True):
        assert not re.search(r"FT|Route|claims", server.log.removeprefix(log))


def test_an_empty_store_passes(tmp_path: Path) -> None:
    assert Job(tmp_path / "job", tmp_path / "none").verdict().result == "passed"


def test_another_cluster_id_is_blamed(job: Job) -> None:
    verdict = job.verdict({"config": {"streaming": {"id": "other"}}})
    assert (verdict.result, verdict.value) == ("failed", "config.streaming.id")
    assert 'cluster ID "other" does not match recovered value of "test-cluster"' in verdict.words


def test_a_configuration_that_the_server_does_not_take_is_blamed(job: Job) -> None:
    job.arguments = ["--hb_interval=never"]
    verdict = job.verdict()
    assert (verdict.result, verdict.value) == ("failed", "container.args")
    assert "never" in verdict.words


@pytest.mark.parametrize("key", ["right", "wrong"])
def test_a_wrong_key_is_blamed_and_the_right_one_is_not(tmp_path: Path, key: str) -> None:
    with Group(tmp_path / "group", size=1, config=stan_conf(layered(ONE, SECRET)), env={KEY: "right"}) as group:
        group.start()
        publish(group, "orders", 5)
        job = Job(tmp_path / "job", group.store)
        job.env = {KEY: key}
        verdict = job.verdict(SECRET)
    if key == "right":
        assert verdict.result == "passed", verdict
    else:
        assert (verdict.result, verdict.value) == ("failed", "store.encryption.existingSecret (secrets/key)")
        assert "orders" in verdict.words


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_user_who_may_not_write_the_store_is_blamed(tmp_path: Path, mode: int) -> None:
    store = tmp_path / "store"
    store.mkdir(mode=0o777)
    store.chmod(0o777)
    (store / "clients.dat").write_bytes(b"\1\0\0\0")
    (store / "clients.dat").chmod(mode)
    for folder in store.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    job = Job(tmp_path / "job", store)
    job.starter, job.program = ["-c", BECOME], Path("/bin/true")
    verdict = job.verdict()
    assert (verdict.result, verdict.value) == ("failed", "podTemplate.securityContext.runAsUser")
    assert verdict.words == "user 10007 may not write clients.dat of the store, which belongs to user 0"


def test_a_server_that_is_killed_is_said_to_want_memory(job: Job) -> None:
    job.program = job.meeting / "server"
    job.program.write_text("#!/bin/sh\nkill -9 $$\n")
    job.program.chmod(0o755)
    assert job.verdict().value == "container.resources.limits.memory"


def test_a_server_that_became_active_with_more_than_its_limit_leaves_it_is_said_to_want_memory(job: Job) -> None:
    """It would be killed under the first clients, when the last old server is gone."""
    job.memory = 8 << 20
    verdict = job.verdict()
    assert (verdict.result, verdict.value) == ("failed", "container.resources.limits.memory"), verdict
    assert re.match(r"it took \d\d MiB of memory to become active, and its limit leaves it 8 MiB", verdict.words)
    job.memory = 1 << 30
    assert job.verdict().result == "passed"


def test_a_program_that_does_not_come_is_said_to_be_the_image(job: Job) -> None:
    job.program, job.limit = job.meeting / "none", 1.0
    assert job.verdict().value == "image"


@pytest.fixture
def waiting(job: Job) -> Iterator[tuple[Job, subprocess.Popen[str]]]:
    """A trial that nobody wants yet."""
    with job.start() as process:
        yield job, process
        process.send_signal(signal.SIGKILL)


def test_it_shows_that_it_lives_and_ends_when_it_is_not_wanted(waiting: tuple[Job, subprocess.Popen[str]]) -> None:
    job, process = waiting
    until = time.monotonic() + 20
    while not (job.meeting / "alive").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    (job.meeting / "over").touch()
    assert process.wait(20) == 0
    assert not (job.meeting / "verdict").exists()
