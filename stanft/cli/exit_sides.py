"""The two sides of stan-ft exit: the options that say where they are and how to log in, and the connections to them."""

from __future__ import annotations

import argparse
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from stanft.exit import job
from stanft.exit.source import LiveSource, Source, StoreSource, client_id
from stanft.exit.target import Target
from stanft.ground.errors import UserError
from stanft.stan import keys
from stanft.stan.options import ConnectOptions
from stanft.stan.tls import trusting

SOURCE_PASSWORD, TARGET_PASSWORD = "STAN_FT_SOURCE_PASSWORD", "STAN_FT_TARGET_PASSWORD"
SOURCE_TOKEN, TARGET_TOKEN = "STAN_FT_SOURCE_TOKEN", "STAN_FT_TARGET_TOKEN"
LOGIN_OPTIONS = ("user", "nkey", "creds", "ca", "cert", "key", "tls-name")


def source_options(made: argparse.ArgumentParser) -> None:
    """The options that say where the group or its files are."""
    group = made.add_argument_group("the group (or its files)")
    group.add_argument("--servers", action="append", default=[], metavar="URL", help="NATS address; repeat for each")
    group.add_argument(
        "--monitor", action="append", default=[], metavar="URL", help="monitoring address of each server"
    )
    group.add_argument("--cluster-id", default="test-cluster", metavar="ID", help="default: test-cluster")
    group.add_argument("--store", type=Path, metavar="DIR", help="read these files instead; no server may use them")
    _login(group, "", "the group")


def target_options(made: argparse.ArgumentParser) -> None:
    """The options that say where JetStream is."""
    group = made.add_argument_group("JetStream (nats-server 2.11 or later)")
    group.add_argument("--target", action="append", default=[], required=True, metavar="URL", help="repeat for each")
    _login(group, "target-", "the target")


def _login(group: argparse._ArgumentGroup, side: str, where: str) -> None:
    """How to log in at one side; the same words for both."""
    for name, metavar, words in (
        ("user", "NAME", f"user at {where}; the password is in the environment"),
        ("nkey", "FILE", f"file with the seed of an NKey for {where}"),
        ("creds", "FILE", f"credentials file for {where}"),
        ("ca", "FILE", f"TLS: certificate authority of {where}"),
        ("cert", "FILE", f"TLS: our certificate for {where}"),
        ("key", "FILE", "TLS: its key"),
        ("tls-name", "NAME", "TLS: the name in the server's certificate, where it is reached by another"),
    ):
        group.add_argument(f"--{side}{name}", type=Path if metavar == "FILE" else str, metavar=metavar, help=words)


def both_options(made: argparse.ArgumentParser) -> None:
    """The plan, its channels, and both sides."""
    made.add_argument("plan", type=Path, help="the plan that stan-ft exit plan wrote")
    made.add_argument("--channel", action="append", default=[], help="only this channel; repeat for several")
    source_options(made)
    target_options(made)


def _options(options: argparse.Namespace, side: str, password: str, token: str) -> ConnectOptions:
    """The login of one side. Raises UserError when a part is missing or a file is none."""
    given = {name: getattr(options, f"{side}{name}".replace("-", "_")) for name in LOGIN_OPTIONS}
    switch = f"--{side}"
    found = ConnectOptions(
        user=given["user"],
        password=os.environ.get(password),
        token=os.environ.get(token),
        nkey=given["nkey"],
        credentials=given["creds"],
        tls=_tls(given["ca"], given["cert"], given["key"], switch),
        tls_hostname=given["tls-name"],
    )
    if found.user and not found.password:
        raise UserError(f"{switch}user {found.user}: its password is missing: set {password} in the environment.")
    if found.password and not found.user:
        raise UserError(f"{password} is set: whose password is it? Give {switch}user too.")
    if found.nkey is not None:
        keys.of_seed_file(found.nkey)
    if found.credentials is not None:
        keys.of_credentials(found.credentials)
    return found


def _tls(ca: Path | None, cert: Path | None, key: Path | None, switch: str) -> ssl.SSLContext | None:
    if key is not None and cert is None:
        raise UserError(f"{switch}key goes with {switch}cert: give the file of the certificate too.")
    if ca is None and cert is None:
        return None
    try:
        context = trusting(ca)
    except ssl.SSLError as error:
        raise UserError(f"{switch}ca {ca} holds no certificates in PEM: {error.reason or error}.") from error
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except ssl.SSLError as error:
            raise UserError(
                f"{switch}cert {cert} and {switch}key {key or 'in it'} are no certificate and its key in PEM: "
                f"{error.reason or error}."
            ) from error
    return context


def open_source(options: argparse.Namespace) -> Source:
    """The source that the options name; nothing is asked of it yet. Raises UserError."""
    if options.store is not None:
        return StoreSource(options.store)
    if not options.servers or not options.monitor:
        raise UserError("where is the group? Give --servers and --monitor (the address of each server), or --store.")
    login = _options(options, "", SOURCE_PASSWORD, SOURCE_TOKEN)
    step = "-".join(filter(None, (options.step, getattr(options, "what", ""))))
    own = client_id(step, getattr(options, "channel", []))
    return LiveSource(options.servers, options.monitor, options.cluster_id, login, own)


async def _open_target(options: argparse.Namespace) -> Target:
    login = _options(options, "target-", TARGET_PASSWORD, TARGET_TOKEN)
    return await Target.connect(options.target, login)


@contextlib.asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[tuple[Source, Target]]:
    """Source and target."""
    source = open_source(options)
    try:
        target = await _open_target(options)
        try:
            yield source, target
        finally:
            await target.close()
    finally:
        await source.close()


def arguments_inside(options: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
    """What stan-ft exit is called with in the pod, and the variables that come from the Secret, with their keys."""
    made = [f"--servers={url}" for url in options.servers] + [f"--monitor={url}" for url in options.monitor]
    made += [f"--cluster-id={options.cluster_id}", *(f"--target={url}" for url in options.target)]
    for side in ("", "target-"):
        for name in LOGIN_OPTIONS:
            value = getattr(options, f"{side}{name}".replace("-", "_"))
            if value is not None:
                made.append(f"--{side}{name}={job.inside(value) if isinstance(value, Path) else value}")
    made += ["--follow"] if options.follow else []
    made += [f"--rate={options.rate:g}"] if options.rate else []
    users = {
        SOURCE_PASSWORD: (options.user, "source-password"),
        TARGET_PASSWORD: (options.target_user, "target-password"),
    }
    return made, {name: key for name, (user, key) in users.items() if user}
