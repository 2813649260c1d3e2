"""Logins, TLS and outside NATS servers of stan-ft, with Secrets as the kubelet hands them over, on the real server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nats
import pytest
from certificates import Authority
from effects import Secrets, make
from loopback import run

from harness.charts.render import at, layered
from harness.ground import toolchain
from harness.loopback.server import Group
from stanft.ground import shell
from stanft.stan.client import Client
from stanft.stan.errors import ConnectError
from stanft.stan.options import ConnectOptions

HOST = "stan-client.default.svc.cluster.local"  # what the server's own connections check
USERS = """
users = [
  { user: app, password: app }
  { user: reader, password: reader, permissions: { publish: "_INBOX.>", subscribe: "_INBOX.>" } }
  { user: server, password: "77" }
]
"""
LOGIN = {"username": "server", "password": "77"}  # digits alone: without quotes the server would read a number


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Group]]:
    """Starts groups of servers from values and Secrets, and ends them after the test."""
    with ExitStack() as ended:
        count = iter(range(100))

        def begin(values: dict[str, Any], secrets: Secrets | None = None, size: int = 1, **options: Any) -> Group:
            group = ended.enter_context(
                make(tmp_path / str(next(count)), values, secrets=secrets, size=size, **options)
            )
            group.start()
            return group

        yield begin


def may(group: Group, wait: float = 20.0, **options: Any) -> bool:
    """Whether a client with these options can connect and publish."""

    async def work() -> bool:
        try:
            client = await Client.connect(group.urls, client_id="client", options=ConnectOptions(**options), wait=wait)
        except (ConnectError, OSError):  # a TLS server may just hang up
            return False
        async with client:
            return bool(await client.publish("channel", b"x"))

    return run(work())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has signed a server's and a client's certificate."""
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.sign("server", f"IP:127.0.0.1,DNS:{HOST},DNS:*.stan.default.svc.cluster.local")
    made.sign("client", "DNS:app")
    return made


@pytest.fixture(scope="module")
def server_secret(authority: Authority) -> dict[str, str]:
    return {
        key: (authority.folder / name).read_text()
        for key, name in (("tls.crt", "server.crt"), ("tls.key", "server.key"), ("ca.crt", "authority.crt"))
    }


def tls(**more: Any) -> dict[str, Any]:
    return {"tls": {"client": {"enabled": True, "existingSecret": "tls"}}, "config": {"tls": more}}


# --- clients --------------------------------------------------------------------------------------------------------


def test_one_user_lets_in_who_knows_the_password_of_the_secret(start: Callable[..., Group]) -> None:
    values = {"auth": {"mode": "password", "existingSecret": "s"}, "config": {"authorization": {"timeout": 3}}}
    group = start(values, {"s": {"username": "app", "password": "12345"}})
    assert may(group, user="app", password="12345")
    assert not may(group, wait=2, user="app", password="54321")
    assert not may(group, wait=2)
    assert (group[0].json("/varz") or {})["auth_timeout"] == 3


@pytest.mark.parametrize("token", ["8888", "a b#c", "true", "5m"])
def test_a_token_of_any_letters_is_taken_as_it_is(start: Callable[..., Group], token: str) -> None:
    group = start({"auth": {"mode": "token", "existingSecret": "s"}}, {"s": {"token": token}})
    assert may(group, token=token)
    assert not may(group, wait=2, token="wrong")


def test_a_hashed_token_is_of_no_use_because_the_server_logs_in_with_it_itself(tmp_path: Path) -> None:
    values = {"auth": {"mode": "token", "existingSecret": "s"}}
    hashed = "$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"
    with make(tmp_path, values, secrets={"s": {"token": hashed}}) as group:
        group[0].start()
        assert group[0].wait_exit() == 1
        assert "Authorization Violation" in group[0].log


def test_users_have_the_permissions_of_their_file_and_the_server_is_one_of_them(start: Callable[..., Group]) -> None:
    values = layered(
        {"auth": {"mode": "users", "existingSecret": "users"}},
        {"auth": {"server": {"method": "password", "existingSecret": "login"}}},
    )
    group = start(values, {"users": {"auth.conf": USERS}, "login": LOGIN})
    assert may(group, user="app", password="app")
    assert not may(group, wait=2, user="reader", password="reader")
    assert not may(group, wait=2, user="nobody", password="x")


