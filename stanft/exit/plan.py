"""The plan of a move: a YAML file that a person edits and keeps, and what is wrong with it on either side."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stanft.exit import names
from stanft.exit.source import Channel, Durable, Inventory
from stanft.exit.target import Target, is_copy, private
from stanft.ground.errors import UserError

FORMAT = 1
HEADERS = 200  # bytes that the copier's headers add to a message at most, reply excluded
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STREAM_KEYS = {
    "channel", "stream", "replicas", "storage", "max_messages", "max_bytes", "max_age", "keep_age", "consumers"
}  # fmt: skip
_CONSUMER_KEYS = {"client_id", "durable", "group", "name", "ack_wait", "max_ack_pending"}
HEAD = """\
# The move of {cluster} to JetStream. One stream per channel, so that each message keeps its sequence number.
# Edit it, keep it in git, and check it with: stan-ft exit plan --check THIS-FILE
#   replicas: 1, 3 or 5. max_messages, max_bytes: 0 is unlimited; the stream drops its oldest, as the channel did.
#   max_age: 0, or a time such as 36h. Messages live that long from the copy on; with keep_age: true they keep the age
#   they have (this switches per-message TTLs on for the stream, for good).
#   consumers: one pull consumer for each durable or durable queue group; what is deleted here is not moved.
"""


@dataclass(frozen=True)
class ConsumerPlan:
    """What a durable becomes; ack_wait in seconds."""

    client_id: str
    durable: str
    group: str
    name: str
    ack_wait: float
    max_ack_pending: int

    def of(self, durable: Durable) -> bool:
        """Whether it is this durable that becomes it."""
        return (self.client_id, self.durable, self.group) == (durable.client_id, durable.name, durable.group)

    @property
    def label(self) -> str:
        """client/name, or name:group for a queue group."""
        return f"{self.durable}:{self.group}" if self.group else f"{self.client_id}/{self.durable}"


@dataclass(frozen=True)
class StreamPlan:
    """What a channel becomes; max_age in seconds, 0 for unlimited as with the other limits."""

    channel: str
    stream: str
    replicas: int = 1
    storage: str = "file"
    max_messages: int = 0
    max_bytes: int = 0
    max_age: float = 0
    keep_age: bool = False
    consumers: tuple[ConsumerPlan, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A whole move."""

    cluster_id: str
    streams: tuple[StreamPlan, ...] = ()

    def of(self, channel: str) -> StreamPlan:
        """The plan of one channel. Raises UserError if there is none."""
        for one in self.streams:
            if one.channel == channel:
                return one
        raise UserError(f"the plan has no channel {channel!r}: it has {', '.join(o.channel for o in self.streams)}.")


