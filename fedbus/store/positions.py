"""Where the fold of each scope stands, within a transaction, and what its digest was before."""

import sqlite3
from collections.abc import Iterator

import msgspec

from fedbus.core import digest
from fedbus.model import subjects
from fedbus.model.federation import ScopeState
from fedbus.store.projection import Projection
from fedbus.store.rows import COUNTED, STATE, state
from fedbus.store.scope_fold import ScopeFold


class Positions:
    """The position, digest and count of every scope."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def scope(self, scope: str) -> ScopeState:
        """Return where the fold of a scope stands; the zero state for one never seen."""
        row = self._connection.execute(f"SELECT {STATE} FROM scopes WHERE scope=?", (scope,)).fetchone()  # noqa: S608
        return ScopeState() if row is None else state(row)

    def scopes(self) -> dict[str, ScopeState]:
        """Return where every scope stands."""
        rows = self._connection.execute(f"SELECT {STATE}, scope FROM scopes ORDER BY scope")  # noqa: S608
        return {row[5]: state(row) for row in rows}

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
            f"SELECT kind, name, revision, digest FROM held WHERE scope=? AND {COUNTED}",  # noqa: S608
            (scope,),
        )

    def forget(self, scope: str) -> None:
        """Drop every object of a scope and its position."""
        self._connection.execute("DELETE FROM objects WHERE scope=?", (scope,))
        self._connection.execute("DELETE FROM parked WHERE scope=?", (scope,))
        self._connection.execute("DELETE FROM scopes WHERE scope=?", (scope,))
        self._connection.execute("DELETE FROM heads WHERE scope=?", (scope,))

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
