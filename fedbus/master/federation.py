"""An active federation: the bus, its sessions, and the use cases wired to them."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import structlog

from fedbus.bus import admin, reach
from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings
from fedbus.bus.session import Connection, Endpoint, Supervisor
from fedbus.cluster.own_cluster import OwnCluster
from fedbus.core.writes import Committed
from fedbus.master import audit as audit_log
from fedbus.master import placing
from fedbus.master.assessing import Assessing
from fedbus.master.audit import Audit
from fedbus.master.calls import Calls
from fedbus.master.changes import record
from fedbus.master.checkpoints import Checkpoints
from fedbus.master.configuration import Configuration
from fedbus.master.dialogue import Dialogue
from fedbus.master.drift import Drift
from fedbus.master.federated_scans import FederatedScans
from fedbus.master.fleet import Fleet
from fedbus.master.guard import Guard
from fedbus.master.inventories import Inventories
from fedbus.master.ledger import ELECTION_SECONDS, PUBLISH_SECONDS, Ledger
from fedbus.master.members import Members
from fedbus.master.policies import Policies
from fedbus.master.previews import Previews
from fedbus.master.recovery import Recovery, known_epoch
from fedbus.master.rollouts import Rollouts
from fedbus.master.tokens import Tokens
from fedbus.model import codec, subjects, targets
from fedbus.model.events import Event
from fedbus.model.federation import FEDERATION, Cluster, Federation, RestInfo, SummaryRow
from fedbus.pki import files, jwt
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring
from fedbus.pki.signing import Verifier
from fedbus.runtime import Clock, first, serve
from fedbus.settings import MasterSettings
from fedbus.store.database import Database
from fedbus.web.sse import Hub

log = structlog.get_logger(__name__)

SYSTEM_WAIT = 5.0
"""Seconds to wait for the system account's session before a revocation fails."""
CHECK_SECONDS = 6 * 3600.0
MAX_WAITING = 1000
"""Requests of workers that may wait; more are dropped, and the workers ask again."""
MAX_INVENTORIES = 50
"""Inventories that may wait, half a megabyte each."""


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """What promote decided, kept beside the keyring: the federation and the port its bus listens on."""

    federation: Federation
    listen_port: int
    addressed: bool = False
    """Whether somebody chose the address of the bus; otherwise it follows the settings."""

    def save(self, path: Path) -> None:
        """Write it atomically."""
        files.write(path, msgspec.json.format(codec.encode(self)))


class PolicyNotice(msgspec.Struct, frozen=True, kw_only=True):
    """The server-sent event of a policy changeset."""

    changeset: str
    version: int
    changes: list[object]


class MemberNotice(msgspec.Struct, frozen=True, kw_only=True):
    """The server-sent event of a membership change."""

    id: str
    name: str
    event: str


