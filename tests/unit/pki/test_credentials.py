"""Credentials: the .creds form, and no secret where people look."""

import stat
from pathlib import Path

import pytest

from fedbus.errors import InvalidInput
from fedbus.pki import jwt, nkeys
from fedbus.pki.credentials import Credentials
from fedbus.pki.nkeys import KeyPair, KeyType

ACCOUNT = KeyPair.new(KeyType.ACCOUNT, b"a" * 32)
USER = KeyPair.new(KeyType.USER, b"u" * 32)
TOKEN = jwt.user(
    name="c1",
    public_key=USER.public_key,
    account_key=ACCOUNT.public_key,
    signer=ACCOUNT,
    now=1000,
    expires=2000,
)
CREDENTIALS = Credentials(jwt=TOKEN, seed=USER.seed)
BEARER = Credentials(jwt=TOKEN)


@pytest.mark.parametrize("credentials", [CREDENTIALS, BEARER])
def test_what_is_saved_is_loaded(credentials: Credentials, tmp_path: Path) -> None:
    path = tmp_path / "worker.creds"

    credentials.save(path)

    assert Credentials.load(path) == credentials
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_form_that_nats_tools_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "nsc.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\r\n{TOKEN}\r\n------END NATS USER JWT------\r\n\r\n"
        "************************* IMPORTANT *************************\r\n"
        "NKEY Seed printed below can be used to sign and prove identity.\r\n\r\n"
        f"-----BEGIN USER NKEY SEED-----\r\n{USER.seed}\r\n------END USER NKEY SEED------\r\n"
    )

    assert Credentials.load(path) == CREDENTIALS


def test_they_say_whose_they_are_and_until_when() -> None:
    assert (CREDENTIALS.name, CREDENTIALS.public_key, CREDENTIALS.expires) == ("c1", USER.public_key, 2000)


def test_the_nonce_is_signed_by_the_users_key_and_not_at_all_by_a_bearer() -> None:
    assert nkeys.verify(USER.public_key, b"nonce", CREDENTIALS.sign(b"nonce"))
    assert BEARER.sign(b"nonce") == b""


def test_neither_jwt_nor_seed_is_shown() -> None:
    shown = f"{CREDENTIALS!r} {CREDENTIALS} {CREDENTIALS.__rich_repr__()}"

    assert USER.seed not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(
    "content", ["", "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n", "\xff"]
)
def test_a_file_without_a_user_jwt_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.creds"
    path.write_text(content)

    with pytest.raises(InvalidInput):
        Credentials.load(path)
