"""The Kubernetes API through a kubeconfig, as kubectl finds it, and its answers as plain data."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from urllib3.connection import HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs

from stanft.ground import bounds
from stanft.ground.errors import UserError

AWAY = (client.ApiException, urllib3.exceptions.HTTPError, OSError)  # what a call raises where there is no answer
# What the client raises for files that are no kubeconfig, be it their text, their shape or a certificate in them.
_NO_KUBECONFIG = (TypeError, AttributeError, LookupError, ValueError, OSError, yaml.YAMLError)


def connect(kubeconfig: Path | None = None, context: str | None = None, *, persistent: bool = True) -> client.ApiClient:
    """A client for a context of a kubeconfig (default: the user's own, and its current context).

    persistent: what fails is tried again at once, which takes several times as long as its time limit. Raises UserError
    if there is no usable kubeconfig.
    """
    settings: Any = client.Configuration()
    if not persistent:
        settings.retries = False
    try:
        load: Any = config.new_client_from_config
        found: client.ApiClient = load(str(kubeconfig) if kubeconfig else None, context, client_configuration=settings)
    except config.ConfigException as error:
        raise UserError(
            f"no usable kubeconfig: {str(error).rstrip('.')}. Name one with --kubeconfig, or a context with --context."
        ) from error
    except _NO_KUBECONFIG as error:
        raise _unusable(kubeconfig, error) from error
    _be_answered(found)
    _trust_as_kubectl(found)
    return found


def _be_answered(access: client.ApiClient) -> None:
    """Give up a call after API_CALL seconds where it names no time itself; the client would wait for ever."""
    rest: Any = access.rest_client
    plain = rest.request

    def request(*arguments: Any, _request_timeout: Any = None, **options: Any) -> Any:
        return plain(*arguments, _request_timeout=_request_timeout or bounds.API_CALL, **options)

    rest.request = request


class _Connection(HTTPSConnection):
    """Takes authorities without a key identifier, as older EKS clusters have; Python 3.13 would refuse them.

    Each has a context of its own: urllib3 sets up the one that it is given at every connection, which crashes OpenSSL
    where two threads do it at once.
    """

    def connect(self) -> None:
        self.ssl_context = create_urllib3_context(cert_reqs=resolve_cert_reqs(self.cert_reqs))
        self.ssl_context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not (self.ca_certs or self.ca_cert_dir or self.ca_cert_data):
            self.ssl_context.load_default_certs()
        super().connect()


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection


def _trust_as_kubectl(access: client.ApiClient) -> None:
    rest: Any = access.rest_client
    rest.pool_manager.pool_classes_by_scheme = {"http": urllib3.HTTPConnectionPool, "https": _Pool}


def namespace(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """The namespace that kubectl would take: the context's, else "default"."""
    try:
        listed: Any = config.list_kube_config_contexts
        contexts, current = listed(str(kubeconfig) if kubeconfig else None)
    except config.ConfigException:
        return "default"
    except _NO_KUBECONFIG as error:
        raise _unusable(kubeconfig, error) from error
    found = next((each for each in contexts if each["name"] == context), current if context is None else {})
    return str((found or {}).get("context", {}).get("namespace") or "default")


def _unusable(kubeconfig: Path | None, error: Exception) -> UserError:
    told = "what $KUBECONFIG or ~/.kube/config names" if kubeconfig is None else str(kubeconfig)
    why = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{told} is no usable kubeconfig ({why}): name another one with --kubeconfig.")


def read(api: client.ApiClient, path: str) -> Any:
    """The JSON that the API gives for a path such as /api/v1/namespaces/default/pods; None if there is none (404).

    Raises UserError that says what may not be read, or that the cluster does not answer.
    """
    try:
        status, text = call(api, "GET", path, timeout=bounds.API_READ)
    except AWAY as error:
        host = api.configuration.host
        raise UserError(f"the cluster at {host} does not answer: {error}") from error
    if status == 404:
        return None
    if status in (401, 403):
        raise UserError(f"this user may not read {path}: {_message(text)}. Ask for that right.")
    if status != 200:
        raise UserError(f"{path} cannot be read: {status} {_message(text)}")
    return json.loads(text)


def call(api: client.ApiClient, method: str, path: str, body: Any = None, *, timeout: float) -> tuple[int, str]:
    """HTTP status and text of one answer of the API; timeout in seconds. Raises one of AWAY if there is none."""
    raw: Any = api
    kind = {} if body is None else {"Content-Type": "application/json"}
    request = raw.param_serialize(
        method=method, resource_path=path, body=body, header_params=kind, auth_settings=["BearerToken"]
    )
    answer = raw.call_api(*request, _request_timeout=timeout)
    answer.read()
    return answer.status, (answer.data or b"").decode(errors="replace")


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))
    except (ValueError, AttributeError):
        return text[:300]
