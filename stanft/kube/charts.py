"""Charts rendered to objects by the helm that is at hand, and their values laid over each other as helm does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from stanft.ground import programs, shell, textfile
from stanft.ground.errors import UserError
from stanft.kube import kubeschema, objects
from stanft.kube.objects import Object

Values = Mapping[str, Any]

# The release names under which the charts take the names of the reference recipe.
RELEASES: Final = {"stan-ft": "stan", "efs-provisioner": "efs-provisioner"}


def render(
    chart: Path,
    values: Values | None = None,
    *,
    namespace: str = "default",
    kube_version: str | None = None,
    set: Sequence[str] = (),  # noqa: A002 (helm calls it so)
) -> list[Object]:
    """The objects that `helm template` makes of a chart's directory and one mapping of values.

    kube_version is such as "1.28" (default: kubeschema.USUAL); set holds what --set would get, such as "a.b=1".
    Raises UserError with helm's words when helm refuses, and when there is no helm.
    """
    command: list[str | Path] = [programs.find("helm"), "template", RELEASES.get(chart.name, chart.name), chart]
    command += ["--namespace", namespace, "--kube-version", f"{kubeschema.supported(kube_version)}.0", "--skip-crds"]
    command += [word for each in set for word in ("--set", each)]
    done = shell.run([*command, "--values", "-"], stdin=json.dumps(values or {}), check=False)
    if done.returncode != 0:
        raise UserError(f"helm does not render {chart}: {done.stderr.strip().removeprefix('Error: ')}")
    return objects.parse(done.stdout)


def environment(name: str, chart: Path) -> dict[str, Any]:
    """The values that environments/<name> beside the charts' folder has for a chart; raises UserError without any."""
    folder = chart.resolve().parent.parent / "environments"
    file = folder / name / f"{chart.resolve().name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(each.parent.name for each in folder.glob(f"*/{file.name}"))) or "none"
        raise UserError(f"there is no environment {name!r} for {chart}: there are {known} (or give --values FILE).")
    return values_file(file)


def values_file(file: Path) -> dict[str, Any]:
    """A file of values, read as Helm reads it. Raises UserError that names the file if it cannot be."""
    text = textfile.read(file)
    try:
        return objects.values(text)
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file} is no file of values: {error}") from error


def layered(*layers: Values) -> dict[str, Any]:
    """Several values mappings as one, later ones on top, as `helm -f a -f b` merges: lists are replaced, None stays."""
    total: dict[str, Any] = {}
    for layer in layers:
        _lay_over(total, layer)
    return total


def _lay_over(total: dict[str, Any], layer: Values) -> None:
    for key, value in layer.items():
        below = total.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            _lay_over(below, value)
        else:
            total[key] = copied(value)


def copied(value: Any) -> Any:
    """A copy of values; several times as fast as copy.deepcopy, which also looks for cycles."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value
