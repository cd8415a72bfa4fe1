"""What a worker asks the master over the bus: join, renew, leave. One connection, one question."""

import base64

import msgspec

from fedbus import __version__
from fedbus.bus.session import Connection, Endpoint, connect
from fedbus.errors import Refused, Unavailable
from fedbus.model import codec, subjects
from fedbus.model.federation import (
    PROOF,
    RENEW_PROOF,
    BusReply,
    Dismissal,
    JoinAnswer,
    JoinRequest,
    RestInfo,
    SignedDismissal,
    Versions,
)
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair
from fedbus.pki.signing import Signed, Verifier
from fedbus.runtime import rfc3339

ANSWER_SECONDS = 10.0


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


async def join(token: JoinToken, keys: Keys, who: Joining, server: RestInfo, now: float) -> JoinAnswer:
    """Redeem a token. Raises Refused with the master's reason, Unavailable.

    The server checks the token's JWT itself; what it does not let in is told apart here by its expiry.
    """
    request = JoinRequest(
        name=who.name,
        nkey=keys.bus.public_key,
        renew_nkey=keys.renew.public_key,
        versions=Versions(fedbus=__version__),
        labels=who.labels,
        cluster_uid=who.cluster_uid,
        rest=who.rest,
    )
    body = codec.encode(request)
    headers = {
        PROOF: base64.b64encode(keys.bus.sign(body)).decode(),
        RENEW_PROOF: base64.b64encode(keys.renew.sign(body)).decode(),
    }
    endpoint = Endpoint((url(server),), token.ca_pem)
    try:
        async with connect(f"join {who.name}", endpoint, Credentials(token.jwt)) as connection:
            reply = await _ask(connection, subjects.join(token.token_id), body, headers)
    except Refused as error:
        if error.code == "BUS_UNAUTHORIZED":
            raise _not_let_in(token, now) from error
        raise
    if reply.joined is None:
        raise Unavailable("the master's answer to the join makes no sense", code="ANSWER_INVALID")
    return reply.joined


def url(server: RestInfo) -> str:
    """Return the address of a bus, TLS first."""
    host = f"[{server.server}]" if ":" in server.server else server.server
    return f"tls://{host}:{server.port}"


def _not_let_in(token: JoinToken, now: float) -> Refused:
    remedy = "ask a federated admin for a new token"
    if token.expires <= now:
        return Refused(
            f"the join token expired (its last second, {rfc3339(token.expires)}, is over)",
            code="TOKEN_EXPIRED",
            remedy=remedy,
        )
    return Refused(
        "the bus does not accept the join token: it is of another federation, or of one that was set up anew",
        code="TOKEN_UNKNOWN",
        remedy=remedy,
    )


async def ask(connection: Connection, cluster_id: str, what: str) -> BusReply:
    """Ask the master to `renew` or to `leave`. Raises Refused, Unavailable."""
    return await _ask(connection, subjects.up(cluster_id, what), b"{}", {})


async def _ask(connection: Connection, subject: str, body: bytes, headers: dict[str, str]) -> BusReply:
    try:
        message = await connection.request(subject, body, headers=headers, timeout=ANSWER_SECONDS)
    except Unavailable as error:
        if error.code == "BUS_NO_RESPONDERS":
            raise Unavailable(
                "the bus is there and the master is not: nobody answers",
                code="MASTER_AWAY",
                remedy="start the master and try again",
            ) from error
        raise
    try:
        reply = codec.decode(message.data, BusReply)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(f"the master's answer does not decode: {error}", code="ANSWER_INVALID") from error
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
