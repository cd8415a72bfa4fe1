"""Members: who belongs to the federation, and what admins do to them (design section 4)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec
import structlog

from fedbus.bus import topology
from fedbus.bus.publisher import MAX_EVENTS
from fedbus.bus.session import Connection
from fedbus.core.batches import batches
from fedbus.errors import FedbusError, NotFound
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.changes import Change, record
from fedbus.master.ledger import Ledger
from fedbus.master.revocations import Revocations
from fedbus.model import codec, names, subjects
from fedbus.model.federation import (
    CLUSTER,
    DISMISSED,
    RESYNC,
    Checkpoint,
    Cluster,
    Dismissal,
    Federation,
    Resync,
)
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

FAREWELL_SECONDS = 0.5
"""How long a removed worker has to say that it read its dismissal, before it is cut."""

_CONSUMERS = (
    (topology.POLICY, "all"),
    (topology.POLICY, "own"),
    (topology.POLICY, "doctor"),
    (topology.SCANS, "scans"),
)
"""The streams and suffixes of what a worker reads with."""

Reason = Literal["removed", "left", "demoted"]


class Members:
    """The clusters of one federation."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        federation: Federation,
        audit: Audit,
        revoke: Callable[[dict[str, int]], Awaitable[None]],
        checkpoint: Callable[[Transaction, Sequence[str]], Checkpoint],
        on_change: Callable[[Cluster, str], Awaitable[None]],
    ) -> None:
        self._ledger, self._federation, self._audit = ledger, federation, audit
        self._checkpoint, self._on_change = checkpoint, on_change
        self._farewells: dict[str, asyncio.Event] = {}
        self._clock = ledger.clock
        self.revocations = Revocations(self.clusters, revoke, ledger.clock)

    async def admit(self, decide: Callable[[Transaction], Cluster]) -> Cluster:
        """Record the cluster that `decide` lets in when it is written. Raises what it does, Unavailable."""
        decided: list[Cluster] = []

        def plan(tx: Transaction) -> list[Change]:
            decided[:] = [decide(tx)]
            return [record(CLUSTER, decided[0].id, decided[0])]

        await self._ledger.commit(plan)
        return decided[0]

    async def announce(self, cluster: Cluster, actor: str, *, returned: bool) -> None:
        """Tell of a cluster that joined, or that came back: keys it had before are revoked."""
        action = "rejoin" if returned else "join"
        await self._audit.record(
            audit_log.MEMBERSHIP, action, actor=actor, object_=f"{cluster.name} {cluster.id}"
        )
        if cluster.former_keys:
            try:
                await self.revocations.push()
            except FedbusError as error:  # it goes on trying
                log.warning("revocations_not_pushed", error=error.message)
        await self._on_change(cluster, "joined")

    async def remove(self, cluster_id: str, *, actor: str) -> Cluster:
        """Remove a cluster, connected or not: dismissed, revoked and cut. Raises NotFound, Unavailable."""
        cluster = await self.cluster(cluster_id)
        if cluster.state != "joined":
            raise NotFound(f"the cluster {cluster.name!r} is no member any more")
        return await self._dismiss([cluster], "removed", actor)

    async def leave(self, cluster: Cluster) -> Cluster:
        """Record that a cluster left; its key is revoked by `revocations`. Raises Unavailable."""
        if cluster.state != "joined":
            return cluster
        return await self._end([cluster], "left", actor=cluster.name)

    def heard(self, cluster_id: str) -> None:
        """Take note that a removed cluster has read its dismissal."""
        if (farewell := self._farewells.get(cluster_id)) is not None:
            farewell.set()

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
        return await self._ledger.database.read(everyone)

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
        await self.revocations.push()
        return last

    async def _end(self, members: Sequence[Cluster], reason: Reason, *, actor: str) -> Cluster:
        """Record the end of memberships and tell the workers, in one changeset."""
        now, stamp = int(self._clock.now()), self._clock.stamp()
        state: Literal["left", "removed"] = "left" if reason == "left" else "removed"
        ended = [msgspec.structs.replace(c, state=state, ended_at=stamp, revoked_at=now) for c in members]
        changes = [record(CLUSTER, c.id, c) for c in ended]
        changes += [
            _control(c.id, DISMISSED, codec.encode(dismissal(c, self._federation.id, reason))) for c in ended
        ]
        for part in batches(changes, MAX_EVENTS):
            await self._ledger.commit(lambda _, part=part: part)  # type: ignore[misc]
        for cluster in ended:
            await self._audit.record(
                audit_log.MEMBERSHIP, reason, actor=actor, object_=f"{cluster.name} {cluster.id}"
            )
            await self._on_change(cluster, reason)
        return ended[-1]

    async def drop_consumers(self, connection: Connection) -> None:
        """Delete the consumers of those who are no members; the server would after five idle minutes."""
        for cluster in await self.clusters():
            if cluster.state != "joined":
                for stream, suffix in _CONSUMERS:
                    await connection.request(f"$JS.API.CONSUMER.DELETE.{stream}.{cluster.id}-{suffix}")


def dismissal(cluster: Cluster, federation_id: str, reason: Reason) -> Dismissal:
    """Return what a cluster is told when its membership ended."""
    return Dismissal(cluster_id=cluster.id, federation_id=federation_id, reason=reason, at=cluster.ended_at)


def everyone(tx: Transaction) -> list[Cluster]:
    """Return every cluster that ever joined and was not forgotten."""
    return [codec.decode(s.payload, Cluster) for s in tx.objects(subjects.SCOPE_MASTER, CLUSTER)]


def _control(cluster_id: str, what: str, payload: bytes) -> Change:
    return Change(
        scope=subjects.own_scope(cluster_id),
        category=subjects.CONTROL,
        kind=what,
        name="-",
        payload=payload,
    )
