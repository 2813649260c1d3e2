"""The generated protocol code is the one that protocol.proto gives, and keeps the numbers of the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.dev import protocol
from harness.ground.paths import REPO
from stanft.ground.errors import UserError
from stanft.stan import protocol_pb2 as pb


@pytest.mark.parametrize("name", ["protocol_pb2.py", "protocol_pb2.pyi"])
def test_the_committed_code_is_what_the_generator_makes(name: str) -> None:
    assert (REPO / protocol.FOLDER / name).read_text() == protocol.generate()[name]


def test_the_command_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = protocol.generate()
    (tmp_path / protocol.FOLDER).mkdir(parents=True)
    monkeypatch.setattr(protocol, "REPO", tmp_path)

    assert protocol.main() == 0
    assert {file.name: file.read_text() for file in (tmp_path / protocol.FOLDER).iterdir()} == made


def test_a_wrong_protocol_file_is_refused_with_its_name(tmp_path: Path) -> None:
    source = tmp_path / protocol.SOURCE
    source.parent.mkdir(parents=True)
    source.write_text('syntax = "proto3"; message Ping { bytes connection_id = 0; }')

    with pytest.raises(UserError, match=r"protocol\.proto is no valid protocol file"):
        protocol.generate(tmp_path)


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        (pb.PubMsg, {"client_id": 1, "guid": 2, "subject": 3, "reply": 4, "data": 5, "connection_id": 6, "sha256": 10}),
        (pb.PubAck, {"guid": 1, "error": 2}),
        (pb.Ack, {"subject": 1, "sequence": 2}),
        (
            pb.MsgProto,
            {
                "sequence": 1,
                "subject": 2,
                "reply": 3,
                "data": 4,
                "timestamp": 5,
                "redelivered": 6,
                "redelivery_count": 7,
                "crc32": 10,
            },
        ),
        (pb.SubscriptionResponse, {"ack_inbox": 2, "error": 3}),
        (pb.UnsubscribeRequest, {"client_id": 1, "subject": 2, "inbox": 3, "durable_name": 4}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_field_numbers_are_those_of_the_wire(message: type, numbers: dict[str, int]) -> None:
    assert {field.name: field.number for field in message.DESCRIPTOR.fields} == numbers


def test_an_acknowledgement_has_the_bytes_that_a_server_reads() -> None:
    assert pb.Ack(subject="foo", sequence=300).SerializeToString() == b"\x0a\x03foo\x10\xac\x02"
