"""values.yaml as the one source: its `# @schema` comments and defaults become values.schema.json, `# --` its texts.

An annotation is a flow mapping behind a key: JSON Schema keywords, and define or $ref (a shared definition), open (keys
that are not listed pass), config (a block of stan.conf, whose keys the server's own list gives), like (one of LIKE,
which the templates ask in words), "null" (may be left out). Whatever may be null is so in the schema too: the templates
refuse a needless null in words.
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
from stanft.invariants import mount_options

Schema = dict[str, Any]
_KEY = re.compile(r"^( *)(- )?([A-Za-z0-9_.-]+):")
_ANNOTATION = re.compile(r"# @schema (\{.*\})$")
_TEXT: Final = ["string", "number", "boolean", "null"]
_AMOUNTS: Final[Schema] = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "null"], "x-like": "amount"},
}
_MAP: Final[Schema] = {"type": ["object", "null"]}
_COUNTS = ("initialDelay", "period", "timeout", "terminationGracePeriod")
_DEFINITIONS: Final[dict[str, Schema]] = {
    "probe": {
        "type": ["object", "null"],
        "properties": {
            "httpGet": {
                **_MAP,
                "properties": {"path": {"type": ["string", "null"]}, "port": {"type": ["string", "integer", "null"]}},
            },
            "exec": _MAP,
            "grpc": _MAP,
            "tcpSocket": _MAP,
            **{f"{name}Seconds": {"type": ["integer", "null"]} for name in _COUNTS},
            **{name: {"type": ["integer", "null"]} for name in ("failureThreshold", "successThreshold")},
        },
        "additionalProperties": False,
    },
    "resources": {
        "type": ["object", "null"],
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS, "claims": {"type": ["array", "null"]}},
        "additionalProperties": False,
    },
    "labels": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}},
    "labelMap": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"], "x-like": "label"}},
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
# The blocks of the NATS part, whose other keys pass the schema: they may be variables, and the templates know those.
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
_CAPITALS: Final[Schema] = {"patternProperties": {"[A-Z]": {}}}  # the templates say how the server reads such a key
_KINDS: Final[dict[str, Schema]] = {
    "text": {"type": ["string", "null"]},
    "time": {"type": ["string", "null"], "x-kind": "time"},
    "number": {"type": ["integer", "string", "null"], "x-kind": "size", "minimum": 0},
    "flag": {"type": ["boolean", "null"]},
    "list": {"type": ["array", "null"]},
    "map": {"type": ["object", "null"]},
    "any": {},
}


HELPED_BY: Final = "stan-ft"  # the chart whose helpers the others have under their own prefix
_HELPERS: Final = "templates/_helpers.tpl"
EACH: Final = "*"  # in a path: each element of a list
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
# What a text has to look like (an expression that Python and Go's RE2 read alike), and what to say of another.
LIKE: Final[dict[str, tuple[str, str]]] = {
    "label": (
        r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        "no value of a label (up to 63 letters, digits, dashes, dots or underscores, a letter or digit at both ends). "
        "Write another",
    ),
    "name": (
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "no name of an object (up to 63 small letters, digits or dashes, a letter or digit at both ends). "
        "Write another",
    ),
    "subdomain": (
        rf"^{_LABEL}(\.{_LABEL})*$",
        "no name (small letters, digits, dashes and dots, a letter or digit at both ends). Write another",
    ),
    "claim": (
        rf"^({_LABEL}(\.{_LABEL})*)?$",
        "no name of a claim (small letters, digits, dashes and dots, a letter or digit at both ends). Write another",
    ),
    "provisioner": (
        rf"^{_LABEL}(\.{_LABEL})*(/{_LABEL}(\.{_LABEL})*)?$",
        "no name of a provisioner. Write one such as example.com/efs, in small letters",
    ),
    "host": (
        r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[0-9a-fA-F:.]+)$",
        "no host name or address. Write one such as nfs.example.com, without scheme, port and path",
    ),
    "fileSystem": (
        r"^fs-([0-9a-f]{8}|[0-9a-f]{17})$",
        "no id of an EFS file system. Write one such as fs-0123456789abcdef0 (aws efs describe-file-systems lists)",
    ),
    "volumeHandle": (
        r"^fs-([0-9a-f]{8}|[0-9a-f]{17})(:.*)?$",
        "no file system of EFS. Write one such as fs-0123456789abcdef0, fs-...:/path or fs-...::fsap-...",
    ),
    "region": (r"^[a-z]{2}(-[a-z]+)+-[0-9]+$", "no AWS region. Write one such as us-east-2"),
    "directory": (
        r"^/([^/.][^/]*|\.[^/.][^/]*)?(/([^/.][^/]*|\.[^/.][^/]*))*/?$",
        "no path of a directory. Write one that begins with /, without .. in it",
    ),
    "subdirectory": (
        r"^/?([^/. ][^/ ]*)(/[^/. ][^/ ]*)*/?$",
        "no directory below the root. Write one such as stan/prod, without .. and blanks in it",
    ),
    "size": (
        r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?$",
        "no size. Write a number with Mi, Gi or Ti behind it, such as 10Gi",
    ),
    "amount": (
        r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i|e[0-9]+)?$",
        "no amount. Write a number, with m behind it for parts of a processor, or with Mi or Gi for memory",
    ),
    "url": (r"^https?://[^\s]+$", "no address of a page. Write one that begins with https://, or leave it empty"),
    "channel": (
        r"^[^\s.*>]+(\.[^\s.*>]+)*$",
        "no name of a channel. Write words with dots between them, without * and >",
    ),
    "subPath": (
        r"^([^/.][^/]*|\.[^/.][^/]*)(/([^/.][^/]*|\.[^/.][^/]*))*/?$",
        "no directory of the volume. Write one such as stan/prod, without a / in front and .. in it",
    ),
    "mode": (r"^0?[0-7]{3}$", 'no mode of a directory. Write three octal digits as text, such as "0750"'),
}


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
                stack = [(at, key) for at, key in stack if at < depth]
                if match[2]:  # the keys of a list's elements are said at its first one
                    stack.append((depth, EACH))
                    depth += 2
                stack.append((depth, match[3]))
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
    if "like" in note:
        note["x-like"] = note.pop("like")
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
    if isinstance(default, list) and default and isinstance(default[0], dict):
        found["items"] = {**_mapping(source, (*path, EACH), default[0], definitions, {}), "type": "object"}
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
        found |= {} if free else _CAPITALS
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
    return {
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
        **_CAPITALS,
    }


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
        "mounts": [{"match": each.match, "on": each.on, "words": _words(each)} for each in mount_options.RULES],
        "mountVersion": mount_options.VERSION,
        "drivers": [list(each) for each in mount_options.DRIVERS],
        "like": [list(each) for each in _like(source)],
    }
    if any("config" in note for note in source.notes.values()):
        found["spellings"] = {name: _others(name) for name in _BLOCKS}
        found["defaults"] = _defaults(source.values["config"])
        found["kinds"] = {name: kinds(name) for name in (*_BLOCKS, *_NATS)}
        found["sizes"] = sorted(
            {key for name in (*_BLOCKS, *_NATS) for key, kind in kinds(name).items() if kind == "number"}
        )
        found["secrets"] = list(SECRETS)
    return found


def _defaults(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The chart's own values by block, which a key in another spelling takes the place of."""
    streaming = config["streaming"]
    blocks = {
        "nats": config,
        "streaming": streaming,
        **{name: below for name, below in streaming.items() if isinstance(below, dict)},
    }
    return {
        name: {key: value for key, value in block.items() if not isinstance(value, dict)}
        for name, block in blocks.items()
    }