def test_the_server_can_log_in_with_an_nkey(start: Callable[..., Group]) -> None:
    # The pair of the NATS documentation, known to everybody.
    public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
    seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
    users = f"users = [ {{ nkey: {public} }}, {{ user: app, password: app }} ]"
    values = layered(
        {"auth": {"mode": "users", "existingSecret": "users"}},
        {"auth": {"server": {"method": "nkey", "existingSecret": "login"}}},
    )
    group = start(values, {"users": {"auth.conf": users}, "login": {"nkey.seed": seed}})
    assert may(group, user="app", password="app")
    keys = [
        each.get("nkey") or each.get("authorized_user")
        for each in (group[0].json("/connz?auth=1") or {})["connections"]
    ]
    assert public in str(keys)


def test_changed_users_are_taken_over_by_a_reload_without_a_restart(start: Callable[..., Group]) -> None:
    values = layered(
        {"auth": {"mode": "users", "existingSecret": "users"}},
        {"auth": {"server": {"method": "password", "existingSecret": "login"}}},
    )
    group = start(values, {"users": {"auth.conf": USERS}, "login": LOGIN})
    [file] = group.directory.parent.glob("files/etc/stan-auth/auth.conf")
    file.write_text(USERS.replace("user: app, password: app", "user: new, password: new"))
    assert not may(group, wait=2, user="new", password="new")
    pid = group[0].pid
    shell.run([toolchain.ensure("nats-streaming-server"), "-sl", f"reload={pid}"])
    group[0].wait_log("Reloaded")
    assert may(group, user="new", password="new")
    assert (group[0].pid, group[0].is_active) == (pid, True)


# --- routes ---------------------------------------------------------------------------------------------------------


def test_routes_need_the_login_of_the_secret(start: Callable[..., Group]) -> None:
    values = {"auth": {"routes": {"existingSecret": "r"}}, "config": {"cluster": {"authorization": {"timeout": 4}}}}
    group = start(values, {"r": {"username": "route", "password": "12345"}}, size=3)
    assert [server.routes for server in group.servers] == [2, 2, 2]
    assert (group[0].json("/varz") or {})["cluster"]["auth_timeout"] == 4

    async def stranger() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", group[0].ports.cluster)
        await reader.readline()
        writer.write(b'CONNECT {"user":"route","pass":"wrong"}\r\nPING\r\n')
        answer = (await reader.read(1000)).decode()
        writer.close()
        return answer

    assert "Authorization Violation" in run(stranger())


def test_routes_speak_tls_and_check_each_other(start: Callable[..., Group], server_secret: dict[str, str]) -> None:
    values = {
        "tls": {"routes": {"enabled": True, "existingSecret": "tls"}},
        "config": {"cluster": {"tls": {"timeout": 5}}},
    }
    group = start(values, {"tls": server_secret}, size=3)
    assert [server.routes for server in group.servers] == [2, 2, 2]
    cluster = (group[0].json("/varz") or {})["cluster"]
    assert (cluster["tls_required"], cluster["tls_verify"], cluster["tls_timeout"]) == (True, True, 5)


def test_a_server_with_a_certificate_that_is_not_pinned_gets_no_route(
    tmp_path: Path, server_secret: dict[str, str]
) -> None:
    values = {
        "tls": {"routes": {"enabled": True, "existingSecret": "tls"}},
        "config": {"cluster": {"tls": {"pinned_certs": ["a" * 64]}}},
    }
    with make(tmp_path, values, secrets={"tls": server_secret}, size=2) as group:
        for server in group.servers:
            server.start()
        group[0].wait_log("not pinned")
        assert [server.routes for server in group.servers] == [0, 0]


# --- TLS of clients -------------------------------------------------------------------------------------------------


