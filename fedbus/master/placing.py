"""What clusters have of their own follows from records: written with whatever changes one of them.

The ledger asks `derive` about every changeset. So there is no way to change a label, a membership, a
targeted object or a rollout without its consequences.
"""

from collections.abc import Iterable, Mapping, Sequence

from fedbus.bus.publisher import MAX_EVENTS
from fedbus.core import references, targets
from fedbus.core.references import Key
from fedbus.core.targets import Place, Source
from fedbus.errors import Conflict
from fedbus.master.changes import Change, Derived
from fedbus.master.ledger import Ledger
from fedbus.model import codec, subjects
from fedbus.model.federation import CLUSTER, Cluster
from fedbus.model.policy import KINDS, Policy
from fedbus.model.targets import (
    ALL,
    ROLLOUT,
    ROLLOUT_CONTENT,
    TARGETED,
    Rollout,
    RolloutContent,
    Targeted,
    source_kind,
)
from fedbus.store.transaction import Transaction


class Records:
    """The master's own records as they are after some changes."""

    def __init__(self, tx: Transaction, changes: Iterable[Change] = ()) -> None:
        self._tx = tx
        self._changed: dict[str, dict[str, bytes | None]] = {}
        for change in changes:
            if change.scope == subjects.SCOPE_MASTER:
                self._changed.setdefault(change.kind, {})[change.name] = change.payload

    def one(self, kind: str, name: str) -> bytes | None:
        """Return the payload of one record."""
        changed = self._changed.get(kind, {})
        if name in changed:
            return changed[name]
        held = self._tx.object(subjects.SCOPE_MASTER, kind, name)
        return held.payload if held is not None and not held.deleted else None

    def names(self, kind: str) -> list[str]:
        """Return the names of the records of a kind."""
        changed = self._changed.get(kind, {})
        held = [name for _, name in self._tx.names(subjects.SCOPE_MASTER, kind) if name not in changed]
        return held + [name for name, payload in changed.items() if payload is not None]

    def clusters(self, ids: Iterable[str] | None = None) -> list[Cluster]:
        """Return some clusters, or every one that ever joined."""
        found = (self.one(CLUSTER, one) for one in (self.names(CLUSTER) if ids is None else ids))
        return [codec.decode(one, Cluster) for one in found if one is not None]

    def targeted(self, key: Key) -> Targeted | None:
        """Return the source of a targeted object."""
        payload = self.one(source_kind(key[0]), key[1])
        return None if payload is None else codec.decode(payload, Targeted)

    def sources_of(self, kind: str) -> list[Targeted]:
        """Return the sources of the targeted objects of one kind."""
        found = (self.targeted(key) for key in self.targeted_keys(kind))
        return [one for one in found if one is not None]

    def targeted_keys(self, kind: str | None = None) -> list[Key]:
        """Return the key of every targeted object, or of those of one kind."""
        kinds = KINDS if kind is None else (kind,)
        return [(kind, name) for kind in kinds for name in self.names(source_kind(kind))]

    def rollouts(self) -> list[tuple[Rollout, RolloutContent]]:
        """Return the rollouts that are not over."""
        return [
            (codec.decode(state, Rollout), codec.decode(content, RolloutContent))
            for name in self.names(ROLLOUT_CONTENT)
            if (content := self.one(ROLLOUT_CONTENT, name)) and (state := self.one(ROLLOUT, name))
        ]

    def sources(self, keys: set[Key] | None = None) -> list[Source]:
        """Return what clusters' own objects follow from, or that of some keys."""
        found = [
            Source(*key, bytes(source.object), source.target)
            for key in (self.targeted_keys() if keys is None else keys)
            if (source := self.targeted(key)) is not None
        ]
        for state, content in self.rollouts():
            for brought in content.objects:
                if keys is None or (brought.kind, brought.name) in keys:
                    reached = frozenset(state.reached)
                    found.append(Source(brought.kind, brought.name, bytes(brought.object), ALL, reached))
        return found


def derive(tx: Transaction, changes: Sequence[Change]) -> Derived:
    """Return what clusters get and lose by some changes. Raises Conflict for what would be contradictory."""
    records = Records(tx, changes)
    _check(tx, records, changes)
    keys = {(c.kind.removeprefix(TARGETED), c.name) for c in changes if _is_source(c)}
    for change in changes:
        if change.scope == subjects.SCOPE_MASTER and change.kind == ROLLOUT:
            keys |= _brought(tx, records, change.name)
    ids = {c.name for c in changes if c.scope == subjects.SCOPE_MASTER and c.kind == CLUSTER}
    difference: dict[Place, bytes | None] = {}
    if keys:
        members = [c for c in records.clusters() if c.state == "joined" and c.id not in ids]
        difference |= _difference(tx, records, members, keys)
    if ids:
        difference |= _difference(tx, records, records.clusters(ids), None)
    taken = targets.fitting(difference, MAX_EVENTS - len(changes), cut=False)
    reach = _reach(records, [c for c in changes if _is_source(c) and c.payload is not None])
    return Derived(_written(difference, taken), len(taken) == len(difference), reach)


