"""A worker's membership at work: follow, report, renew, and end when the master says so."""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec
import structlog

from fedbus.bus import topology
from fedbus.bus.session import Connection, Endpoint, Message, Supervisor, connect
from fedbus.cluster.scans.inspection import Inspection
from fedbus.core import backoff, connectivity
from fedbus.core.requests import Questions
from fedbus.errors import FedbusError, Refused, only
from fedbus.kube.inventory import Inventory
from fedbus.model import codec, subjects
from fedbus.model.events import Event
from fedbus.model.federation import (
    DISMISSED,
    RESYNC,
    SIGNATURE,
    BusReply,
    Checkpoint,
    ClusterReport,
    Dismissal,
    Resync,
)
from fedbus.pki.credentials import Credentials
from fedbus.pki.signing import Signed, Verifier
from fedbus.pki.verification import genuine
from fedbus.runtime import Clock, cancelled, first, rfc3339
from fedbus.store.database import Database
from fedbus.web.sse import Hub
from fedbus.worker import dialogue
from fedbus.worker.answering import Answering, Method
from fedbus.worker.folding import Folded, Folder
from fedbus.worker.follower import Follower
from fedbus.worker.inventory_reports import InventoryReports
from fedbus.worker.large import LargeReports
from fedbus.worker.membership import Membership, MembershipFiles
from fedbus.worker.reporter import Reporter

log = structlog.get_logger(__name__)

RETRY_RENEWAL = 60.0
SCAN_BATCH, SCAN_BYTES = 64, 1024 * 1024
"""Scan results in one pull, and their bytes: policy waits behind what is under way on the same connection."""


class AppliedNotice(msgspec.Struct, frozen=True, kw_only=True):
    """The server-sent event of an apply."""

    scope: str
    epoch: int
    version: int
    seq: int
    applied: int
    refused: list[str]


async def inspect(database: Database, verifier: Verifier) -> dict[str, int]:
    """Drop what the store holds and the federation did not sign; return the faults by scope.

    Only what is wrong goes: this cluster works on with the rest until the bus has brought it again.
    """
    faults = await database.write(lambda tx: tx.repair.run(partial(genuine, verifier)))
    if faults:
        log.error("store_altered", faults=faults, remedy="the bus rebuilds what was wrong")
    return faults


