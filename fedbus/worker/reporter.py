"""Heartbeats: every few seconds, and soon after an apply, but not more than twice a second."""

import asyncio
from collections.abc import Awaitable, Callable

from fedbus import __version__
from fedbus.bus.session import Connection
from fedbus.core import protocol
from fedbus.model import codec, subjects
from fedbus.model.federation import ClusterReport, Heartbeat, ScanTotal, ScopeState
from fedbus.runtime import Clock, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

MIN_INTERVAL = 0.5
"""Seconds between two heartbeats at least."""


class Reporter:
    """Reports one worker's state; `changed` asks for a report soon."""

    def __init__(
        self,
        database: Database,
        scans: Database,
        *,
        cluster_id: str,
        clock: Clock,
        interval: float,
        prepare: Callable[[], Awaitable[None]],
        describe: Callable[[], ClusterReport] = ClusterReport,
    ) -> None:
        """Take what `prepare` does before each report: look whether the store is still what it should be.

        `describe` says what else there is to tell of this cluster.
        """
        self._database, self._scans, self._cluster_id, self._clock = database, scans, cluster_id, clock
        self.interval, self._prepare, self._describe = interval, prepare, describe
        self.changed = asyncio.Event()
        self.alarms = 0

    async def report(self, connection: Connection) -> None:
        """Report for ever on one session. Raises Unavailable when it ends."""
        while True:
            self.changed.clear()
            await self.send(connection)
            await first(connection.closed.wait(), timeout=MIN_INTERVAL)
            await first(self.changed.wait(), connection.closed.wait(), timeout=self.interval - MIN_INTERVAL)

    async def send(self, connection: Connection, *, stopping: bool = False) -> None:
        """Send one heartbeat."""
        await self._prepare()
        heartbeat = await self.make(stopping=stopping)
        await connection.publish(subjects.up(self._cluster_id, "hb"), codec.encode(heartbeat))

    async def make(self, *, stopping: bool = False) -> Heartbeat:
        """Return where this worker stands now."""
        described = self._describe()
        states, total, set_aside, parked = await self._scans.read(_scans)

        def read(tx: Transaction) -> Heartbeat:
            return Heartbeat(
                sent_at=self._clock.now(),
                versions=protocol.ours(__version__),
                scopes=tx.scopes() | states,
                scans=total,
                counts=tx.counts(subjects.SCOPE_ALL),
                quarantined=tx.quarantine.count() + set_aside,
                parked=tx.parked.count() + parked,
                alarms=self.alarms,
                stopping=stopping,
                cluster=described,
            )

        return await self._database.read(read)


def _scans(tx: Transaction) -> tuple[dict[str, ScopeState], ScanTotal, int, int]:
    reports, size = tx.scans.total(subjects.SCOPE_SCANS)
    total = ScanTotal(reports=reports, bytes=size)
    return tx.scopes(), total, tx.quarantine.count(), tx.parked.count()
