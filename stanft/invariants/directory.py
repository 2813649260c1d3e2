"""A directory as GitOps repositories have them: charts, manifests, kustomizations, values, and files of other programs.

What is no whole Kubernetes object is left out, and it is said what and why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from stanft.ground.errors import UserError
from stanft.kube import objects
from stanft.kube.objects import Object, dig, label

SUFFIXES: Final = (".yaml", ".yml", ".json")
_KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_OTHERS: Final = ("node_modules", "__pycache__", "vendor")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@dataclass
class Found:
    """The objects that were read, and a sentence for each thing that was left out."""

    items: list[Object] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class Kustomization:
    """What one kustomization says of the files beside it."""

    file: Path
    patches: set[Path]
    made: list[Object]  # the ConfigMaps and Secrets of its generators
    changes: list[str]  # what else it would change
    elsewhere: set[Path]  # local resources, wherever they are


def read(here: Path, render: Callable[[Path], list[Object]], seen: frozenset[Path] = frozenset()) -> Found:
    """Everything in a directory; render gives the objects of a chart, seen are directories that led here.

    Raises UserError for a file that cannot be read or is broken YAML (a template of another program is left out).
    """
    found = Found()
    charts = sorted({each.parent for each in _files(here) if each.name == "Chart.yaml"})
    outer = [each for each in charts if not any(other in each.parents for other in charts)]
    for chart in outer:
        _chart(chart, render, found)
    loose = [each for each in _files(here) if not any(chart in each.parents for chart in outer)]
    kustomizations = [_kustomization(each) for each in loose if each.name in _KUSTOMIZATIONS]
    patches = {path for each in kustomizations for path in each.patches}
    for file in loose:
        if file.name in _KUSTOMIZATIONS or file.suffix not in SUFFIXES:
            continue
        if file.resolve() in patches:
            found.skipped.append(f"{file}: a patch of a kustomization, no whole object")
            continue
        _loose(file, found)
    for outside in sorted({path for each in kustomizations for path in each.elsewhere}):
        if outside.is_dir() and outside not in seen and here.resolve() not in (outside, *outside.parents):
            other = read(outside, render, seen | {here.resolve()})
            found.items += other.items
            found.skipped += other.skipped
        elif outside.is_file() and here.resolve() not in outside.parents:
            _loose(outside, found)
    for each in kustomizations:
        found.items += each.made
        changes = f" ({', '.join(each.changes)})" if each.changes else ""
        found.skipped.append(
            f"{each.file}: kustomize is not run, so what it changes{changes} is not judged: "
            f"kubectl kustomize {each.file.parent} | stan-ft check - does that"
        )
    if kustomizations:
        _once(found)
    return found


def text_of(file: Path) -> str:
    """A file's text. Raises UserError for one that cannot be read or is no UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no UTF-8 text: save it as UTF-8, or leave it out.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error


def documents(text: str, origin: str) -> list[Any]:
    """The documents of a YAML stream, empty ones left out. Raises UserError in one line for broken YAML."""
    try:
        return [each for each in yaml.load_all(text, Loader=objects.KubernetesLoader) if each is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        if text.lstrip().startswith("{") and (listed := _json_documents(text)):
            return listed
        if _TEMPLATE.search(text):
            raise UserError(
                f"{origin} cannot be read as Kubernetes objects: it is a template. "
                "Name the chart's directory, or check what comes out: helm template ... | stan-ft check -"
            ) from problem
        place = getattr(problem, "problem_mark", None)
        line = f" (line {place.line + 1})" if place else ""
        reason = str(getattr(problem, "problem", None) or problem).splitlines()[0]
        raise UserError(f"{origin} cannot be read as Kubernetes objects: {reason}{line}.") from problem


def _json_documents(text: str) -> list[Any]:
    """JSON objects one after the other, as kubectl takes them; none where it is not that."""
    found, decoder, rest = [], json.JSONDecoder(), text.strip()
    while rest:
        try:
            each, end = decoder.raw_decode(rest)
        except ValueError:
            return []
        found.append(each)
        rest = rest[end:].strip()
    return found


def objects_of(document: Any) -> list[Object] | None:
    """The objects of one document (the items of a List one by one), None if it is no Kubernetes object.

    Those of an OpenShift Template come with the values that its parameters have.
    """
    if not isinstance(document, dict) or not {"apiVersion", "kind"} <= document.keys():
        return None
    if document["kind"] == "Template" and isinstance(document.get("objects"), list):
        return [each for each in _filled(document) if isinstance(each, dict)]
    if not str(document["kind"]).endswith("List"):
        return [document]
    listed = document.get("items")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _filled(template: Object) -> list[Any]:
    values = {str(each.get("name")): str(each["value"]) for each in template.get("parameters") or [] if "value" in each}

    def fill(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: fill(each) for key, each in item.items()}
        if isinstance(item, list):
            return [fill(each) for each in item]
        if not isinstance(item, str):
            return item
        if whole := re.fullmatch(r"\$\{\{(\w+)\}\}", item):  # the value as data, a number for example
            return yaml.load(values.get(whole.group(1), item), Loader=objects.KubernetesLoader)  # noqa: S506 (safe)
        return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found.group(1), found.group()), item)

    return [fill(each) for each in template["objects"]]


