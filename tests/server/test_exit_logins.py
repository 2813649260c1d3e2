"""stan-ft exit logs in at both sides: password, token, NKey, credentials file, TLS with a client certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from certificates import Authority
from credentials import Operator, fresh
from loopback import run

from harness.loopback.jetstream import JetStream
from harness.loopback.server import Group
from stanft.cli import main
from stanft.ground.errors import UserError
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError
from stanft.stan.options import ConnectOptions
from stanft.stan.tls import trusting

STREAMING = "streaming {{ id: test-cluster, store: file, dir: /data/stan/store, ft_group_name: test-cluster {} }}"
FORGED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"  # a seed that no server here knows


@dataclass
class Way:
    """A way to log in: the servers' lines, the streaming server's own login, and what is given to stan-ft exit."""

    nats: str
    streaming: str
    client: ConnectOptions
    words: list[str]  # {} is "" for the group and "target-" for JetStream
    environment: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    wrong_environment: dict[str, str] = field(default_factory=dict)


def password(_folder: Path) -> Way:
    return Way(
        "authorization { user: app, password: right }",
        "",
        ConnectOptions(user="app", password="right"),
        ["--{}user", "app"],
        {"STAN_FT_SOURCE_PASSWORD": "right", "STAN_FT_TARGET_PASSWORD": "right"},
        ["--{}user", "app"],
        {"STAN_FT_SOURCE_PASSWORD": "wrong", "STAN_FT_TARGET_PASSWORD": "wrong"},
    )


def token(_folder: Path) -> Way:
    return Way(
        "authorization { token: right }",
        "",
        ConnectOptions(token="right"),
        [],
        {"STAN_FT_SOURCE_TOKEN": "right", "STAN_FT_TARGET_TOKEN": "right"},
    )


def nkey(folder: Path) -> Way:
    user = fresh("user")
    seed, forged = folder / "user.seed", folder / "forged.seed"
    seed.write_text(user.seed + "\n")
    forged.write_text(FORGED)
    return Way(
        f"authorization {{ users: [ {{ nkey: {user.public} }}, {{ user: stan, password: s }} ] }}",
        ", username: stan, password: s",
        ConnectOptions(nkey=seed),
        ["--{}nkey", str(seed)],
        wrong=["--{}nkey", str(forged)],
    )


def credentials(folder: Path) -> Way:
    operator = Operator()
    own, server = operator.user(folder / "app.creds"), operator.user(folder / "server.creds")
    return Way(
        operator.config(),
        f', credentials: "{server}"',
        ConnectOptions(credentials=own),
        ["--{}creds", str(own)],
        wrong=["--{}creds", str(Operator().user(folder / "other.creds"))],
    )


def certificate(folder: Path) -> Way:
    authority = Authority(folder)
    authority.sign("server", "DNS:nats.example")
    authority.sign("client", "DNS:client")
    ca, crt, key = folder / "authority.crt", folder / "server.crt", folder / "server.key"
    tls = f'tls {{ cert_file: "{crt}", key_file: "{key}", ca_file: "{ca}", verify: true, timeout: 10 }}'
    shown = ["--{}ca", str(ca), "--{}tls-name", "nats.example"]
    return Way(
        tls,
        f', tls {{ client_ca: "{ca}", client_cert: "{crt}", client_key: "{key}", server_name: nats.example }}',
        ConnectOptions(tls=authority.context("client"), tls_hostname="nats.example"),
        [*shown, "--{}cert", str(folder / "client.crt"), "--{}key", str(folder / "client.key")],
        wrong=shown,
    )


@pytest.mark.parametrize("way", [password, token, nkey, credentials, certificate])
def test_both_sides_are_reached_in_each_way_and_a_wrong_login_is_told(
    way: Callable[[Path], Way], make_group: Callable[..., Group], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    given = way(tmp_path / "files")
    group = make_group(config=given.nats + "\n" + STREAMING.format(given.streaming), size=1)
    plan = str(tmp_path / "plan.yaml")

    async def fill() -> None:
        async with await Client.connect(group.urls, client_id="app", options=given.client) as client:
            for number in range(20):
                await client.publish("orders", b"%d" % number)

    def exit_(step: str, *more: str, source: list[str], target: list[str]) -> int:
        places = [
            "--servers",
            group.urls[0],
            "--monitor",
            f"127.0.0.1:{group[0].ports.monitor}",
            "--target",
            js.urls[0],
        ]
        own = [word.format("") for word in source] + [word.format("target-") for word in target]
        return main.main(["exit", step, plan, *more, *places, *own])

    with JetStream(tmp_path / "js", extra=given.nats) as js:
        group.start()
        run(fill())
        for name, value in given.environment.items():
            monkeypatch.setenv(name, value)
        right = given.words
        assert exit_("plan", "--replicas", "1", source=right, target=right) == 0
        assert exit_("copy", source=right, target=right) == 0
        assert exit_("verify", source=right, target=right) == 0
        for name in given.environment:
            monkeypatch.delenv(name)
        for name, value in given.wrong_environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match="no NATS connection to .*"):
            exit_("copy", source=given.wrong, target=given.wrong)


def test_the_group_refuses_a_wrong_key(make_group: Callable[..., Group], tmp_path: Path) -> None:
    given = nkey(tmp_path)
    group = make_group(config=given.nats + "\n" + STREAMING.format(given.streaming), size=1)
    group.start()

    async def connect() -> None:
        await Client.connect(
            group.urls, client_id="app", options=ConnectOptions(nkey=tmp_path / "forged.seed"), wait=20
        )

    with pytest.raises(ConnectError, match="Authorization Violation"):
        asyncio.run(connect())


def test_an_authority_without_key_usage_is_trusted_where_python_asks_for_one_as_the_nats_clients_trust_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strict = ssl.create_default_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT  # Python 3.13's own choice
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: strict)
    assert not trusting(None).verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--user", "app"], {}, "--user app: its password is missing: set STAN_FT_SOURCE_PASSWORD"),
        ([], {"STAN_FT_SOURCE_PASSWORD": "x"}, "STAN_FT_SOURCE_PASSWORD is set: whose password is it"),
        (["--key", "k.pem"], {}, "--key goes with --cert"),
        (["--ca", "{text}"], {}, "--ca .*text holds no certificates in PEM"),
        (["--cert", "{text}"], {}, "--cert .* are no certificate and its key in PEM"),
        (["--nkey", "{text}"], {}, "holds no NKey seed"),
        (["--creds", "{text}"], {}, "is no credentials file"),
    ],
)
def test_a_login_that_cannot_work_is_told_before_anybody_is_asked(
    words: list[str], environment: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.write_text("no such thing\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=said):
        main.main(
            ["exit", "inventory", "--servers", "nats://127.0.0.1:1", "--monitor", "127.0.0.1:1"]
            + [word.format(text=text) for word in words]
        )