class ActiveMembership:
    """Everything that runs between join and the end of the membership."""

    def __init__(
        self,
        *,
        membership: Membership,
        files: MembershipFiles,
        database: Database,
        scans: Database,
        clock: Clock,
        hub: Hub,
        on_ended: Callable[[Dismissal], Awaitable[None]],
        on_policy: Callable[[], None] = lambda: None,
        describe: Callable[[], ClusterReport] = ClusterReport,
        methods: Mapping[str, Method] = {},
        inventory: Inventory | None = None,
        inventory_interval: float = 60.0,
        late: Sequence[Event] = (),
    ) -> None:
        """Take who is told that policy changed in the store, and who describes this cluster in reports.

        `methods` are what the master may ask, `inventory` is what is reported to it, `late` the
        instructions that were parked until this build could read them.
        """
        self.membership = membership
        self._files, self._database, self._clock, self._hub = files, database, clock, hub
        self._on_ended, self._on_policy = on_ended, on_policy
        self._verifier = membership.verifier()
        self._describe = describe
        self._inventory = InventoryReports(
            inventory or Inventory(),
            inventory_interval,
            partial(dialogue.send_inventory, cluster_id=membership.cluster_id),
        )
        self._scans = scans
        self.reporter = Reporter(
            database,
            scans,
            cluster_id=membership.cluster_id,
            clock=clock,
            interval=membership.heartbeat_interval,
            prepare=self._look_after,
            describe=self._described,
        )
        self.session = Supervisor(
            "worker", self._endpoint_and_credentials, self._session, clock, self._refused
        )
        self.refusal: FedbusError | None = None
        """Why the master or the bus does not want this worker, if so."""
        self.checkpoint: Checkpoint | None = None
        self.checkpoint_at = float("-inf")
        """The master's last signed head, and when it came on the monotonic clock."""
        self.skew: float | None = None
        """Seconds this clock is ahead of the master's, by the last checkpoint and what it took to come."""
        self._late = list(late)
        self._answering = Answering(
            methods,
            self._verifier,
            Questions(membership.federation_id, membership.cluster_id),
            lambda: clock.now() - (self.skew or 0.0),
        )
        own = subjects.own_scope(membership.cluster_id)
        self._followers = {scope: self._follower(scope) for scope in (subjects.SCOPE_ALL, own)}
        self._scan_follower = self._follower_of_scans()
        self._inspection = Inspection(scans, self._verifier, clock)

    def _described(self) -> ClusterReport:
        return msgspec.structs.replace(self._describe(), inventory_digest=self._inventory.digest)

    def _follower(self, scope: str) -> Follower:
        m = self.membership
        suffix = "all" if scope == subjects.SCOPE_ALL else "own"
        return Follower(
            database=self._database,
            folder=Folder(self._verifier, m.federation_id, scope),
            consumer=f"{m.cluster_id}-{suffix}",
            stream=topology.POLICY,
            filter_subject=subjects.scope_filter(scope),
            clock=self._clock,
            on_applied=self._applied,
            on_control=self._control,
        )

    def _follower_of_scans(self) -> Follower:
        m = self.membership
        return Follower(
            database=self._scans,
            folder=Folder(self._verifier, m.federation_id, subjects.SCOPE_SCANS),
            consumer=f"{m.cluster_id}-scans",
            stream=topology.SCANS,
            filter_subject=subjects.scope_filter(subjects.SCOPE_SCANS),
            clock=self._clock,
            on_applied=self._applied,
            on_control=self._control,
            prepare=LargeReports(self._scans, self._verifier, m.federation_id).bring,
            batch=SCAN_BATCH,
            max_bytes=SCAN_BYTES,
        )

    def _endpoint(self) -> Endpoint:
        m = self.membership
        return Endpoint(tuple(dialogue.url(address) for address in m.addresses), m.ca_pem.encode())

    def _endpoint_and_credentials(self) -> tuple[Endpoint, Credentials]:
        return self._endpoint(), self._files.bus_credentials()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the membership until `stop`."""
        await self.session.run(stop)

    @property
    def pending(self) -> int:
        """Events that wait on the bus, as of the last batch."""
        return sum(follower.pending for follower in (*self._followers.values(), self._scan_follower))

    def expiries(self) -> dict[str, float]:
        """Return when each credential expires, in Unix seconds."""
        try:
            held = {"bus": self._files.bus_credentials(), "renew": self._files.renew_credentials()}
        except FedbusError:
            return {}  # the membership has just ended
        return {name: float(c.expires) for name, c in held.items() if c.expires is not None}

    async def _session(self, connection: Connection) -> None:
        self.refusal = None
        while self._late:
            await self._control(self._late.pop(0))
        try:
            async with (
                connection.subscription(subjects.CHECKPOINT, self._on_checkpoint, limit=100),
                asyncio.TaskGroup() as group,
            ):
                for follower in self._followers.values():
                    group.create_task(follower.follow(connection), name=f"follow {follower.scope}")
                group.create_task(self._follow_scans(connection), name="follow scans")
                group.create_task(self.reporter.report(connection), name="report")
                group.create_task(
                    self._answering.serve(connection, self.membership.cluster_id), name="answering"
                )
                group.create_task(self._inventory.report(connection), name="inventory report")
                group.create_task(self._renew_in_time(connection), name="renew")
        except asyncio.CancelledError:
            await self._say_goodbye(connection)
            raise

    async def _follow_scans(self, connection: Connection) -> None:
        """Follow the scan results; what goes wrong with them begins anew, and policy has no part in it."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._scan_follower.follow(connection), name="scan follower")
                    group.create_task(self._inspection.keep(self._scans_altered), name="scan inspection")
            except* FedbusError as errors:
                error = only(errors)
                if connection.closed.is_set() or cancelled():
                    raise error from None
                log.warning("scans_interrupted", **connectivity.facts(error))
            pause = backoff.delay(attempt, self._clock.jitter())
            await first(connection.closed.wait(), timeout=pause)

    async def _say_goodbye(self, connection: Connection) -> None:
        """Tell the master that this worker stops, so that it need not find out by silence."""
        if connection.closed.is_set() or self.session.restart.is_set():
            return
        try:
            async with asyncio.timeout(1.0):
                await self.reporter.send(connection, stopping=True)
        except (FedbusError, TimeoutError):
            log.debug("goodbye_not_sent")

    async def _applied(self, folded: Folded) -> None:
        self.reporter.alarms += folded.alarms
        self.reporter.changed.set()
        self._on_policy()
        if folded.alarms:
            log.error("version_conflict", count=folded.alarms)
        if folded.refused:
            log.warning("events_refused", codes=folded.refused[:10], count=len(folded.refused))
        state = folded.state
        notice = AppliedNotice(
            scope=folded.scope,
            epoch=state.epoch,
            version=state.version,
            seq=state.seq,
            applied=folded.applied,
            refused=folded.refused,
        )
        self._hub.publish("applied", notice)

    async def _control(self, event: Event) -> None:
        payload = codec.unpack(event.body, event.encoding)
        try:
            if event.address.kind == RESYNC:
                await self._resync(codec.decode(payload, Resync))
            elif event.address.kind == DISMISSED:
                await self._dismissed(codec.decode(payload, Dismissal))
        except msgspec.MsgspecError as error:
            log.warning("instruction_undecodable", kind=event.address.kind, error=str(error))

    async def _look_after(self) -> None:
        """Inspect the store when somebody else wrote to its file: a report tells what is true now."""
        if await self._database.altered():
            await self._inspect()

    async def _inspect(self) -> None:
        for scope in await inspect(self._database, self._verifier):
            if scope in self._followers:
                self._followers[scope].rewind()
        self._on_policy()

    async def _scans_altered(self) -> None:
        self._scan_follower.rewind()

    async def _resync(self, resync: Resync) -> None:
        log.info("resync", force=resync.force)
        if resync.force:
            await self._inspect()
        for follower in self._followers.values():
            if resync.force:
                follower.rewind()
            await follower.check(resync.checkpoint)
        if resync.force:
            self._scan_follower.rewind()
        await self._check_scans(resync.checkpoint)

    async def _check_scans(self, checkpoint: Checkpoint) -> None:
        """Compare the scan results with their head, which has an epoch of its own."""
        if (head := checkpoint.scans) is not None:
            await self._scan_follower.check(
                msgspec.structs.replace(
                    checkpoint, epoch=head.epoch, scopes={subjects.SCOPE_SCANS: head.state}
                )
            )

    async def _dismissed(self, dismissal: Dismissal) -> None:
        if dismissal.cluster_id != self.membership.cluster_id:
            return
        connection = self.session.connection
        await self._on_ended(dismissal)
        if connection is not None:
            try:
                await connection.publish(subjects.up(self.membership.cluster_id, "report"), b"{}")
            except FedbusError:
                log.debug("farewell_not_sent")

    async def _on_checkpoint(self, message: Message) -> None:
        """Take a checkpoint, if the federation signed it."""
        try:
            signature = base64.b64decode(message.headers.get(SIGNATURE, ""), validate=True)
            if not self._verifier.verify(message.data, signature, Signed.CHECKPOINT):
                log.warning("checkpoint_refused", code="SIGNATURE_INVALID")
                return
            checkpoint = codec.decode(message.data, Checkpoint)
        except (binascii.Error, UnicodeDecodeError, msgspec.MsgspecError) as error:
            log.warning("checkpoint_refused", code="PAYLOAD_UNDECODABLE", error=str(error))
            return
        if checkpoint.federation_id != self.membership.federation_id:
            return
        if checkpoint.servers != self.membership.servers:
            self.membership = self._files.moved(self.membership, checkpoint.servers)
        self.checkpoint, self.checkpoint_at = checkpoint, self._clock.monotonic()
        self.reporter.interval = max(1.0, checkpoint.heartbeat_interval)
        self.skew = self._clock.now() - checkpoint.time
        for follower in self._followers.values():
            await follower.check(checkpoint)
        await self._check_scans(checkpoint)

    async def _renew_in_time(self, connection: Connection) -> None:
        """Ask for a new credential at two thirds of this one's life, and reconnect with it."""
        credentials = self._files.bus_credentials()
        while True:
            await first(connection.closed.wait(), timeout=self._renewal_due(credentials))
            if connection.closed.is_set():
                return
            try:
                reply = await dialogue.ask(connection, self.membership.cluster_id, "renew")
                await self._renewed(reply)
            except FedbusError as error:
                log.warning("renewal_failed", **connectivity.facts(error))
                await first(connection.closed.wait(), timeout=RETRY_RENEWAL)
                continue
            self.session.restart.set()
            return

    def _renewal_due(self, credentials: Credentials) -> float:
        expires, issued = credentials.expires or 0, credentials.issued
        return max(0.0, issued + (expires - issued) * 2 / 3 - self._clock.now())

    async def _refused(self, error: FedbusError) -> None:
        """Find out why the bus said no: a credential expired, or was revoked; the renewal one may ask."""
        self.refusal = error
        if error.code != "BUS_UNAUTHORIZED":
            return
        try:
            endpoint, credentials = self._endpoint(), self._files.renew_credentials()
            async with connect("worker-renewal", endpoint, credentials) as connection:
                reply = await dialogue.ask(connection, self.membership.cluster_id, "renew")
            await self._renewed(reply)
            self.refusal = None
            self.session.restart.set()
        except FedbusError as refusal:
            self.refusal = refusal
            log.warning("renewal_refused", **connectivity.facts(refusal))

    async def _renewed(self, reply: BusReply) -> None:
        if reply.renewed is not None:
            self._files.renewed(reply.renewed)
            log.info("credential_renewed", expires=rfc3339(self._files.bus_credentials().expires or 0))
        elif reply.dismissed is not None:
            await self._on_signed_dismissal(reply)
        else:
            raise Refused("the master's answer to the renewal makes no sense", code="ANSWER_INVALID")

    async def _on_signed_dismissal(self, reply: BusReply) -> None:
        m = self.membership
        found = reply.dismissed and dialogue.dismissal(self._verifier, m.cluster_id, reply.dismissed)
        if not found:
            raise Refused("the dismissal is not signed by the federation", code="SIGNATURE_INVALID")
        await self._on_ended(found)

    async def leave(self) -> Dismissal:
        """Ask the master to let this cluster go. Raises Unavailable, Refused."""
        reply = await dialogue.ask(self.session.current(), self.membership.cluster_id, "leave")
        found = reply.dismissed and dialogue.dismissal(
            self._verifier, self.membership.cluster_id, reply.dismissed
        )
        if not found:
            raise Refused("the answer to the leave is not signed by the federation", code="SIGNATURE_INVALID")
        return found