def test_tls_is_spoken_by_clients_and_by_the_server_itself(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    group = start(tls(timeout=7), {"tls": server_secret})
    assert may(group, tls=authority.context())
    assert not may(group, wait=2)
    shown = group[0].json("/varz") or {}
    assert (shown["tls_required"], shown["tls_timeout"]) == (True, 7)


def test_mutual_tls_asks_for_a_certificate_of_the_authority(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    group = start(tls(verify=True), {"tls": server_secret})
    assert may(group, tls=authority.context("client"))
    assert not may(group, wait=2, tls=authority.context())
    assert (group[0].json("/varz") or {})["tls_verify"] is True


def test_users_can_be_taken_from_certificates(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    users = f'users = [ {{ user: app, permissions: {{ publish: ">", subscribe: ">" }} }}, {{ user: "{HOST}" }} ]'
    values = layered(tls(verify_and_map=True), {"auth": {"mode": "users", "existingSecret": "users"}})
    group = start(values, {"tls": server_secret, "users": {"auth.conf": users}})
    assert may(group, tls=authority.context("client"))
    assert not may(group, wait=2, tls=authority.context())


def test_clients_without_tls_are_let_in_while_they_are_moved(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    group = start(layered(tls(), at("config.allow_non_tls", True)), {"tls": server_secret})
    assert may(group)
    assert may(group, tls=authority.context())


def test_only_the_named_cipher_suites_and_curves_are_spoken(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    suites = ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
    group = start(tls(cipher_suites=suites, curve_preferences=["CurveP384"]), {"tls": server_secret})

    def spoken(cipher: str, curve: str) -> bool:
        context = authority.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(cipher)
        context.set_ecdh_curve(curve)
        return may(group, wait=2, tls=context)

    assert spoken("ECDHE-RSA-AES256-GCM-SHA384", "secp384r1")
    assert not spoken("ECDHE-RSA-AES128-GCM-SHA256", "secp384r1")
    assert not spoken("ECDHE-RSA-AES256-GCM-SHA384", "prime256v1")


def test_only_pinned_certificates_are_let_in(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    authority.sign("stranger", "DNS:stranger")
    pins = [authority.fingerprint("server"), authority.fingerprint("client")]
    group = start(tls(verify=True, pinned_certs=pins), {"tls": server_secret})
    assert may(group, tls=authority.context("client"))
    assert not may(group, wait=2, tls=authority.context("stranger"))


def test_new_tls_connections_are_limited_to_so_many_each_second(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    group = start(tls(connection_rate_limit=6), {"tls": server_secret})

    async def refused() -> int:
        async def one() -> bool:
            try:
                connection = await nats.connect(
                    group[0].url, tls=authority.context(), allow_reconnect=False, connect_timeout=2
                )
            except Exception:
                return True
            await connection.close()
            return False

        return sum(await asyncio.gather(*(one() for _ in range(20))))

    assert run(refused()) >= 10


# --- another NATS server --------------------------------------------------------------------------------------------


def test_an_outside_nats_server_carries_the_messages(
    start: Callable[..., Group], server_secret: dict[str, str], authority: Authority
) -> None:
    outside = start(
        layered(tls(), {"auth": {"mode": "password", "existingSecret": "s"}}, at("config.streaming.id", "outside")),
        {"tls": server_secret, "s": {"username": "stan", "password": "77"}},
    )
    values = layered(
        {
            "config": {"streaming": {"nats_server_url": outside[0].url}},
            "tls": {"external": {"enabled": True, "existingSecret": "ca", "serverName": HOST}},
        },
        {"auth": {"server": {"method": "password", "existingSecret": "login"}}},
    )
    secrets = {"ca": {"ca.crt": server_secret["ca.crt"]}, "login": {"username": "stan", "password": "77"}}
    inside = start(values, secrets)
    shown = inside[0].json("/streaming/serverz") or {}
    assert (shown["cluster_id"], shown["state"]) == ("test-cluster", "FT_ACTIVE")

    async def work() -> str:
        options = ConnectOptions(user="stan", password="77", tls=authority.context())
        async with await Client.connect(
            outside.urls, client_id="c", cluster_id="test-cluster", options=options
        ) as client:
            return await client.publish("channel", b"x")

    assert run(work())
    assert (inside[0].json("/streaming/serverz") or {})["total_msgs"] == 1


def test_the_store_of_an_outside_login_needs_the_right_password(tmp_path: Path, start: Callable[..., Group]) -> None:
    outside = start(
        layered({"auth": {"mode": "token", "existingSecret": "s"}}, at("config.streaming.id", "outside")),
        {"s": {"token": "77"}},
    )
    values = layered(
        at("config.streaming.nats_server_url", outside[0].url),
        {"auth": {"server": {"method": "token", "existingSecret": "login"}}},
    )
    for token, works in (("77", True), ("78", False)):
        with make(tmp_path / token, values, secrets={"login": {"token": token}}) as group:
            server = group[0]
            server.start()
            if works:
                server.wait_state("FT_ACTIVE")
            else:
                assert server.wait_exit() == 1
                assert "Authorization Violation" in server.log
