"""values.yaml as the one source: its `# @schema` comments and defaults become values.schema.json, `# --` its texts.

An annotation is a flow mapping behind a key: JSON Schema keywords, and define or $ref (a shared definition), open (keys
that are not listed pass), config (a block of stan.conf, whose keys the server's own list gives), "null" (may be left
out). Whatever may be null is so in the schema too: the chart's templates refuse a needless null in words.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from harness.ground.paths import CHARTS, REPO
from stanft.conf import keys
from stanft.ground.errors import UserError

Schema = dict[str, Any]
_KEY = re.compile(r"^( *)([A-Za-z0-9_.-]+):")
_ANNOTATION = re.compile(r"# @schema (\{.*\})$")
_TEXT: Final = ["string", "number", "boolean", "null"]
_DEFINITIONS: Final[dict[str, Schema]] = {
    "labels": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}},
    "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
    "pullSecrets": {
        "type": ["array", "null"],
        "items": {
            "type": ["string", "object"],
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
}
# The blocks of stan.conf below `streaming`: table of keys, and which key opens which block.
_BLOCKS: Final[dict[str, keys.Table]] = {
    "streaming": keys.STREAMING,
    "store_limits": keys.STORE_LIMITS,
    "channel_limits": keys.CHANNEL_LIMITS,
    "file_options": keys.FILE_OPTIONS,
    "sql_options": keys.SQL_OPTIONS,
    "streaming_tls": keys.STREAMING_TLS,
}
# The blocks of the NATS part, whose other keys pass: a later NATS may know them.
_NATS: Final[dict[str, keys.Table]] = {
    "nats": keys.NATS,
    "nats_cluster": keys.CLUSTER,
    "nats_tls": keys.TLS,
    "nats_authorization": keys.AUTHORIZATION,
}
# Names that the documentation of the server uses where its source has another one first.
_CALLED: Final = {"compact_enabled": "compact", "replace_durable": "replace_durables"}
# Kinds of the server's list that are no kinds of their own here.
_SAME: Final = {"store": "text", "address": "any", "period": "time"}
_OPENS: Final = {"store_limits": "store_limits", "file_options": "file_options", "sql_options": "sql_options"}
# What the server refuses at its start (server/conf.go, stores/common.go).
_RANGES: Final[dict[str, Schema]] = {
    "compact_fragmentation": {"minimum": 1, "maximum": 100},
    "compact_interval": {"minimum": 1},
    "crc_poly": {"minimum": 1, "maximum": 4294967295},
    "hb_fail_count": {"minimum": 1},
    "parallel_recovery": {"minimum": 1},
}
SECRETS: Final = ("password", "pass", "token", "encryption_key", "source")  # keys whose value is a secret
_KINDS: Final[dict[str, Schema]] = {
    "text": {"type": ["string", "null"]},
    "time": {"type": ["string", "null"], "x-kind": "time"},
    "number": {"type": ["integer", "string", "null"], "x-kind": "size", "minimum": 0},
    "flag": {"type": ["boolean", "null"]},
    "list": {"type": ["array", "null"]},
    "map": {"type": ["object", "null"]},
    "any": {},
}


# Mount options that a store must not have: which, on which client alone ("" for all), and what to say.
MOUNTS: Final = (
    (
        r"^(nolocks?|lock=no|nobrl|nodfs_lock|noflock|localflocks?|local_lock=(all|posix|flock)|no_remote_lock"
        r"|no_remote_posix_lock|no_remote_flock)(=.*)?$",
        "",
        "locks would stay on the node, and two servers could be active at once. Take it out",
    ),
    (
        r"^((nfs)?vers=[23](\..*)?|v[23])$",
        "",
        "before version 4 NFS keeps locks outside the protocol, and a node that dies keeps its lock. Use nfsvers=4.1",
    ),
    (r"^((nfs)?vers=4\.2|v4\.2)$", "efs", "EFS speaks NFS 4.0 and 4.1 only. Use nfsvers=4.1"),
    (
        r"^(soft|softerr|softreval)$",
        "",
        "a write that takes long fails, and leaves a torn store or loses what was acknowledged. Use hard",
    ),
    (r"^nocto$", "", "a server that takes over could read its node's old view of the store. Take it out"),
    (r"^ro$", "", "the store must be writable. Take it out"),
    (r"^(udp6?|proto=udp6?)$", "", "NFS 4 runs over TCP. Take it out"),
    (r"^(nconnect=.*|sec=krb5.*)$", "efs", "EFS does not support it. Take it out"),
    (
        r"^(tls|iam|accesspoint=.*|awsprofile=.*|az=.*|awscredsuri=.*|stunnel.*|ocsp|noocsp|cafile=.*|mounttargetip=.*)$",
        "nfs",
        "it is an option of the EFS mount helper, and the kernel's NFS client refuses the mount. Take it out, or use "
        "the EFS CSI driver with a handle such as fs-0123456789abcdef0::fsap-0123456789abcdef0",
    ),
)


class Source:
    """A chart's values.yaml: its defaults, and the text and annotation of each key by its path."""

    def __init__(self, chart: Path) -> None:
        lines = (chart / "values.yaml").read_text()
        self.values: dict[str, Any] = yaml.safe_load(lines)
        self.texts: dict[tuple[str, ...], str] = {}
        self.notes: dict[tuple[str, ...], Schema] = {}
        old = chart / "files" / "old-keys.yaml"
        self.old: dict[str, Any] = yaml.safe_load(old.read_text()) if old.exists() else {}
        self._read(lines)

    def _read(self, lines: str) -> None:
        stack: list[tuple[int, str]] = []
        text = ""
        for line in lines.splitlines():
            if line.lstrip().startswith("# -- "):
                text = line.strip()[5:]
            elif match := _KEY.match(line):
                depth = len(match[1])
                stack = [(at, key) for at, key in stack if at < depth] + [(depth, match[2])]
                path = tuple(key for _, key in stack)
                if text:
                    self.texts[path] = text
                if note := _ANNOTATION.search(line):
                    self.notes[path] = yaml.safe_load(note[1])
                text = ""

    def documented_below(self, path: tuple[str, ...]) -> bool:
        """Whether a key below path has a text or annotation of its own."""
        return any(other[: len(path)] == path and len(other) > len(path) for other in (*self.texts, *self.notes))


