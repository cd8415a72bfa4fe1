"""The fleet: heartbeats in, summary rows out; updated by events and deadlines, never by asking."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from fedbus import __version__
from fedbus.bus import topology
from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Message
from fedbus.core import digest, protocol, summary
from fedbus.core.rollout import Health
from fedbus.core.summary import Head, Heard
from fedbus.errors import NotFound
from fedbus.master.configuration import Configuration
from fedbus.model import codec, subjects
from fedbus.model.events import Event
from fedbus.model.federation import (
    Cluster,
    ClusterReport,
    Federation,
    FederationHead,
    Heartbeat,
    Link,
    ScansHead,
    ScanSync,
    Summary,
    SummaryRow,
    Sync,
)
from fedbus.runtime import Clock, first, rfc3339
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

_MASTERS_OWN = (subjects.SCOPE_MASTER, subjects.SCOPE_MASTER_SCANS)
KEEP_HEADS = 4096
"""Versions of a scope whose digest is kept: a worker further behind is `syncing` without a verdict."""
COALESCE_SECONDS = 0.1
FIRST_WORD_SECONDS = 60.0
"""How long a cluster may be silent after this master began, until that counts as offline."""


class Fleet:
    """What is known of every cluster now."""

    def __init__(
        self,
        database: Database,
        federation: Federation,
        clock: Clock,
        configuration: Configuration,
        on_row: Callable[[SummaryRow], None],
        *,
        own: Callable[[], ClusterReport] = ClusterReport,
    ) -> None:
        """Take who is told every row that changed, and who describes the master's own cluster."""
        self._database, self._federation, self._clock = database, federation, clock
        self._configuration, self._on_row, self._own = configuration, on_row, own
        self._clusters: dict[str, Cluster] = {}
        self._heard: dict[str, Heard] = {}
        self._heads: dict[str, list[Head]] = {subjects.SCOPE_ALL: []}
        self.scans: ScansHead | None = None
        """The newest head of the scan results."""
        self._links: dict[str, Link] = {}
        self._changed = asyncio.Event()
        self.epoch = 1
        self._began = clock.monotonic()

    async def load(self, clusters: Sequence[Cluster]) -> None:
        """Take members and remembered heads from the store."""
        self._clusters = {c.id: c for c in clusters}
        for cluster_id in ("", *self._clusters):
            scope = subjects.own_scope(cluster_id) if cluster_id else subjects.SCOPE_ALL
            self._heads[scope] = await self._database.read(lambda tx, s=scope: _heads(tx, s))  # type: ignore[misc]
        for cluster_id in self._clusters:
            self._publish(cluster_id)

    async def load_scans(self, scans: Database) -> None:
        """Take the remembered heads of the scan results from their store."""
        scope = subjects.SCOPE_SCANS
        self._heads[scope] = await scans.read(lambda tx: _heads(tx, scope))
        self._changed.set()

    def committed(self, version: int, events: Sequence[Event], states: dict[str, str]) -> None:
        """Note new heads: `states` has the digest of each scope that the changeset touched."""
        now = self._clock.now()
        for scope, content in states.items():
            heads = self._heads.setdefault(scope, [])
            count = sum(event.address.scope == scope for event in events)
            heads.append(Head(version, content, now, count))
            del heads[:-KEEP_HEADS]
        if any(e.address.scope not in _MASTERS_OWN for e in events):
            self._changed.set()

    def member_changed(self, cluster: Cluster) -> None:
        """Note that a cluster joined, left or was removed."""
        self._clusters[cluster.id] = cluster
        self._publish(cluster.id)

    async def follow(self, connection: Connection) -> None:
        """Read heartbeats for ever on one session; the last of each cluster first."""
        reader = Reader(connection, topology.HEARTBEATS, "master-heartbeats", subjects.HEARTBEATS)
        await reader.attach(None)
        await reader.run(self._on_heartbeats)

    async def _on_heartbeats(self, messages: Sequence[Message]) -> None:
        for message in messages:
            try:
                cluster_id = subjects.sender(message.subject)
                heartbeat = codec.decode(message.data, Heartbeat)
            except (msgspec.MsgspecError, ValueError) as error:
                log.warning("heartbeat_refused", subject=message.subject, error=str(error))
                continue
            if cluster_id in self._clusters:
                now, monotonic = self._clock.now(), self._clock.monotonic()
                if not self._awaited(cluster_id, monotonic):
                    self._changed.set()  # one deadline more
                self._heard[cluster_id] = Heard(
                    heartbeat=heartbeat,
                    monotonic=monotonic,
                    at=now,
                    skew=heartbeat.sent_at - now,
                )
                self._publish(cluster_id)

    def _awaited(self, cluster_id: str, monotonic: float) -> bool:
        """Tell whether `watch` has a deadline for a cluster: none for one that is new, or was offline."""
        heard = self._heard.get(cluster_id)
        interval = self._configuration.heartbeat_interval
        return heard is not None and summary.next_change(monotonic - heard.monotonic, interval) is not None

    async def watch(self, stop: asyncio.Event) -> None:
        """Publish a row when silence or a new head changes it: wait for the next deadline, no longer."""
        published: dict[str, tuple[str, str]] = {}
        while not stop.is_set():
            self._changed.clear()
            pauses = []
            for cluster_id, heard in self._heard.items():
                row = self.row(cluster_id)
                state = (row.link.state, row.sync.state)
                if published.get(cluster_id) != state:
                    published[cluster_id] = state
                    self._on_row(row)
                age = self._clock.monotonic() - heard.monotonic
                pause = summary.next_change(age, self._configuration.heartbeat_interval)
                if pause is not None:
                    pauses.append(pause)
            # A hair later than the deadline, so that it has passed.
            wait = min(pauses) + 0.01 if pauses else None
            await first(stop.wait(), self._changed.wait(), timeout=wait)
            # A burst of writes is one look at the fleet, not one a write.
            await first(stop.wait(), timeout=COALESCE_SECONDS)

    def row(self, cluster_id: str) -> SummaryRow:
        """Return the row of one cluster as it is now. Raises NotFound for one never seen."""
        cluster = self._clusters.get(cluster_id)
        if cluster is None:
            raise NotFound(f"there is no cluster {cluster_id!r}", code="CLUSTER_UNKNOWN")
        heard = self._heard.get(cluster_id)
        known = self._links.get(cluster_id, Link(state="never", since=cluster.joined_at))
        row = summary.row(
            cluster,
            heard,
            self._heads_of(cluster_id),
            now=self._clock.now(),
            monotonic=self._clock.monotonic(),
            interval=self._configuration.heartbeat_interval,
            since=known.since,
            mine=protocol.ours(__version__),
            scans_head=self.scans,
        )
        if row.link.state != known.state:
            # Offline counts from the last sign of life, not from when it was noticed.
            gone = row.link.state in ("offline", "stale") and heard is not None
            since = rfc3339(heard.at) if gone and heard else self._clock.stamp()
            row = msgspec.structs.replace(row, link=Link(state=row.link.state, since=since))
        self._links[cluster_id] = row.link
        return row

    def heard(self, cluster_id: str) -> Heard | None:
        """Return what a cluster said last."""
        return self._heard.get(cluster_id)

    def _heads_of(self, cluster_id: str) -> dict[str, list[Head]]:
        scopes = (subjects.SCOPE_ALL, subjects.own_scope(cluster_id), subjects.SCOPE_SCANS)
        return {scope: self._heads.get(scope, []) for scope in scopes}

    def states(self) -> list[tuple[SummaryRow, Heard | None, dict[str, list[Head]]]]:
        """Return each cluster's row, its last heartbeat and the heads of its scopes."""
        return [
            (
                self.row(cluster_id),
                self._heard.get(cluster_id),
                self._heads_of(cluster_id),
            )
            for cluster_id in self._clusters
        ]

    def health(self) -> dict[str, Health]:
        """Return what rollouts judge members by, by id."""
        silent = self._clock.monotonic() - self._began > FIRST_WORD_SECONDS
        return {c.id: self._health(c.id, silent) for c in self._clusters.values() if c.state == "joined"}

    def _health(self, cluster_id: str, silent: bool) -> Health:
        row, heard = self.row(cluster_id), self._heard.get(cluster_id)
        # Only its own scope: with many writes for all, never everybody is in step at the same moment.
        own = subjects.own_scope(cluster_id)
        held, heads = heard.heartbeat.scopes if heard else {}, {own: self._heads.get(own, [])}
        return Health(
            offline=row.link.state == "offline" or (silent and heard is None),
            holds=heard is not None and summary.sync_of(held, heads, self._clock.now()).state == "synced",
            quarantined=row.quarantined,
            alarms=heard.heartbeat.alarms if heard else 0,
        )

    def _publish(self, cluster_id: str) -> None:
        self._on_row(self.row(cluster_id))

    def head(self) -> Head:
        """Return the newest version of what every cluster holds."""
        heads = self._heads[subjects.SCOPE_ALL]
        return heads[-1] if heads else Head(0, digest.EMPTY, 0.0)

    def summary(self) -> Summary:
        """Return the whole summary, the master's own row first."""
        rows = [self.row(c.id) for c in sorted(self._clusters.values(), key=lambda c: (c.name, c.id))]
        current = [r for r in rows if r.membership == "joined"] + [
            r for r in rows if r.membership != "joined"
        ]
        return Summary(federation=self._head_line(), clusters=[self._own_row(), *current])

    def _head_line(self) -> FederationHead:
        f = self._federation
        return FederationHead(id=f.id, name=f.name, epoch=self.epoch, head_version=self.head().version)

    def _own_scans(self) -> ScanSync:
        if (head := self.scans) is None:
            return ScanSync()
        return summary.scans_of(head.state, head.total, head)

    def _own_row(self) -> SummaryRow:
        head, mine = self.head(), protocol.ours(__version__)
        return SummaryRow(
            id=self._federation.id,
            name=self._federation.name,
            role="master",
            link=Link(state="online", since=self._federation.created_at),
            sync=Sync(
                state="synced", applied_version=head.version, head_version=head.version, digests_equal=True
            ),
            version=summary.version_state(mine, mine),
            membership="joined",
            scans=self._own_scans(),
            status="active",
            last_heartbeat_age_seconds=0.0,
            joined_at=self._federation.created_at,
            rest_info=self._federation.rest,
            cluster=self._own(),
        )


def _heads(tx: Transaction, scope: str) -> list[Head]:
    return [Head(version, content, at) for version, content, at in tx.heads(scope)[-KEEP_HEADS:]]