def _like(source: Source) -> Iterator[tuple[list[str], str, str]]:
    """The paths of texts that must look like something: path, expression, words. What is empty by default may be."""
    for path, note in source.notes.items():
        shared = _DEFINITIONS.get(note.get("$ref", ""), {})
        for place, like in [(path, note.get("like")), *(((*path, *below), like) for below, like in _liked(shared))]:
            if like:
                expression, words = LIKE[like]
                yield list(place), expression if _default(source.values, place) else f"^$|{expression}", words


def _liked(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The paths below a definition whose texts must look like something, and like what."""
    if "x-like" in schema:
        yield path, schema["x-like"]
    for key, below in {**schema.get("properties", {}), EACH: schema.get("additionalProperties")}.items():
        if isinstance(below, dict):
            yield from _liked(below, (*path, key))


def _default(values: Any, path: tuple[str, ...]) -> Any:
    """What values hold at a path, nothing where they hold none; the first element for each of a list."""
    for part in path:
        here = values if isinstance(values, (dict, list)) else {}
        values = next(iter(here), None) if part == EACH and isinstance(here, list) else dict(here).get(part)
    return values


def _words(rule: mount_options.Rule) -> str:
    return f"{rule.why}. {rule.instead[0].upper()}{rule.instead[1:]}"


def _needed(source: Source, path: tuple[str, ...], default: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The paths that may not be null, with what they are by default (None for a group)."""
    note = source.notes.get(path, {})
    if note.get("null") or default is None or note.get("$ref") == "resources":
        return
    inside = path[:1] == ("config",)
    if isinstance(default, dict):
        if note.get("config") in ("store_limits", "file_options"):
            return
        closed = not note.get("open") or source.documented_below(path)
        if path and default and closed:
            yield path, None
        if closed and default and not (path and note.get("$ref") in ("labels", "labelMap")):
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
    if chart != HELPED_BY:
        helpers = (CHARTS / HELPED_BY / _HELPERS).read_text()
        made[directory / _HELPERS] = helpers.replace(f'"{HELPED_BY}.', f'"{chart}.')
    old = Source(directory).old
    if old and chart == HELPED_BY:
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
