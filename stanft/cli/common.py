"""How every command ends: 0, 1 (judged bad), 2 (could not be done, said in one line), 130 (interrupted)."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from stanft.ground import shell
from stanft.ground.errors import UserError

# Programs whose Debian package has another name.
PACKAGES = {"ip": "iproute2", "kill": "procps", "ps": "procps", "sysctl": "procps", "docker": "docker.io"}


def end_like_ctrl_c() -> None:
    """Make SIGTERM end this program in order, as Ctrl-C does (which a shell switches off in what it starts with &)."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def run(main: Callable[[], int | None]) -> None:
    """Run a command's main function and end the process with its exit code (2 for an error that it explains).

    STAN_FT_TRACEBACK=1 shows where an explained error came from; what nothing explains is a bug and shows it anyway.
    """
    try:
        code = main() or 0
        sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here when it is run again", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Who read what this prints has seen enough (`| head`); Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except Exception as error:
        words = explain(error)
        if words is None or os.environ.get("STAN_FT_TRACEBACK"):
            raise
        print(f"error: {words}", file=sys.stderr)
        sys.exit(2)


def explain(error: BaseException) -> str | None:
    """What to tell the user of an error that comes from the machine or from what was given; None for a bug."""
    if isinstance(error, BaseExceptionGroup):
        return explain(error.exceptions[0])
    if isinstance(error, UserError | shell.CommandError):
        return str(error)
    if isinstance(error, subprocess.TimeoutExpired):
        command = error.cmd if isinstance(error.cmd, str) else shlex.join(map(str, error.cmd))
        return (
            f"{command} gave no answer within {error.timeout:.0f} s: see whether what it asks is alive, then try again."
        )
    if isinstance(error, UnicodeDecodeError):
        return f"text was expected, and there is a byte that is not UTF-8 (at {error.start}): write the file in UTF-8."
    if isinstance(error, OSError) and not _is_a(error, "urllib.error.URLError", "requests.exceptions.RequestException"):
        return _of_the_system(error)
    for kinds, words in _LIBRARIES.items():
        if _is_a(error, *kinds):
            return words(error)
    return None


def _of_the_system(error: OSError) -> str:
    name = str(error.filename) if error.filename is not None else ""
    where = f": {name}" if name else ""
    if isinstance(error, FileNotFoundError):
        if name and "/" not in name and not name.count("."):
            package = PACKAGES.get(name, name)
            return (
                f"the program {name} is not there: install it (on Debian, apt-get install {package}), then try again."
            )
        return f"there is no such file or directory{where}"
    if isinstance(error, PermissionError):
        return f"this user may not use it{where}. Let its owner allow it, or name another place."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}. Free some space there, then run the same command again."
    if isinstance(error, ConnectionError | TimeoutError):
        return f"no connection ({error.strerror or str(error) or 'no answer in time'}){where}"
    return f"{error.strerror or error}{where}"


def _is_a(error: BaseException, *names: str) -> bool:
    """Whether the error is of a class with one of these full names; nothing is imported for it."""
    return any(f"{each.__module__}.{each.__qualname__}" in names for each in type(error).__mro__)


def _yaml(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"this is no YAML: {place}{getattr(error, 'problem', None) or error}"


def _api(error: Any) -> str:
    body = (error.body or "").strip()[:1000]
    return f"the Kubernetes API refused a request: {error.status} {error.reason}\n{body}".strip()


def _no_answer(error: Any) -> str:
    cause = getattr(error, "reason", None) or error
    return (
        f"no answer from {getattr(getattr(error, 'pool', None), 'host', 'the other side')}: {cause}\n"
        "Is the cluster up, and does the kubeconfig name it? After a reboot, scripts/up starts the local one again."
    )


# By the full names of classes: commands that need none of these libraries do not load them.
_LIBRARIES: dict[tuple[str, ...], Callable[[Any], str]] = {
    ("yaml.error.YAMLError",): _yaml,
    ("json.decoder.JSONDecodeError",): lambda error: f"this is no JSON: {error}",
    ("kubernetes.client.exceptions.ApiException",): _api,
    ("kubernetes.config.config_exception.ConfigException",): lambda error: f"the kubeconfig cannot be used: {error}",
    (
        "urllib3.exceptions.HTTPError",
        "urllib.error.URLError",
        "requests.exceptions.RequestException",
        "http.client.HTTPException",
    ): _no_answer,
    ("nats.errors.Error", "stanft.stan.errors.StanError"): lambda error: f"the server did not do it: {error}",
}
