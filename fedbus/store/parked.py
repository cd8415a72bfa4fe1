"""Parked within a transaction: what is held and cannot be read by this build."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from fedbus.errors import InvalidEvent
from fedbus.model import events
from fedbus.model.events import Event
from fedbus.store.positions import Positions
from fedbus.store.quarantine import Quarantine, Quarantined
from fedbus.store.rows import KEY, OBJECTS, PARKED, SIGNED, Held, as_signed


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is held and that this build cannot read.

    `revision_in_force` is the revision of the object that still counts here; 0 if none does.
    """

    scope: str
    category: str
    kind: str
    name: str
    type: str
    epoch: int
    revision: int
    version: int
    changed_at: str
    bytes: int
    revision_in_force: int = 0


class Reread(msgspec.Struct):
    """What became of what is held when another build read it: put in force, refused, parked."""

    applied: list[Event] = []
    refused: list[str] = []
    parked: list[Event] = []


class Parked:
    """The events that are held until a build can read them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._positions, self._quarantine = Positions(connection), Quarantine(connection)

    def all(self) -> list[ParkedEvent]:
        """Return what is parked, oldest version first."""
        rows = self._connection.execute(
            "SELECT p.scope, p.category, p.kind, p.name, p.epoch, p.revision, p.version, p.changed_at,"
            " length(p.body), p.statement, ifnull(o.revision, 0) FROM parked AS p LEFT JOIN objects AS o"
            " ON o.scope=p.scope AND o.kind=p.kind AND o.name=p.name AND NOT o.deleted"
            " ORDER BY p.version, p.seq"
        )
        return [
            ParkedEvent(
                scope=r[0], category=r[1], kind=r[2], name=r[3], epoch=r[4], revision=r[5], version=r[6],
                changed_at=r[7], bytes=r[8], type=events.statement_headers(r[9]).get("ce-type", ""),
                revision_in_force=r[10],
            )
            for r in rows
        ]  # fmt: skip

    def count(self) -> int:
        """Return how many events are parked."""
        return int(self._connection.execute("SELECT count(*) FROM parked").fetchone()[0])

    def reread(self, understood: Callable[[Event], bool], check: Callable[[Event], Any], at: str) -> Reread:
        """Sort everything anew into what this build can read and what it cannot: it may be another build.

        What was parked and is understood now is checked and put in force, oldest version first. What does
        not hold then is quarantined and no longer held: the digest says that something is missing.
        """
        done = Reread()
        for held in [one for one in self._in(PARKED) if understood(one.event)]:
            try:
                check(held.event)
            except InvalidEvent as error:
                self._refuse(held, error, at)
                done.refused.append(error.code)
            else:
                self._move(held, PARKED, OBJECTS)
                done.applied.append(held.event)
        for held in [one for one in self._in(OBJECTS) if not understood(one.event)]:
            self._move(held, OBJECTS, PARKED)
            done.parked.append(held.event)
        for scope in self._positions.scopes() if done.refused else ():
            counted, position = self._positions.recount(scope), self._positions.folding(scope)
            position.digest, position.objects = counted.digest, counted.objects
            position.save()
        return done

    def _in(self, table: str) -> Iterator[Held]:
        rows = self._connection.execute(
            f"SELECT {SIGNED} FROM {table} ORDER BY version, seq"  # noqa: S608
        )
        return (as_signed(row) for row in rows)

    def _move(self, held: Held, old: str, new: str) -> None:
        a = held.event.address
        key = (a.scope, a.kind, a.name)
        self._connection.execute(
            f"INSERT OR REPLACE INTO {new} SELECT * FROM {old} WHERE {KEY}",  # noqa: S608
            key,
        )
        self._connection.execute(f"DELETE FROM {old} WHERE {KEY}", key)  # noqa: S608

    def _refuse(self, held: Held, error: InvalidEvent, at: str) -> None:
        event, a = held.event, held.event.address
        self._quarantine.add(
            Quarantined(
                at=at,
                scope=a.scope,
                subject=event.subject,
                seq=held.seq,
                code=error.code,
                reason=error.message,
                headers=event.headers(),
                body=event.body,
            )
        )
        self._connection.execute(f"DELETE FROM parked WHERE {KEY}", (a.scope, a.kind, a.name))  # noqa: S608
