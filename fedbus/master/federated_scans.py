"""The scan results of a federation on its master: their own ledger, beside that of policy.

Neither waits for the other: each has its stream, its store, its lock, its versions and its epoch.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from fedbus.bus import topology
from fedbus.bus.session import Connection
from fedbus.cluster.scans.inspection import Inspection
from fedbus.core import backoff
from fedbus.core.writes import Committed
from fedbus.errors import FedbusError, only
from fedbus.master.audit import Audit
from fedbus.master.checkpoints import Checkpoints
from fedbus.master.configuration import Configuration
from fedbus.master.deployment import Deployment
from fedbus.master.fleet import Fleet
from fedbus.master.large import Large
from fedbus.master.ledger import Ledger
from fedbus.master.recovery import known_epoch
from fedbus.master.scan_guard import ScanGuard
from fedbus.master.scan_recovery import ScanRecovery
from fedbus.master.scan_results import FederatedResults
from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.model.federation import ScansHead, ScanTotal
from fedbus.pki.signing import Signer, Verifier
from fedbus.runtime import Clock, cancelled, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)


class FederatedScans:
    """Everything about scan results that runs between promote and demote."""

    def __init__(
        self,
        *,
        database: Database,
        policy: Database,
        signer: Signer,
        federation_id: str,
        connection: Callable[[], Connection],
        clock: Clock,
        audit: Audit,
        configuration: Configuration,
        checkpoints: Checkpoints,
        fleet: Fleet,
        replicas: int,
        publish_seconds: float,
    ) -> None:
        self.database = database
        self._checkpoints, self._fleet, self._connection = checkpoints, fleet, connection
        self.ledger = Ledger(
            database=database,
            signer=signer,
            federation_id=federation_id,
            connection=connection,
            clock=clock,
            on_committed=self._on_committed,
            stream=topology.SCANS,
            publish_seconds=publish_seconds,
        )
        self.ledger.recover = self._recover
        verifier = Verifier(signer.public_key)
        self._large = Large(database)
        self._inspection = Inspection(database, verifier, clock)
        self.recovery = ScanRecovery(
            self.ledger, verifier, federation_id, replicas, large=self._large, inspection=self._inspection
        )
        self._guard = ScanGuard(self.ledger, self.recovery, audit)

        def deploys_ci() -> bool:
            return configuration.deploy_repo_scan_data

        self.results = FederatedResults(
            ledger=self.ledger,
            large=self._large,
            policy=policy,
            connection=connection,
            deploys_ci=deploys_ci,
        )
        self.deployment = Deployment(self.ledger, policy, self.results, self._large, deploys_ci)

    async def remember(self) -> None:
        """Take from the store what can be shown while the bus is away. Raises Unavailable."""
        self.ledger.drafter.epoch = await self.database.read(known_epoch)
        await self._fleet.load_scans(self.database)
        await self._tell()

    async def serve(self, connection: Connection) -> None:
        """Serve one bus session; what goes wrong here begins anew here, and policy has no part in it.

        Raises Unavailable when the session ends.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._serve(connection)
            except* FedbusError as errors:
                error = only(errors)
                if connection.closed.is_set() or cancelled():
                    raise error from None
                log.warning("scans_interrupted", code=error.code, error=error.message)
            pause = backoff.delay(attempt, self.ledger.clock.jitter())
            await first(connection.closed.wait(), timeout=pause)

    async def _serve(self, connection: Connection) -> None:
        """Compare, then watch, move, and keep the objects."""
        await self.ledger.synchronise()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._guard.run(connection), name="scan guard")
            group.create_task(self.deployment.keep(), name="deployment")
            group.create_task(self._large.keep(connection), name="large reports")
            group.create_task(self._inspection.keep(self._altered), name="scan inspection")

    async def _altered(self) -> None:
        """Have the stream bring back what the store has lost."""
        await self.ledger.synchronise()

    async def _recover(self) -> None:
        self._checkpoints.scans = None  # what is folded in between is not the federation's
        await self.recovery.run(self._connection())
        await self._fleet.load_scans(self.database)
        await self._tell()
        self._checkpoints.due.set()

    async def _on_committed(self, committed: Committed, events: Sequence[Event]) -> None:
        scopes = {event.address.scope for event in events}
        if subjects.SCOPE_SCANS not in scopes:
            return
        head = await self._tell()
        shown = [event for event in events if event.address.scope == subjects.SCOPE_SCANS]
        self._fleet.committed(committed.version, shown, {subjects.SCOPE_SCANS: head.state.digest})

    async def _tell(self) -> ScansHead:
        """Make the head known to checkpoints and summary."""
        head = await self.database.read(self._head)
        self._checkpoints.scans = self._fleet.scans = head
        return head

    def _head(self, tx: Transaction) -> ScansHead:
        reports, size = tx.scans.total(subjects.SCOPE_SCANS)
        return ScansHead(
            epoch=self.ledger.epoch,
            state=tx.scope(subjects.SCOPE_SCANS),
            total=ScanTotal(reports=reports, bytes=size),
        )
