"""Runs other programs: output captured, errors told once and whole."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandError(RuntimeError):
    """A program ended with a non-zero exit code; carries the command and the end of what it printed."""

    def __init__(self, command: Sequence[str], returncode: int, output: str) -> None:
        self.command = list(command)
        self.returncode = returncode
        self.output = output
        tail = "\n".join(output.strip().splitlines()[-25:])
        super().__init__(f"{shlex.join(self.command)} ended with exit code {returncode}\n{tail}")


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | bytes | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return it with stdout and stderr as text.

    env is added to this process's environment; timeout is in seconds.
    Raises CommandError on a non-zero exit code (unless check is False), subprocess.TimeoutExpired on time-out.
    """
    argv = [str(part) for part in command]
    done = subprocess.run(
        argv,
        env={**os.environ, **env} if env else None,
        cwd=cwd,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode != 0:
        raise CommandError(argv, done.returncode, err or out)
    return subprocess.CompletedProcess(argv, done.returncode, out, err)


def output(command: Sequence[str | Path], **options: object) -> str:
    """What run() gives as stdout, stripped; raises what run() raises."""
    return run(command, **options).stdout.strip()  # type: ignore[arg-type]


def stream(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> int:
    """Run a program whose output goes where this process's goes; returns its exit code. env is added.

    log, a file that is written anew, gets the same output, stdout and stderr in their order.
    """
    argv = [str(part) for part in command]
    variables = {**os.environ, **env} if env else None
    if log is None:
        return subprocess.run(argv, env=variables, cwd=cwd, check=False).returncode
    with (
        log.open("wb") as file,
        subprocess.Popen(argv, env=variables, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running,
    ):
        assert running.stdout is not None
        while said := os.read(running.stdout.fileno(), 1 << 16):
            file.write(said)
            sys.stderr.buffer.write(said)
            sys.stderr.flush()
    return running.returncode
