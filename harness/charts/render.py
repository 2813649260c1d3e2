"""Charts rendered to objects: values in, Kubernetes objects out, each distinct render made once and kept.

The engine is the Helm SDK in a process that stays up (cluster/go/kubernetes/helm-render); it gives what `helm template`
gives, which tests/unit/test_render.py holds it to. Renders are kept in memory and, by content, on disk, so that
parallel test workers and later runs share them. Every call returns data of its own that the caller may change.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import math
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypedDict, Unpack

import yaml

from harness.charts import environments as environment_values
from harness.ground import content, toolchain
from harness.ground.paths import CHARTS, REPO, keep_owner, make
from harness.ground.paths import cache as cache_directory
from stanft.ground.errors import UserError
from stanft.kube import objects
from stanft.kube.charts import RELEASES, Values, layered  # noqa: F401 (values are layered to be rendered)
from stanft.kube.objects import Object

_KEPT_CHARTS = 12  # rendered chart versions kept on disk; older ones are removed
_UNCHANGED = 1.0  # seconds for which the files of the charts here are not looked at again


class RenderError(UserError):
    """Helm refused: a `fail`, a schema violation, or a template that does not render. Its text is helm's message.

    message holds helm's words alone; request is the render that failed, with the command to repeat it.
    """

    def __init__(self, message: str, request: Request) -> None:
        self.message = message
        self.request = request
        super().__init__(message)


@dataclass(frozen=True)
class Request:
    """One render, fully said: what goes in decides what comes out."""

    chart: Path
    release: str
    namespace: str
    kube_version: str
    values: str  # JSON
    set: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    is_upgrade: bool = False

    def payload(self) -> dict[str, Any]:
        """The request as helm-render reads it (values become a mapping again)."""
        return {**vars(self), "chart": str(self.chart), "values": json.loads(self.values)}

    def command(self) -> str:
        """The shell command that repeats this render with the pinned helm."""
        chart = self.chart.relative_to(REPO) if self.chart.is_relative_to(REPO) else self.chart
        words = ["scripts/tool", "helm", "template", self.release, str(chart), "--namespace", self.namespace]
        words += ["--kube-version", self.kube_version]
        words += [word for each in self.set for word in ("--set", each)]
        words += [word for each in self.api_versions for word in ("--api-versions", each)]
        words += ["--is-upgrade"] if self.is_upgrade else []
        values = json.loads(self.values)
        if not values:
            return shlex.join(words)
        return f"{shlex.join([*words, '--values', '-'])} <<'EOF'\n{yaml.safe_dump(values, sort_keys=False)}EOF"


@dataclass(frozen=True)
class Rendered:
    """What helm gave for a request: the manifest text, NOTES.txt, and the objects (as JSON, read anew each time)."""

    request: Request
    manifest: str
    notes: str
    objects_json: str

    def objects(self) -> list[Object]:
        """The objects, in helm's order, hooks last; a fresh copy each time."""
        found: list[Object] = json.loads(self.objects_json)
        return found


@dataclass
class Statistics:
    """How renders were served in this process: from memory, from disk, or by helm."""

    asked: int = 0
    from_memory: int = 0
    from_disk: int = 0
    by_helm: int = 0


statistics = Statistics()
_memory: dict[tuple[str, Request], Rendered | RenderError] = {}  # by state of the chart's files
_observers: list[Callable[[Request], None]] = []


def on_render(observer: Callable[[Request], None]) -> Callable[[], None]:
    """Call observer with each request from now on (for failure reports); returns the function that ends it."""
    _observers.append(observer)
    return lambda: _observers.remove(observer)


class Options(TypedDict, total=False):
    """What may be said about a render besides chart and values; request() explains each."""

    release: str | None
    namespace: str
    kube_version: str | None
    set: Sequence[str]
    api_versions: Sequence[str]
    is_upgrade: bool


def render(chart: str | Path, values: Values | None = None, **options: Unpack[Options]) -> list[Object]:
    """The objects that a chart makes of one mapping of values; None in it deletes a default, lists are replaced.

    Raises RenderError when helm refuses, UserError when there is no such chart; see request() for the options.
    """
    return rendered(request(chart, values, **options)).objects()


def render_text(chart: str | Path, values: Values | None = None, **options: Unpack[Options]) -> str:
    """Like render(), but the manifest text that `helm template` prints."""
    return rendered(request(chart, values, **options)).manifest


