"""What a client shows a NATS server: a user JWT, and the seed that proves it is its own."""

import re
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from fedbus.errors import InvalidInput
from fedbus.pki import files, jwt
from fedbus.pki.nkeys import KeyPair

_BLOCK: Final = re.compile(r"-+BEGIN ([A-Z ]+)-+\s+([A-Za-z0-9_.=-]+?)\s+-+END [A-Z ]+-+")
_JWT: Final = "NATS USER JWT"
_SEED: Final = "USER NKEY SEED"


class Credentials(msgspec.Struct, frozen=True):
    """A user JWT and the seed of its key; a bearer JWT has no seed. Neither is ever in a repr."""

    jwt: str
    seed: str = ""

    @property
    def name(self) -> str:
        """The name in the JWT: cluster id, token id, auditor or `master`."""
        return str(jwt.decode_claims(self.jwt).get("name", ""))

    @property
    def public_key(self) -> str:
        """The user key that the JWT is about; what a revocation names."""
        return str(jwt.decode_claims(self.jwt)["sub"])

    @property
    def expires(self) -> int | None:
        """When the server stops taking it, in seconds since 1970; None for never."""
        expires = jwt.decode_claims(self.jwt).get("exp")
        return expires if isinstance(expires, int) else None

    @property
    def issued(self) -> int:
        """When it was issued, in seconds since 1970."""
        return int(jwt.decode_claims(self.jwt)["iat"])

    def sign(self, nonce: bytes) -> bytes:
        """Sign the server's nonce; empty for a bearer, which proves nothing more."""
        return KeyPair(self.seed).sign(nonce) if self.seed else b""

    def save(self, path: Path) -> None:
        """Write them in the form of a NATS `.creds` file, atomically, mode 0600."""
        files.write(path, _block(_JWT, self.jwt) + (_block(_SEED, self.seed) if self.seed else ""))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a NATS `.creds` file. Raises OSError, or InvalidInput when it holds no user JWT."""
        blocks = dict(_BLOCK.findall(path.read_text(encoding="ascii", errors="replace")))
        if _JWT not in blocks:
            raise InvalidInput(f"{path} holds no NATS user JWT", code="CREDENTIALS_MALFORMED")
        jwt.decode_claims(blocks[_JWT])
        return cls(jwt=blocks[_JWT], seed=blocks.get(_SEED, ""))

    def __repr__(self) -> str:
        return f"Credentials({self.public_key})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name)]  # msgspec's own would show every field in a rich traceback


def _block(title: str, body: str) -> str:
    return f"-----BEGIN {title}-----\n{body}\n------END {title}------\n\n"