@dataclass
class Judgement:
    """What is wrong with a plan (problems), and what one should know (notes)."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --- made, written, read ------------------------------------------------------------------------------------------


def limits_of(limits: dict[str, Any], channel: str) -> dict[str, Any]:
    """The limits of a channel in the server's table: its own, the patterns' that match it, the global ones.

    In the table of a channel 0 inherits and a negative number is unlimited (stores/store.go).
    """
    found = {key: limits.get(key, 0) for key in ("max_msgs", "max_bytes", "max_age", "max_inactivity")}
    patterns = sorted((limits.get("channels") or {}).items(), key=lambda item: (">" in item[0], item[0].count("*")))
    for pattern, own in reversed(patterns):
        if matches(pattern, channel):
            found |= {key: own[key] for key in found if own.get(key)}
    return {key: max(int(value), 0) for key, value in found.items()}


def matches(pattern: str, channel: str) -> bool:
    """Whether a pattern with * and > names a channel."""
    parts, words = pattern.split("."), channel.split(".")
    for number, part in enumerate(parts):
        if part == ">":
            return len(words) > number
        if number >= len(words) or part not in ("*", words[number]):
            return False
    return len(parts) == len(words)


def propose(inventory: Inventory, replicas: int = 3) -> Plan:
    """A plan for everything that can be moved."""
    streams = names.distinct([one.name for one in inventory.channels])
    made = []
    for channel in sorted(inventory.channels, key=lambda one: one.name):
        limits = limits_of(inventory.limits, channel.name)
        consumers = tuple(
            ConsumerPlan(
                client_id=one.client_id,
                durable=one.name,
                group=one.group,
                name=names.consumer(one.client_id, one.name, one.group),
                ack_wait=one.ack_wait,
                max_ack_pending=one.max_in_flight,
            )
            for one in inventory.durables
            if one.channel == channel.name
        )
        made.append(
            StreamPlan(
                channel=channel.name,
                stream=streams[channel.name],
                replicas=replicas,
                max_messages=limits["max_msgs"],
                max_bytes=0,  # JetStream counts other bytes than the channel did: a limit would drop too early
                max_age=limits["max_age"] / 1e9,
                consumers=consumers,
            )
        )
    return Plan(inventory.cluster_id, tuple(made))


def as_yaml(plan: Plan) -> str:
    """The file."""
    channels = []
    for one in plan.streams:
        entry: dict[str, Any] = {
            "channel": one.channel,
            "stream": one.stream,
            "replicas": one.replicas,
            "storage": one.storage,
            "max_messages": one.max_messages,
            "max_bytes": one.max_bytes,
            "max_age": _time(one.max_age),
            "keep_age": one.keep_age,
            "consumers": [
                {
                    **({"durable": c.durable, "group": c.group} if c.group else {}),
                    **({} if c.group else {"client_id": c.client_id, "durable": c.durable}),
                    "name": c.name,
                    "ack_wait": _time(c.ack_wait),
                    "max_ack_pending": c.max_ack_pending,
                }
                for c in one.consumers
            ],
        }
        channels.append(entry)
    body = {"format": FORMAT, "cluster_id": plan.cluster_id, "channels": channels}
    return HEAD.format(cluster=plan.cluster_id) + yaml.safe_dump(body, sort_keys=False, allow_unicode=True)


def read(path: Path) -> Plan:
    """A plan from its file. Raises UserError that names the place of what is wrong."""
    try:
        body = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise UserError(f"{path} is no plan of this version (format: {FORMAT}): write one with stan-ft exit plan.")
    unknown = body.keys() - {"format", "cluster_id", "channels"}
    if unknown:
        raise UserError(f"{path}: {', '.join(sorted(map(str, unknown)))}: no such key.")
    if not isinstance(body.get("cluster_id"), str) or not isinstance(body.get("channels"), list):
        raise UserError(f"{path}: cluster_id must be a text and channels a list.")
    return Plan(
        body["cluster_id"], tuple(_stream(one, f"{path}: channels[{n}]") for n, one in enumerate(body["channels"]))
    )


def _stream(entry: Any, where: str) -> StreamPlan:
    _keys(entry, _STREAM_KEYS, {"channel", "stream"}, where)
    where = f"{where} ({entry['channel']})"
    storage = entry.get("storage", "file")
    if storage not in ("file", "memory"):
        raise UserError(f"{where}: storage is {storage!r}: write file or memory.")
    replicas = _number(entry, "replicas", 1, where)
    if replicas not in (1, 2, 3, 4, 5):
        raise UserError(f"{where}: replicas is {replicas}: write 1, 3 or 5.")
    if not isinstance(entry.get("keep_age", False), bool):
        raise UserError(f"{where}: keep_age is {entry['keep_age']!r}: write true or false.")
    listed = entry.get("consumers") or []
    if not isinstance(listed, list):
        raise UserError(f"{where}: consumers must be a list.")
    return StreamPlan(
        channel=str(entry["channel"]),
        stream=str(entry["stream"]),
        replicas=replicas,
        storage=storage,
        max_messages=_number(entry, "max_messages", 0, where),
        max_bytes=_number(entry, "max_bytes", 0, where),
        max_age=_seconds(entry.get("max_age", 0), f"{where}: max_age"),
        keep_age=entry.get("keep_age", False),
        consumers=tuple(_consumer(one, f"{where}: consumers[{n}]") for n, one in enumerate(listed)),
    )


def _consumer(entry: Any, where: str) -> ConsumerPlan:
    _keys(entry, _CONSUMER_KEYS, {"durable", "name"}, where)
    client, group = str(entry.get("client_id", "")), str(entry.get("group", ""))
    if bool(client) == bool(group):
        raise UserError(f"{where}: give client_id (a durable) or group (a durable queue group).")
    pending = entry.get("max_ack_pending", 1000)
    if not isinstance(pending, int) or isinstance(pending, bool) or pending < 1:
        raise UserError(f"{where}: max_ack_pending is {pending!r}: write a number from 1 on.")
    return ConsumerPlan(
        client_id=client,
        durable=str(entry["durable"]),
        group=group,
        name=str(entry["name"]),
        ack_wait=_seconds(entry.get("ack_wait", 30), f"{where}: ack_wait"),
        max_ack_pending=pending,
    )


def _keys(entry: Any, allowed: set[str], needed: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise UserError(f"{where} must be a map.")
    if unknown := entry.keys() - allowed:
        raise UserError(f"{where}: {', '.join(sorted(map(str, unknown)))}: no such key; there are {_list(allowed)}.")
    if missing := needed - entry.keys():
        raise UserError(f"{where}: {_list(missing)} is missing.")


def _list(words: set[str]) -> str:
    return ", ".join(sorted(words))


def _number(entry: dict[str, Any], key: str, default: int, where: str) -> int:
    value = entry.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"{where}: {key} is {value!r}: write a whole number, 0 for no limit.")
    return value


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
    if not found:
        raise UserError(f"{where} is {value!r}: write 0, or a number with s, m, h or d such as 36h.")
    return float(found[1]) * _UNITS[found[2]]


def _time(seconds: float) -> str | int:
    if not seconds:
        return 0
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds}s"


# --- judged -------------------------------------------------------------------------------------------------------


async def judge(plan: Plan, inventory: Inventory, target: Target) -> Judgement:
    """Hold a plan against both sides. Nothing is written."""
    found = Judgement()
    if plan.cluster_id != inventory.cluster_id:
        found.problems.append(f"cluster_id: the plan is for {plan.cluster_id}, the source is {inventory.cluster_id}")
    channels = {one.name: one for one in inventory.channels}
    _judge_names(plan, channels, found)
    for one in plan.streams:
        for consumer in one.consumers:
            if not any(consumer.of(durable) and durable.channel == one.channel for durable in inventory.durables):
                found.problems.append(f"{one.channel}: the source has no durable {consumer.label}")
        for durable in inventory.durables:
            if durable.channel == one.channel and not any(consumer.of(durable) for consumer in one.consumers):
                found.notes.append(f"{one.channel}: the durable {durable.label} is not in the plan and is not moved")
        limits = limits_of(inventory.limits, one.channel)
        if limits["max_inactivity"]:
            found.notes.append(
                f"{one.channel}: the channel deletes itself when unused (max_inactivity), a stream never"
            )
        if one.max_age and not one.keep_age:
            found.notes.append(f"{one.channel}: max_age starts anew with the copy, unless keep_age is true")
        if passing := sum(other.members for other in inventory.others if other.channel == one.channel):
            found.notes.append(
                f"{one.channel}: {passing} subscriptions that are no durables have no position "
                "to move; their applications choose a start in JetStream"
            )
    for name in sorted(channels.keys() - {one.channel for one in plan.streams}):
        found.notes.append(f"{name}: is not in the plan and is not moved")
    await _judge_target(plan, channels, target, found)
    return found


def _judge_names(plan: Plan, channels: dict[str, Channel], found: Judgement) -> None:
    seen_channels: set[str] = set()
    seen_streams: set[str] = set()
    for one in plan.streams:
        if one.channel in seen_channels:
            found.problems.append(f"{one.channel}: is in the plan twice")
        if one.stream.lower() in seen_streams:
            found.problems.append(f"{one.channel}: the stream {one.stream} is in the plan twice (case does not count)")
        seen_channels.add(one.channel)
        seen_streams.add(one.stream.lower())
        if one.channel not in channels:
            found.problems.append(f"{one.channel}: the source has no such channel")
        if why := names.problem(one.channel):
            found.problems.append(f"{one.channel}: cannot be the subject of a stream: {why}")
        used: set[str] = set()
        for what, name in [("stream", one.stream), *(("consumer", consumer.name) for consumer in one.consumers)]:
            if not re.fullmatch(r"[^\s.*>/\\\x00-\x1f]{1,255}", name) or len(name.encode()) > 255:
                found.problems.append(f"{one.channel}: {name!r} is no name for a {what}: no dots, spaces, * > / \\")
            if what == "consumer" and name in used:
                found.problems.append(f"{one.channel}: two consumers have the name {name}")
            if what == "consumer":
                used.add(name)


async def _judge_target(plan: Plan, channels: dict[str, Channel], target: Target, found: Judgement) -> None:
    account = await target.account()
    limits, there = (
        account.get("limits") or {},
        {one["config"]["name"]: one["config"] for one in await target.streams()},
    )
    new = [one for one in plan.streams if one.stream not in there]
    most = int(limits.get("max_streams", -1))
    if most >= 0 and len(there) + len(new) > most:
        found.problems.append(f"the target's account may have {most} streams, {len(there) + len(new)} are needed")
    for kind in ("file", "memory"):
        room = int(limits.get("max_storage" if kind == "file" else "max_memory", -1))
        used = int(account.get("storage" if kind == "file" else "memory", 0))
        needed = sum(
            (channels[one.channel].size + channels[one.channel].messages * HEADERS) * one.replicas
            for one in new
            if one.storage == kind and one.channel in channels
        )
        if room >= 0 and used + needed > room:
            found.problems.append(
                f"the target's account has {room - used} bytes left for {kind} storage, about {needed} are needed"
            )
    for one in plan.streams:
        own = there.get(one.stream)
        if own is not None and not is_copy(own, plan.cluster_id, one.channel):
            found.problems.append(f"{one.channel}: the target has a stream {one.stream} that is not its copy")
        for name, config in there.items():
            if name != one.stream and any(overlap(subject, one.channel) for subject in config.get("subjects") or []):
                found.problems.append(f"{one.channel}: the target's stream {name} has this subject already")
    if len(plan.streams) > 300 and any(one.replicas > 1 for one in plan.streams):
        found.notes.append(
            f"{len(plan.streams)} streams with replicas are as many Raft groups: copy with replicas 1, raise it later"
        )
    source_largest = 1 << 20
    if target.max_payload < source_largest + HEADERS:
        found.notes.append(
            f"the target's max_payload is {target.max_payload} bytes: a message as large as the group's default allows "
            f"would not fit with its headers; max_payload: {source_largest + 1024} would do"
        )


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)


def stream_config(plan: Plan, one: StreamPlan, first: int, metadata: dict[str, str]) -> dict[str, Any]:
    """The stream as it is made: closed to producers, beginning with this sequence."""
    config: dict[str, Any] = {
        "name": one.stream,
        "subjects": [private(plan.cluster_id, one.stream)],
        "subject_transform": {"src": private(plan.cluster_id, one.stream), "dest": one.channel},
        "retention": "limits",
        "storage": one.storage,
        "num_replicas": one.replicas,
        "max_msgs": one.max_messages or -1,
        "max_bytes": one.max_bytes or -1,
        "max_age": int(one.max_age * 1e9),
        "discard": "old",
        "allow_direct": True,
        "first_seq": first,
        "metadata": metadata,
    }
    if one.max_age and one.max_age < 120:
        config["duplicate_window"] = config["max_age"]
    if one.keep_age:
        config["allow_msg_ttl"] = True
    return config
