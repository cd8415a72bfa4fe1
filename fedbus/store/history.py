"""The history of objects on a master: every revision it wrote, the newest of each object kept."""

import sqlite3
from typing import Any
from urllib.parse import unquote

import msgspec

from fedbus.model import codec, events
from fedbus.model.events import Event

KEEP_REVISIONS = 64
"""Revisions of an object that are kept: as many as the stream has."""
_COLUMNS = (
    "scope, kind, name, revision, version, changeset, at, actor, origin, comment, deleted, encoding, body"
)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of one object: what it was, who made it so, when, from where and why.

    `payload` is the object as JSON; None if this revision deleted it. `origin` is unknown of a revision
    that was read back from the stream.
    """

    scope: str
    kind: str
    name: str
    revision: int
    version: int
    changeset: str
    at: str
    actor: str
    origin: str
    comment: str
    payload: msgspec.Raw | None


class History:
    """The history within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def remember(self, event: Event, origin: str = "") -> None:
        """Add the revision that an event made; one that is there already stays as it is."""
        a, headers = event.address, events.statement_headers(event.statement)
        what = (a.scope, a.kind, a.name, event.revision, event.version, event.changeset, event.time)
        why = (
            unquote(headers.get("ce-fbactor", "")),
            origin,
            unquote(headers.get("ce-fbcomment", "")),
        )
        self._connection.execute(
            f"INSERT OR IGNORE INTO history ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
            (*what, *why, event.deleted, event.encoding, event.body),
        )
        self._connection.execute(
            "DELETE FROM history WHERE scope=? AND kind=? AND name=? AND revision<=?",
            (a.scope, a.kind, a.name, event.revision - KEEP_REVISIONS),
        )

    def of(self, scope: str, kind: str, name: str) -> list[Revision]:
        """Return the revisions of an object that are kept, newest first."""
        return self._select("scope=? AND kind=? AND name=? ORDER BY revision DESC", (scope, kind, name))

    def at(self, scope: str, kind: str, name: str, revision: int) -> Revision | None:
        """Return one revision, None if it is not kept."""
        found = self._select("scope=? AND kind=? AND name=? AND revision=?", (scope, kind, name, revision))
        return found[0] if found else None

    def changeset(self, changeset: str) -> list[Revision]:
        """Return what a changeset made, as far as it is kept."""
        return self._select("changeset=? ORDER BY kind, name", (changeset,))

    def recent(self, before: int, limit: int) -> list[Revision]:
        """Return the revisions of the newest changesets below a version, newest first."""
        return self._select("version<? ORDER BY version DESC, kind, name LIMIT ?", (before, limit))

    def is_empty(self) -> bool:
        """Tell whether nothing is remembered: a store that is new, or was rebuilt."""
        return self._connection.execute("SELECT 1 FROM history LIMIT 1").fetchone() is None

    def _select(self, where: str, values: tuple[object, ...]) -> list[Revision]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM history WHERE {where}", values)  # noqa: S608
        return [_revision(row) for row in rows]


def _revision(row: tuple[Any, ...]) -> Revision:
    scope, kind, name, revision, version, changeset, at, actor, origin, comment, deleted, encoding, body = row
    return Revision(
        scope=scope,
        kind=kind,
        name=name,
        revision=revision,
        version=version,
        changeset=changeset,
        at=at,
        actor=actor,
        origin=origin,
        comment=comment,
        payload=None if deleted else msgspec.Raw(codec.unpack(body, encoding)),
    )
