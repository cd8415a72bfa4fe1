"""The rows of what is folded: the tables and columns, and what is read from them."""

from collections.abc import Callable
from typing import Any

import msgspec

from fedbus.errors import InvalidEvent
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.model.federation import ScopeState
from fedbus.model.objects import StoredObject

OBJECTS, PARKED = "objects", "parked"
"""The tables of what can be read and of newer versions that cannot; the view `held` is both."""
KEY = "scope=? AND kind=? AND name=?"
COLUMNS = (
    "scope, kind, name, category, epoch, revision, version, seq, digest, deleted, changed_at, encoding,"
    " body, statement, signature"
)
STAMP = {
    table: f"SELECT epoch, revision, digest, deleted, seq FROM {table} WHERE {KEY}"  # noqa: S608
    for table in (OBJECTS, PARKED)
}
PUT = {
    table: f"INSERT OR REPLACE INTO {table} ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
    for table in (OBJECTS, PARKED)
}
COUNTED = f"(NOT deleted AND category <> '{subjects.CONTROL}')"
"""What the digest is over: instructions to a cluster are no objects."""
STATE = "epoch, version, seq, digest, objects"
STAMPED = "scope, category, kind, name, epoch, revision, version, digest, seq"
OBJECT = "scope, kind, name, epoch, revision, version, digest, deleted, changed_at, encoding, body"

SIGNED = "scope, category, kind, name, seq, body, statement, signature"
WHOLE = f"{SIGNED}, epoch, revision, version, digest, deleted, changed_at, encoding"
"""What `sound` compares with what was signed."""


class Held(msgspec.Struct, frozen=True):
    """An object exactly as it was signed, and where the stream has it."""

    event: Event
    seq: int


class Stamped(msgspec.Struct, frozen=True, gc=False):
    """The version of an object and where the stream has it, without what is in it."""

    address: subjects.Address
    epoch: int
    revision: int
    version: int
    digest: str
    seq: int

    @property
    def subject(self) -> str:
        """The subject of its events."""
        a = self.address
        return subjects.event(a.scope, a.category, a.kind, a.name)


def state(row: tuple[Any, ...]) -> ScopeState:
    """Return where a scope stands, from the columns `STATE`."""
    return ScopeState(epoch=row[0], version=row[1], seq=row[2], digest=row[3], objects=row[4])


def stored(row: tuple[Any, ...]) -> StoredObject:
    """Return an object from the columns `OBJECT`."""
    scope, kind, name, epoch, revision, version, content, deleted, changed_at, encoding, body = row
    return StoredObject(
        scope=scope,
        kind=kind,
        name=name,
        epoch=epoch,
        revision=revision,
        version=version,
        digest=content,
        payload=codec.unpack(body, encoding),
        deleted=bool(deleted),
        changed_at=changed_at,
    )


def stamped(row: tuple[Any, ...]) -> Stamped:
    """Return a version from the columns `STAMPED`."""
    scope, category, kind, name, *stamp = row
    return Stamped(subjects.Address(scope, category, kind, name), *stamp)


def as_signed(row: tuple[Any, ...]) -> Held:
    """Return an event as it was signed, from the columns `SIGNED`."""
    scope, category, kind, name, seq, body, signed, signature = row
    headers = events.statement_headers(signed) | {events.SIGNATURE: signature}
    return Held(events.parse(subjects.event(scope, category, kind, name), headers, body), seq)


def sound(row: tuple[Any, ...], genuine: Callable[[Event], bool]) -> bool:
    """Tell whether a row of the columns `WHOLE` is what its statement says, and that is signed."""
    try:
        e = as_signed(row[:8]).event
        signed = (e.epoch, e.revision, e.version, e.digest, e.deleted, e.time, e.encoding)
        return signed == row[8:] and events.body_matches(e) and genuine(e)
    except (InvalidEvent, ValueError, TypeError, AttributeError):  # any field may be anything by now
        return False
