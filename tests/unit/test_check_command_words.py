"""How a container starts the server: by itself, by its image, behind a shell, a script or a wrapper."""

from __future__ import annotations

import pytest

from stanft.invariants.command import Command, server

SCRIPT = """#!/bin/sh
set -e
# nats-streaming-server is started below
echo "starting nats-streaming-server"
STORE=${STORE:-/data}
export GROUP="my group"
if [ -f /tmp/x ]; then
  exec nats-streaming-server \\
    -sc /etc/stan.conf -dir "$STORE/store" \\
    --ft_group="$GROUP" -cid '$literally' -p $(cat /port) 2>&1 | tee /log
fi
"""


def words(
    image: str = "x", command: list[str] | None = None, args: list[str] | None = None, **environment: str | None
) -> list[str] | None:
    """The server's words, None where no server is recognised."""
    found = server(image, command or [], args or [], environment, {"/run.sh": SCRIPT}.get)
    return None if found is None else list(found.words)


@pytest.mark.parametrize(
    "image",
    ["nats-streaming:0.25.6", "nats-streaming", "corp/nats-streaming-server@sha256:0", "r:5000/ap-nats-streaming:1"],
)
def test_an_image_by_its_name_starts_the_server(image: str) -> None:
    assert words(image, args=["-m", "8222"]) == ["-m", "8222"]


@pytest.mark.parametrize(
    "image", ["natsio/nats-streaming-operator:1", "nats-streaming-exporter", "nats:2.9", "nats-box"]
)
def test_other_images_start_something_else(image: str) -> None:
    assert words(image, args=["-c", "/etc/nats.conf"]) is None


def test_any_image_is_recognised_by_options_that_only_this_server_has() -> None:
    assert words(args=["--ft_group=a", "-m", "1"]) == ["--ft_group=a", "-m", "1"]


@pytest.mark.parametrize(
    "command",
    [
        ["/nats-streaming-server", "-p", "1"],
        ["tini", "--", "nats-streaming-server", "-p", "1"],
        ["gosu", "nats", "/usr/local/bin/nats-streaming-server", "-p", "1"],
        ["sh", "-c", "nats-streaming-server -p 1"],
        ["/bin/bash", "-euc", "exec nats-streaming-server -p '1'"],
        ["sh", "-c", "sleep 1 && exec nats-streaming-server -p 1; echo done"],
        ["busybox", "sh", "-c", "A=1\nexec nats-streaming-server -p $A"],
        ["sh", "-c", 'exec nats-streaming-server "$@"', "--", "-p", "1"],
        ["sh", "-c", "trap 'kill 1' TERM; nats-streaming-server -p 1 &\nwait"],
        ["env", "A=b", "nats-streaming-server", "-p", "$(PORT)"],
    ],
)
def test_the_words_behind_the_servers_name_are_found(command: list[str]) -> None:
    assert words(command=command, PORT="1") == ["-p", "1"]


def test_arguments_of_an_image_may_begin_with_the_program_or_a_shell() -> None:
    assert words("nats-streaming:0.25.6-alpine", args=["nats-streaming-server", "-p", "1"]) == ["-p", "1"]
    assert words("nats-streaming:0.25.6-alpine", args=["sh", "-c", "nats-streaming-server -p 1"]) == ["-p", "1"]


def test_a_script_is_read_with_its_variables_and_what_nobody_knows_stays_a_variable() -> None:
    assert words(command=["/run.sh"], STORE="/data/stan") == [
        *("-sc", "/etc/stan.conf", "-dir", "/data/stan/store", "--ft_group=my group", "-cid", "$literally"),
        *("-p", "$cat_port"),
    ]
    assert words(command=["sh", "/run.sh"]) is not None


def test_what_only_names_the_server_does_not_start_it() -> None:
    assert words(command=["sh", "-c", "which nats-streaming-server; sleep 5"]) is None
    assert words("nats-streaming:0.25.6", command=["sleep", "infinity"]) is None


def test_a_script_that_cannot_be_read_is_not_passed_over() -> None:
    found = server("x", ["sh", "-c", "exec nats-streaming-server -cid 'open"], [], {}, lambda _: None)
    assert found == Command((), "the shell's words cannot be read: No closing quotation", by_shell=True)
