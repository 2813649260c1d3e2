"""The Kubernetes API with the pod's own account, over https and with the standard library alone."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from pathlib import Path
from typing import Any, Protocol

from .ends import StopError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 10.0  # that the API server has for an answer
RIGHTS = (
    "It takes get on the StatefulSet, get and delete on its pods, create on pods/eviction, "
    "and get, create, update and delete on leases"
)


class RefusedError(Exception):
    """The API server answered with an error: its status, and its words in one line."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(_message(text) or f"HTTP status {status}")


class AwayError(Exception):
    """The API server did not answer."""

    def __init__(self, error: object) -> None:
        super().__init__(f"the API server does not answer: {' '.join(str(error).split())}")


class Api(Protocol):
    """One call of the Kubernetes API."""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = SECONDS) -> Any:
        """The JSON of the answer; raises RefusedError for an error, AwayError for none within so many seconds."""


class InCluster:
    """The API server that every pod is told of; the account's files are read anew, since they are renewed."""

    def __init__(self, account: Path = ACCOUNT) -> None:
        self._account = account
        self._host = os.environ.get("KUBERNETES_SERVICE_HOST") or "kubernetes.default.svc"
        self._port = int(os.environ.get("KUBERNETES_SERVICE_PORT") or 443)
        self._connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = SECONDS) -> Any:
        """As Api.call, over one connection that is kept."""
        try:
            token = (self._account / "token").read_text().strip()
            connection = self._connection or self._connect(seconds)
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            if self._connection:
                self._connection.close()
            self._connection = None
            raise AwayError(error or type(error).__name__) from error
        return parsed(answer.status, text)

    def _connect(self, seconds: float) -> http.client.HTTPSConnection:
        trusted = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        # As kubectl: authorities of older clusters lack extensions that Python 3.13 asks for by default.
        trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._connection = http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=trusted)
        return self._connection


def parsed(status: int, text: str) -> Any:
    """The JSON of an answer; raises RefusedError if it is an error, or no JSON."""
    if not 200 <= status < 300:
        raise RefusedError(status, text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise RefusedError(status, f"no JSON: {text}") from error


def allowed(error: RefusedError) -> RefusedError:
    """The error itself; raises StopError where a right is missing, for waiting does not give it."""
    if error.status == 403 and "is forbidden: User" in str(error):
        raise StopError(f"{error}. {RIGHTS}.") from error
    return error


def _message(text: str) -> str:
    try:
        text = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        text = text[:300]
    return " ".join(text.split())