def _reach(records: Records, changes: Sequence[Change]) -> dict[Key, int]:
    """Count the clusters that targeted objects are for."""
    clusters = records.clusters() if changes else []
    return {
        (change.kind.removeprefix(TARGETED), change.name): sum(
            targets.covers(codec.decode(change.payload or b"", Targeted).target, one) for one in clusters
        )
        for change in changes
    }


def complete(tx: Transaction) -> list[Change]:
    """Return what is missing, or too much, anywhere: as much of it as fits into one changeset."""
    records = Records(tx)
    difference = _difference(tx, records, records.clusters(), None)
    return _written(difference, targets.fitting(difference, MAX_EVENTS, cut=True))


async def finish(ledger: Ledger) -> None:
    """Write what did not fit, or was cut off, until every cluster has what it should. Raises Unavailable.

    The records are the truth: a master that stops in the middle does the rest at its next session.
    """
    ledger.unfinished.clear()
    while await ledger.database.read(complete):
        await ledger.commit(complete)


def _is_source(change: Change) -> bool:
    return change.scope == subjects.SCOPE_MASTER and change.kind.startswith(TARGETED)


def _brought(tx: Transaction, records: Records, rollout: str) -> set[Key]:
    """Return what a rollout brings, also one that these changes end."""
    payload = records.one(ROLLOUT_CONTENT, rollout) or Records(tx).one(ROLLOUT_CONTENT, rollout)
    content = codec.decode(payload, RolloutContent) if payload else RolloutContent(objects=[])
    return {(one.kind, one.name) for one in content.objects}


def _difference(
    tx: Transaction, records: Records, clusters: Sequence[Cluster], keys: set[Key] | None
) -> dict[Place, bytes | None]:
    wanted = targets.placements(clusters, records.sources(keys))
    return targets.difference(wanted, _held(tx, clusters, keys))


def _held(tx: Transaction, clusters: Iterable[Cluster], keys: set[Key] | None) -> dict[Place, bytes]:
    held: dict[Place, bytes] = {}
    for cluster in clusters:
        scope = subjects.own_scope(cluster.id)
        if keys is None:
            found = tx.objects(scope)
        else:
            some = (tx.object(scope, *key) for key in keys)
            found = [one for one in some if one is not None and not one.deleted]
        held |= {(cluster.id, one.kind, one.name): one.payload for one in found}
    return held


def _written(difference: Mapping[Place, bytes | None], taken: Iterable[Place]) -> list[Change]:
    return [
        Change(
            scope=subjects.own_scope(cluster),
            category=subjects.POLICY,
            kind=kind,
            name=name,
            payload=difference[cluster, kind, name],
            shown="",
        )
        for cluster, kind, name in taken
    ]


def _check(tx: Transaction, records: Records, changes: Sequence[Change]) -> None:
    """Refuse an object that is for all and targeted, and changes under a rollout's feet."""
    policy = {(c.kind, c.name): c for c in changes if c.scope == subjects.SCOPE_ALL}
    targeted = {kind: set(records.names(source_kind(kind))) for kind in {kind for kind, _ in policy}}
    for key, change in policy.items():
        if change.payload is not None and key[1] in targeted[key[0]]:
            raise Conflict(
                f"{key[0]} {key[1]!r} is targeted; it cannot be for all clusters too",
                code="TARGETED",
                remedy="apply it as a document: that moves it",
            )
    taken: dict[Key, str] = {}
    for state, content in records.rollouts():
        needed = {n for one in content.objects for n in references.references(_object(one.kind, one.object))}
        for brought in content.objects:
            key = brought.kind, brought.name
            if taken.setdefault(key, state.id) != state.id or _moves(tx, changes, key):
                raise _busy(key, state.id)
        for key, change in policy.items():
            if change.payload is None and key in needed:
                raise _busy(key, state.id)


def _moves(tx: Transaction, changes: Sequence[Change], key: Key) -> bool:
    """Tell whether changes touch an object, for all or targeted."""
    homes = (subjects.SCOPE_ALL, key[0]), (subjects.SCOPE_MASTER, source_kind(key[0]))
    for change in changes:
        if change.name == key[1] and (change.scope, change.kind) in homes:
            held = tx.object(change.scope, change.kind, change.name)
            now = None if held is None or held.deleted else held.payload
            if now != change.payload:
                return True
    return False


def _busy(key: Key, rollout: str) -> Conflict:
    return Conflict(
        f"{key[0]} {key[1]!r} is part of the rollout {rollout}, or needed by it",
        code="IN_ROLLOUT",
        remedy="continue the rollout to its end, or abort it",
    )


def _object(kind: str, payload: bytes) -> Policy:
    return codec.decode(bytes(payload), KINDS[kind].type)
