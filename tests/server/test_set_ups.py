"""The values of docs/set-ups.md on real servers: accounts, partitions, clients outside, NATS elsewhere."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

from loopback import run, stan_conf
from setups import blocks

from harness.loopback.server import ACTIVE, HOST, STANDBY, Group, Server
from stanft.stan.client import Client

ACCOUNTS = """\
STAN { users: [ { user: stan, password: "s" }, { user: app, password: "a" } ] }
SYS { users: [ { user: admin, password: "x" } ] }
"""


def told_addresses(server: Server) -> list[str]:
    """The other addresses that a server tells a client that connects."""
    with socket.create_connection((HOST, server.ports.client), timeout=5) as opened, opened.makefile("r") as answer:
        found: list[str] = json.loads(answer.readline().removeprefix("INFO ")).get("connect_urls") or []
        return found


def test_clients_outside_are_told_the_outside_address_or_none(make_group: Callable[..., Group]) -> None:
    advertised, silent = blocks("Clients outside of the cluster")
    group = make_group(advertised, size=2)
    group.start()
    assert {address for server in group.servers for address in told_addresses(server)} == {"stan.example.com:4222"}
    group.stop()
    group = make_group(silent, size=2)
    group.start()
    assert [told_addresses(server) for server in group.servers] == [[], []]


def test_servers_and_clients_meet_in_one_account(make_group: Callable[..., Group]) -> None:
    config = stan_conf(blocks("Accounts")[0]).replace("../accounts/accounts.conf", "accounts.conf")
    group = make_group(size=2, config=config, env={"STAN_LOGIN_USERNAME": "stan", "STAN_LOGIN_PASSWORD": "s"})
    (group.directory / "accounts.conf").write_text(ACCOUNTS)
    # The file holds what the kubelet would put in place of the references.
    for server in group.servers:
        text = server.config.read_text()
        server.config.write_text(text.replace("$STAN_LOGIN_USERNAME", '"stan"').replace("$STAN_LOGIN_PASSWORD", '"s"'))
    active = group.start()
    assert sorted(str(server.state) for server in group.servers) == [ACTIVE, STANDBY]

    async def work() -> None:
        url = active.url.replace("nats://", "nats://app:a@")
        async with await Client.connect(url, client_id="app") as client:
            await client.publish("orders", b"1")

    run(work())


def partition(make_group: Callable[..., Group], name: str) -> Group:
    """A group of two servers for the channels below its name."""
    values = blocks("Partitions")[0]
    values["config"]["streaming"] |= {"ft_group_name": name, "store_limits": {"channels": {f"{name}.>": {}}}}
    group: Group = make_group(values, size=2)
    for server in group.servers:
        server.name = f"{name}-{server.name}"  # the pod's, which is the server's: no two of a mesh may have one name
    return group


def test_two_groups_share_one_cluster_id_over_their_routes(make_group: Callable[..., Group]) -> None:
    groups = [partition(make_group, name) for name in ("a", "b")]
    for group, other in (groups, groups[::-1]):
        routes = "".join(f"\n    nats://{HOST}:{server.ports.cluster}" for server in other.servers)
        for server in group.servers:
            server.config.write_text(server.config.read_text().replace("routes: [", f"routes: [{routes}"))
            server.start()
    actives = [group.wait_active() for group in groups]
    for group in groups:
        group.wait_whole()
    assert all(server.routes == 3 for group in groups for server in group.servers)

    async def work() -> None:
        # Whoever is asked, the group that has the channel answers.
        async with await Client.connect(actives[0].url, client_id="both", cluster_id="orders") as client:
            await client.publish("a.one", b"1")
            await client.publish("b.one", b"1")

    run(work())
    for name, active in zip("ab", actives, strict=True):
        assert (active.json("/streaming/channelsz") or {})["names"] == [f"{name}.one"]


def test_servers_of_a_nats_elsewhere_take_over_without_routes(make_group: Callable[..., Group]) -> None:
    elsewhere = make_group(size=1)[0]
    elsewhere.start()
    elsewhere.wait_healthy()
    values = blocks("NATS elsewhere")[0]
    values["config"]["streaming"] |= {"nats_server_url": elsewhere.url, "id": "orders"}
    first = make_group(values, size=1)
    second = make_group(values, size=1, store=first.store)
    for group, state in ((first, ACTIVE), (second, STANDBY)):
        group[0].start()
        group[0].wait_state(state)
    for server in (first[0], second[0]):
        # What rollout, status and the probes rest on.
        assert [(server.get(path) or (0,))[0] for path in ("/", "/healthz")] == [200, 503]
        assert (server.json("/varz") or {})["cluster"] == {}
    first[0].kill()
    second[0].wait_state(ACTIVE)
