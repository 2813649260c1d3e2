"""The streaming client with passwords, tokens and TLS."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import run

from harness.loopback.server import Group
from stanft.ground import shell
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError, ConnectionLostError
from stanft.stan.options import ConnectOptions

STREAMING = "streaming {{ id: test-cluster, store: file, dir: /data/stan/store, ft_group_name: test-cluster {} }}"
PATIENCE = 20.0  # seconds that a refused client must not use up


def serve(make_group: Callable[..., Group], nats: str, streaming: str = "") -> Group:
    """One active server with these settings."""
    group = make_group(config=nats + "\n" + STREAMING.format(streaming), size=1)
    group.start()
    return group


def publish(group: Group, options: ConnectOptions) -> None:
    """Connect with these options and publish."""

    async def work() -> None:
        async with await Client.connect(group.urls, client_id="client", options=options, wait=PATIENCE) as client:
            assert await client.publish("channel", b"hello")

    run(work())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, for server and client alike."""
    folder = tmp_path_factory.mktemp("certificates")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback"]
    command += [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-addext",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    shell.run([*command, "-keyout", folder / "tls.key", "-out", folder / "tls.crt"])
    return folder


@pytest.mark.parametrize(
    ("server", "right", "wrong"),
    [
        (
            "authorization { user: app, password: right }",
            ConnectOptions(user="app", password="right"),
            ConnectOptions(user="app", password="wrong"),
        ),
        ("authorization { token: right }", ConnectOptions(token="right"), ConnectOptions(token="wrong")),
    ],
    ids=["user and password", "token"],
)
def test_the_right_credentials_are_let_in_and_wrong_ones_are_refused_at_once(
    make_group: Callable[..., Group], server: str, right: ConnectOptions, wrong: ConnectOptions
) -> None:
    group = serve(make_group, server)
    publish(group, right)
    for options in (wrong, ConnectOptions()):
        started = time.monotonic()
        with pytest.raises(ConnectError, match="Authorization Violation"):
            publish(group, options)
        assert time.monotonic() - started < PATIENCE / 2


def test_a_client_whose_password_is_changed_learns_that_it_is_out(make_group: Callable[..., Group]) -> None:
    group = serve(
        make_group,
        "authorization { users: [ { user: app, password: one }, { user: stan, password: s } ] }",
        ", username: stan, password: s",
    )

    async def work() -> None:
        options = ConnectOptions(user="app", password="one")
        client = await Client.connect(group.urls, client_id="client", options=options)
        lost = asyncio.Event()
        client.on_lost = lambda _: lost.set()
        group[0].config.write_text(group[0].config.read_text().replace("password: one", "password: two"))
        group[0].reload()
        await lost.wait()
        assert client.lost == "connection closed: nats: authorization failed"
        with pytest.raises(ConnectionLostError):
            await client.publish("channel", b"hello")
        await client.close()

    run(work())


def test_tls_is_used_where_the_server_asks_for_it(make_group: Callable[..., Group], certificates: Path) -> None:
    tls = f'tls {{ cert_file: "{certificates}/tls.crt", key_file: "{certificates}/tls.key" }}'
    group = serve(make_group, tls, f', tls {{ client_ca: "{certificates}/tls.crt" }}')
    trusting = ssl.create_default_context(cafile=str(certificates / "tls.crt"))
    publish(group, ConnectOptions(tls=trusting, tls_hostname="localhost"))

    started = time.monotonic()
    with pytest.raises(ConnectError, match=r"(?i)certificate"):
        publish(group, ConnectOptions(tls=ssl.create_default_context(), tls_hostname="localhost"))
    assert time.monotonic() - started < PATIENCE / 2


def test_a_client_certificate_is_shown_where_the_server_asks_for_one(
    make_group: Callable[..., Group], certificates: Path
) -> None:
    crt, key = certificates / "tls.crt", certificates / "tls.key"
    tls = f'tls {{ cert_file: "{crt}", key_file: "{key}", ca_file: "{crt}", verify: true }}'
    group = serve(make_group, tls, f', tls {{ client_ca: "{crt}", client_cert: "{crt}", client_key: "{key}" }}')
    context = ssl.create_default_context(cafile=str(crt))
    context.load_cert_chain(crt, key)
    publish(group, ConnectOptions(tls=context, tls_hostname="localhost"))
