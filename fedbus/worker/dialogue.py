"""What a worker asks the master over the bus: join, renew, leave. One connection, one question."""

import base64

import msgspec

from fedbus import __version__
from fedbus.bus.session import Connection, Endpoint, connect
from fedbus.core import connectivity, protocol
from fedbus.errors import Refused, Unavailable
from fedbus.model import codec, subjects
from fedbus.model.federation import (
    PROOF,
    RENEW_PROOF,
    BusReply,
    Checked,
    Dismissal,
    JoinAnswer,
    JoinRequest,
    RestInfo,
    SignedDismissal,
)
from fedbus.model.rpc import ENCODING
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair
from fedbus.pki.signing import Signed, Verifier
from fedbus.runtime import rfc3339

ANSWER_SECONDS = 10.0
Addresses = tuple[RestInfo, ...]
"""Where the bus is reached; any one of them is enough."""


class Keys(msgspec.Struct, frozen=True):
    """The two key pairs of a cluster: they are made here and never leave."""

    bus: KeyPair
    renew: KeyPair


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster joins with."""

    name: str
    labels: dict[str, str] = {}
    cluster_uid: str = ""
    rest: RestInfo = RestInfo()


async def join(token: JoinToken, keys: Keys, who: Joining, at: Addresses, now: float) -> JoinAnswer:
    """Redeem a token. Raises Refused with the master's reason, Unavailable."""
    reply = await _ask_to_join(token, keys, who, at, now, check=False)
    if reply.joined is None:
        raise connectivity.unavailable("ANSWER_INVALID", "the master's answer to the join makes no sense")
    return reply.joined


async def check_join(token: JoinToken, keys: Keys, who: Joining, at: Addresses, now: float) -> Checked:
    """Ask whether `join` would be let in, without using the token. Raises as `join`."""
    reply = await _ask_to_join(token, keys, who, at, now, check=True)
    if reply.checked is None:
        raise connectivity.unavailable("ANSWER_INVALID", "the master's answer to the check makes no sense")
    return reply.checked


async def _ask_to_join(
    token: JoinToken, keys: Keys, who: Joining, at: Addresses, now: float, *, check: bool
) -> BusReply:
    """Send the request.

    The server checks the token's JWT itself; what it does not let in is told apart here by its expiry.
    """
    request = JoinRequest(
        name=who.name,
        nkey=keys.bus.public_key,
        renew_nkey=keys.renew.public_key,
        versions=protocol.ours(__version__),
        labels=who.labels,
        cluster_uid=who.cluster_uid,
        rest=who.rest,
        check=check,
    )
    body = codec.encode(request)
    headers = {
        PROOF: base64.b64encode(keys.bus.sign(body)).decode(),
        RENEW_PROOF: base64.b64encode(keys.renew.sign(body)).decode(),
    }
    endpoint = Endpoint(tuple(url(address) for address in at), token.ca_pem)
    try:
        async with connect(f"join {who.name}", endpoint, Credentials(token.jwt)) as connection:
            return await _ask(connection, subjects.join(token.token_id), body, headers)
    except Refused as error:
        if error.code == "BUS_UNAUTHORIZED":
            raise _not_let_in(token, now) from error
        raise


def addresses(token: JoinToken, instead: RestInfo) -> Addresses:
    """Return where a token leads, or `instead` of its address where that is set."""
    first = RestInfo(server=instead.server or token.server, port=instead.port or token.port)
    others = () if instead.server or instead.port else token.others
    return (first, *(RestInfo(server=server, port=port) for server, port in others))


def url(server: RestInfo) -> str:
    """Return the address of a bus, TLS first."""
    host = f"[{server.server}]" if ":" in server.server else server.server
    return f"tls://{host}:{server.port}"


def _not_let_in(token: JoinToken, now: float) -> Refused:
    if token.expires <= now:
        return connectivity.refused(
            "TOKEN_EXPIRED",
            f"the join token expired (its last second, {rfc3339(token.expires)}, is over)",
        )
    return connectivity.refused(
        "TOKEN_UNKNOWN",
        "the bus does not accept the join token: it is of another federation, or of one that was set up anew",
    )


async def ask(connection: Connection, cluster_id: str, what: str) -> BusReply:
    """Ask the master to `renew`, to `leave`, or (`report`) if all is well. Raises Refused, Unavailable."""
    return await _ask(connection, subjects.up(cluster_id, what), b"{}", {})


async def send_inventory(connection: Connection, body: bytes, encoding: str, *, cluster_id: str) -> None:
    """Give the master the inventory. Raises Refused, Unavailable."""
    headers = {ENCODING: encoding} if encoding else {}
    await _ask(connection, subjects.up(cluster_id, "inventory"), body, headers)


async def _ask(connection: Connection, subject: str, body: bytes, headers: dict[str, str]) -> BusReply:
    try:
        message = await connection.request(subject, body, headers=headers, timeout=ANSWER_SECONDS)
    except Unavailable as error:
        if error.code == "BUS_NO_RESPONDERS":
            away = "the bus is there and the master is not: nobody answers"
            raise connectivity.unavailable("MASTER_AWAY", away) from error
        raise
    try:
        reply = codec.decode(message.data, BusReply)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        odd = f"the master's answer does not decode: {error}"
        raise connectivity.unavailable("ANSWER_INVALID", odd) from error
    if reply.refused is not None:
        raise Refused(reply.refused.message, code=reply.refused.code, remedy=reply.refused.remedy)
    return reply


def dismissal(verifier: Verifier, cluster_id: str, signed: SignedDismissal) -> Dismissal | None:
    """Return a dismissal if the federation signed it for this cluster; anything else deletes nothing."""
    text = signed.dismissal.encode()
    try:
        signature = base64.b64decode(signed.signature, validate=True)
        if not verifier.verify(text, signature, Signed.ANSWER):
            return None
        found = codec.decode(text, Dismissal)
    except (ValueError, msgspec.MsgspecError):
        return None
    return found if found.cluster_id == cluster_id else None
