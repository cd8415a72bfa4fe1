"""The set digest: one number over all objects of a scope, kept in O(1) a change.

It is the sum modulo 2**256 of a SHA-256 an element, so that it does not depend on order. The elements
are signed by the master, so nobody can choose them to collide.
"""

from hashlib import sha256

EMPTY = "0" * 64
_MODULUS = 1 << 256


def element(kind: str, name: str, revision: int, digest: str) -> int:
    """Return the contribution of one object."""
    text = f"{kind}\0{name}\0{revision}\0{digest}"
    return int.from_bytes(sha256(text.encode()).digest(), "big")


def add(total: str, part: int) -> str:
    """Return the digest with one element more."""
    return f"{(int(total, 16) + part) % _MODULUS:064x}"


def remove(total: str, part: int) -> str:
    """Return the digest with one element less."""
    return f"{(int(total, 16) - part) % _MODULUS:064x}"
