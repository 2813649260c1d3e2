"""A check's outcome as SARIF 2.1.0, which code review and code scanning show beside the lines that it is about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from stanft.invariants import Finding, Outcome, Severity

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "note"}
Places = Mapping[str, tuple[str, int]]  # an object such as StatefulSet/stan -> its file, and the line of its document


def places(paths: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Where each object of manifest files and folders is written; of a chart, nothing (its objects are rendered)."""
    found: dict[str, tuple[str, int]] = {}
    for path in map(Path, paths):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.suffix in (".yaml", ".yml", ".json") and file.is_file():
                found |= {label: (file.as_posix(), line) for label, line in _documents(file)}
    return found


def _documents(file: Path) -> Iterable[tuple[str, int]]:
    try:
        for node in yaml.compose_all(file.read_text(), Loader=yaml.CSafeLoader):
            fields = _fields(node)
            name = _fields(fields.get("metadata")).get("name")
            if "kind" in fields and name is not None:
                yield f"{fields['kind'].value}/{name.value}", node.start_mark.line + 1
    except (yaml.YAMLError, UnicodeDecodeError):
        return  # the template of a chart, or a file that is told of elsewhere


def _fields(node: Any) -> dict[str, Any]:
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def sarif(outcomes: Sequence[Outcome], where: Places, default: str) -> str:
    """The findings as one run of stan-ft; what could not be seen is left out.

    where is what places() gives; a finding about anything else is shown at line 1 of the file or folder default.
    """
    rules = [
        {
            "id": outcome.invariant.name,
            "shortDescription": {"text": outcome.invariant.sentence},
            "help": {"text": outcome.invariant.remedy},
            "defaultConfiguration": {"level": _LEVELS[outcome.invariant.severity]},
        }
        for outcome in outcomes
    ]
    results = [
        {
            "ruleId": each.invariant,
            "level": _LEVELS[each.severity],
            "message": {"text": f"{each.where}: {each.problem}. {each.remedy}"},
            "locations": [_location(each, where, default)],
        }
        for outcome in outcomes
        for each in outcome.findings
        if not each.unseen
    ]
    tool = {"driver": {"name": "stan-ft", "rules": rules}}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": tool, "results": results}]}, indent=2)


def _location(finding: Finding, where: Places, default: str) -> dict[str, Any]:
    file, line = where.get(finding.where.partition(" ")[0], (default, 1))  # without the container
    return {
        "physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": line}},
        "logicalLocations": [{"fullyQualifiedName": finding.where}],
    }
