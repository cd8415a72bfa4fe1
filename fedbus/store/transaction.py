"""What can be done within one transaction: fold events, keep positions, read objects."""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from fedbus.core import digest, fold
from fedbus.errors import InvalidEvent
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.model.federation import AuditRecord, ScopeState
from fedbus.model.objects import StoredObject
from fedbus.model.scan import Report, ScannedImage
from fedbus.store.admission_log import AdmissionLog
from fedbus.store.history import History
from fedbus.store.inventories import Inventories
from fedbus.store.local import LocalObjects
from fedbus.store.projection import Projection
from fedbus.store.runs import Runs
from fedbus.store.scans import Scans

_OBJECTS, _PARKED = "objects", "parked"
"""The tables of what can be read and of newer versions that cannot; the view `held` is both."""
_KEY = "scope=? AND kind=? AND name=?"
_COLUMNS = (
    "scope, kind, name, category, epoch, revision, version, seq, digest, deleted, changed_at, encoding,"
    " body, statement, signature"
)
_STAMP = {
    table: f"SELECT epoch, revision, digest, deleted, seq FROM {table} WHERE {_KEY}"  # noqa: S608
    for table in (_OBJECTS, _PARKED)
}
_PUT = {
    table: f"INSERT OR REPLACE INTO {table} ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
    for table in (_OBJECTS, _PARKED)
}
_COUNTED = f"(NOT deleted AND category <> '{subjects.CONTROL}')"
"""What the digest is over: instructions to a cluster are no objects."""
_STATE = "epoch, version, seq, digest, objects"
_STAMPED = "scope, category, kind, name, epoch, revision, version, digest, seq"
_OBJECT = "scope, kind, name, epoch, revision, version, digest, deleted, changed_at, encoding, body"