def render_notes(chart: str | Path, values: Values | None = None, **options: Unpack[Options]) -> str:
    """Like render(), but NOTES.txt as shown after an install."""
    return rendered(request(chart, values, **options)).notes


def request(
    chart: str | Path,
    values: Values | None = None,
    *,
    release: str | None = None,
    namespace: str = "default",
    kube_version: str | None = None,
    set: Sequence[str] = (),  # noqa: A002 (helm calls it so)
    api_versions: Sequence[str] = (),
    is_upgrade: bool = False,
) -> Request:
    """The full request behind the arguments of render().

    chart is "stan-ft", "efs-provisioner" or a chart directory; release defaults to the recipe's name of the chart,
    kube_version to the pinned cluster's ("1.28.0" or "v1.28.0"); set holds what --set would get, such as "a.b=1".
    Raises UserError when there is no such chart.
    """
    path = chart_directory(chart)
    return Request(
        chart=path,
        release=release or RELEASES.get(path.name, path.name),
        namespace=namespace,
        kube_version=(kube_version or toolchain.KUBERNETES_VERSION),
        values=json.dumps(values or {}),
        set=tuple(set),
        api_versions=tuple(api_versions),
        is_upgrade=is_upgrade,
    )


def rendered(wanted: Request) -> Rendered:
    """The outcome of a request, from memory, disk or helm. Raises RenderError when helm refuses."""
    statistics.asked += 1
    for observer in _observers:
        observer(wanted)
    signature = _signature(wanted.chart)
    known = _memory.get((signature, wanted))
    if known is None:
        known = _memory[signature, wanted] = _from_disk_or_helm(wanted, signature)
    else:
        statistics.from_memory += 1
    if isinstance(known, RenderError):
        raise RenderError(known.message, wanted)
    return known


def forget() -> None:
    """Drop the renders that this process keeps in memory (those on disk are found by content)."""
    _memory.clear()
    _looked.clear()


def stan_conf(items: Iterable[Object]) -> str:
    """The stan.conf that the servers among rendered objects carry; raises LookupError where they have it elsewhere."""
    template = objects.pod_template(objects.find(items, "StatefulSet")) or {}
    return str(template["metadata"]["annotations"]["stan-ft/stan.conf"])


def chart_directory(chart: str | Path) -> Path:
    """The directory of a chart given by name or path; raises UserError when it holds no Chart.yaml."""
    path = CHARTS / chart if isinstance(chart, str) and "/" not in chart else Path(chart)
    if not (path / "Chart.yaml").is_file():
        known = ", ".join(sorted(each.parent.name for each in CHARTS.glob("*/Chart.yaml"))) or "none"
        raise UserError(
            f"{chart} is no chart: {path} has no Chart.yaml. Charts here: {known}; or give a chart's directory."
        )
    return path.resolve()


def chart_values(chart: str | Path) -> dict[str, Any]:
    """The chart's default values, a fresh copy."""
    return environment_values.values_file(chart_directory(chart) / "values.yaml")


def chart_schema(chart: str | Path) -> dict[str, Any]:
    """The chart's values.schema.json, its shared definitions written out where they are used."""
    schema: dict[str, Any] = json.loads((chart_directory(chart) / "values.schema.json").read_text())
    definitions = schema.pop("$defs", {})

    def follow(node: Any) -> Any:
        if isinstance(node, list):
            return [follow(each) for each in node]
        if not isinstance(node, dict):
            return node
        if reference := node.get("$ref"):
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**follow(definitions[str(reference).rpartition("/")[2]]), **rest}
        return {key: follow(value) for key, value in node.items()}

    found: dict[str, Any] = follow(schema)
    return found


def environments() -> list[str]:
    """The names of the environments (folders of values overrides)."""
    return environment_values.names()


def environment(name: str, chart: str) -> dict[str, Any]:
    """An environment's values for a chart, a fresh copy. Raises UserError for an unknown environment or chart."""
    chart_directory(chart)
    return environment_values.values(name, chart)


def ci_values(chart: str | Path) -> dict[str, dict[str, Any]]:
    """The chart's ci/*-values.yaml by file name without "-values.yaml"."""
    files = sorted((chart_directory(chart) / "ci").glob("*-values.yaml"))
    return {path.name.removesuffix("-values.yaml"): environment_values.values_file(path) for path in files}


