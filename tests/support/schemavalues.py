"""Values that a chart's schema accepts: every leaf it knows, other values for a leaf, and hypothesis strategies."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

import jsonschema
from hypothesis import strategies as st

from harness.charts.schema import LIKE

Schema = dict[str, Any]

# Texts of many shapes: for a pattern, the first ones that fit are taken.
_TEXTS: Final = (  # noqa: SIM905 (a list of this length is no easier to read)
    "other other-1 other.example 1h 5m 90s 64mb 128mb 64Mi 128Mi /other/path other/path fs-0123456789abcdef0 us-west-2 "
    "10.0.0.0/8 10.96.0.77 fd00::1 0.25.5 1.2.3 nats://other:4222 https://other.example/x user.key tls.key 50% 0700 "
    "2 100m 4G fd00::/8 -DV -v TLS_AES_128_GCM_SHA256 X25519 nfsvers=4.1 hard OTHER other.> other.* ${.PVC.name} "
    "other@example:1 fs-0123456789abcdef0::fsap-0123456789abcdef0 eth0 a:1 other:path"
).split()
_LONG_TEXTS: Final = (f"sha256:{'a' * 64}", "b" * 64, "other text\n", "")


def leaves(
    schema: Schema, defaults: Any, path: tuple[str, ...] = (), *, unlisted: bool = False
) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every leaf of a schema with its path; what defaults to {} or a list is a leaf as a whole.

    unlisted: with the keys that the schema knows and the defaults do not list.
    """
    properties = schema.get("properties")
    if properties and (defaults or unlisted):
        for name, below in properties.items():
            if name in (defaults or {}) or (unlisted and "type" in below):
                yield from leaves(below, (defaults or {}).get(name), (*path, name), unlisted=unlisted)
    else:
        yield path, schema


def _form(schema: Schema) -> str | None:
    """The expression that a text has to fit: the schema's own, or what the chart's templates ask in words."""
    asked = LIKE[schema["x-like"]][0] if "x-like" in schema else _KINDS.get(schema.get("x-kind", ""))
    form: str | None = schema.get("pattern", asked)
    return form


def others(schema: Schema, current: Any, limit: int = 4) -> list[Any]:
    """Up to limit values that a leaf's schema accepts and that differ from its current one, the plainest first."""
    validator = jsonschema.Draft7Validator(schema)
    found: list[Any] = []
    for candidate in _candidates(schema, current):
        if candidate != current and candidate not in found and validator.is_valid(candidate):
            found.append(candidate)
        if len(found) == limit:
            break
    return found


# What the chart's templates ask of a text beyond its type (the schema's own word for it is x-kind).
_KINDS: Final = {"time": r"^([1-9][0-9]{0,3}(ms|s|m|h))$", "size": r"^[1-9][0-9]{0,3}(k|kb|m|mb)?$"}


def _types(schema: Schema) -> list[str]:
    kinds = schema.get("type", ["string", "integer", "boolean", "object", "array"])
    return [kinds] if isinstance(kinds, str) else [each for each in kinds if each != "null"]


def _candidates(schema: Schema, current: Any) -> Iterator[Any]:
    if "enum" in schema:
        yield from (each for each in schema["enum"] if each is not None)
        return
    for kind in _types(schema):
        if kind == "boolean":
            yield from (current is not True, current is True)
        elif kind in ("integer", "number"):
            base = current if isinstance(current, int) else schema.get("minimum", 1)
            yield from (base + 1, base - 1, base * 2, base + 10, schema.get("maximum", 7), schema.get("minimum", 3))
        elif kind == "string":
            form = _form(schema) if "x-like" in schema else None
            yield from (text for text in (*_TEXTS, *_LONG_TEXTS) if form is None or re.search(form, text))
        elif kind == "array":
            for item in others(schema.get("items", {"type": "string"}), None, 6):
                yield [item]
                yield [*(current or []), item]
        elif kind == "object":
            yield from _mappings(schema, current)


def _mappings(schema: Schema, current: Any) -> Iterator[dict[str, Any]]:
    below = schema.get("additionalProperties", True)
    named = schema.get("properties", {})
    required = {name: next(iter(others(named.get(name, {}), None)), None) for name in schema.get("required", [])}
    if required:
        yield required
    for name, inner in named.items():
        for value in others(inner, (current or {}).get(name)):
            yield {**(current or {}), **required, name: value}
    for inner in schema.get("patternProperties", {}).values():
        yield from ({name: value} for name in ("other", "OTHER") for value in others(inner, None))
    if below:
        names = schema.get("propertyNames", {}).get("enum", ("other", "OTHER", "example.org/other", "other.>"))
        for value in others(below if isinstance(below, dict) else {"type": "string"}, None):
            yield from ({**(current or {}), name: value} for name in names)


def strategy(schema: Schema) -> st.SearchStrategy[Any]:
    """A hypothesis strategy for everything that a schema accepts (draft 7, without references)."""
    if "enum" in schema:
        return st.sampled_from([each for each in schema["enum"] if each is not None])
    choices = [_STRATEGIES[kind](schema) for kind in _types(schema)]
    validator = jsonschema.Draft7Validator(schema)
    return st.one_of(choices).filter(validator.is_valid)


def _integers(schema: Schema) -> st.SearchStrategy[int]:
    lowest = math.ceil(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
    return st.integers(lowest, schema.get("maximum", max(lowest, 1) * 1000))


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    limits = {"max_size": schema.get("maxLength", 40), "min_size": schema.get("minLength", 0)}
    pattern = _form(schema)
    if pattern is None:
        return st.text(st.characters(min_codepoint=32, max_codepoint=126), **limits)
    # Names such as "0" or "no" are left out: written without quotes they become numbers and booleans.
    made = st.from_regex(re.compile(pattern.replace("$", r"\Z")), fullmatch=True, alphabet=st.characters(codec="ascii"))
    return made.filter(lambda text: len(text) <= schema.get("maxLength", 60) and "\x00" not in text and _is_text(text))


def _is_text(text: str) -> bool:
    return text == "" or not re.fullmatch(
        r"[-+.0-9_a-fx]*|~|null|y|n|yes|no|on|off|true|false|[-+.0-9eE_]+", text.lower()
    )


def _arrays(schema: Schema) -> st.SearchStrategy[list[Any]]:
    items = strategy(schema.get("items", {"type": "string"}))
    limits = {"min_size": schema.get("minItems", 0), "max_size": schema.get("maxItems", 3)}
    return st.lists(items, unique_by=repr if schema.get("uniqueItems") else None, **limits)


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    named = {name: strategy(below) for name, below in schema.get("properties", {}).items()}
    required = set(schema.get("required", []))
    fixed = st.fixed_dictionaries(
        {name: named.get(name, st.text(max_size=5)) for name in required},
        optional={name: each for name, each in named.items() if name not in required},
    )
    below = schema.get("additionalProperties", True)
    if below is False or named:
        return fixed
    keys = _texts({"pattern": "^[a-z][a-z0-9]{0,10}$", **schema.get("propertyNames", {})})
    values = strategy(below) if isinstance(below, dict) else st.text(st.characters(codec="ascii"), max_size=5)
    return st.dictionaries(keys, values, max_size=2)


_STRATEGIES: Final = {
    "array": _arrays,
    "boolean": lambda _: st.booleans(),
    "integer": _integers,
    "null": lambda _: st.none(),
    "number": _integers,
    "object": _objects,
    "string": _texts,
}
