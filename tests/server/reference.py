"""The real server's own reading of command lines and configuration texts, to hold stanft.conf against."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from typing import Any, Self

from harness.ground import toolchain


class Reference:
    """A running stan-options, which answers one question after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [toolchain.ensure("stan-options")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to {"conf": text, "env": {...}} or {"args": [...], "env": {...}}."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def tagged(value: Any) -> Any:
    """A value with the mark of its type, as stan-options writes it."""
    match value:
        case bool():
            return value
        case int():
            return f"int {value}"
        case float():
            return f"float {value!r}"
        case datetime():
            return f"time {value:%Y-%m-%dT%H:%M:%SZ}"
        case str():
            return f"text {value}"
        case dict():
            return {key: tagged(each) for key, each in value.items()}
        case list():
            return [tagged(each) for each in value]
    raise TypeError(value)