def _files(here: Path) -> Iterator[Path]:
    for each in sorted(here.iterdir()):
        if each.name.startswith(".") or each.name in _OTHERS:
            continue
        if each.is_dir():
            yield from _files(each)
        elif each.suffix in SUFFIXES or each.name in _KUSTOMIZATIONS:
            yield each


def _chart(chart: Path, render: Callable[[Path], list[Object]], found: Found) -> None:
    description: Any = next(iter(documents(text_of(chart / "Chart.yaml"), str(chart / "Chart.yaml"))), {})
    if dig(description, "type") == "library":
        found.skipped.append(f"{chart}: a library chart, it makes no objects")
        return
    try:
        found.items += render(chart)
    except UserError as error:
        found.skipped.append(f"{chart}: {str(error).splitlines()[0]}")


def _loose(file: Path, found: Found) -> None:
    text = text_of(file)
    try:
        loaded = documents(text, str(file))
    except UserError:
        if _TEMPLATE.search(text) is None:
            raise
        found.skipped.append(f"{file}: a template, which another program fills in")
        return
    if not loaded:
        found.skipped.append(f"{file}: empty")
    for document in loaded:
        items = objects_of(document)
        if items is None:
            found.skipped.append(f"{file}: no Kubernetes object (it has no apiVersion and kind)")
        elif any(_TEMPLATE.search(str(dig(each, "metadata.name", ""))) for each in items):
            found.skipped.append(f"{file}: a template, which another program fills in")
        else:
            found.items += [_with_origin(each, file) for each in items]


class _Placed(dict[str, Any]):
    """An object that knows the file that it is from."""

    origin: Path


def _with_origin(item: Object, file: Path) -> Object:
    placed = _Placed(item)
    placed.origin = file
    return placed


def _once(found: Found) -> None:
    """Keep the first of the objects of one name: the others are of other environments, or are patches."""
    seen: dict[tuple[str, str, Any], Object] = {}
    kept: list[Object] = []
    for item in found.items:
        key = (str(item.get("apiVersion")).rpartition("/")[0], label(item), dig(item, "metadata.namespace"))
        if key in seen:
            first, other = (getattr(each, "origin", "a generator") for each in (seen[key], item))
            found.skipped.append(
                f"{other}: {label(item)} is in {first} too, which is judged; name one environment alone"
            )
        else:
            seen[key] = item
            kept.append(item)
    found.items = kept


def _kustomization(file: Path) -> Kustomization:
    made = Kustomization(file, set(), [], [], set())
    for document in documents(text_of(file), str(file)):
        if not isinstance(document, dict):
            continue
        for key in ("patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "transformers"):
            for each in document.get(key) or []:
                name = each.get("path") if isinstance(each, dict) else each
                if isinstance(name, str) and "\n" not in name:
                    made.patches.add((file.parent / name).resolve())
        for key in document:
            if key not in (
                "apiVersion",
                "kind",
                "metadata",
                "resources",
                "bases",
                "components",
                "configMapGenerator",
                "secretGenerator",
            ):
                made.changes.append(str(key))
        made.made += [_generated(each, "ConfigMap", file) for each in document.get("configMapGenerator") or []]
        made.made += [_generated(each, "Secret", file) for each in document.get("secretGenerator") or []]
        for key in ("resources", "bases", "components"):
            made.elsewhere |= {(file.parent / str(each)).resolve() for each in document.get(key) or []}
        made.changes += [
            f"resources of {each}"
            for each in document.get("resources") or []
            if re.match(r"\w+://|git@|github\.com/", str(each))
        ]
    return made


def _generated(generator: Object, kind: str, file: Path) -> Object:
    """The ConfigMap or Secret of a generator, under its name without the hash (the manifests name it so too)."""
    data: dict[str, str] = {}
    for each in generator.get("files") or []:
        key, equals, name = str(each).partition("=")
        path = file.parent / (name if equals else key)
        if path.is_file():
            data[key if equals else path.name] = text_of(path)
    for each in generator.get("literals") or []:
        key, _, value = str(each).partition("=")
        data[key] = value
    metadata = {"name": str(generator.get("name", ""))}
    if generator.get("namespace"):
        metadata["namespace"] = str(generator["namespace"])
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": metadata,
        "data" if kind == "ConfigMap" else "stringData": data,
    }
