"""What the effect tests share: the pod that the chart renders, run as a process, and looked at from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.charts.render import render, stan_conf
from harness.loopback.server import Group, Server
from stanft.ground import wait
from stanft.kube import objects

Values = Mapping[str, Any]
Secrets = Mapping[str, Mapping[str, str]]  # Secret name -> key -> text
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
WAIT = 10.0  # seconds that something may take to be seen; what is measured has bounds of its own


def pod_environment(container: objects.Object, secrets: Secrets) -> dict[str, str]:
    """A container's variables as the kubelet sets them: in order, Secrets looked up, $(NAME) of earlier ones replaced.

    Raises KeyError for a Secret that is not given. What comes from the pod's own fields is left out.
    """
    known: dict[str, str] = {}
    for each in container.get("env") or []:
        reference = objects.dig(each, "valueFrom.secretKeyRef")
        if reference:
            known[each["name"]] = secrets[reference["name"]][reference["key"]]
        elif "value" in each:
            known[each["name"]] = _REFERENCE.sub(lambda match: known.get(match[1], match[0]), each["value"])
    return known


def make(directory: Path, values: Values, *, secrets: Secrets | None = None, size: int = 1, **options: Any) -> Group:
    """A group of servers as the chart renders them: configuration, arguments, variables and Secrets as files."""
    items = render("stan-ft", values)
    workload = objects.find(items, "StatefulSet")
    container = objects.container(workload, "stan")
    text = stan_conf(items)
    variables = pod_environment(container, secrets or {})
    volumes = objects.volumes(workload)
    substitutions = {f"${name}": value for name, value in variables.items() if re.fullmatch(r"ROUTE_\d+", name)}
    for name, mount in objects.mounts(container).items():
        secret = objects.dig(volumes[name], "secret.secretName")
        if secret:
            folder = directory / "files" / mount["mountPath"].strip("/")
            folder.mkdir(parents=True)
            for key, content in (secrets or {})[secret].items():
                (folder / key).write_text(content)
            substitutions[f'"{mount["mountPath"]}/'] = f'"{folder}/'
            if mount["mountPath"] == "/etc/stan-auth":
                substitutions['"../stan-auth/'] = '"../files/etc/stan-auth/'
    # What is made of the pod's own fields each server has from the group.
    env = {name: value for name, value in variables.items() if not _REFERENCE.search(value)}
    return Group(
        directory / "config",
        size=size,
        config=text,
        arguments=container["args"][container["args"].index("-sc") + 2 :],  # the supervisor's come before the server's
        env=env,
        substitutions=substitutions,
        store=directory / "store",
        **options,
    )


@contextmanager
def fleet(directory: Path, variants: Mapping[str, Values]) -> Iterator[dict[str, Server]]:
    """One active server per variant, all started at once: each start waits more than a second for heartbeats."""
    groups = {name: make(directory / name.replace(" ", "-"), values) for name, values in variants.items()}
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda group: group.start(timeout=30), groups.values()))
        yield {name: group[0] for name, group in groups.items()}
    finally:
        for group in groups.values():
            group.stop()


def eventually(condition: Callable[[], bool], what: str, timeout: float = WAIT) -> None:
    """Wait until a condition holds; fails with what was waited for."""
    wait.until(condition, timeout, f"not within {timeout:g} s: {what}", every=0.02)


@contextmanager
def traced(server: Server, calls: str, log: Path) -> Iterator[Callable[[], list[str]]]:
    """System calls of a server while the block runs: gives a function that reads the lines so far (strace -y).

    Skips the test, and says so, where there is no strace or where it may not attach.
    """
    if not shutil.which("strace"):
        pytest.skip("strace is not installed, and system calls are the only place where this key shows")
    command = ["strace", "-f", "-y", "-e", f"trace={calls}", "-p", str(server.pid), "-o", str(log)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    if "attached" not in first:
        tracer.wait()
        pytest.skip(f"strace may not attach here: {first.strip()}")

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    try:
        yield lines
    finally:
        tracer.terminate()
        tracer.wait(10)