KEEP_AUDIT = 10_000
"""Records that a daemon keeps of its own audit log."""


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


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was refused: where it was, why, and its first bytes."""

    at: str
    scope: str
    subject: str
    seq: int
    code: str
    reason: str
    headers: dict[str, str] = {}
    body: bytes = b""
    id: int = 0


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


class Answer(msgspec.Struct, frozen=True):
    """The answer to an idempotency key; `done` once its changeset is in the store."""

    key: str
    request: str
    changeset: str
    answer: bytes
    at: float
    done: bool = False


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
        table = _PARKED if key[1:] in self._parked else _OBJECTS
        row = self._connection.execute(_STAMP[table], key).fetchone()
        held = fold.Stamp(row[0], row[1], row[2], bool(row[3])) if row else None
        verdict = fold.judge(held, fold.Stamp(event.epoch, event.revision, event.digest, event.deleted))
        if verdict is fold.Verdict.APPLY:
            self._count(address, held, event)
            self._keep(event, seq, _PARKED if park else _OBJECTS)
            if self._projection is not None and not park:
                self._project(self._projection, event, content)
        elif verdict is fold.Verdict.DUPLICATE and seq > row[4]:
            self._connection.execute(f"UPDATE {table} SET seq=? WHERE {_KEY}", (seq, *key))  # noqa: S608
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
        self._connection.execute(_PUT[table], (*values, *content, event.statement, event.signature))
        if table == _PARKED:
            self._parked.add((a.kind, a.name))
        elif (a.kind, a.name) in self._parked:
            self._connection.execute(f"DELETE FROM parked WHERE {_KEY}", (a.scope, a.kind, a.name))  # noqa: S608
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
            f"SELECT kind, name, revision, digest, {_COUNTED} FROM held WHERE scope=?",  # noqa: S608
            (self.scope,),
        )
        gone = [row for row in rows if row[:2] not in keep]
        for row in gone:
            self._drop(*row)
        return sum(row[4] for row in gone)

    def drop(self, kind: str, name: str) -> None:
        """Remove an object as if it had never been there."""
        row = self._connection.execute(
            f"SELECT kind, name, revision, digest, {_COUNTED} FROM held WHERE {_KEY}",  # noqa: S608
            (self.scope, kind, name),
        ).fetchone()
        if row is not None:
            self._drop(*row)

    def _drop(self, kind: str, name: str, revision: int, content: str, counted: int) -> None:
        if counted:
            self.digest = digest.remove(self.digest, digest.element(kind, name, revision, content))
            self.objects -= 1
        for table in (_OBJECTS, _PARKED):
            self._connection.execute(f"DELETE FROM {table} WHERE {_KEY}", (self.scope, kind, name))  # noqa: S608
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


class Transaction:
    """The operations of the store, each inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.history = History(connection)
        self.scans = Scans(connection)
        self.local = LocalObjects(connection)
        self.admission = AdmissionLog(connection)
        self.inventories = Inventories(connection)
        self.runs = Runs(connection)

    # positions and digests

    def scope(self, scope: str) -> ScopeState:
        """Return where the fold of a scope stands; the zero state for one never seen."""
        row = self._connection.execute(f"SELECT {_STATE} FROM scopes WHERE scope=?", (scope,)).fetchone()  # noqa: S608
        return ScopeState() if row is None else _state(row)

    def scopes(self) -> dict[str, ScopeState]:
        """Return where every scope stands."""
        rows = self._connection.execute(f"SELECT {_STATE}, scope FROM scopes ORDER BY scope")  # noqa: S608
        return {row[5]: _state(row) for row in rows}

    def newest_version(self) -> int:
        """Return the highest version of any scope: what was folded last."""
        return int(self._connection.execute("SELECT ifnull(max(version), 0) FROM scopes").fetchone()[0])

    def folding(self, scope: str) -> ScopeFold:
        """Return the fold of one scope, to put events and then `save`."""
        projection = Projection(self._connection) if scope in subjects.SCAN_SCOPES else None
        return ScopeFold(self._connection, scope, self.scope(scope), projection)

    def recount(self, scope: str) -> ScopeState:
        """Return the state of a scope with digest and count computed anew from the rows."""
        total, count = 0, 0
        for kind, name, revision, content in self.elements(scope):
            total += digest.element(kind, name, revision, content)
            count += 1
        return msgspec.structs.replace(
            self.scope(scope), digest=digest.add(digest.EMPTY, total), objects=count
        )

    def elements(self, scope: str) -> Iterator[tuple[str, str, int, str]]:
        """Yield what the digest of a scope is over: kind, name, revision and content of each object held."""
        return self._connection.execute(
            f"SELECT kind, name, revision, digest FROM held WHERE scope=? AND {_COUNTED}",  # noqa: S608
            (scope,),
        )

    def repair(self, genuine: Callable[[Event], bool]) -> dict[str, int]:
        """Drop what is not, field by field, as it was signed, and count anew; return the faults by scope.

        `genuine` judges the signature. The rest stays in use. Where anything was wrong the position goes
        back to zero, so that the bus is asked for everything again; the version stays, so that the digest
        says that something is missing.
        """
        known = self._connection.execute("SELECT scope FROM scopes UNION SELECT scope FROM held").fetchall()
        found = {scope: self._repair(scope, genuine) for (scope,) in known}
        return {scope: faults for scope, faults in found.items() if faults}

    def _repair(self, scope: str, genuine: Callable[[Event], bool]) -> int:
        bad = sum(self._drop_unsound(table, scope, genuine) for table in (_OBJECTS, _PARKED))
        before, counted = self.scope(scope), self.recount(scope)
        faults = bad + ((before.digest, before.objects) != (counted.digest, counted.objects))
        if faults:
            position = self.folding(scope)
            position.seq, position.digest, position.objects = 0, counted.digest, counted.objects
            newest = self._connection.execute(
                "SELECT epoch, version FROM held WHERE scope=? ORDER BY epoch DESC, version DESC LIMIT 1",
                (scope,),
            ).fetchone()
            position.epoch, position.version = max((position.epoch, position.version), newest or (0, 0))
            position.save()
        return faults

    def unsound(
        self, scope: str, after: int, limit: int, genuine: Callable[[Event], bool]
    ) -> tuple[list[subjects.Address], int]:
        """Return which of the next rows are not as they were signed, and where to go on, 0 at the end.

        For a store that is too large to be repaired before it is served: see `fedbus.cluster.inspection`.
        """
        rows = self._connection.execute(
            "SELECT scope, category, kind, name, seq, body, statement, signature,"
            " epoch, revision, version, digest, deleted, changed_at, encoding, rowid FROM objects"
            " WHERE rowid > ? AND scope=? ORDER BY rowid LIMIT ?",
            (after, scope, limit),
        ).fetchall()
        bad = [subjects.Address(*row[:4]) for row in rows if not _sound(row[:15], genuine)]
        return bad, rows[-1][15] if rows else 0

    def mend(self, scope: str, bad: Collection[subjects.Address]) -> None:
        """Drop rows of a scope of scan results that are not sound, and count anew: as `repair` does."""
        folding = self.folding(scope)
        for a in bad:
            folding.drop(a.kind, a.name)
        folding.save()
        counted = self.recount(scope)
        folding.seq, folding.digest, folding.objects = 0, counted.digest, counted.objects
        folding.save()

    def forget_some(self, scope: str, limit: int) -> int:
        """Drop some of a scope of scan results, and its position at once; return how many are left."""
        folding = self.folding(scope)
        rows = self._connection.execute(
            "SELECT kind, name FROM held WHERE scope=? LIMIT ?", (scope, limit)
        ).fetchall()
        for kind, name in rows:
            folding.drop(kind, name)
        folding.seq = folding.version = folding.epoch = 0
        folding.save()
        (left,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM held WHERE scope=? LIMIT 1)", (scope,)
        ).fetchone()
        if not left:
            self.forget(scope)
        return int(left)

    def _drop_unsound(self, table: str, scope: str, genuine: Callable[[Event], bool]) -> int:
        rows = self._connection.execute(
            "SELECT scope, category, kind, name, seq, body, statement, signature, epoch, revision, version,"  # noqa: S608
            f" digest, deleted, changed_at, encoding FROM {table} WHERE scope=?",
            (scope,),
        )
        bad = [(scope, row[2], row[3]) for row in rows if not _sound(row, genuine)]
        self._connection.executemany(f"DELETE FROM {table} WHERE {_KEY}", bad)  # noqa: S608
        return len(bad)

    def forget(self, scope: str) -> None:
        """Drop every object of a scope and its position."""
        self._connection.execute("DELETE FROM objects WHERE scope=?", (scope,))
        self._connection.execute("DELETE FROM parked WHERE scope=?", (scope,))
        self._connection.execute("DELETE FROM scopes WHERE scope=?", (scope,))
        self._connection.execute("DELETE FROM heads WHERE scope=?", (scope,))

    # heads: what the digest was at each recent version (the master's side of `synced`)

    def record_head(self, scope: str, version: int, content: str, at: float, keep: int = 4096) -> None:
        """Remember the digest of a scope at a version; only about the newest `keep` are kept."""
        self._connection.execute(
            "INSERT OR REPLACE INTO heads (scope, version, digest, at) VALUES (?,?,?,?)",
            (scope, version, content, at),
        )
        self._connection.execute("DELETE FROM heads WHERE scope=? AND version<=?", (scope, version - keep))

    def heads(self, scope: str) -> list[tuple[int, str, float]]:
        """Return (version, digest, Unix time) of the remembered versions, oldest first."""
        return self._connection.execute(
            "SELECT version, digest, at FROM heads WHERE scope=? ORDER BY version", (scope,)
        ).fetchall()

    # objects

    def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, a deleted one too; None if there never was one."""
        row = self._connection.execute(
            f"SELECT {_OBJECT} FROM objects WHERE scope=? AND kind=? AND name=?",  # noqa: S608 - constant
            (scope, kind, name),
        ).fetchone()
        return _stored(row) if row else None

    def objects(self, scope: str, kind: str | None = None) -> list[StoredObject]:
        """Return the objects of a scope, or of one kind in it, by kind and name; not the deleted."""
        rows = self._connection.execute(
            f"SELECT {_OBJECT} FROM objects WHERE scope=? AND {_COUNTED} AND kind=ifnull(?, kind)"  # noqa: S608
            " ORDER BY kind, name",
            (scope, kind),
        )
        return [_stored(row) for row in rows]

    def names(self, scope: str, kind: str | None = None) -> list[tuple[str, str]]:
        """Return (kind, name) of the objects of a scope, or of one kind in it; not the deleted."""
        rows = self._connection.execute(
            f"SELECT kind, name FROM objects WHERE scope=? AND {_COUNTED} AND kind=ifnull(?, kind)",  # noqa: S608
            (scope, kind),
        )
        return [(row[0], row[1]) for row in rows]

    def counts(self, scope: str) -> dict[str, int]:
        """Return how many objects of each kind a scope has."""
        return dict(
            self._connection.execute(
                f"SELECT kind, count(*) FROM objects WHERE scope=? AND {_COUNTED} GROUP BY kind",  # noqa: S608
                (scope,),
            ).fetchall()
        )

    def held(self) -> Iterator[Held]:
        """Yield everything as it was signed, tombstones too, in the order it was written."""
        for row in self._connection.execute(
            "SELECT scope, category, kind, name, seq, body, statement, signature FROM held"
            " ORDER BY version, seq"
        ):
            yield _held(row)

    def stamps(self) -> Iterator[Stamped]:
        """Yield the version of everything, tombstones too, in the order it was written. No body is read."""
        for row in self._connection.execute(
            f"SELECT {_STAMPED} FROM held ORDER BY version, seq"  # noqa: S608
        ):
            yield _stamped(row)

    def stamp(self, a: subjects.Address) -> Stamped | None:
        """Return the version of one object, a deleted one too; None if there never was one."""
        row = self._connection.execute(
            f"SELECT {_STAMPED} FROM held WHERE {_KEY}",  # noqa: S608
            (a.scope, a.kind, a.name),
        ).fetchone()
        return None if row is None else _stamped(row)

    def stamp_at(self, subject: str) -> Stamped | None:
        """Return the version of what a subject names; None if that is nothing of ours."""
        try:
            return self.stamp(subjects.parse(subject))
        except InvalidEvent:
            return None

    def held_at(self, a: subjects.Address) -> Held | None:
        """Return one object as it was signed."""
        row = self._connection.execute(
            f"SELECT scope, category, kind, name, seq, body, statement, signature FROM held WHERE {_KEY}",  # noqa: S608
            (a.scope, a.kind, a.name),
        ).fetchone()
        return None if row is None else _held(row)

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
        parked = self._connection.execute(_STAMP[_PARKED], key).fetchone()
        return parked or self._connection.execute(_STAMP[_OBJECTS], key).fetchone(), parked is not None

    def place(self, scope: str, kind: str, name: str, seq: int) -> None:
        """Correct where the stream has an object's newest version."""
        table = _PARKED if self.newest(scope, kind, name)[1] else _OBJECTS
        self._connection.execute(f"UPDATE {table} SET seq=? WHERE {_KEY}", (seq, scope, kind, name))  # noqa: S608

    # parked: what is held and cannot be read by this build

    def parked(self) -> list[ParkedEvent]:
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

    def parked_count(self) -> int:
        """Return how many events are parked."""
        return int(self._connection.execute("SELECT count(*) FROM parked").fetchone()[0])

    def reread(self, understood: Callable[[Event], bool], check: Callable[[Event], Any], at: str) -> Reread:
        """Sort everything anew into what this build can read and what it cannot: it may be another build.

        What was parked and is understood now is checked and put in force, oldest version first. What does
        not hold then is quarantined and no longer held: the digest says that something is missing.
        """
        done = Reread()
        for held in [one for one in self._in(_PARKED) if understood(one.event)]:
            try:
                check(held.event)
            except InvalidEvent as error:
                self._refuse(held, error, at)
                done.refused.append(error.code)
            else:
                self._move(held, _PARKED, _OBJECTS)
                done.applied.append(held.event)
        for held in [one for one in self._in(_OBJECTS) if not understood(one.event)]:
            self._move(held, _OBJECTS, _PARKED)
            done.parked.append(held.event)
        for scope in self.scopes() if done.refused else ():
            counted, position = self.recount(scope), self.folding(scope)
            position.digest, position.objects = counted.digest, counted.objects
            position.save()
        return done

    def _in(self, table: str) -> Iterator[Held]:
        rows = self._connection.execute(
            "SELECT scope, category, kind, name, seq, body, statement, signature"  # noqa: S608
            f" FROM {table} ORDER BY version, seq"
        )
        return (_held(row) for row in rows)

    def _move(self, held: Held, old: str, new: str) -> None:
        a = held.event.address
        key = (a.scope, a.kind, a.name)
        self._connection.execute(
            f"INSERT OR REPLACE INTO {new} SELECT * FROM {old} WHERE {_KEY}",  # noqa: S608
            key,
        )
        self._connection.execute(f"DELETE FROM {old} WHERE {_KEY}", key)  # noqa: S608

    def _refuse(self, held: Held, error: InvalidEvent, at: str) -> None:
        event, a = held.event, held.event.address
        self.quarantine(
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
        self._connection.execute(f"DELETE FROM parked WHERE {_KEY}", (a.scope, a.kind, a.name))  # noqa: S608

    # quarantine

    def quarantine(self, event: Quarantined, keep: int = 10_000) -> None:
        """Set a refused event aside; the same (subject, seq, code) once, the newest `keep` only."""
        place = (event.at, event.scope, event.subject, event.seq)
        content = (codec.encode(event.headers).decode(), event.body[:4096])
        self._connection.execute(
            "INSERT OR IGNORE INTO quarantine (at, scope, subject, seq, code, reason, headers, body)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (*place, event.code, event.reason, *content),
        )
        self._connection.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (keep,)
        )

    def quarantined(self, limit: int = 1000) -> list[Quarantined]:
        """Return the newest refused events, newest first."""
        rows = self._connection.execute(
            "SELECT at, scope, subject, seq, code, reason, headers, body, id FROM quarantine"
            " ORDER BY id DESC LIMIT ?",
            (limit,),
        )
        return [
            Quarantined(
                at=r[0], scope=r[1], subject=r[2], seq=r[3], code=r[4], reason=r[5],
                headers=codec.decode(r[6].encode(), dict[str, str]), body=r[7], id=r[8],
            )
            for r in rows
        ]  # fmt: skip

    def quarantined_count(self) -> int:
        """Return how many refused events are set aside."""
        return int(self._connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])

    # the rest

    def answer(self, key: str) -> Answer | None:
        """Return what an idempotency key was answered, or else would have been last.

        A key has an answer a try: the changeset of an earlier one may still turn up on the stream.
        """
        row = self._connection.execute(
            "SELECT key, request, changeset, answer, at, done FROM answers WHERE key=?"
            " ORDER BY done DESC, at DESC LIMIT 1",
            (key,),
        ).fetchone()
        if row is None:
            return None
        key, request, changeset, answer, at, done = row
        return Answer(key, request, changeset, answer, at, bool(done))

    def remember_answer(self, answer: Answer, keep_seconds: float = 86_400.0) -> None:
        """Remember the answer to an idempotency key, and forget those older than `keep_seconds`."""
        self._connection.execute(
            "INSERT OR REPLACE INTO answers (key, request, changeset, answer, at, done) VALUES (?,?,?,?,?,?)",
            msgspec.structs.astuple(answer),
        )
        self._connection.execute("DELETE FROM answers WHERE at < ?", (answer.at - keep_seconds,))

    def settle(self, changeset: str) -> None:
        """Note that a changeset was folded: an answer that waited for it holds."""
        self._connection.execute("UPDATE answers SET done=1 WHERE changeset=?", (changeset,))

    def audit(self, record: AuditRecord) -> None:
        """Append to this daemon's own audit log, which keeps the newest; the bus has them all."""
        done = self._connection.execute("INSERT INTO audit (record) VALUES (?)", (codec.encode(record),))
        self._connection.execute("DELETE FROM audit WHERE id<=?", ((done.lastrowid or 0) - KEEP_AUDIT,))

    def audit_records(self) -> list[AuditRecord]:
        """Return this daemon's own audit log, oldest first."""
        rows = self._connection.execute("SELECT record FROM audit ORDER BY id")
        return [codec.decode(r[0], AuditRecord) for r in rows]

    def meta(self, key: str) -> str:
        """Return a named value, empty if unset."""
        row = self._connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def set_meta(self, key: str, value: str) -> None:
        """Set a named value."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))


def _state(row: tuple[Any, ...]) -> ScopeState:
    return ScopeState(epoch=row[0], version=row[1], seq=row[2], digest=row[3], objects=row[4])


def _stored(row: tuple[Any, ...]) -> StoredObject:
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


def _stamped(row: tuple[Any, ...]) -> Stamped:
    scope, category, kind, name, *stamp = row
    return Stamped(subjects.Address(scope, category, kind, name), *stamp)


def _held(row: tuple[Any, ...]) -> Held:
    scope, category, kind, name, seq, body, signed, signature = row
    headers = events.statement_headers(signed) | {events.SIGNATURE: signature}
    return Held(events.parse(subjects.event(scope, category, kind, name), headers, body), seq)


def _sound(row: tuple[Any, ...], genuine: Callable[[Event], bool]) -> bool:
    """Tell whether a row holds what its statement says, and the statement is signed."""
    try:
        e = _held(row[:8]).event
        signed = (e.epoch, e.revision, e.version, e.digest, e.deleted, e.time, e.encoding)
        return signed == row[8:] and events.body_matches(e) and genuine(e)
    except (InvalidEvent, ValueError, TypeError, AttributeError):  # any field may be anything by now
        return False
