"""What clusters ask over the bus: join, renewal, leave, and whether they are members (design section 4).

A cluster's id is taken from the subject it sends on, which the server pins to its credential, and never
from what it says. Its private keys never leave it.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from fedbus import __version__
from fedbus.bus.session import Connection, Message
from fedbus.core import connectivity, identity, protocol
from fedbus.errors import FedbusError, Refused
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.configuration import Configuration
from fedbus.master.inventories import Inventories
from fedbus.master.members import Members, Reason, dismissal, everyone
from fedbus.master.tokens import Tokens
from fedbus.model import codec, names, subjects
from fedbus.model.federation import (
    PROOF,
    RENEW_PROOF,
    BusReply,
    Checked,
    Cluster,
    Federation,
    JoinAnswer,
    JoinRequest,
    Refusal,
    Renewal,
    SignedDismissal,
    Token,
)
from fedbus.model.rpc import ENCODING
from fedbus.pki import nkeys
from fedbus.pki.keyring import Keyring
from fedbus.pki.signing import Signed
from fedbus.runtime import Clock
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

MAX_REQUEST = 8192
RENEWAL_DAYS = 365
"""How long the renewal credential lives: the longest sleep that needs no new token."""
_DAY = 86_400
_IMPORTED = "_R_."
"""What nats-server puts before the reply of an imported call; a client that sends such a reply is refused."""


_ROLES = {"ours": "master", "theirs": "worker"}


class Room(msgspec.Struct, frozen=True):
    """Whom a join must not take the name of, and how many may be joined."""

    master: str
    limit: int


class Dialogue:
    """The master's side of every conversation with a cluster."""

    def __init__(
        self,
        *,
        members: Members,
        database: Database,
        keyring: Keyring,
        federation: Federation,
        tokens: Tokens,
        audit: Audit,
        configuration: Configuration,
        inventories: Inventories,
        epoch: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._members, self._database, self._keyring = members, database, keyring
        self._federation, self._tokens, self._audit = federation, tokens, audit
        self._configuration, self._epoch, self._clock = configuration, epoch, clock
        self._inventories = inventories

    async def on_join(self, connection: Connection, message: Message) -> None:
        """Answer a join request."""
        token_id = _sender(message)
        if token_id is not None and _wants_answer(message):
            await self._answer(connection, message, self._join(token_id, message))

    async def on_up(self, connection: Connection, message: Message) -> None:
        """Answer what a worker asks: renew or leave; take note of a report."""
        cluster_id = _sender(message)
        if cluster_id is None:
            return
        match message.subject.rsplit(".", 1)[-1]:
            case "renew" if _wants_answer(message):
                await self._answer(connection, message, self._renew(cluster_id))
            case "leave" if _wants_answer(message):
                await self._answer(connection, message, self._leave(cluster_id))
                await self._members.revocations.push()
            case "inventory" if _wants_answer(message):
                await self._answer(connection, message, self._take_inventory(cluster_id, message))
            case "report" if message.reply:
                if _wants_answer(message):
                    await self._answer(connection, message, self._check(cluster_id))
            case "report":
                self._members.heard(cluster_id)

    async def _answer(self, connection: Connection, message: Message, work: Awaitable[BusReply]) -> None:
        try:
            reply = await work
        except FedbusError as error:
            refusal = Refusal(code=error.code, message=error.message, remedy=error.remedy)
            reply = BusReply(refused=refusal)
        await connection.publish(message.reply, codec.encode(reply))

    async def _join(self, token_id: str, message: Message) -> BusReply:
        request = _read(message)
        if request.check:
            return await self._check_join(token_id, request)
        if (again := await self._joined_before(token_id, request)) is not None:
            return BusReply(joined=self._join_answer(again))
        try:
            token = await self._tokens.use_up(token_id)
            new = self._clock.random_bytes(16).hex()
            cluster = await self._admit(token, request, new)
        except Refused as error:
            category = audit_log.SECURITY if error.code == "TOKEN_USED" else audit_log.MEMBERSHIP
            await self._audit.record(
                category, "join", actor=f"token {token_id}", object_=request.name, result=error.code
            )
            raise
        await self._members.announce(cluster, f"token {token_id}", returned=cluster.id != new)
        return BusReply(joined=self._join_answer(cluster))

    async def _check_join(self, token_id: str, request: JoinRequest) -> BusReply:
        """Say whether a join would be let in; nothing is used and nothing written."""
        token = await self._tokens.check(token_id)

        def look(tx: Transaction) -> None:
            if request.name:
                member = self._returning(tx, token, request)
                _check_admission(tx, token, request, self._room(), member)
            _check_versions(request)

        await self._database.read(look)
        return self._checked()

    async def _check(self, cluster_id: str) -> BusReply:
        """Tell a member that it is one, or sign its dismissal."""
        cluster = await self._members.cluster(cluster_id)
        if cluster.state != "joined":
            return self._dismissed(cluster, cluster.state)
        return self._checked()

    def _checked(self) -> BusReply:
        return BusReply(checked=Checked(time=self._clock.now(), versions=protocol.ours(__version__)))

    async def _joined_before(self, token_id: str, request: JoinRequest) -> Cluster | None:
        """Find the member that this very request made already, when only the answer was lost."""
        for cluster in await self._members.clusters():
            if (
                cluster.token_id == token_id
                and cluster.nkey == request.nkey
                and cluster.renew_nkey == request.renew_nkey
                and cluster.state == "joined"
            ):
                return cluster
        return None

    async def _admit(self, token: Token, request: JoinRequest, new_id: str) -> Cluster:
        """Record a new member, with this id, or that one came back, with its own."""
        now, stamp = int(self._clock.now()), self._clock.stamp()
        new = Cluster(
            id=new_id,
            name=request.name,
            nkey=request.nkey,
            renew_nkey=request.renew_nkey,
            versions=request.versions,
            joined_at=stamp,
            labels=request.labels | token.labels,
            cluster_uid=request.cluster_uid,
            rest=request.rest,
            token_id=token.id,
        )

        def decide(tx: Transaction) -> Cluster:
            member = self._returning(tx, token, request)
            _check_admission(tx, token, request, self._room(), member)
            if member is None:
                return new
            return identity.taken_over(member, request, token, at=stamp, now=now)

        return await self._members.admit(decide)

    def _room(self) -> Room:
        return Room(self._federation.name, self._configuration.max_clusters)

    def _returning(self, tx: Transaction, token: Token, request: JoinRequest) -> Cluster | None:
        by_uid = self._configuration.allow_same_uid_rejoin
        return identity.returning(everyone(tx), token, request, by_uid=by_uid)

    def _join_answer(self, cluster: Cluster) -> JoinAnswer:
        renewal = self._credentials(cluster)
        return JoinAnswer(
            cluster_id=cluster.id,
            name=cluster.name,
            federation_id=self._federation.id,
            federation_name=self._federation.name,
            epoch=self._epoch(),
            jwt=renewal.jwt,
            renew_jwt=renewal.renew_jwt,
            ca_pem=self._keyring.ca_pem.decode(),
            federation_key=base64.b64encode(self._keyring.signer.public_key).decode(),
            bus=self._federation.bus,
            labels=cluster.labels,
            heartbeat_interval=self._configuration.heartbeat_interval,
            versions=protocol.ours(__version__),
            servers=self._federation.servers,
        )

    def _credentials(self, cluster: Cluster) -> Renewal:
        now = self._clock.now()
        return Renewal(
            jwt=self._keyring.user_jwt(
                "worker",
                cluster.id,
                cluster.nkey,
                now=now,
                expires=now + self._configuration.worker_jwt_days * _DAY,
            ),
            renew_jwt=self._keyring.user_jwt(
                "renew", cluster.id, cluster.renew_nkey, now=now, expires=now + RENEWAL_DAYS * _DAY
            ),
        )

    async def _take_inventory(self, cluster_id: str, message: Message) -> BusReply:
        cluster = await self._members.cluster(cluster_id)
        if cluster.state != "joined":
            return self._dismissed(cluster, cluster.state)
        await self._inventories.take(cluster.id, message.data, message.headers.get(ENCODING, ""))
        return self._checked()

    async def _renew(self, cluster_id: str) -> BusReply:
        cluster = await self._members.cluster(cluster_id)
        if cluster.state != "joined":
            return self._dismissed(cluster, cluster.state)
        return BusReply(renewed=self._credentials(cluster))

    async def _leave(self, cluster_id: str) -> BusReply:
        cluster = await self._members.leave(await self._members.cluster(cluster_id))
        return self._dismissed(cluster, "left")

    def _dismissed(self, cluster: Cluster, reason: Reason) -> BusReply:
        text = codec.encode(dismissal(cluster, self._federation.id, reason))
        signature = self._keyring.signer.sign(text, Signed.ANSWER)
        return BusReply(
            dismissed=SignedDismissal(dismissal=text.decode(), signature=base64.b64encode(signature).decode())
        )


def _sender(message: Message) -> str | None:
    """Return who sent a message; None for one of a stream: its subject is the stream's, not where it came."""
    try:
        return subjects.sender(message.subject)
    except ValueError:
        log.warning("steered_message", subject=message.subject)
        return None


def _wants_answer(message: Message) -> bool:
    """Tell whether a member asks: the server then names the place for the answer, in the members' account.

    Members cannot reach the subjects of the federation's account but by the calls they import, and where
    they have an answer delivered is of their own account only (`pki/roles.py`). What comes with another
    reply, or none, was not sent by a member: it has no answer that could be steered.
    """
    if message.reply.startswith(_IMPORTED):
        return True
    log.warning("steered_message", subject=message.subject)
    return False


def _read(message: Message) -> JoinRequest:
    """Return a join request whose two proofs of possession hold. Raises Refused."""
    try:
        request = codec.decode(message.data[:MAX_REQUEST], JoinRequest)
        proofs = [
            base64.b64decode(message.headers.get(header, ""), validate=True)
            for header in (PROOF, RENEW_PROOF)
        ]
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error) as error:
        raise Refused(f"the join request does not decode: {error}", code="REQUEST_INVALID") from error
    for key, proof in zip((request.nkey, request.renew_nkey), proofs, strict=True):
        proven = nkeys.is_public_key(key, nkeys.KeyType.USER) and nkeys.verify(key, message.data, proof)
        if not proven:
            raise Refused("the request is not signed by the keys it names", code="PROOF_INVALID")
    return request


