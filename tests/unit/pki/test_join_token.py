"""Join tokens: whole or garbled, nothing between."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import Refused
from fedbus.pki import jwt
from fedbus.pki.ca import CertificateAuthority
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair, KeyType

ACCOUNT = KeyPair.new(KeyType.ACCOUNT, b"a" * 32)
USER = KeyPair.new(KeyType.USER, b"u" * 32)
CA = CertificateAuthority.make("fedbus f1", now=1000, randomness=lambda size: b"r" * size)
TOKEN = JoinToken(
    server="bus.example",
    port=11443,
    federation_id="f1",
    ca_pem=CA.chain_pem,
    federation_key=bytes(range(32)),
    jwt=jwt.user(
        name="t1",
        public_key=USER.public_key,
        account_key=ACCOUNT.public_key,
        signer=ACCOUNT,
        now=1000,
        expires=2000,
    ),
)
TEXT = TOKEN.encode()


def altered(**changes: object) -> str:
    return base64.b64encode(json.dumps(json.loads(base64.b64decode(TEXT)) | changes).encode()).decode()


def test_what_is_encoded_is_decoded() -> None:
    assert JoinToken.decode(TEXT) == TOKEN


def test_it_is_one_line_short_enough_to_paste() -> None:
    assert "\n" not in TEXT
    assert len(TEXT) < 2048


def test_the_form_can_fill_itself_in_from_its_json() -> None:
    fields = json.loads(base64.b64decode(TEXT))

    assert (fields["s"], fields["p"], fields["f"]) == ("bus.example", 11443, "f1")
    assert set(fields) == {"s", "p", "f", "c", "k", "t"}


def test_white_space_of_terminals_and_mails_does_not_matter() -> None:
    wrapped = "\r\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76))

    assert JoinToken.decode(f"  {wrapped}\n") == TOKEN


def test_a_field_of_a_newer_master_is_ignored() -> None:
    assert JoinToken.decode(altered(z="new")) == TOKEN


def test_id_and_expiry_are_those_of_its_jwt() -> None:
    assert (TOKEN.token_id, TOKEN.expires) == ("t1", 2000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a token",
        "é",
        TEXT[:-4],
        TEXT[4:],
        TEXT[: len(TEXT) // 2],
        base64.b64encode(b"[]").decode(),
        altered(s=""),
        altered(p=0),
        altered(p=65_536),
        altered(p="11443"),
        altered(f=""),
        altered(k="AAAA"),
        altered(c="AAAA"),
        altered(t="a.b.c"),
        altered(t=jwt.system_user(name="x", public_key="U", account_keys=ACCOUNT, now=1)),  # no expiry
        "A" * 20_000,
    ],
)
def test_anything_else_is_garbled_and_not_quoted(text: str) -> None:
    with pytest.raises(Refused) as caught:
        JoinToken.decode(text)

    assert caught.value.code == "TOKEN_GARBLED"
    assert caught.value.remedy
    assert len(caught.value.message) < 100
    assert caught.value.__cause__ is None


@given(at=st.integers(0, len(TEXT) - 1), character=st.characters(codec="utf-8"))
def test_one_other_character_is_another_token_or_garbled_but_never_a_crash(at: int, character: str) -> None:
    with contextlib.suppress(Refused):
        JoinToken.decode(TEXT[:at] + character + TEXT[at + 1 :])


def test_the_secret_part_is_not_shown() -> None:
    shown = f"{TOKEN!r} {TOKEN} {TOKEN.__rich_repr__()}"

    assert TOKEN.jwt not in shown
    assert "t1" in shown
