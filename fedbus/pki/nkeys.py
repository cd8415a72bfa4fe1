"""NATS key pairs: Ed25519 with a type, a checksum and a base32 form.

The `nkeys` package knows the encoding but returns bytes, checks no checksum and has no types; this
is the part of it that we use, typed. Source of the format: NATS nkeys, "Public and private keys".
"""

import base64
import binascii
from enum import IntEnum
from typing import Self

import nkeys
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from fedbus.errors import InvalidInput

SEED_BYTES = 32
_CHECKSUM_BYTES = 2
_TYPE_BYTES = 1
_SEED_TYPE_BYTES = 2


class KeyType(IntEnum):
    """What a key stands for; the value is the prefix byte that NATS gives it."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER


class KeyPair:
    """A key that can sign. Neither its seed nor its private half is ever in a repr."""

    __slots__ = ("_key", "public_key", "seed")

    def __init__(self, seed: str) -> None:
        """Take the key of a seed (`S...`). Raises InvalidInput when it is not one."""
        key_type, raw = _decode_seed(seed)
        self._key = SigningKey(raw)
        self.seed = seed
        self.public_key = _encode(bytes([key_type]), bytes(self._key.verify_key))

    @classmethod
    def new(cls, key_type: KeyType, random: bytes) -> Self:
        """Make a key from 32 random bytes."""
        return cls(nkeys.encode_seed(random, key_type).decode())

    def sign(self, data: bytes) -> bytes:
        """Sign; the signature has 64 bytes."""
        return self._key.sign(data).signature

    def __repr__(self) -> str:
        return f"KeyPair({self.public_key})"


def verify(public_key: str, data: bytes, signature: bytes) -> bool:
    """Whether the holder of this public key signed the data; False for a malformed key or signature too."""
    try:
        VerifyKey(_decode_public(public_key)).verify(data, signature)
    except (BadSignatureError, InvalidInput, ValueError):
        return False
    return True


def is_public_key(text: str, key_type: KeyType) -> bool:
    """Whether the text is a well-formed public key of that type."""
    try:
        raw = _decode(text)
    except InvalidInput:
        return False
    return len(raw) == _TYPE_BYTES + SEED_BYTES and raw[0] == key_type


def _decode_public(text: str) -> bytes:
    raw = _decode(text)
    if raw[:1] not in {bytes([key_type]) for key_type in KeyType}:
        raise InvalidInput("the key is not an operator, account or user key", code="KEY_MALFORMED")
    return raw[_TYPE_BYTES:]


def _decode_seed(seed: str) -> tuple[KeyType, bytes]:
    raw = _decode(seed)
    if len(raw) != _SEED_TYPE_BYTES + SEED_BYTES:
        raise InvalidInput("the seed has the wrong length", code="KEY_MALFORMED")
    try:
        prefix, key = nkeys.decode_seed(seed.encode())
        return KeyType(prefix), key
    except (nkeys.NkeysError, ValueError) as error:
        raise InvalidInput("the seed is of no known type", code="KEY_MALFORMED") from error


def _encode(prefix: bytes, key: bytes) -> str:
    body = prefix + key
    return base64.b32encode(body + bytes(nkeys.crc16_checksum(body))).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        # the cause would quote the text, which may be a seed
        raise InvalidInput("the key is not base32", code="KEY_MALFORMED") from None
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not body or bytes(nkeys.crc16_checksum(body)) != checksum:
        raise InvalidInput("the key's checksum is wrong", code="KEY_MALFORMED")
    return body
