"""The cluster's own policy: objects by kind and name, with a version that counts its changes."""

import sqlite3
from typing import Any

from fedbus.model.objects import StoredObject

LOCAL = "local"
_OBJECT = "kind, name, revision, version, changed_at, payload"


class LocalObjects:
    """The objects of the scope `local`, within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def version(self) -> int:
        """Return how often the cluster's own policy was changed."""
        row = self._connection.execute("SELECT value FROM meta WHERE key='local_version'").fetchone()
        return int(row[0]) if row else 0

    def advance(self) -> int:
        """Count one change more, and return the version after it."""
        version = self.version() + 1
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('local_version', ?)", (str(version),))
        return version

    def object(self, kind: str, name: str) -> StoredObject | None:
        """Return one object; None if there is none."""
        row = self._connection.execute(
            f"SELECT {_OBJECT} FROM local_objects WHERE kind=? AND name=?",  # noqa: S608 - constant
            (kind, name),
        ).fetchone()
        return _stored(row) if row else None

    def objects(self, kind: str | None = None) -> list[StoredObject]:
        """Return all objects, or those of one kind, by kind and name."""
        rows = self._connection.execute(
            f"SELECT {_OBJECT} FROM local_objects WHERE kind=ifnull(?, kind) ORDER BY kind, name",  # noqa: S608
            (kind,),
        )
        return [_stored(row) for row in rows]

    def put(self, kind: str, name: str, payload: bytes, *, version: int, at: str) -> int:
        """Write one object and return its revision."""
        held = self.object(kind, name)
        revision = held.revision + 1 if held else 1
        self._connection.execute(
            "INSERT OR REPLACE INTO local_objects (kind, name, revision, version, changed_at, payload)"
            " VALUES (?,?,?,?,?,?)",
            (kind, name, revision, version, at, payload),
        )
        return revision

    def delete(self, kind: str, name: str) -> None:
        """Drop one object."""
        self._connection.execute("DELETE FROM local_objects WHERE kind=? AND name=?", (kind, name))


def _stored(row: tuple[Any, ...]) -> StoredObject:
    kind, name, revision, version, changed_at, payload = row
    return StoredObject(
        scope=LOCAL,
        kind=kind,
        name=name,
        epoch=0,
        revision=revision,
        version=version,
        digest="",
        payload=payload,
        changed_at=changed_at,
    )
