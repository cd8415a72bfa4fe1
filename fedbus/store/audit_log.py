"""A daemon's own audit log within a transaction; the bus has the federation's."""

import sqlite3

from fedbus.model import codec
from fedbus.model.federation import AuditRecord

KEEP_RECORDS = 10_000


class AuditLog:
    """The records of what was done here, of which the newest are kept."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, record: AuditRecord) -> None:
        """Append to this daemon's own audit log, which keeps the newest; the bus has them all."""
        done = self._connection.execute("INSERT INTO audit (record) VALUES (?)", (codec.encode(record),))
        self._connection.execute("DELETE FROM audit WHERE id<=?", ((done.lastrowid or 0) - KEEP_RECORDS,))

    def records(self) -> list[AuditRecord]:
        """Return this daemon's own audit log, oldest first."""
        rows = self._connection.execute("SELECT record FROM audit ORDER BY id")
        return [codec.decode(r[0], AuditRecord) for r in rows]