class ActiveFederation:
    """Everything that runs between promote and demote."""

    def __init__(
        self,
        *,
        settings: MasterSettings,
        promotion: Promotion,
        keyring: Keyring,
        database: Database,
        scans: Database,
        clock: Clock,
        hub: Hub,
        own: OwnCluster,
    ) -> None:
        self.federation = _addressed(promotion, settings)
        self.ready = asyncio.Event()
        """Set while stream and store are known to be equal and members can be served."""
        self._settings, self._promotion = settings, promotion
        self._keyring, self._database, self._clock, self._hub = keyring, database, clock, hub
        self._own = own
        self._scans = scans
        self._last_push = 0.0
        self._told_rewrites = 0
        self._scrubbed: int | None = None
        self.server = None if settings.bus_urls else self._make_server()
        self._credentials = self._master_credentials()
        self.session = Supervisor("master", self._endpoint_as_master, self._session, clock)
        self.system = Supervisor("master-system", self._endpoint_as_system, self._introduce, clock)
        self._wire(self.federation.id)

    def _wire(self, federation_id: str) -> None:
        self.ledger = Ledger(
            database=self._database,
            signer=self._keyring.signer,
            federation_id=federation_id,
            connection=self.session.current,
            clock=self._clock,
            on_committed=self._on_committed,
            derive=placing.derive,
            publish_seconds=PUBLISH_SECONDS if self._settings.bus_replicas == 1 else ELECTION_SECONDS,
        )
        verifier = Verifier(self._keyring.signer.public_key)
        self.recovery = Recovery(self.ledger, verifier, federation_id, self._settings.bus_replicas)
        self.ledger.recover = self._recover
        self.audit = Audit(self._database, self.session.current, self._clock)
        self.guard = Guard(self.ledger, self.recovery, self.audit)
        self.configuration = Configuration(self.ledger, self.audit, self._settings)
        self.checkpoints = Checkpoints(
            database=self._database,
            signer=self._keyring.signer,
            federation_id=federation_id,
            clock=self._clock,
            epoch=lambda: self.ledger.epoch,
            configuration=self.configuration,
            servers=self.federation.servers,
        )
        self.fleet = Fleet(
            self._database,
            self.federation,
            self._clock,
            self.configuration,
            self._on_row,
            own=self._own.report,
        )
        self.scans = FederatedScans(
            database=self._scans,
            policy=self._database,
            signer=self._keyring.signer,
            federation_id=federation_id,
            connection=self.session.current,
            clock=self._clock,
            audit=self.audit,
            configuration=self.configuration,
            checkpoints=self.checkpoints,
            fleet=self.fleet,
            replicas=self._settings.bus_replicas,
            publish_seconds=self.ledger.publish_seconds,
        )
        self.configuration.on_change = self.scans.deployment.stir.set
        self.rollouts = Rollouts(
            self.ledger, self.fleet, self.audit, lambda one: self._hub.publish("rollout", one)
        )
        self.assessing = Assessing(
            Calls(self._keyring.signer, federation_id, self.session.current, self._clock),
            self.fleet,
            self._own.admission,
        )
        self.tokens = Tokens(self.ledger, self._keyring, self.federation)
        self.policies = Policies(self.ledger)
        self.members = Members(
            ledger=self.ledger,
            federation=self.federation,
            audit=self.audit,
            revoke=self._revoke,
            checkpoint=self.checkpoints.head,
            on_change=self._on_member,
        )
        self.inventories = Inventories(self._database, self._clock)
        self.previews = Previews(
            database=self._database,
            inventories=self.inventories,
            fleet=self.fleet,
            federation=self.federation,
            own=self._own,
            clock=self._clock,
        )
        self.dialogue = Dialogue(
            members=self.members,
            database=self._database,
            keyring=self._keyring,
            federation=self.federation,
            tokens=self.tokens,
            audit=self.audit,
            configuration=self.configuration,
            inventories=self.inventories,
            epoch=lambda: self.ledger.epoch,
            clock=self._clock,
        )
        self.drift = Drift(partial(self.members.resync, force=False, actor="master"), self._clock)

    @property
    def certificate_expires(self) -> float | None:
        """When the embedded bus's certificate ends, in Unix seconds; None for an external one."""
        return self._keyring.server.expires() if self.server is not None else None

    def _make_server(self) -> EmbeddedServer:
        return EmbeddedServer(
            ServerSettings(
                directory=self._settings.data_dir / "bus",
                certificate_file=self._keyring.server_file,
                operator_jwt=self._keyring.operator_jwt,
                system_account=self._keyring.system_account,
                # Dated at the beginning of time: whatever was pushed later has revocations, and wins.
                accounts=self._keyring.account_jwts(now=1),
                host=self._settings.bus_host,
                port=self._promotion.listen_port,
            )
        )

    def _master_credentials(self) -> Credentials:
        now = self._clock.now()
        return self._keyring.credentials("master", "master", now=now, randomness=self._clock.random_bytes)

    def _endpoint_as_master(self) -> tuple[Endpoint, Credentials]:
        return self._endpoint(), self._credentials

    def _endpoint_as_system(self) -> tuple[Endpoint, Credentials]:
        return self._endpoint(), self._keyring.system

    def _endpoint(self) -> Endpoint:
        servers = self._settings.bus_urls or ((self.server.url,) if self.server else ())
        return Endpoint(tuple(servers), self._keyring.ca_pem)

    async def run(self, stop: asyncio.Event) -> None:
        """Start the bus and serve the federation until `stop`. Raises Unavailable if it does not start."""
        services = {
            "session": self.session.run,
            "system session": self.system.run,
            "fleet": self.fleet.watch,
        }
        if self.server is None:
            await serve(services, stop)
            return
        self._renew_certificate()
        async with self.server:
            await serve(services | {"bus": self.server.run, "certificate": self._keep_certificate}, stop)

    async def remember(self) -> None:
        """Take from the store what can be shown while the bus is away. Raises Unavailable."""
        await self.recovery.inspect()
        self.ledger.drafter.epoch = self.fleet.epoch = await self._database.read(known_epoch)
        await self.configuration.load()
        clusters = await self.members.clusters()
        await self.inventories.drop(clusters)
        await self.fleet.load(clusters)
        await self.scans.remember()

    def _renew_certificate(self) -> bool:
        hosts = certificate_hosts(self.federation.bus.server, self._settings.bus_host)
        return self._keyring.renew_server_certificate(
            hosts, now=self._clock.now(), randomness=self._clock.random_bytes
        )

    async def _keep_certificate(self, stop: asyncio.Event) -> None:
        """Renew the bus's certificate before its end, without cutting a session."""
        while not stop.is_set():
            await first(stop.wait(), timeout=CHECK_SECONDS)
            if self.server is not None and self._renew_certificate():
                self.server.reload()

    async def _session(self, connection: Connection) -> None:
        """Serve one bus session: compare, take up the members, then answer and broadcast."""
        try:
            await self.ledger.synchronise()
            await self._publish_record()
            await self.configuration.load()
            # The members' account first: what the federation's imports of it has to be there.
            await self.members.revocations.push()
            await self._share()
            await self.members.drop_consumers(connection)
            if self.recovery.rewrites != self._told_rewrites:
                await self._tell_rewritten()
                self._told_rewrites = self.recovery.rewrites
            joins, ups = partial(self.dialogue.on_join, connection), partial(self.dialogue.on_up, connection)
            async with (
                connection.subscription(subjects.JOIN, joins, limit=MAX_WAITING),
                connection.subscription(subjects.up("*", "renew"), ups, limit=MAX_WAITING),
                connection.subscription(subjects.up("*", "leave"), ups, limit=MAX_WAITING),
                connection.subscription(subjects.up("*", "report"), ups, limit=MAX_WAITING),
                connection.subscription(subjects.up("*", "inventory"), ups, limit=MAX_INVENTORIES),
            ):
                await self._serve(connection)
        finally:
            self.ready.clear()

    async def _serve(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.checkpoints.broadcast(connection), name="checkpoints")
            group.create_task(self.fleet.follow(connection), name="heartbeats")
            group.create_task(self.members.revocations.keep(), name="revocations")
            group.create_task(self.guard.run(connection), name="guard")
            group.create_task(self._keep_placed(), name="placements")
            group.create_task(self.rollouts.drive(), name="rollouts")
            group.create_task(self.drift.heal(), name="drift")
            group.create_task(self._scrub(connection), name="scrub")
            group.create_task(self.scans.serve(connection), name="scans")
            self.ready.set()

    async def _scrub(self, connection: Connection) -> None:
        """Read the whole stream once in the life of a server: bits flip on disks that rest."""
        if self._scrubbed != (life := self.server.restarts if self.server else 0):
            if not await self.recovery.scrub(connection):
                await self.ledger.synchronise()
            self._scrubbed = life

    async def _keep_placed(self) -> None:
        """Give every cluster what it should have: at once, and whenever one changeset could not."""
        while True:
            await placing.finish(self.ledger)
            await self.ledger.unfinished.wait()

    async def _recover(self) -> None:
        await self.recovery.run(self.session.current())
        self.fleet.epoch = self.ledger.epoch
        self._own.admission.changed()
        self.ledger.unfinished.set()  # the records are the truth: what was folded may differ from them
        await self.fleet.load(await self.members.clusters())  # what was folded has made new heads
        self.checkpoints.due.set()

    async def _tell_rewritten(self) -> None:
        await self.audit.record(
            audit_log.SECURITY, "stream rewritten", actor="master", detail=f"epoch {self.ledger.epoch}"
        )
        for cluster in await self.members.clusters():
            if cluster.state == "joined":
                await self.members.resync(cluster.id, force=False, actor="master")

    async def _publish_record(self) -> None:
        await self.ledger.commit(lambda _: [record(FEDERATION, "self", self.federation)])

    async def _on_committed(self, committed: Committed, events: Sequence[Event]) -> None:
        scopes = {e.address.scope for e in events}
        states = await self._database.read(lambda tx: {s: tx.scope(s).digest for s in scopes})
        self.fleet.committed(committed.version, events, states)
        if subjects.SCOPE_ALL in scopes:
            self._own.admission.changed()
        if any(e.address.kind.endswith("registry") for e in events):
            self.scans.deployment.stir.set()
        changes: list[object] = [c for c in committed.changes if c.op != "unchanged"]
        if any(targets.has_history(e.address) for e in events):
            self._hub.publish(
                # The first moves what every cluster should hold, the second what some should.
                "policy" if subjects.SCOPE_ALL in scopes else "targeted",
                PolicyNotice(changeset=committed.changeset, version=committed.version, changes=changes),
            )

    def _on_row(self, row: SummaryRow) -> None:
        self._hub.publish("cluster", row)
        self.rollouts.stir()
        self.drift.note(row)

    async def _on_member(self, cluster: Cluster, event: str) -> None:
        self.fleet.member_changed(cluster)
        if cluster.state != "joined":
            await self.inventories.drop(await self.members.clusters())
        self._hub.publish("member", MemberNotice(id=cluster.id, name=cluster.name, event=event))

    async def _introduce(self, connection: Connection) -> None:
        """Give the bus the accounts where it has none: a new federation's, or a lost resolver's."""
        new = not await admin.held_account(connection, self._keyring.account)
        if new:
            await self._push_own()
        if not await admin.held_account(connection, self._keyring.members_account):
            await self.members.revocations.push()
            new = True
        if new:
            await self._push_own()  # each account needs the other; the first push found only half
        await connection.closed.wait()

    async def _share(self) -> None:
        """Push the federation's account where the servers share something else, as of an earlier version.

        Only then: a push of what is exported ends every pull that waits (measured, 2.15.1), and the members
        notice by silence.
        """
        await first(self.system.up.wait(), timeout=SYSTEM_WAIT)
        held = await admin.held_account(self.system.current(), self._keyring.account)
        if not jwt.same_claims(held, self._keyring.account_jwt(now=0)):
            await self._push_own()

    async def _push_own(self) -> None:
        """Push the federation's account."""
        await self._push(self._keyring.account, self._keyring.account_jwt(now=self._push_time()))

    async def _revoke(self, revocations: dict[str, int]) -> None:
        """Push the members' account with these revocations."""
        account_jwt = self._keyring.members_jwt(revocations, now=self._push_time())
        await self._push(self._keyring.members_account, account_jwt)

    def _push_time(self) -> float:
        """Return a date for an account's JWT: a server keeps the one with the latest."""
        self._last_push = max(self._clock.now(), self._last_push + 1)
        return self._last_push

    async def _push(self, account: str, account_jwt: str) -> None:
        await first(self.system.up.wait(), timeout=SYSTEM_WAIT)
        await admin.push_account(self.system.current(), account_jwt)
        if self.server is not None:
            # Kept for its next start too, should its own copy be lost.
            self.server.preload({account: account_jwt})


def _addressed(promotion: Promotion, settings: MasterSettings) -> Federation:
    """Return the federation with the addresses of its bus: an external one's, unless one was chosen."""
    federation = promotion.federation
    if not settings.bus_urls or promotion.addressed or settings.advertised_server:
        return federation
    found = [reach.address(url) for url in settings.bus_urls]
    servers = tuple(RestInfo(server=host, port=port) for host, port in found)
    return msgspec.structs.replace(federation, bus=servers[0], servers=servers if len(servers) > 1 else ())


def certificate_hosts(server: str, bus_host: str) -> list[str]:
    """Return the names and addresses the bus's certificate is for."""
    anywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return sorted({server, bus_host, "localhost", "127.0.0.1"} - anywhere)
