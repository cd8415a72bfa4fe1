"""A bus of somebody else's operator: what must be so before a federation can be made on it, and its end."""

import msgspec

from fedbus.bus import admin, reach, topology
from fedbus.bus.session import Connection, Endpoint, connect
from fedbus.core import connectivity, diagnosis
from fedbus.errors import FedbusError, InvalidInput, Unavailable
from fedbus.pki import jwt
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring, Operator

_NAME = "master-operator"


class _Claims(msgspec.Struct, frozen=True):
    signing_keys: list[str] = []
    strict_signing_key_usage: bool = False


class _Meta(msgspec.Struct, frozen=True):
    cluster_size: int = 1


class _JetStream(msgspec.Struct, frozen=True):
    config: dict[str, msgspec.Raw] = {}
    meta: _Meta = _Meta()


class _Variables(msgspec.Struct, frozen=True):
    version: str = ""
    max_payload: int = 0
    jetstream: _JetStream = _JetStream()
    trusted_operators_jwt: list[str] = []


class _Server(msgspec.Struct, frozen=True):
    """A server's answer about itself (nats-server's `varz`), as far as it matters here."""

    data: _Variables = _Variables()


async def check(endpoint: Endpoint, operator: Operator, replicas: int) -> None:
    """Look whether a federation with so many replicas can be made on a bus, and leave nothing there.

    Raises FedbusError with the code of the first thing that is in the way.
    """
    await _reach(endpoint)
    async with connect(_NAME, endpoint, operator.system) as system:
        server = await _describe(system)
        _check_server(server, replicas)
        _check_trust(server, operator.signing.public_key)
        await admin.held_account(system, str(operator.signing.public_key))


async def _reach(endpoint: Endpoint) -> None:
    failures = []
    for server in endpoint.servers:
        try:
            await reach.resolve(server)
            await reach.dial(server)
            await reach.shake_hands(server, endpoint.ca_pem)
        except FedbusError as error:
            failures.append(error)
    if len(failures) == len(endpoint.servers):
        raise failures[0]


async def _describe(system: Connection) -> _Variables:
    try:
        reply = await system.request("$SYS.REQ.SERVER.PING.VARZ")
    except Unavailable as error:
        if error.code != "BUS_NO_RESPONDERS":
            raise
        said = "the credentials are not of a user of the bus's system account"
        raise connectivity.error("SYSTEM_ACCOUNT_NEEDED", said) from error
    try:
        return msgspec.json.decode(reply.data, type=_Server).data
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise connectivity.error("ANSWER_INVALID", f"the bus describes itself oddly: {error}") from error


def _check_server(server: _Variables, replicas: int) -> None:
    if not diagnosis.bus_supported(server.version):
        least = ".".join(map(str, diagnosis.BUS_MINIMUM))
        said = f"nats-server {server.version} is too old; {least} is the least"
        raise connectivity.error("BUS_VERSION_UNSUPPORTED", said)
    if not server.jetstream.config:
        raise connectivity.error("JETSTREAM_OFF", "the bus has no JetStream")
    if (size := server.jetstream.meta.cluster_size) < replicas:
        raise connectivity.error(
            "BUS_TOO_SMALL", f"the bus has {size} servers with JetStream, not {replicas}"
        )
    if server.max_payload <= topology.MAX_MESSAGE:
        said = f"a message may have {server.max_payload} bytes; more than {topology.MAX_MESSAGE} are needed"
        raise connectivity.error("BUS_LIMITED", said)


def _check_trust(server: _Variables, key: str) -> None:
    for token in server.trusted_operators_jwt:
        try:
            claims = jwt.decode_claims(token)
            operator = msgspec.convert(claims["nats"], _Claims)
        except (InvalidInput, KeyError, msgspec.ValidationError):
            continue
        if key in operator.signing_keys:
            return
        if key == claims["sub"] and not operator.strict_signing_key_usage:
            return
    raise connectivity.error("OPERATOR_KEY_UNTRUSTED", f"no operator of the bus has {key} as a signing key")


async def retire(endpoint: Endpoint, keyring: Keyring, master: Credentials, now: float) -> None:
    """Delete the federation's streams and close its accounts. Raises FedbusError; it can be repeated."""
    async with connect(_NAME, endpoint, keyring.system) as system:
        if await admin.held_account(system, keyring.account):
            async with connect(_NAME, endpoint, master) as connection:
                await topology.remove(connection)
        for account, closed in keyring.closed_jwts(now=now).items():
            if await admin.held_account(system, account):
                await admin.push_account(system, closed)
