"""Key pairs: the published form, and nothing else passes."""

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import InvalidInput
from fedbus.pki.nkeys import KeyPair, KeyType, is_public_key, verify

# A user seed as the NATS documentation prints it.
KNOWN_SEED = "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY"


@pytest.mark.parametrize(
    ("key_type", "first"), [(KeyType.OPERATOR, "O"), (KeyType.ACCOUNT, "A"), (KeyType.USER, "U")]
)
def test_the_first_letter_says_what_a_key_is_for(key_type: KeyType, first: str) -> None:
    keys = KeyPair.new(key_type, b"\x01" * 32)

    assert keys.seed[:2] == "S" + first
    assert keys.public_key[0] == first
    assert len(keys.public_key) == 56
    assert is_public_key(keys.public_key, key_type)


def test_a_published_seed_is_read_as_the_nkeys_package_reads_it() -> None:
    theirs = nkeys.from_seed(bytearray(KNOWN_SEED.encode()))

    assert KeyPair(KNOWN_SEED).public_key == theirs.public_key.decode()
    assert KeyPair(KNOWN_SEED).sign(b"nonce") == theirs.sign(b"nonce")


@given(random=st.binary(min_size=32, max_size=32), data=st.binary())
def test_what_a_key_signs_verifies_under_its_public_key_only(random: bytes, data: bytes) -> None:
    keys = KeyPair.new(KeyType.USER, random)
    other = KeyPair.new(KeyType.USER, bytes(byte ^ 1 for byte in random))
    signature = keys.sign(data)

    assert verify(keys.public_key, data, signature)
    assert not verify(keys.public_key, data + b"!", signature)
    assert not verify(other.public_key, data, signature)
    assert KeyPair(keys.seed).public_key == keys.public_key


@pytest.mark.parametrize(
    "text", ["", "S", "no base32 at all", KNOWN_SEED[:-1], KNOWN_SEED[:-2] + "AA", "é" * 58]
)
def test_a_seed_that_is_cut_or_altered_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        KeyPair(text)

    assert caught.value.code == "KEY_MALFORMED"
    assert not text or text not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", KNOWN_SEED, "U" * 56, "not a key"])
def test_only_a_whole_public_key_of_the_right_type_is_one(text: str) -> None:
    assert not is_public_key(text, KeyType.USER)
    assert not verify(text, b"data", bytes(64))


def test_a_key_of_another_type_is_told_apart() -> None:
    assert not is_public_key(KeyPair.new(KeyType.ACCOUNT, bytes(32)).public_key, KeyType.USER)


def test_a_malformed_signature_is_no_signature() -> None:
    assert not verify(KeyPair(KNOWN_SEED).public_key, b"data", b"short")


def test_the_seed_is_not_in_the_repr() -> None:
    assert KNOWN_SEED not in repr(KeyPair(KNOWN_SEED))
