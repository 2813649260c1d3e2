"""NKeys: seeds and public keys in NATS' letters, and files that hold something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from credentials import Operator, fresh

from stanft.ground.errors import UserError
from stanft.stan import keys

# The pair of the NATS documentation, known to everybody.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_a_seed_has_the_public_key_that_others_compute_and_is_written_as_it_was_read() -> None:
    one = keys.of_seed(SEED, "here")
    assert (one.public, one.seed) == (PUBLIC, SEED)


@pytest.mark.parametrize("kind", keys.KINDS)
def test_a_seed_keeps_what_it_is(kind: str) -> None:
    one = fresh(kind)
    assert keys.of_seed(one.seed, "here").public == one.public
    assert one.public[0] == {"operator": "O", "account": "A", "user": "U"}[kind]


@pytest.mark.parametrize(
    "text", ["", "x", SEED.replace("HUDX", "HUDY"), SEED[:-2], PUBLIC, "ä", SEED.replace("S", "T", 1)]
)
def test_what_is_no_seed_is_refused_by_the_place_and_not_shown(text: str, tmp_path: Path) -> None:
    file = tmp_path / "seed"
    file.write_text(text)
    with pytest.raises(UserError, match="seed holds no NKey seed") as refused:
        keys.of_seed_file(file)
    assert len(text) < 5 or text not in str(refused.value)


def test_a_credentials_file_has_a_claim_and_a_seed(tmp_path: Path) -> None:
    file = Operator().user(tmp_path / "user.creds")
    assert keys.of_credentials(file).token.count(".") == 2
    file.write_text(file.read_text().replace("USER NKEY SEED", "SOMETHING"))
    with pytest.raises(UserError, match=r"user\.creds is no credentials file"):
        keys.of_credentials(file)