def schema(chart: str) -> Schema:
    """The chart's schema as data. Raises UserError when an annotation cannot be read."""
    source = Source(CHARTS / chart)
    definitions: dict[str, Schema] = {name: dict(each) for name, each in _DEFINITIONS.items()}
    if any("config" in note for note in source.notes.values()):
        definitions |= {name: _block(name) for name in _BLOCKS} | {name: _open(name) for name in _NATS}
    root = _mapping(source, (), source.values, definitions, {"open": True})
    for path in _old_paths(source.old):
        _allow(root, path)
    used = json.dumps(root) + json.dumps(definitions)
    kept = {name: each for name, each in sorted(definitions.items()) if f"#/$defs/{name}" in used}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root, "type": "object", "$defs": kept}


def _old_paths(old: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for path in old:
        yield tuple(path.split("."))


def _allow(root: Schema, path: tuple[str, ...]) -> None:
    """Let a key of an older chart pass the schema, so that the templates can say what it is called now."""
    here = root
    for number, part in enumerate(path, 1):
        if "properties" not in here:
            return
        last = {"description": "A key of another chart: the refusal says what it is called here."}
        group: Schema = {"type": ["object", "null"], "properties": {}, "additionalProperties": False}
        here = here["properties"].setdefault(part, last if number == len(path) else group)


def _node(source: Source, path: tuple[str, ...], default: Any, definitions: dict[str, Schema]) -> Schema:
    note = dict(source.notes.get(path, {}))
    text = {"description": source.texts[path]} if path in source.texts else {}
    note.pop("null", None)
    if "$ref" in note:
        return {**text, "$ref": f"#/$defs/{note['$ref']}"}
    if isinstance(default, dict):
        name = note.pop("define", None)
        found = _mapping(source, path, default, definitions, note)
        if name:
            definitions[name] = found
            return {**text, "$ref": f"#/$defs/{name}"}
        return {**text, **found}
    kinds = note.pop("type", None) or _kind(default)
    kinds = [kinds] if isinstance(kinds, str) else kinds
    found = {**text, "type": [*(each for each in kinds if each != "null"), "null"], **note}
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


def _mapping(
    source: Source, path: tuple[str, ...], default: Mapping[str, Any], definitions: dict[str, Schema], note: Schema
) -> Schema:
    rest = {key: value for key, value in note.items() if key not in ("open", "config")}
    free = bool(note.get("open")) or (path and not default)
    found: Schema = {"type": ["object", "null"], **rest}
    if path and not source.documented_below(path) and free:
        return found
    properties = {key: _node(source, (*path, key), value, definitions) for key, value in default.items()}
    if note.get("config"):
        known = definitions[note["config"]]["properties"]
        properties = {**known, **{key: _refined(known.get(key, {}), each) for key, each in properties.items()}}
    return {**found, "properties": properties, "additionalProperties": bool(free)}


def _refined(known: Schema, said: Schema) -> Schema:
    """A key that both the server's list and values.yaml describe: a reference has nothing beside it."""
    if "$ref" in said or "$ref" in known:
        return said
    return {**said, **known}


def _kind(default: Any) -> str:
    if isinstance(default, bool):
        return "boolean"
    return {int: "integer", float: "number", str: "string", list: "array"}.get(type(default), "string")


def kinds(block: str) -> dict[str, str]:
    """The kind of each key of a block, in every spelling: text, number, flag, time, map, list or any."""
    table = {**_BLOCKS, **_NATS}[block]
    return {spelled: _SAME.get(key.kind, key.kind) for spelled, key in table.keys.items()}


def spellings(block: str) -> dict[str, str]:
    """The keys of a block in the spelling of the documentation, with the others of each, space-separated."""
    found: dict[str, list[str]] = {}
    for spelled, key in _BLOCKS[block].keys.items():
        name = _CALLED.get(key.name, key.name)
        found.setdefault(name, [])
        if spelled != name:
            found[name].append(spelled)
    return {name: " ".join(others) for name, others in found.items()}


def _others(block: str) -> dict[str, str]:
    """The documentation's spelling of each other spelling."""
    return {other: name for name, words in spellings(block).items() for other in words.split()}


def _block(name: str) -> Schema:
    """A closed schema of a block of stan.conf, each key in every spelling."""
    spelled = _others(name)
    properties: dict[str, Schema] = {}
    for key, kind in kinds(name).items():
        plain = spelled.get(key, key)
        if kind == "map" and name == "streaming" and plain in _OPENS:
            properties[key] = {"$ref": f"#/$defs/{_OPENS[plain]}"}
        elif plain == "tls" and name == "streaming":
            properties[key] = {"$ref": "#/$defs/streaming_tls"}
        elif plain == "channels":
            below = {"$ref": "#/$defs/channel_limits"}
            properties[key] = {"type": ["object", "null"], "additionalProperties": below}
        else:
            properties[key] = {**_KINDS[kind], **_RANGES.get(plain, {})}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _open(name: str) -> Schema:
    """An open schema of a block of the NATS part: known keys have a type, others pass."""
    properties = {key: dict(_KINDS["any" if kind == "time" else kind]) for key, kind in kinds(name).items()}
    for key in ("cluster", "tls", "authorization"):
        if key in properties and f"nats_{key}" in _NATS:
            properties[key] = {"$ref": f"#/$defs/nats_{key}"}
    return {"type": ["object", "null"], "properties": properties}


def facts(chart: str) -> dict[str, Any]:
    """What the templates cannot know by themselves: which values may not be null, old names, the server's keys."""
    source = Source(CHARTS / chart)
    found: dict[str, Any] = {
        "roots": list(source.values),
        "oldRoots": sorted({path.split(".")[0] for path in source.old} - set(source.values)),
        "needed": [[list(path), default] for path, default in _needed(source, (), source.values)],
        "old": [[path.split("."), words] for path, words in source.old.items()],
        "mounts": [{"match": match, "on": on, "words": words} for match, on, words in MOUNTS],
    }
    if any("config" in note for note in source.notes.values()):
        found["spellings"] = {name: _others(name) for name in _BLOCKS}
        found["kinds"] = {name: kinds(name) for name in (*_BLOCKS, "nats", "nats_cluster")}
        found["sizes"] = sorted(
            {key for name in (*_BLOCKS, *_NATS) for key, kind in kinds(name).items() if kind == "number"}
        )
        found["nats"] = sorted(kinds("nats"))
        found["secrets"] = list(SECRETS)
    return found


def _needed(source: Source, path: tuple[str, ...], default: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The paths that may not be null, with what they are by default (None for a group)."""
    note = source.notes.get(path, {})
    if note.get("null") or default is None:
        return
    inside = path[:1] == ("config",)
    if isinstance(default, dict):
        if note.get("config") in ("store_limits", "file_options"):
            return
        closed = not note.get("open") or source.documented_below(path)
        if path and default and closed:
            yield path, None
        if closed and default and not (path and note.get("$ref") == "labels"):
            for key, value in default.items():
                yield from _needed(source, (*path, key), value)
        return
    if inside and not ({"$ref", "minLength"} & set(note)):
        return
    if default not in ("", 0, False) and default != []:
        yield path, default


def files(chart: str) -> dict[Path, str]:
    """The generated files of a chart and their text."""
    directory = CHARTS / chart
    made = {
        directory / "values.schema.json": json.dumps(schema(chart), indent=1, ensure_ascii=False) + "\n",
        directory / "files" / "facts.json": _lines(facts(chart)),
    }
    old = Source(directory).old
    if old:
        made[REPO / "docs" / "values-of-other-charts.md"] = _page(old)
    return made


_PAGE: Final = """\
# Values of other charts

Written from charts/stan-ft/files/old-keys.yaml. The chart refuses each of these keys with what says the same here.

The configuration is data now: `config` holds stan.conf in the server's own keys, so whoever has a stan.conf (from the
recipe, or from a ConfigMap of one's own) writes its blocks below `config` as they are; what the chart knows by itself
(routes, paths, logins, certificates) is left out. Whatever field of a Kubernetes object has no value of its own is
reached through `merge` of that object.

Two meanings changed under one name: `service` is the Service of the clients now (`clientService` before), and the
headless one is `headlessService`; `config` is the content of the file, and where the file comes from is `configFile`.

"""


def _page(old: Mapping[str, str]) -> str:
    theirs = ("stan.", "store.ft", "store.cluster", "store.file.", "store.volume", "store.partitioning", "exporter")
    parts = {
        "This chart before 1.0": [key for key in old if not key.startswith((*theirs, "auth.", "nameSpace"))],
        "The official stan chart": [key for key in old if key.startswith((*theirs, "auth.", "nameSpace"))],
    }
    text = _PAGE
    for title, names in parts.items():
        rows = "".join(f"| {name} | {old[name]} |\n" for name in names)
        text += f"## {title}\n\n| Key | Here |\n|---|---|\n{rows}\n"
    return text.rstrip("\n") + "\n"


def _lines(data: Mapping[str, Any]) -> str:
    """JSON with one line for each entry of the first level."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _annotated() -> list[str]:
    """The charts whose values.yaml is the source of their schema."""
    return [path.parent.name for path in sorted(CHARTS.glob("*/values.yaml")) if "# @schema" in path.read_text()]


def stale() -> list[Path]:
    """The generated files, of all charts, that are not what would be written now."""
    charts = [path.parent.name for path in sorted(CHARTS.glob("*/values.yaml")) if "# @schema" in path.read_text()]
    return [
        path for chart in charts for path, text in files(chart).items() if not path.exists() or path.read_text() != text
    ]


def write(chart: str) -> None:
    """Write the generated files of a chart; raises UserError where its values.yaml cannot be read."""
    try:
        made = files(chart)
    except yaml.YAMLError as problem:
        raise UserError(f"charts/{chart}/values.yaml: an annotation is no flow mapping: {problem}") from problem
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def main(arguments: list[str]) -> int:
    """Write the generated files, or with --check say which are stale; 1 if any is."""
    if "--check" not in arguments:
        for chart in _annotated():
            write(chart)
        return 0
    found = stale()
    for path in found:
        sys.stderr.write(f"{path.relative_to(REPO)} is stale: run scripts/lint --fix.\n")
    return 1 if found else 0
