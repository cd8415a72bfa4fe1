"""The join token: one line of text that makes a worker of a cluster.

It says where the master is, which CA and which federation key to believe, and holds a bearer JWT that
may do one thing: call the join subject of its own token id. It is a secret until used or expired.
"""

import base64
import binascii
from typing import Any, Final, Self

import msgspec

from fedbus.core import connectivity
from fedbus.errors import InvalidInput, Refused
from fedbus.pki import ca, jwt
from fedbus.pki.signing import KEY_BYTES

# Ours are about 1.5 KB; what is longer than this is not one of them.
_MAX_LENGTH: Final = 16_384


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=False, omit_defaults=True):
    """The JSON inside: short names, since people paste it."""

    s: str
    p: int
    f: str
    c: bytes
    k: bytes
    t: str
    o: tuple[tuple[str, int], ...] = ()


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded join token. Its JWT is never in a repr."""

    server: str
    port: int
    federation_id: str
    ca_pem: bytes
    federation_key: bytes
    """The raw Ed25519 public key that every event must be signed with."""
    jwt: str
    others: tuple[tuple[str, int], ...] = ()
    """Servers and ports of a bus of several, beside the first."""

    @property
    def token_id(self) -> str:
        """The id under which the master knows it, which is no secret."""
        return str(jwt.decode_claims(self.jwt)["name"])

    @property
    def expires(self) -> int:
        """When the server stops taking it, in seconds since 1970."""
        return int(jwt.decode_claims(self.jwt)["exp"])

    def encode(self) -> str:
        """Return the line of text."""
        wire = _Wire(
            s=self.server,
            p=self.port,
            f=self.federation_id,
            c=ca.pem_to_der(self.ca_pem),
            k=self.federation_key,
            t=self.jwt,
            o=self.others,
        )
        return base64.b64encode(msgspec.json.encode(wire)).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a token; white space around and in it is ignored, since terminals wrap.

        Raises Refused with code TOKEN_GARBLED for anything that is not a whole token.
        """
        packed = "".join(text.split())
        if len(packed) > _MAX_LENGTH:
            raise _garbled("it is too long")
        try:
            wire = msgspec.json.decode(base64.b64decode(packed, validate=True), type=_Wire)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            # the cause would quote the token
            raise _garbled("it is cut short or altered") from None
        return cls._checked(wire)

    @classmethod
    def _checked(cls, wire: _Wire) -> Self:
        try:
            claims = jwt.decode_claims(wire.t)
            ca_pem = ca.der_to_pem(wire.c)
        except InvalidInput as error:
            raise _garbled(error.message) from None
        if not isinstance(claims.get("name"), str) or not isinstance(claims.get("exp"), int):
            raise _garbled("its JWT has no name or no expiry")
        addresses = ((wire.s, wire.p), *wire.o)
        if (
            not all(host and 0 < port < 65_536 for host, port in addresses)
            or not wire.f
            or len(wire.k) != KEY_BYTES
        ):
            raise _garbled("its address or its key is wrong")
        return cls(
            server=wire.s,
            port=wire.p,
            federation_id=wire.f,
            ca_pem=ca_pem,
            federation_key=wire.k,
            jwt=wire.t,
            others=wire.o,
        )

    def __repr__(self) -> str:
        return f"JoinToken({self.token_id}, {self.server}:{self.port})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("token_id", self.token_id)]  # msgspec's own would show every field in a rich traceback


def _garbled(why: str) -> Refused:
    return connectivity.refused("TOKEN_GARBLED", f"this is not a join token: {why}")
