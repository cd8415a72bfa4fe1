"""Event signatures: exact bytes, one kind, one key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import InvalidInput
from fedbus.pki.signing import Signed, Signer, Verifier, encode

SEED = bytes(range(32))
SIGNER = Signer(SEED)
VERIFIER = Verifier(SIGNER.public_key)


def test_the_encoding_is_the_published_one() -> None:
    expected = b"DSSEv1 34 application/vnd.fedbus.event.v1".replace(b"34", b"31") + b" 5 hello"

    assert encode(Signed.EVENT, b"hello") == expected


@given(st.binary())
def test_what_was_signed_verifies(statement: bytes) -> None:
    assert VERIFIER.verify(statement, SIGNER.sign(statement))


@given(statement=st.binary(min_size=1), at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_does_not(statement: bytes, at: int, bit: int) -> None:
    signature = SIGNER.sign(statement)

    def flipped(data: bytes) -> bytes:
        place = at % len(data)
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]

    assert not VERIFIER.verify(flipped(statement), signature)
    assert not VERIFIER.verify(statement, flipped(signature))


def test_a_signature_of_one_kind_does_not_pass_for_another() -> None:
    signature = SIGNER.sign(b"statement", Signed.CHECKPOINT)

    assert VERIFIER.verify(b"statement", signature, Signed.CHECKPOINT)
    assert not VERIFIER.verify(b"statement", signature, Signed.EVENT)
    assert not VERIFIER.verify(b"statement", signature, Signed.ANSWER)


def test_another_key_does_not_verify() -> None:
    assert not Verifier(Signer(bytes(32)).public_key).verify(b"statement", SIGNER.sign(b"statement"))


@pytest.mark.parametrize("signature", [b"", b"x", bytes(63), bytes(64), bytes(65)])
def test_a_malformed_signature_is_false_and_no_error(signature: bytes) -> None:
    assert not VERIFIER.verify(b"statement", signature)


def test_a_key_survives_its_file() -> None:
    again = Signer.parse(SIGNER.dump() + "\n")

    assert again.public_key == SIGNER.public_key
    assert again.key_id == VERIFIER.key_id == SIGNER.key_id


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA"])
def test_a_damaged_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Signer.parse(text)


def test_a_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Verifier(b"short")


def test_the_seed_is_not_in_a_repr() -> None:
    shown = f"{SIGNER!r} {VERIFIER!r}"

    assert SIGNER.dump() not in shown
    assert SEED.hex() not in shown
