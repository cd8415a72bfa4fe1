"""Repair within a transaction: what is not as it was signed is dropped, and the bus asked for it again."""

import sqlite3
from collections.abc import Callable, Collection

from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.store.positions import Positions
from fedbus.store.rows import KEY, OBJECTS, PARKED, WHOLE, sound


class Repair:
    """The repair of what is folded, within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._positions = Positions(connection)

    def run(self, genuine: Callable[[Event], bool]) -> dict[str, int]:
        """Drop what is not, field by field, as it was signed, and count anew; return the faults by scope.

        `genuine` judges the signature. The rest stays in use. Where anything was wrong the position goes
        back to zero, so that the bus is asked for everything again; the version stays, so that the digest
        says that something is missing.
        """
        known = self._connection.execute("SELECT scope FROM scopes UNION SELECT scope FROM held").fetchall()
        found = {scope: self._repair(scope, genuine) for (scope,) in known}
        return {scope: faults for scope, faults in found.items() if faults}

    def unsound(
        self, scope: str, after: int, limit: int, genuine: Callable[[Event], bool]
    ) -> tuple[list[subjects.Address], int]:
        """Return which of the next rows are not as they were signed, and where to go on, 0 at the end.

        For a store too large to be repaired before it is served: see `fedbus.cluster.scans.inspection`.
        """
        rows = self._connection.execute(
            f"SELECT {WHOLE}, rowid FROM objects WHERE rowid > ? AND scope=? ORDER BY rowid LIMIT ?",  # noqa: S608
            (after, scope, limit),
        ).fetchall()
        bad = [subjects.Address(*row[:4]) for row in rows if not sound(row[:15], genuine)]
        return bad, rows[-1][15] if rows else 0

    def mend(self, scope: str, bad: Collection[subjects.Address]) -> None:
        """Drop rows of a scope of scan results that are not sound, and count anew: as `repair` does."""
        folding = self._positions.folding(scope)
        for a in bad:
            folding.drop(a.kind, a.name)
        folding.save()
        counted = self._positions.recount(scope)
        folding.seq, folding.digest, folding.objects = 0, counted.digest, counted.objects
        folding.save()

    def _repair(self, scope: str, genuine: Callable[[Event], bool]) -> int:
        bad = sum(self._drop_unsound(table, scope, genuine) for table in (OBJECTS, PARKED))
        before, counted = self._positions.scope(scope), self._positions.recount(scope)
        faults = bad + ((before.digest, before.objects) != (counted.digest, counted.objects))
        if faults:
            position = self._positions.folding(scope)
            position.seq, position.digest, position.objects = 0, counted.digest, counted.objects
            newest = self._connection.execute(
                "SELECT epoch, version FROM held WHERE scope=? ORDER BY epoch DESC, version DESC LIMIT 1",
                (scope,),
            ).fetchone()
            position.epoch, position.version = max((position.epoch, position.version), newest or (0, 0))
            position.save()
        return faults

    def _drop_unsound(self, table: str, scope: str, genuine: Callable[[Event], bool]) -> int:
        rows = self._connection.execute(
            f"SELECT {WHOLE} FROM {table} WHERE scope=?",  # noqa: S608
            (scope,),
        )
        bad = [(scope, row[2], row[3]) for row in rows if not sound(row, genuine)]
        self._connection.executemany(f"DELETE FROM {table} WHERE {KEY}", bad)  # noqa: S608
        return len(bad)
