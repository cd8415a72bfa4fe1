"""Federated policy as the master shows it: what is for all, what is targeted, and who has copies."""

import msgspec

from fedbus.core import targets
from fedbus.core.references import Key
from fedbus.master.placing import Records
from fedbus.model import codec, subjects
from fedbus.model.objects import StoredObject
from fedbus.model.policy import KINDS
from fedbus.model.targets import Targeted, source_kind
from fedbus.store.database import Database
from fedbus.store.federated import FED
from fedbus.store.transaction import Transaction


class MasterPolicy:
    """Reads federated objects by kind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def objects(self, scope: str, kind: str) -> list[StoredObject]:
        """Return all objects of a kind; only `fed` has any here."""
        if scope != FED:
            return []

        return await self._database.read(lambda tx: every(tx, kind))

    async def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object with who has a copy of it, None if there is none."""
        if scope != FED or kind not in KINDS:
            return None
        return await self._database.read(lambda tx: one(tx, (kind, name)))


def every(tx: Transaction, kind: str) -> list[StoredObject]:
    """Return all objects of a kind, those for all clusters first."""
    sources = tx.objects(subjects.SCOPE_MASTER, source_kind(kind))
    return tx.objects(subjects.SCOPE_ALL, kind) + [_told(kind, source) for source in sources]


def one(tx: Transaction, key: Key) -> StoredObject | None:
    """Return one object with who has a copy of it, None if there is none."""
    places = (subjects.SCOPE_ALL, key[0]), (subjects.SCOPE_MASTER, source_kind(key[0]))
    held = (tx.object(*place, key[1]) for place in places)
    found = next((stored for stored in held if stored is not None and not stored.deleted), None)
    if found is None:
        return None
    records = Records(tx)
    if sources := records.sources({key}):
        clusters = records.clusters()
        names = {c.id: c.name for c in clusters}
        having = {names[c]: c for c, _, _ in targets.placements(clusters, sources)}
        found = msgspec.structs.replace(found, clusters={having[name]: name for name in sorted(having)})
    return found if found.scope == subjects.SCOPE_ALL else _told(key[0], found)


def _told(kind: str, source: StoredObject) -> StoredObject:
    """Return the source of a targeted object as the object."""
    targeted = codec.decode(source.payload, Targeted)
    return msgspec.structs.replace(
        source, kind=kind, payload=bytes(targeted.object), target=targets.as_document(targeted.target)
    )