def shipped(chart: str) -> dict[str, dict[str, Any]]:
    """Every set of values that comes with a chart: "ci/<name>" and "environments/<name>", by that name."""
    found = {f"ci/{name}": values for name, values in ci_values(chart).items()}
    return found | {f"environments/{name}": environment(name, chart) for name in environments()}


def at(path: str | Iterable[str], value: Any) -> dict[str, Any]:
    """Values that set one key: "store.sql.driver" and "mysql" give {"store": {"sql": {"driver": "mysql"}}}."""
    parts = path.split(".") if isinstance(path, str) else list(path)
    for part in reversed(parts):
        value = {part: value}
    result: dict[str, Any] = value
    return result


_looked: dict[Path, tuple[float, str]] = {}  # chart -> when its files were looked at, and what was seen


def _signature(chart: Path) -> str:
    """Names, sizes and times of a chart's files, different as soon as a file is written.

    The charts here are looked at once a second, as a run of thousands of renders would mostly look; others each time.
    """
    if chart.parent != CHARTS:
        return _seen(chart)
    then, known = _looked.get(chart, (-_UNCHANGED, ""))
    now = time.monotonic()
    if not known or now - then > _UNCHANGED:
        known = _seen(chart)
        _looked[chart] = (now, known)
    return known


def _seen(chart: Path) -> str:
    total = hashlib.sha256()
    folders = [str(chart)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.path):
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    status = entry.stat()
                    total.update(f"{entry.path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def _from_disk_or_helm(wanted: Request, signature: str) -> Rendered | RenderError:
    payload = wanted.payload()
    key = hashlib.sha256(json.dumps({**payload, "chart": wanted.chart.name}, sort_keys=True).encode()).hexdigest()
    path = _store(wanted.chart, signature) / f"{key[:32]}.json"
    try:
        answer = json.loads(path.read_text())
        statistics.from_disk += 1
    except (OSError, ValueError):
        answer = engine().ask({**payload, "state": signature})
        statistics.by_helm += 1
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with suppress(OSError):  # the cache only saves time: a full disk or a cleared cache is no failure
            partial.write_text(json.dumps(answer))
            keep_owner(partial)
            partial.rename(path)
    if answer["error"]:
        return RenderError(answer["error"], wanted)
    return Rendered(wanted, answer["manifest"], answer["notes"], answer["objects"])


@lru_cache(maxsize=64)
def _store(chart: Path, _signature_now: str) -> Path:
    root = Path(os.environ.get("STAN_FT_RENDERS") or cache_directory() / "renders")  # moved by scripts/bench
    directory = root / f"{chart.name}-{content.digest(chart, engine_key())}"
    with suppress(OSError):  # see below: a cache that another process clears at this moment, too
        make(directory)
        os.utime(directory)
        for old in sorted(root.iterdir(), key=_age)[_KEPT_CHARTS:]:
            shutil.rmtree(old, ignore_errors=True)
    return directory


def _age(path: Path) -> float:
    """Seconds since a rendered chart was last wanted; the oldest of all where another process has just removed it."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


@cache
def engine_key() -> str:
    """The content key of the helm engine that renders here."""
    return toolchain.ensure("helm-render").parent.name


@dataclass
class Engine:
    """A running helm-render process, asked one render at a time."""

    binary: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None

    def ask(self, payload: Mapping[str, Any]) -> dict[str, str]:
        """helm-render's answer: manifest, objects (JSON), notes, error where helm refused.

        A payload may say the "state" of the chart's files: they are read anew only when it has changed.
        Raises RuntimeError if the engine died.
        """
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                process = self._process = subprocess.Popen(
                    [self.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
                )
            assert process.stdin is not None  # a pipe
            assert process.stdout is not None  # a pipe
            try:
                process.stdin.write(json.dumps(payload).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # the missing answer says it
            line, items = process.stdout.readline(), process.stdout.readline()
            if not items:
                raise RuntimeError(
                    f"helm-render ended with exit code {process.wait()} while rendering {payload['chart']}"
                )
            return {**json.loads(line), "objects": items.decode().rstrip()}

    def close(self) -> None:
        """End the process (it ends by itself when its stdin closes)."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.wait(timeout=10)
            process.stdout.close()


_engines: dict[int, Engine] = {}


def engine() -> Engine:
    """This process's engine (a forked child gets one of its own)."""
    pid = os.getpid()
    if pid not in _engines:
        _engines[pid] = Engine(toolchain.ensure("helm-render"))
        atexit.register(_engines[pid].close)
    return _engines[pid]
