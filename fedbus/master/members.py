"""Members: join, renewal, leave, removal and demotion (design section 4).

A cluster's id is taken from the subject it sends on, which the server pins to its credential, and never
from what it says. Its private keys never leave it.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec
import structlog

from fedbus import __version__
from fedbus.bus import topology
from fedbus.bus.session import Connection, Message
from fedbus.config import MAX_JWT_DAYS
from fedbus.core import connectivity
from fedbus.core.summary import compatible
from fedbus.errors import FedbusError, NotFound, Refused
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.changes import Change, record
from fedbus.master.configuration import Configuration
from fedbus.master.ledger import Ledger
from fedbus.master.tokens import Tokens
from fedbus.model import codec, names, subjects
from fedbus.model.federation import (
    CLUSTER,
    DISMISSED,
    PROOF,
    RENEW_PROOF,
    RESYNC,
    BusReply,
    Checked,
    Checkpoint,
    Cluster,
    Dismissal,
    Federation,
    JoinAnswer,
    JoinRequest,
    Refusal,
    Renewal,
    Resync,
    SignedDismissal,
    Token,
    Versions,
)
from fedbus.pki import nkeys
from fedbus.pki.keyring import Keyring
from fedbus.pki.signing import Signed
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

MAX_REQUEST = 8192
FAREWELL_SECONDS = 0.5
"""How long a removed worker has to say that it read its dismissal, before it is cut."""
RENEWAL_DAYS = 365
"""How long the renewal credential lives: the longest sleep that needs no new token."""
RETRY_REVOCATION = 1.0
_DAY = 86_400
_IMPORTED = "_R_."
"""What nats-server puts before the reply of an imported call; a client that sends such a reply is refused."""

Reason = Literal["removed", "left", "demoted"]


class Members:
    """The clusters of one federation."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        keyring: Keyring,
        federation: Federation,
        tokens: Tokens,
        audit: Audit,
        configuration: Configuration,
        revoke: Callable[[dict[str, int]], Awaitable[None]],
        checkpoint: Callable[[Transaction, Sequence[str]], Checkpoint],
        on_change: Callable[[Cluster, str], Awaitable[None]],
    ) -> None:
        self._ledger, self._keyring, self._federation = ledger, keyring, federation
        self._tokens, self._audit = tokens, audit
        self._configuration = configuration
        self._revoke, self._checkpoint, self._on_change = revoke, checkpoint, on_change
        self._farewells: dict[str, asyncio.Event] = {}
        self._pushing, self._unpushed = asyncio.Lock(), asyncio.Event()
        self._clock = ledger.clock

    # what clusters ask over the bus

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
                await self.push_revocations()
            case "report" if message.reply:
                if _wants_answer(message):
                    await self._answer(connection, message, self._check(cluster_id))
            case "report":
                if (farewell := self._farewells.get(cluster_id)) is not None:
                    farewell.set()

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
            cluster = await self._admit(token, request)
        except Refused as error:
            category = audit_log.SECURITY if error.code == "TOKEN_USED" else audit_log.MEMBERSHIP
            await self._audit.record(
                category, "join", actor=f"token {token_id}", object_=request.name, result=error.code
            )
            raise
        await self._audit.record(
            audit_log.MEMBERSHIP, "join", actor=f"token {token_id}", object_=f"{cluster.name} {cluster.id}"
        )
        await self._on_change(cluster, "joined")
        return BusReply(joined=self._join_answer(cluster))

    async def _check_join(self, token_id: str, request: JoinRequest) -> BusReply:
        """Say whether a join would be let in; nothing is used and nothing written."""
        token = await self._tokens.check(token_id)
        master = self._federation.name

        def look(tx: Transaction) -> None:
            if request.name:
                _check_admission(tx, token, request, master)
            _check_versions(request)

        await self._ledger.database.read(look)
        return self._checked()

    async def _check(self, cluster_id: str) -> BusReply:
        """Tell a member that it is one, or sign its dismissal."""
        cluster = await self.cluster(cluster_id)
        if cluster.state != "joined":
            return BusReply(dismissed=self._signed(self._dismissal(cluster, cluster.state)))
        return self._checked()

    def _checked(self) -> BusReply:
        return BusReply(checked=Checked(time=self._clock.now(), versions=Versions(fedbus=__version__)))

    async def _joined_before(self, token_id: str, request: JoinRequest) -> Cluster | None:
        """Find the member that this very request made already, when only the answer was lost."""
        for cluster in await self.clusters():
            if (
                cluster.token_id == token_id
                and cluster.nkey == request.nkey
                and cluster.renew_nkey == request.renew_nkey
                and cluster.state == "joined"
            ):
                return cluster
        return None

    async def _admit(self, token: Token, request: JoinRequest) -> Cluster:
        cluster = Cluster(
            id=self._clock.random_bytes(16).hex(),
            name=request.name,
            nkey=request.nkey,
            renew_nkey=request.renew_nkey,
            versions=request.versions,
            joined_at=self._clock.stamp(),
            labels=request.labels | token.labels,
            cluster_uid=request.cluster_uid,
            rest=request.rest,
            token_id=token.id,
        )

        def plan(tx: Transaction) -> list[Change]:
            _check_admission(tx, token, request, self._federation.name)
            return [record(CLUSTER, cluster.id, cluster)]

        await self._ledger.commit(plan)
        return cluster

    def _join_answer(self, cluster: Cluster) -> JoinAnswer:
        renewal = self._credentials(cluster)
        return JoinAnswer(
            cluster_id=cluster.id,
            name=cluster.name,
            federation_id=self._federation.id,
            federation_name=self._federation.name,
            epoch=self._ledger.epoch,
            jwt=renewal.jwt,
            renew_jwt=renewal.renew_jwt,
            ca_pem=self._keyring.ca_pem.decode(),
            federation_key=base64.b64encode(self._keyring.signer.public_key).decode(),
            bus=self._federation.bus,
            labels=cluster.labels,
            heartbeat_interval=self._configuration.heartbeat_interval,
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

    async def _renew(self, cluster_id: str) -> BusReply:
        cluster = await self.cluster(cluster_id)
        if cluster.state != "joined":
            return BusReply(dismissed=self._signed(self._dismissal(cluster, cluster.state)))
        return BusReply(renewed=self._credentials(cluster))

    async def _leave(self, cluster_id: str) -> BusReply:
        cluster = await self.cluster(cluster_id)
        if cluster.state == "joined":
            cluster = await self._end([cluster], "left", actor=cluster.name)
        return BusReply(dismissed=self._signed(self._dismissal(cluster, "left")))

    # what admins ask

    async def remove(self, cluster_id: str, *, actor: str) -> Cluster:
        """Remove a cluster, connected or not: dismissed, revoked and cut. Raises NotFound, Unavailable."""
        cluster = await self.cluster(cluster_id)
        if cluster.state != "joined":
            raise NotFound(f"the cluster {cluster.name!r} is no member any more")
        return await self._dismiss([cluster], "removed", actor)

    async def dismiss_all(self, *, actor: str) -> None:
        """Dismiss every member, for a demotion. Raises Unavailable."""
        members = [c for c in await self.clusters() if c.state == "joined"]
        if members:
            await self._dismiss(members, "demoted", actor)

    async def resync(self, cluster_id: str, *, force: bool, actor: str) -> None:
        """Have a cluster compare itself with the head, and read everything again if forced."""
        cluster = await self.cluster(cluster_id)
        if cluster.state != "joined":
            raise NotFound(f"the cluster {cluster.name!r} is no member any more")
        own = subjects.own_scope(cluster.id)

        def plan(tx: Transaction) -> list[Change]:
            now = self._checkpoint(tx, (subjects.SCOPE_ALL, own))
            # The instruction is in the cluster's own scope: its head is the one with the instruction in it.
            at = msgspec.structs.replace(now.scopes[own], version=1 + tx.newest_version())
            head = msgspec.structs.replace(now, scopes=now.scopes | {own: at})
            return [_control(cluster.id, RESYNC, codec.encode(Resync(checkpoint=head, force=force)))]

        await self._ledger.commit(plan)
        await self._audit.record(audit_log.MEMBERSHIP, "resync", actor=actor, object_=cluster.name)

    async def label(self, cluster_id: str, changes: Mapping[str, str | None], *, actor: str) -> Cluster:
        """Change labels of a member, None removes one; what it has by selectors changes with them.

        Raises NotFound, InvalidInput, Unavailable.
        """
        found = await self.cluster(cluster_id)
        changed: list[Cluster] = []

        def plan(tx: Transaction) -> list[Change]:
            held = tx.object(subjects.SCOPE_MASTER, CLUSTER, found.id)
            now = codec.decode(held.payload, Cluster) if held is not None else found
            if now.state != "joined":
                raise NotFound(f"the cluster {now.name!r} is no member any more")
            labels = {key: value for key, value in (now.labels | dict(changes)).items() if value is not None}
            names.check_labels(labels)
            changed[:] = [msgspec.structs.replace(now, labels=labels)]
            return [record(CLUSTER, now.id, changed[0])]

        await self._ledger.commit(plan)
        said = ",".join(f"{key}-" if value is None else f"{key}={value}" for key, value in changes.items())
        await self._audit.record(
            audit_log.MEMBERSHIP, "label", actor=actor, object_=f"{found.name} {found.id}", detail=said
        )
        await self._on_change(changed[0], "labelled")
        return changed[0]

    async def clusters(self) -> list[Cluster]:
        """Return every cluster that ever joined and was not forgotten."""
        return await self._ledger.database.read(_all)

    async def cluster(self, cluster_id: str) -> Cluster:
        """Return one cluster by id or, if it is a member, by name. Raises NotFound."""
        stored = await self._ledger.database.read(
            lambda tx: tx.object(subjects.SCOPE_MASTER, CLUSTER, cluster_id)
        )
        if stored is not None and not stored.deleted:
            return codec.decode(stored.payload, Cluster)
        for cluster in await self.clusters():
            if cluster.name == cluster_id and cluster.state == "joined":
                return cluster
        raise NotFound(f"there is no cluster {cluster_id!r}", code="CLUSTER_UNKNOWN")

    async def _dismiss(self, members: Sequence[Cluster], reason: Reason, actor: str) -> Cluster:
        farewells = {c.id: asyncio.Event() for c in members}
        self._farewells |= farewells
        last = await self._end(members, reason, actor=actor)
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                for farewell in farewells.values():
                    await farewell.wait()
        except TimeoutError:
            log.info("farewell_not_heard", clusters=[c.name for c in members])
        finally:
            for cluster_id in farewells:
                del self._farewells[cluster_id]
        await self.push_revocations()
        return last

    async def _end(self, members: Sequence[Cluster], reason: Reason, *, actor: str) -> Cluster:
        """Record the end of memberships and tell the workers, in one changeset."""
        now, stamp = int(self._clock.now()), self._clock.stamp()
        state: Literal["left", "removed"] = "left" if reason == "left" else "removed"
        ended = [msgspec.structs.replace(c, state=state, ended_at=stamp, revoked_at=now) for c in members]
        changes = [record(CLUSTER, c.id, c) for c in ended]
        changes += [_control(c.id, DISMISSED, codec.encode(self._dismissal(c, reason))) for c in ended]
        for start in range(0, len(changes), 1000):
            part = changes[start : start + 1000]
            await self._ledger.commit(lambda _, part=part: part)  # type: ignore[misc]
        for cluster in ended:
            await self._audit.record(
                audit_log.MEMBERSHIP, reason, actor=actor, object_=f"{cluster.name} {cluster.id}"
            )
            await self._on_change(cluster, reason)
        return ended[-1]

    def _dismissal(self, cluster: Cluster, reason: Reason) -> Dismissal:
        return Dismissal(
            cluster_id=cluster.id, federation_id=self._federation.id, reason=reason, at=cluster.ended_at
        )

    def _signed(self, dismissal: Dismissal) -> SignedDismissal:
        text = codec.encode(dismissal)
        signature = self._keyring.signer.sign(text, Signed.ANSWER)
        return SignedDismissal(dismissal=text.decode(), signature=base64.b64encode(signature).decode())

    async def push_revocations(self) -> None:
        """Revoke the bus keys of everybody who is no member; pruned once no JWT of theirs can be valid.

        Raises Unavailable; `keep_revoked` then goes on trying.
        """
        self._unpushed.set()
        async with self._pushing:  # whoever read the members first must not push last
            # Not the days in force: they may have been more when the JWT was made.
            oldest = self._clock.now() - (MAX_JWT_DAYS + 1) * _DAY
            ended = [c for c in await self.clusters() if c.state != "joined" and c.revoked_at > oldest]
            await self._revoke({c.nkey: c.revoked_at for c in ended})
            self._unpushed.clear()

    async def keep_revoked(self) -> None:
        """Push, for ever, what could not be pushed when a membership ended."""
        while True:
            await self._unpushed.wait()
            await asyncio.sleep(RETRY_REVOCATION)
            if self._unpushed.is_set():
                try:
                    await self.push_revocations()
                except FedbusError as error:
                    log.warning("revocations_not_pushed", error=error.message)

    async def drop_consumers(self, connection: Connection) -> None:
        """Delete the consumers of those who are no members; the server would after five idle minutes."""
        for cluster in await self.clusters():
            if cluster.state != "joined":
                for suffix in ("all", "own", "doctor"):
                    await connection.request(
                        f"$JS.API.CONSUMER.DELETE.{topology.POLICY}.{cluster.id}-{suffix}"
                    )


def _all(tx: Transaction) -> list[Cluster]:
    return [codec.decode(s.payload, Cluster) for s in tx.objects(subjects.SCOPE_MASTER, CLUSTER)]


def _control(cluster_id: str, what: str, payload: bytes) -> Change:
    return Change(
        scope=subjects.own_scope(cluster_id),
        category=subjects.CONTROL,
        kind=what,
        name="-",
        payload=payload,
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
    if not compatible(request.versions):
        raise connectivity.refused(
            "PROTOCOL_UNSUPPORTED",
            f"the worker's fedbus {request.versions.fedbus} speaks another protocol than the master",
        )


def _check_admission(tx: Transaction, token: Token, request: JoinRequest, master: str) -> None:
    names.check_cluster(request.name)
    names.check_labels(request.labels)
    if token.cluster_name and token.cluster_name != request.name:
        raise connectivity.refused(
            "TOKEN_WRONG_CLUSTER",
            f"the join token is for the cluster {token.cluster_name!r}, not {request.name!r}",
        )
    _check_versions(request)
    taken = {c.name for c in _all(tx) if c.state == "joined"} | {master}
    if request.name in taken:
        raise connectivity.refused(
            "CLUSTER_NAME_TAKEN",
            f"another cluster with the name {request.name!r} already exists in the federation",
        )
