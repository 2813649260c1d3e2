"""The servers' monitoring ports, all asked at the same time."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .api import Api, AwayError, RefusedError
from .rule import Answer, Pod

Ask = Callable[[Pod, str], Any]  # the JSON of a path of a pod's monitor; None if it says nothing in time
_MOST = 16 << 20  # bytes of an answer


def directly(seconds: float) -> Ask:
    """Ask the pods' own addresses; each answer has so many seconds, however slowly it drips."""

    def ask(pod: Pod, path: str) -> Any:
        try:
            status, body = _get(pod.address, pod.port, path, time.monotonic() + seconds)
            return json.loads(body) if status == "200" else None
        except (OSError, ValueError):
            return None

    return ask


def through(api: Api, pods: str, seconds: float) -> Ask:
    """Ask through the API server; pods is the path of the namespace's pods."""

    def ask(pod: Pod, path: str) -> Any:
        try:
            return api.call("GET", f"{pods}/{pod.name}:{pod.port}/proxy{path}", seconds=seconds)
        except (RefusedError, AwayError):
            return None

    return ask


def answers(ask: Ask, pods: Iterable[Pod], routes: int, *, may_be_apart: bool) -> dict[str, Answer]:
    """What each server says of itself, by the name of its pod. may_be_apart: a server in no cluster needs no routes."""
    asked = [pod for pod in pods if pod.asked]
    if not asked:
        return {}
    with ThreadPoolExecutor(len(asked)) as pool:
        found = pool.map(lambda pod: _answer(ask, pod, routes, may_be_apart), asked)
        return {pod.name: answer for pod, answer in zip(asked, found, strict=True)}


def _answer(ask: Ask, pod: Pod, routes: int, may_be_apart: bool) -> Answer:
    state = str(_part(ask(pod, "/streaming/serverz"), "state") or "")
    # A server that recovers its store still answers here; one that says nothing at all cannot be waited for.
    speaks = pod.ready or bool(state) or ask(pod, "/varz") is not None
    if pod.old or routes == 0:
        return Answer(state, speaks)
    # Peers, not connections: two servers may hold two routes to each other for a moment.
    peers = len({route.get("remote_id") for route in _part(ask(pod, "/routez"), "routes") or []})
    return Answer(state, speaks, peers, peers < routes and may_be_apart and _part(ask(pod, "/varz"), "cluster") == {})


def _part(document: Any, key: str) -> Any:
    return document.get(key) if isinstance(document, dict) else None


def _get(address: str, port: int, path: str, until: float) -> tuple[str, bytes]:
    """Status and body. By hand: http.client bounds each piece of an answer, not all of it."""
    with socket.create_connection((address, port), timeout=until - time.monotonic()) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        got = b""
        while len(got) < _MOST:
            connection.settimeout(max(0.001, until - time.monotonic()))
            piece = connection.recv(1 << 16)
            if not piece:
                break
            got += piece
            if time.monotonic() > until:
                raise TimeoutError
    head, _, body = got.partition(b"\r\n\r\n")
    return (head.split(maxsplit=2) + [b""] * 2)[1].decode(errors="replace"), body
