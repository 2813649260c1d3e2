"""Rights, secrets, logins and TLS of stan-ft: nothing secret is written out, and no right is given too many."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.charts.render import at, ci_values, layered, render, stan_conf
from stanft.invariants import security
from stanft.kube import objects
from stanft.kube.objects import Object, dig, find

Values = dict[str, Any]
TLS = {"tls": {"client": {"enabled": True, "existingSecret": "client-tls"}}}
USERS = layered(
    {"auth": {"mode": "users", "existingSecret": "users"}},
    {"auth": {"server": {"method": "password", "existingSecret": "login"}}},
)


def config(values: Values) -> str:
    return stan_conf(render("stan-ft", values))


def server(values: Values | None = None) -> Object:
    return objects.container(find(render("stan-ft", values), "StatefulSet"), "stan")


def mounted(values: Values) -> dict[str, str]:
    """Mount path -> Secret of what the server gets as files."""
    item = find(render("stan-ft", values), "StatefulSet")
    by_name = {name: dig(each, "secret.secretName") for name, each in objects.volumes(item).items()}
    return {
        mount["mountPath"]: by_name[name]
        for name, mount in objects.mounts(objects.container(item, "stan")).items()
        if by_name[name]
    }


def test_every_pod_fits_the_restricted_pod_security_standard() -> None:
    items = render("stan-ft")
    for item in objects.workloads(items):
        assert list(security.restricted_violations(item)) == [], objects.label(item)


def test_the_users_of_all_servers_are_the_same_and_high_enough() -> None:
    context = objects.pod_spec(find(render("stan-ft"), "StatefulSet"))["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001, 10001, 10001)
    assert context["runAsNonRoot"] is True
    assert context["fsGroupChangePolicy"] == "OnRootMismatch"
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_platform_that_chooses_the_user_itself_can_do_so() -> None:
    values = at("podTemplate.securityContext", dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup")))
    context = objects.pod_spec(find(render("stan-ft", values), "StatefulSet"))["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)


def test_groups_of_the_volume_can_be_added() -> None:
    values = at("podTemplate.securityContext.supplementalGroups", [2000])
    context = objects.pod_spec(find(render("stan-ft", values), "StatefulSet"))["securityContext"]
    assert context["supplementalGroups"] == [2000]


def test_the_file_system_is_read_only_and_no_capability_is_left() -> None:
    assert server()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_no_token_is_mounted_into_a_server() -> None:
    items = render("stan-ft")
    assert find(items, "ServiceAccount", "stan")["automountServiceAccountToken"] is False
    spec = objects.pod_spec(find(items, "StatefulSet"))
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "stan"


def test_an_existing_account_is_used_without_its_token() -> None:
    items = render("stan-ft", at("serviceAccount", {"create": False, "name": "mine"}))
    spec = objects.pod_spec(find(items, "StatefulSet"))
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("mine", False)
    assert "stan" not in {objects.name(each) for each in objects.find_all(items, "ServiceAccount")}


# --- logins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "block", "variables"),
    [
        (
            {"auth": {"mode": "password", "existingSecret": "s"}},
            "authorization",
            {"CLIENT_USERNAME": "username", "CLIENT_PASSWORD": "password"},
        ),
        ({"auth": {"mode": "token", "existingSecret": "s"}}, "authorization", {"CLIENT_TOKEN": "token"}),
        (
            layered(USERS, {"auth": {"server": {"method": "password", "existingSecret": "s"}}}),
            "streaming",
            {"STAN_LOGIN_USERNAME": "username", "STAN_LOGIN_PASSWORD": "password"},
        ),
        (
            layered(USERS, {"auth": {"server": {"method": "token", "existingSecret": "s"}}}),
            "streaming",
            {"STAN_LOGIN_TOKEN": "token"},
        ),
        (
            at("auth.routes.existingSecret", "s"),
            "cluster",
            {"ROUTE_USERNAME": "username", "ROUTE_PASSWORD": "password"},
        ),
        (
            {"store": {"type": "sql", "sql": {"existingSecret": "s"}}},
            "sql_options",
            {"STAN_SQL_SOURCE": "source"},
        ),
    ],
    ids=["password", "token", "own password", "own token", "routes", "sql"],
)
def test_a_login_is_a_variable_from_a_secret_in_quotes(values: Values, block: str, variables: dict[str, str]) -> None:
    env, text = objects.env(server(values)), config(values)
    assert block in text
    for variable, key in variables.items():
        assert f": ${variable}" in text
        assert env[variable] == f'"$({variable}_RAW)"'  # in quotes, or the server reads digits as a number
        assert env[f"{variable}_RAW"] == {"secretKeyRef": {"name": "s", "key": key}}


def test_a_variable_comes_after_the_one_that_it_is_made_of() -> None:
    names = [each["name"] for each in server(at("auth.routes.existingSecret", "s"))["env"]]
    assert names.index("ROUTE_PASSWORD_RAW") < names.index("ROUTE_PASSWORD") < names.index("ROUTE_0")


def test_routes_log_in_with_the_user_of_the_secret() -> None:
    values = at("auth.routes.existingSecret", "s")
    env = objects.env(server(values))
    assert env["ROUTE_1"] == (
        '"nats://$(ROUTE_USERNAME_RAW):$(ROUTE_PASSWORD_RAW)@stan-1.stan.default.svc.cluster.local:6222"'
    )
    assert [line.strip() for line in config(values).splitlines() if re.match(r" *\$ROUTE_", line)] == [
        "$ROUTE_0",
        "$ROUTE_1",
        "$ROUTE_2",
    ]


def test_users_come_from_a_file_of_the_secret() -> None:
    assert 'include "../stan-auth/auth.conf"' in config(USERS)
    assert mounted(USERS) == {"/etc/stan-auth": "users"}


@pytest.mark.parametrize(("method", "line"), [("nkey", "nkey_seed_file"), ("credentials", "credentials")])
def test_an_nkey_and_credentials_are_files_of_the_secret(method: str, line: str) -> None:
    values = layered(USERS, at("auth.server.method", method))
    key = {"nkey": "nkey.seed", "credentials": "user.creds"}[method]
    assert f'{line}: "/etc/stan-login/{key}"' in config(values)
    assert mounted(values)["/etc/stan-login"] == "login"


def test_the_encryption_key_goes_past_the_configuration() -> None:
    values = at("store.encryption", {"enabled": True, "existingSecret": "s", "secretKey": "k"})
    assert objects.env(server(values))["NATS_STREAMING_ENCRYPTION_KEY"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert "encrypt: true" in config(values)
    assert "encryption_key" not in config(values)


@pytest.mark.parametrize("name", sorted(ci_values("stan-ft")))
def test_no_secret_is_written_out_anywhere(name: str) -> None:
    items = render("stan-ft", ci_values("stan-ft")[name])
    assert objects.find_all(items, "Secret") == []
    for item in objects.workloads(items):
        for container in objects.containers(item):
            for variable, value in objects.env(container).items():
                if any(word in variable for word in ("PASSWORD", "TOKEN", "KEY", "SOURCE")):
                    assert isinstance(value, dict) or "$(" in value, variable


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_tls_of_clients_covers_the_servers_own_connections() -> None:
    text = config(TLS)
    assert 'cert_file: "/etc/stan-tls/client/tls.crt"' in text
    assert "secure: true" in text
    assert 'server_name: "stan-client.default.svc.cluster.local"' in text
    assert mounted(TLS) == {"/etc/stan-tls/client": "client-tls"}


def test_mutual_tls_gives_the_server_a_certificate_for_itself() -> None:
    text = config(layered(TLS, at("config.tls.verify", True)))
    assert "verify: true" in text
    assert 'client_cert: "/etc/stan-tls/client/tls.crt"' in text
    assert "client_cert" not in config(TLS)


def test_every_part_of_a_tls_block_is_a_value() -> None:
    more = {
        "timeout": 4,
        "connection_rate_limit": 5,
        "cipher_suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
        "curve_preferences": ["X25519"],
        "pinned_certs": ["a" * 64],
    }
    whole = {"config": {"tls": more, "allow_non_tls": True}, "tls": {"client": {"serverName": "stan.example"}}}
    text = config(layered(TLS, whole))
    for line in (
        "timeout: 4",
        "connection_rate_limit: 5",
        '"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"',
        '"X25519"',
        f'"{"a" * 64}"',
        "allow_non_tls: true",
        'server_name: "stan.example"',
    ):
        assert line in text


def test_tls_of_routes_has_a_secret_of_its_own() -> None:
    values = {
        "tls": {"routes": {"enabled": True, "existingSecret": "route-tls"}},
        "config": {"cluster": {"tls": {"timeout": 9}}},
    }
    text = config(values)
    assert 'ca_file: "/etc/stan-tls/cluster/ca.crt"' in text
    assert "timeout: 9" in text
    assert mounted(values) == {"/etc/stan-tls/cluster": "route-tls"}


def test_cert_manager_makes_one_certificate_for_clients_and_routes() -> None:
    values = layered(
        {"tls": {"client": {"enabled": True}, "certManager": {"enabled": True, "issuerRef": {"name": "ca"}}}},
        at("tls.certManager.extraDnsNames", ["stan.example"]),
        at("tls.routes.enabled", True),
    )
    spec = find(render("stan-ft", values), "Certificate")["spec"]
    assert spec["secretName"] == "stan-tls"
    assert spec["issuerRef"] == {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}
    assert {"stan-client.default.svc.cluster.local", "*.stan.default.svc.cluster.local", "stan.example"} <= set(
        spec["dnsNames"]
    )
    assert {"server auth", "client auth"} <= set(spec["usages"])
    assert set(mounted(values).values()) == {"stan-tls"}


def test_what_a_reload_reads_again_is_watched_by_the_supervisor_and_nothing_else() -> None:
    routes = {"tls": {"routes": {"enabled": True, "existingSecret": "routes"}}}
    login = {"auth": {"server": {"method": "credentials", "existingSecret": "login"}}}
    values = layered(TLS, routes, USERS, login)
    assert "/etc/stan-login" in mounted(values), "it is read at the start alone"
    found = {text.removeprefix("--reread=") for text in server(values)["args"] if text.startswith("--reread=")}
    assert found == {"/etc/stan-tls/client", "/etc/stan-tls/cluster", "/etc/stan-auth"}
    assert not [text for text in server()["args"] if "reread" in text]


def test_an_external_server_is_spoken_to_with_its_own_authority_and_login() -> None:
    values = layered(
        {
            "config": {"streaming": {"nats_server_url": "nats://nats.example:4222"}},
            "tls": {
                "external": {
                    "enabled": True,
                    "existingSecret": "ext",
                    "certKey": "tls.crt",
                    "keyKey": "tls.key",
                    "serverName": "n",
                }
            },
        },
        {"auth": {"server": {"method": "credentials", "existingSecret": "login"}}},
    )
    text = config(values)
    assert 'client_ca: "/etc/stan-tls/nats/ca.crt"' in text
    assert 'client_key: "/etc/stan-tls/nats/tls.key"' in text
    assert 'server_name: "n"' in text
    assert mounted(values) == {"/etc/stan-tls/nats": "ext", "/etc/stan-login": "login"}


def test_secret_files_can_be_read_by_the_servers_group_or_by_all_without_one() -> None:
    def modes(values: Values) -> set[Any]:
        item = find(render("stan-ft", layered(TLS, values)), "StatefulSet")
        return {dig(each, "secret.defaultMode") for each in objects.volumes(item).values() if "secret" in each}

    assert modes({}) == {0o440}
    assert modes(at("podTemplate.securityContext.fsGroup", None)) == {0o444}


@pytest.mark.parametrize("right", ["publish", "subscribe"])
def test_no_client_may_forge_or_hear_a_heartbeat_of_the_servers(right: str) -> None:
    text = config({})
    clients = text[text.index("authorization {") : text.index('user: "clients"')]
    denied = re.search(rf"{right} {{\s*deny: \[([^\]]*)\]", clients)
    assert denied is not None
    assert denied[1].strip() == '"_STAN.ft.>"'
