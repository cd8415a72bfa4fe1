"""The fold of one scope within a transaction: an event and its effect."""

import sqlite3
from collections.abc import Collection

from fedbus.core import digest, fold
from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.model.federation import ScopeState
from fedbus.model.scan import Report, ScannedImage
from fedbus.store.projection import Projection
from fedbus.store.rows import COUNTED, KEY, OBJECTS, PARKED, PUT, STAMP


class ScopeFold:
    """The fold of one scope within one transaction; `save` writes where it stands.

    Kept apart from the row so that a thousand events change the row once.
    """

    def __init__(
        self, connection: sqlite3.Connection, scope: str, state: ScopeState, projection: Projection | None
    ) -> None:
        self._connection, self._projection = connection, projection
        self.scope = scope
        self.epoch, self.version, self.seq = state.epoch, state.version, state.seq
        self.digest, self.objects = state.digest, state.objects
        rows = connection.execute("SELECT kind, name FROM parked WHERE scope=?", (scope,))
        self._parked = {(kind, name) for kind, name in rows}

    @property
    def state(self) -> ScopeState:
        """Where the fold stands now."""
        return ScopeState(
            epoch=self.epoch, version=self.version, seq=self.seq, digest=self.digest, objects=self.objects
        )

    def put(self, event: Event, seq: int, content: object = None, *, park: bool = False) -> fold.Verdict:
        """Fold one verified event; only `Verdict.APPLY` changes the object.

        `content` is what the event's payload says; of a scan's result it has to be given.
        With `park` the event cannot be read: it is held, and what was in force before stays so.
        """
        address = event.address
        key = (address.scope, address.kind, address.name)
        table = PARKED if key[1:] in self._parked else OBJECTS
        row = self._connection.execute(STAMP[table], key).fetchone()
        held = fold.Stamp(row[0], row[1], row[2], bool(row[3])) if row else None
        verdict = fold.judge(held, fold.Stamp(event.epoch, event.revision, event.digest, event.deleted))
        if verdict is fold.Verdict.APPLY:
            self._count(address, held, event)
            self._keep(event, seq, PARKED if park else OBJECTS)
            if self._projection is not None and not park:
                self._project(self._projection, event, content)
        elif verdict is fold.Verdict.DUPLICATE and seq > row[4]:
            self._connection.execute(f"UPDATE {table} SET seq=? WHERE {KEY}", (seq, *key))  # noqa: S608
        self.advance(event, seq)
        return verdict

    def advance(self, event: Event, seq: int) -> None:
        """Move the position past a verified event, whether or not it changed an object."""
        self.seq = max(self.seq, seq)
        self.epoch, self.version = max((self.epoch, self.version), (event.epoch, event.version))

    def _count(self, a: subjects.Address, held: fold.Stamp | None, event: Event) -> None:
        if held is not None and not held.deleted and a.category != subjects.CONTROL:
            self.digest = digest.remove(
                self.digest, digest.element(a.kind, a.name, held.revision, held.digest)
            )
            self.objects -= 1
        if not event.deleted and a.category != subjects.CONTROL:
            self.digest = digest.add(
                self.digest, digest.element(a.kind, a.name, event.revision, event.digest)
            )
            self.objects += 1

    def _keep(self, event: Event, seq: int, table: str) -> None:
        a = event.address
        values = (a.scope, a.kind, a.name, a.category, event.epoch, event.revision, event.version, seq)
        content = (event.digest, event.deleted, event.time, event.encoding, event.body)
        self._connection.execute(PUT[table], (*values, *content, event.statement, event.signature))
        if table == PARKED:
            self._parked.add((a.kind, a.name))
        elif (a.kind, a.name) in self._parked:
            self._connection.execute(f"DELETE FROM parked WHERE {KEY}", (a.scope, a.kind, a.name))  # noqa: S608
            self._parked.discard((a.kind, a.name))

    def _project(self, projection: Projection, event: Event, content: object) -> None:
        a = event.address
        if isinstance(content, Report) and not event.deleted:
            projection.put_report(a.scope, content, len(event.body))
        elif isinstance(content, ScannedImage) and not event.deleted:
            projection.put_image(a.scope, content)
        else:
            projection.drop(a.scope, a.kind, a.name)

    def sweep(self, keep: Collection[tuple[str, str]]) -> int:
        """Remove every object of the scope that is not in `keep` of (kind, name); return how many."""
        rows = self._connection.execute(
            f"SELECT kind, name, revision, digest, {COUNTED} FROM held WHERE scope=?",  # noqa: S608
            (self.scope,),
        )
        gone = [row for row in rows if row[:2] not in keep]
        for row in gone:
            self._drop(*row)
        return sum(row[4] for row in gone)

    def drop(self, kind: str, name: str) -> None:
        """Remove an object as if it had never been there."""
        row = self._connection.execute(
            f"SELECT kind, name, revision, digest, {COUNTED} FROM held WHERE {KEY}",  # noqa: S608
            (self.scope, kind, name),
        ).fetchone()
        if row is not None:
            self._drop(*row)

    def _drop(self, kind: str, name: str, revision: int, content: str, counted: int) -> None:
        if counted:
            self.digest = digest.remove(self.digest, digest.element(kind, name, revision, content))
            self.objects -= 1
        for table in (OBJECTS, PARKED):
            self._connection.execute(f"DELETE FROM {table} WHERE {KEY}", (self.scope, kind, name))  # noqa: S608
        self._parked.discard((kind, name))
        if self._projection is not None:
            self._projection.drop(self.scope, kind, name)

    def save(self) -> ScopeState:
        """Write the position, in the same transaction as the effects."""
        if self._projection is not None:
            self._projection.save()
        self._connection.execute(
            "INSERT OR REPLACE INTO scopes (scope, epoch, version, seq, digest, objects)"
            " VALUES (?,?,?,?,?,?)",
            (self.scope, self.epoch, self.version, self.seq, self.digest, self.objects),
        )
        return self.state
