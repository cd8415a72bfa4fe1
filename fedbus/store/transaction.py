"""What can be done within one transaction: the objects, and by subject all else that the store keeps."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from fedbus.core import fold
from fedbus.errors import InvalidEvent
from fedbus.model import subjects
from fedbus.model.objects import StoredObject
from fedbus.store.admission_log import AdmissionLog
from fedbus.store.answers import Answers
from fedbus.store.audit_log import AuditLog
from fedbus.store.history import History
from fedbus.store.inventories import Inventories
from fedbus.store.local import LocalObjects
from fedbus.store.parked import Parked
from fedbus.store.positions import Positions
from fedbus.store.quarantine import Quarantine
from fedbus.store.repair import Repair
from fedbus.store.rows import (
    COUNTED,
    KEY,
    OBJECT,
    OBJECTS,
    PARKED,
    SIGNED,
    STAMP,
    STAMPED,
    Held,
    Stamped,
    as_signed,
    stamped,
    stored,
)
from fedbus.store.runs import Runs
from fedbus.store.scans import Scans


class Transaction(Positions):
    """The operations of the store, each inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.admission = AdmissionLog(connection)
        self.answers = Answers(connection)
        self.audit = AuditLog(connection)
        self.history = History(connection)
        self.inventories = Inventories(connection)
        self.local = LocalObjects(connection)
        self.parked = Parked(connection)
        self.quarantine = Quarantine(connection)
        self.repair = Repair(connection)
        self.runs = Runs(connection)
        self.scans = Scans(connection)

    def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, a deleted one too; None if there never was one."""
        row = self._connection.execute(
            f"SELECT {OBJECT} FROM objects WHERE scope=? AND kind=? AND name=?",  # noqa: S608 - constant
            (scope, kind, name),
        ).fetchone()
        return stored(row) if row else None

    def objects(self, scope: str, kind: str | None = None) -> list[StoredObject]:
        """Return the objects of a scope, or of one kind in it, by kind and name; not the deleted."""
        rows = self._connection.execute(
            f"SELECT {OBJECT} FROM objects WHERE scope=? AND {COUNTED} AND kind=ifnull(?, kind)"  # noqa: S608
            " ORDER BY kind, name",
            (scope, kind),
        )
        return [stored(row) for row in rows]

    def names(self, scope: str, kind: str | None = None) -> list[tuple[str, str]]:
        """Return (kind, name) of the objects of a scope, or of one kind in it; not the deleted."""
        rows = self._connection.execute(
            f"SELECT kind, name FROM objects WHERE scope=? AND {COUNTED} AND kind=ifnull(?, kind)",  # noqa: S608
            (scope, kind),
        )
        return [(row[0], row[1]) for row in rows]

    def counts(self, scope: str) -> dict[str, int]:
        """Return how many objects of each kind a scope has."""
        return dict(
            self._connection.execute(
                f"SELECT kind, count(*) FROM objects WHERE scope=? AND {COUNTED} GROUP BY kind",  # noqa: S608
                (scope,),
            ).fetchall()
        )

    def held(self) -> Iterator[Held]:
        """Yield everything as it was signed, tombstones too, in the order it was written."""
        for row in self._connection.execute(
            f"SELECT {SIGNED} FROM held ORDER BY version, seq"  # noqa: S608
        ):
            yield as_signed(row)

    def stamps(self) -> Iterator[Stamped]:
        """Yield the version of everything, tombstones too, in the order it was written. No body is read."""
        for row in self._connection.execute(
            f"SELECT {STAMPED} FROM held ORDER BY version, seq"  # noqa: S608
        ):
            yield stamped(row)

    def stamp(self, a: subjects.Address) -> Stamped | None:
        """Return the version of one object, a deleted one too; None if there never was one."""
        row = self._connection.execute(
            f"SELECT {STAMPED} FROM held WHERE {KEY}",  # noqa: S608
            (a.scope, a.kind, a.name),
        ).fetchone()
        return None if row is None else stamped(row)

    def stamp_at(self, subject: str) -> Stamped | None:
        """Return the version of what a subject names; None if that is nothing of ours."""
        try:
            return self.stamp(subjects.parse(subject))
        except InvalidEvent:
            return None

    def held_at(self, a: subjects.Address) -> Held | None:
        """Return one object as it was signed."""
        row = self._connection.execute(
            f"SELECT {SIGNED} FROM held WHERE {KEY}",  # noqa: S608
            (a.scope, a.kind, a.name),
        ).fetchone()
        return None if row is None else as_signed(row)

    def sequence(self, scope: str, kind: str, name: str) -> int:
        """Return the stream sequence of an object's newest version; 0 if there is none."""
        row, _ = self._newest(scope, kind, name)
        return int(row[4]) if row else 0

    def newest(self, scope: str, kind: str, name: str) -> tuple[fold.Stamp | None, bool]:
        """Return the newest version of an object, deleted or not, None if none, and whether it is parked."""
        row, parked = self._newest(scope, kind, name)
        return (fold.Stamp(row[0], row[1], row[2], bool(row[3])) if row else None), parked

    def _newest(self, scope: str, kind: str, name: str) -> tuple[tuple[Any, ...] | None, bool]:
        key = (scope, kind, name)
        parked = self._connection.execute(STAMP[PARKED], key).fetchone()
        return parked or self._connection.execute(STAMP[OBJECTS], key).fetchone(), parked is not None

    def place(self, scope: str, kind: str, name: str, seq: int) -> None:
        """Correct where the stream has an object's newest version."""
        table = PARKED if self.newest(scope, kind, name)[1] else OBJECTS
        self._connection.execute(f"UPDATE {table} SET seq=? WHERE {KEY}", (seq, scope, kind, name))  # noqa: S608

    def meta(self, key: str) -> str:
        """Return a named value, empty if unset."""
        row = self._connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def set_meta(self, key: str, value: str) -> None:
        """Set a named value."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))
