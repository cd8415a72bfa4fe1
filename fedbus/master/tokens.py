"""Join tokens: made, listed, revoked and used up. Only a hash is kept; the text is seen once."""

from hashlib import sha256

import msgspec

from fedbus.bus.publisher import MAX_EVENTS
from fedbus.core import connectivity
from fedbus.errors import InvalidInput, NotFound
from fedbus.master.changes import Change, record
from fedbus.master.ledger import Ledger
from fedbus.model import codec, subjects
from fedbus.model.federation import TOKEN, Federation, Token
from fedbus.pki.join_token import JoinToken
from fedbus.pki.keyring import Keyring
from fedbus.runtime import rfc3339
from fedbus.store.transaction import Transaction

DEFAULT_MINUTES = 60
MAX_MINUTES = 24 * 60
MAX_USES = 100
KEEP_SECONDS = 7 * 86_400
"""How long a token is listed after it expired."""
GRACE_SECONDS = 600
"""How much longer than the token its JWT lives, so that the master can say that it has expired: the
server itself would only say no."""


class MadeToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token with its text, which is not kept."""

    id: str
    join_token: str
    expires_at: str
    uses: int


class ListedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is shown: never its text."""

    id: str
    state: str
    created_at: str
    created_by: str
    expires_at: str
    max_uses: int
    uses: int
    cluster_name: str
    labels: dict[str, str]
    revoked_at: str


class Tokens:
    """The join tokens of one federation."""

    def __init__(self, ledger: Ledger, keyring: Keyring, federation: Federation) -> None:
        self._ledger, self._keyring, self._federation = ledger, keyring, federation

    async def create(
        self,
        *,
        minutes: int = DEFAULT_MINUTES,
        uses: int = 1,
        cluster_name: str = "",
        labels: dict[str, str] | None = None,
        created_by: str,
    ) -> MadeToken:
        """Make a token for `minutes` and `uses`, and forget those that expired over a week ago.

        Raises InvalidInput, Unavailable.
        """
        if not 1 <= minutes <= MAX_MINUTES:
            raise InvalidInput(f"a token lives 1 to {MAX_MINUTES} minutes, not {minutes}")
        if not 1 <= uses <= MAX_USES:
            raise InvalidInput(f"a token has 1 to {MAX_USES} uses, not {uses}")
        clock = self._ledger.clock
        now = clock.now()
        token_id = clock.random_bytes(10).hex()
        expires = int(now) + minutes * 60
        credentials = self._keyring.credentials(
            "join", token_id, now=now, randomness=clock.random_bytes, expires=expires + GRACE_SECONDS
        )
        text = JoinToken(
            server=self._federation.bus.server,
            port=self._federation.bus.port,
            federation_id=self._federation.id,
            ca_pem=self._keyring.ca_pem,
            federation_key=self._keyring.signer.public_key,
            jwt=credentials.jwt,
            others=tuple((s.server, s.port) for s in self._federation.servers if s != self._federation.bus),
        ).encode()
        made = Token(
            id=token_id,
            hash=sha256(text.encode()).hexdigest(),
            created_at=rfc3339(now),
            created_by=created_by,
            expires_at=expires,
            max_uses=uses,
            cluster_name=cluster_name,
            labels=labels or {},
        )

        def plan(tx: Transaction) -> list[Change]:
            over = [token for token in _all(tx) if token.expires_at < now - KEEP_SECONDS]
            return [
                record(TOKEN, made.id, made),
                *(record(TOKEN, t.id, None) for t in over[: MAX_EVENTS - 1]),
            ]

        await self._ledger.commit(plan)
        return MadeToken(id=token_id, join_token=text, expires_at=rfc3339(expires), uses=uses)

    async def list(self) -> list[ListedToken]:
        """Return all tokens, newest first; those that are over are kept for a week."""
        now = self._ledger.clock.now()
        records = await self._ledger.database.read(_all)
        return [_listed(t, now) for t in sorted(records, key=lambda t: t.created_at, reverse=True)]

    async def revoke(self, token_id: str) -> None:
        """Refuse a token from now on; workers that joined with it stay. Raises NotFound, Unavailable."""
        at = self._ledger.clock.stamp()

        def plan(tx: Transaction) -> list[Change]:
            token = load(tx, token_id)
            if token is None:
                raise NotFound(f"there is no token {token_id!r}")
            return [
                record(TOKEN, token.id, msgspec.structs.replace(token, revoked_at=token.revoked_at or at))
            ]

        await self._ledger.commit(plan)

    async def check(self, token_id: str) -> Token:
        """Return a token that could be used now, without using it. Raises as `use_up`."""
        now = self._ledger.clock.now()
        return _checked(await self._ledger.database.read(lambda tx: load(tx, token_id)), now)

    async def use_up(self, token_id: str) -> Token:
        """Use a token once, before anything else about a join is looked at, in one atomic step.

        Raises Refused: TOKEN_UNKNOWN, TOKEN_REVOKED, TOKEN_EXPIRED, TOKEN_USED; Unavailable.
        """
        now = self._ledger.clock.now()
        used: list[Token] = []

        def plan(tx: Transaction) -> list[Change]:
            token = load(tx, token_id)
            used[:] = [_checked(token, now)]
            return [record(TOKEN, token_id, used[0])]

        await self._ledger.commit(plan)
        return used[0]


def load(tx: Transaction, token_id: str) -> Token | None:
    """Return a token's record."""
    stored = tx.object(subjects.SCOPE_MASTER, TOKEN, token_id)
    return codec.decode(stored.payload, Token) if stored and not stored.deleted else None


def _all(tx: Transaction) -> list[Token]:
    return [codec.decode(s.payload, Token) for s in tx.objects(subjects.SCOPE_MASTER, TOKEN)]


def _state(token: Token, now: float) -> str:
    if token.revoked_at:
        return "revoked"
    if now >= token.expires_at:
        return "expired"
    return "used" if token.uses >= token.max_uses else "valid"


def _checked(token: Token | None, now: float) -> Token:
    if token is None:
        raise connectivity.refused("TOKEN_UNKNOWN", "the master does not know this join token")
    match _state(token, now):
        case "revoked":
            raise connectivity.refused("TOKEN_REVOKED", f"the join token was revoked at {token.revoked_at}")
        case "expired":
            expired = f"the join token expired at {rfc3339(token.expires_at)}"
            raise connectivity.refused("TOKEN_EXPIRED", expired)
        case "used":
            used = "the join token was used already; if not by you, somebody else may have it"
            raise connectivity.refused("TOKEN_USED", used)
        case _:
            return msgspec.structs.replace(token, uses=token.uses + 1)


def _listed(token: Token, now: float) -> ListedToken:
    return ListedToken(
        id=token.id,
        state=_state(token, now),
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=rfc3339(token.expires_at),
        max_uses=token.max_uses,
        uses=token.uses,
        cluster_name=token.cluster_name,
        labels=token.labels,
        revoked_at=token.revoked_at,
    )
