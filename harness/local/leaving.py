"""A whole exit on the local cluster, recorded: a group with traffic moves to JetStream, with a takeover on the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.charts import releases
from harness.cluster.kind import Cluster
from harness.ground import toolchain
from harness.ground.paths import CLUSTER
from harness.local import namespaces, tool_image
from harness.local.compare import SECOND_GROUP, apply
from stanft import faults, words
from stanft.exit import plan as planning
from stanft.exit.target import Target
from stanft.faults import Scene
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.group.live import Group
from stanft.kube import objects
from stanft.kube.charts import layered
from stanft.stan.client import Client
from stanft.stan.errors import StanError
from stanft.stan.options import Start

NAMESPACE = "leaving"
CHANNELS = tuple(f"orders.{number}" for number in range(10))
SIZE = 256  # bytes of each message that is there before
PAUSE = 0.1  # seconds between two messages of a channel's producer
READ, OPEN = 210, 7  # messages that a durable reads before it stops; it leaves every OPEN-th unacknowledged
GROUPS, MEMBERS = 2, 3  # durable queue groups, and members of each
NEXT = 20  # messages that each consumer is read beyond what it took over
AFTER = 10  # messages that each channel gets at JetStream
PATIENCE = 420.0  # seconds for each wait
VALUES = layered(
    SECOND_GROUP,
    {
        "persistence": {"claim": {"keep": False}},
        "config": {
            "streaming": {"store_limits": {"max_msgs": 0, "max_bytes": 0, "max_age": "0s", "max_inactivity": "0s"}}
        },
    },
)


@dataclass
class Recording:
    """What is told, with the time since the start."""

    say: Callable[[str], None]
    lines: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def note(self, text: str) -> None:
        """A sentence on what happens."""
        self._add(f"[{time.monotonic() - self.started:5.0f} s] {text}")

    def printed(self, text: str, most: int = 40) -> None:
        """What a command printed; of a long text the middle is left out."""
        lines = text.strip().splitlines()
        if len(lines) > most:
            lines = [*lines[: most // 2], f"... ({len(lines) - most} lines)", *lines[-most // 2 :]]
        self._add("\n".join(f"    {line}" for line in lines))

    def _add(self, text: str) -> None:
        self.lines.append(text)
        self.say(text)


@dataclass
class Producers:
    """One for each channel; numbers that were acknowledged, by channel."""

    acknowledged: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in CHANNELS})
    unknown: int = 0
    longest: float = 0.0  # seconds between two acknowledgements of one of them
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, urls: list[str], name: str) -> None:
        """Publish until stop; what got no answer is not sent again."""
        number, last = 0, time.monotonic()
        async with await Client.connect(urls, client_id=f"producer-{name.replace('.', '-')}") as client:
            while not self.stop.is_set():
                number += 1
                try:
                    await client.publish(name, f"{name} {number}".encode(), timeout=5)
                except StanError:
                    self.unknown += 1
                    await asyncio.sleep(0.05)
                    continue
                self.longest = max(self.longest, time.monotonic() - last)
                last = time.monotonic()
                self.acknowledged[name].append(number)
                await asyncio.sleep(PAUSE)


class Exit:
    """The exit of one group; the group and JetStream have to be whole."""

    def __init__(self, cluster: Cluster, group: Group, directory: Path, told: Recording) -> None:
        self.cluster, self.group, self.told = cluster, group, told
        self.file = directory / "plan.yaml"
        pods = {pod.metadata.name: pod.status.pod_ip for pod in group.pods()}
        self.urls = [words.url(pods[name]) for name in sorted(pods)]
        self.targets = [words.url(address) for address in self.kubectl("get", "pods", *_TARGET_ADDRESSES).split()]
        self.source = [f"--servers={url}" for url in self.urls]
        self.source += [f"--monitor=http://{pods[name]}:{words.MONITOR_PORT}" for name in sorted(pods)]
        self.both = [str(self.file), *self.source, *(f"--target={url}" for url in self.targets)]
        inside = [f"{name}.stan" for name in sorted(pods)]
        self.inside = [f"--servers={words.url(name)}" for name in inside]
        self.inside += [f"--monitor=http://{name}:{words.MONITOR_PORT}" for name in inside]
        self.inside += [f"--target={words.url(f'nats-{number}.nats')}" for number in range(len(self.targets))]
        self.handled: dict[tuple[str, str], set[int]] = {}  # what each durable acknowledged, by channel and label

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """What kubectl prints in the namespace."""
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, stdin=stdin, check=check, timeout=timeout)

    async def called(self, shown: str, *arguments: str, most: int = 30) -> str:
        """Run stan-ft exit, and record it as shown with what it printed. Raises UserError if it fails."""
        began = time.monotonic()
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stanft.cli.main", "exit", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = (each.decode() for each in await done.communicate())
        self.told.note(f"$ stan-ft exit {shown}   # {time.monotonic() - began:.0f} s")
        told = out if done.returncode == 0 else out + err
        self.told.printed(told.replace(f"{self.file.parent}/", ""), most)
        if done.returncode != 0:
            raise UserError(f"stan-ft exit {shown} ends with {done.returncode}.")
        return out

    # --- what is there ----------------------------------------------------------------------------------------

    async def fill(self, each: int) -> None:
        """So many messages in each channel, and durables that have read and acknowledged a part."""
        active = self.group.active()
        if active is None:
            raise UserError("the group has no active server.")
        pod = next(one for one in self.group.pods() if one.metadata.name == active.pod)
        for name in CHANNELS:
            command: list[str | Path] = [toolchain.ensure("stan-bench"), "-s", words.url(pod.status.pod_ip)]
            command += ["-c", words.CLUSTER_ID, "-np", "1", "-ns", "0", "-n", str(each), "-ms", str(SIZE)]
            await asyncio.to_thread(shell.run, [*command, "-sync=false", name])
        self.told.note(f"{len(CHANNELS)} channels of {each} messages of {SIZE} bytes")
        for name in CHANNELS:
            client_id = f"app-{name.replace('.', '-')}"
            await self._durable([client_id], name, "", f"{client_id}/bills")
        for name in CHANNELS[:GROUPS]:
            await self._durable([f"member-{number}" for number in range(MEMBERS)], name, "team", "bills:team")
        self.told.note(
            f"{len(self.handled)} durables, {GROUPS} of them queue groups of {MEMBERS}: each has read {READ} messages, "
            f"acknowledged all but every {OPEN}th, and is stopped"
        )

    async def _durable(self, client_ids: Sequence[str], channel: str, queue: str, label: str) -> None:
        """Read, acknowledge in part, and stop."""
        handled = self.handled[channel, label] = set()
        share = READ // len(client_ids)
        async with contextlib.AsyncExitStack() as stack:
            subscriptions = []
            for client_id in client_ids:
                client = await stack.enter_async_context(await Client.connect(self.urls, client_id=client_id))
                subscriptions.append(
                    await client.subscribe(
                        channel,
                        queue=queue,
                        durable="bills",
                        start=Start.first(),
                        manual_acks=True,
                        ack_wait=3600,
                        max_in_flight=share,
                    )
                )
            for subscription in subscriptions:
                for _ in range(share):
                    message = await subscription.next(30)
                    if message.sequence % OPEN:
                        handled.add(message.sequence)
                        await message.ack()
            await asyncio.sleep(0.5)  # the server takes the last acknowledgements
            for subscription in subscriptions:
                await subscription.close()

    # --- the way ----------------------------------------------------------------------------------------------

    async def job(self, step: str, *more: str) -> None:
        """Print a Job with the tool and apply it."""
        shown = " ".join(["job", step, "plan.yaml $SOURCE $TARGET", f"--image {tool_image.NAME}", *more])
        image, name = f"--image={tool_image.NAME}", f"--name=exit-{step}"
        made = await self.called(shown, "job", step, str(self.file), *self.inside, image, name, *more, most=6)
        self.told.note("$ kubectl apply -f job.yaml")
        self.told.printed(self.kubectl("apply", "-f", "-", stdin=made))

    def log(self, step: str) -> str:
        """What the Job's pod has printed."""
        return self.kubectl("logs", f"job/exit-{step}", "--tail=-1", check=False)

    def progress(self) -> tuple[int, int]:
        """How many messages the copying Job says that it has copied, and how many are to go; -1 if it says nothing."""
        found = re.findall(r"copied (\d+) messages, .*/s, (\d+) to go", self.log("copy"))
        return (int(found[-1][0]), int(found[-1][1])) if found else (-1, -1)

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait. Raises UserError after PATIENCE seconds."""
        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline:
                raise UserError(f"{what}: not within {PATIENCE:.0f} s.")
            await asyncio.sleep(1)

    async def takeover(self) -> None:
        """Kill the active."""
        scene = Scene(self.group, self.cluster, self.cluster.kubeconfig)
        name = (await asyncio.to_thread(scene.active)).metadata.name

        def kill() -> None:
            with faults.find("kill").on(scene):
                pass

        self.told.note(f"the Job has copied {self.progress()[0]} messages; the active {name} is killed (SIGKILL)")
        await asyncio.to_thread(kill)
        await asyncio.to_thread(self.group.wait_whole, 180.0)
        active = await asyncio.to_thread(self.group.active)
        self.told.note(f"the group is whole again, active is {active.pod if active else 'nobody'}")

    async def consumers(self) -> None:
        """Move the durables; each consumer has to give exactly what its durable had not acknowledged, then the next."""
        out = await self.called("cutover consumers plan.yaml $SOURCE $TARGET", "cutover", "consumers", *self.both)
        lines = re.findall(
            r"^(\S+): (\S+) \(sent up to (\d+), (\d+) not .* consumer (\S+) of (\S+):", out, re.MULTILINE
        )
        if {(channel, label) for channel, label, *_ in lines} != self.handled.keys():
            raise UserError(f"of {len(self.handled)} durables {len(lines)} were moved.")
        target, left = await Target.connect(self.targets), 0
        try:
            for channel, label, sent, _, consumer, stream in lines:
                wanted = set(range(1, int(sent) + NEXT + 1)) - self.handled[channel, label]
                subscription = await target.connection.jetstream().pull_subscribe_bind(durable=consumer, stream=stream)
                got: list[int] = []
                while len(got) < len(wanted):
                    for message in await subscription.fetch(min(len(wanted) - len(got), 100), timeout=30):
                        got.append(message.metadata.sequence.stream)
                        await message.ack()
                if sorted(got) != sorted(wanted):
                    raise UserError(f"{consumer} gave {len(got)} messages, and not those that {label} had left.")
                left += len(wanted) - NEXT
        finally:
            await target.close()
        self.told.note(
            f"each of {len(lines)} consumers gave exactly what its durable had not acknowledged ({left} messages in "
            f"all) and then the {NEXT} that come next"
        )

    async def producers(self, producers: Producers, before: int) -> None:
        """Open the streams; what was acknowledged is in them once, and new messages get the next numbers."""
        await self.called("cutover producers plan.yaml $SOURCE $TARGET", "cutover", "producers", *self.both)
        target = await Target.connect(self.targets)
        try:
            for one in planning.read(self.file).streams:
                last = await target.last(one.stream)
                for number in range(1, AFTER + 1):
                    answer = await target.connection.jetstream().publish(one.channel, b"at JetStream")
                    if answer.seq != last + number:
                        raise UserError(f"{one.channel}: message {last + number} was expected, {answer.seq} was given.")
                seen, at = [], before + 1
                while at <= last:
                    batch = await target.read(one.stream, at, 500)
                    seen += [int(data.rsplit(b" ", 1)[1]) for sequence, _, data in batch if sequence <= last]
                    at = batch[-1][0] + 1
                lost = set(producers.acknowledged[one.channel]) - set(seen)
                if lost or len(seen) != len(set(seen)):
                    raise UserError(f"{one.channel}: {len(lost)} acknowledged messages are lost, or some are twice.")
        finally:
            await target.close()
        count = sum(map(len, producers.acknowledged.values()))
        self.told.note(
            f"{count} messages that producers had acknowledged meanwhile are in the streams once each "
            f"({producers.unknown} got no answer; the longest pause was {producers.longest:.1f} s); {AFTER} new "
            "messages in each stream have the numbers that come next"
        )


_TARGET_ADDRESSES = ("-l", "app=nats", "-o", "jsonpath={.items[*].status.podIP}")


@contextlib.contextmanager
def installed(cluster: Cluster) -> Iterator[Group]:
    """A group and a JetStream of three in a namespace of their own, which goes afterwards."""
    tool_image.load(cluster)
    with namespaces.own(cluster, NAMESPACE):
        apply(cluster, NAMESPACE, objects.parse((CLUSTER / "jetstream.yaml").read_text()))
        releases.ensure("stan", "stan-ft", VALUES, kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)
        group = Group.connect(kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)
        group.wait_whole(180.0)
        cluster.wait_rollout("statefulset/nats", NAMESPACE)
        yield group


async def play(cluster: Cluster, group: Group, directory: Path, messages: int, told: Recording) -> None:
    """The whole exit. Raises UserError at the first thing that is not as it has to be."""
    each = messages // len(CHANNELS)
    told.started = time.monotonic()
    told.note(f"a group of three, a JetStream of three; load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    this = Exit(cluster, group, directory, told)
    await this.fill(each)
    producers = Producers()
    producing = [asyncio.create_task(producers.run(this.urls, name)) for name in CHANNELS]
    try:
        told.note(f"a producer for each channel publishes every {PAUSE:g} s from now on")
        await this.called("inventory $SOURCE", "inventory", *this.source, "--sample", "1")
        await this.called("plan plan.yaml $SOURCE $TARGET", "plan", *this.both)
        began = time.monotonic()
        await this.job("copy", "--follow")
        await this.until("the Job copies half", lambda: this.progress()[0] > messages / 2)
        await this.takeover()
        await this.until(
            "the Job copies all", lambda: this.progress()[0] >= messages and this.progress()[1] < each / 100
        )
        took = time.monotonic() - began
        told.note(f"the Job has copied {this.progress()[0]} messages, {messages / took:,.0f}/s from its start on")
        told.printed(this.log("copy"), 16)
        await this.consumers()
    finally:
        producers.stop.set()
        await asyncio.gather(*producing)
    told.note("the producers are stopped")
    total = messages + sum(map(len, producers.acknowledged.values()))
    await this.until("the Job copies the tail", lambda: this.progress()[0] >= total and this.progress()[1] == 0)
    await this.job("verify")
    await this.until("the comparison ends", lambda: " channels, " in this.log("verify"))
    told.note("$ kubectl logs job/exit-verify")
    told.printed(this.log("verify"))
    this.kubectl("delete", "job", "exit-copy")
    told.note("$ kubectl delete job exit-copy")
    await this.producers(producers, each)
    await this.called("status plan.yaml $SOURCE $TARGET", "status", *this.both)
    told.note(f"done; load average {os.getloadavg()[0]:.1f}")