def _check_versions(request: JoinRequest) -> None:
    mine, theirs = protocol.ours(__version__), request.versions
    if older := protocol.older(mine, theirs):
        raise connectivity.refused(
            "PROTOCOL_UNSUPPORTED",
            f"the worker's fedbus {theirs.fedbus} speaks protocol {protocol.spoken(theirs)} and the master's "
            f"fedbus {mine.fedbus} {protocol.spoken(mine)}: upgrade the {_ROLES[older]}",
        )


def _check_admission(
    tx: Transaction, token: Token, request: JoinRequest, room: Room, returning: Cluster | None
) -> None:
    names.check_cluster(request.name)
    names.check_labels(request.labels)
    if token.cluster_name and token.cluster_name != request.name:
        raise connectivity.refused(
            "TOKEN_WRONG_CLUSTER",
            f"the join token is for the cluster {token.cluster_name!r}, not {request.name!r}",
        )
    _check_versions(request)
    taken = {c.name for c in everyone(tx) if c.state == "joined"}
    if returning is None and len(taken) >= room.limit:
        raise connectivity.refused("CLUSTER_LIMIT", f"the federation has its {room.limit} clusters already")
    if returning is None and request.name in taken | {room.master}:
        raise connectivity.refused(
            "CLUSTER_NAME_TAKEN",
            f"another cluster with the name {request.name!r} already exists in the federation",
        )
