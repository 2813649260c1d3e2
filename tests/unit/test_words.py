"""Which container is the server, and how its address is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stanft import words


def container(name: str, port: int | None = None, image: str = "other:1") -> Any:
    """A container as the Kubernetes client gives it."""
    ports = [SimpleNamespace(container_port=port)] if port else None
    return SimpleNamespace(name=name, ports=ports, image=image)


@pytest.mark.parametrize(
    ("containers", "server"),
    [
        ((container("metrics", 7777), container("nats", 4222), container("stan")), "nats"),
        ((container("metrics", 7777), container("stan")), "stan"),
        ((container("metrics", 7777), container("broker", None, "nats-streaming:0.25.6")), "broker"),
        ((container("one"), container("two")), "one"),
    ],
    ids=["by its port", "by its name", "by its image", "else the first"],
)
def test_the_container_of_the_server_is_found(containers: tuple[Any, ...], server: str) -> None:
    assert words.server_container(SimpleNamespace(spec=SimpleNamespace(containers=containers))) == server


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "nats://10.0.0.1:4222"),
        ("fd00:10:244::5", "nats://[fd00:10:244::5]:4222"),
        ("[fd00::5]", "nats://[fd00::5]:4222"),
        ("stan-client", "nats://stan-client:4222"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, address: str) -> None:
    assert words.url(host) == address
