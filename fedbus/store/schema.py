"""The tables, one migration a list entry; a file newer than this build is refused."""

import sqlite3
from collections.abc import Sequence

from fedbus.errors import ConfigError

MIGRATIONS = (
    """
    CREATE TABLE objects (
      scope TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL,
      epoch INTEGER NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL, seq INTEGER NOT NULL,
      digest TEXT NOT NULL, deleted INTEGER NOT NULL, changed_at TEXT NOT NULL, encoding TEXT NOT NULL,
      body BLOB NOT NULL, statement BLOB NOT NULL, signature TEXT NOT NULL,
      PRIMARY KEY (scope, kind, name)
    );
    CREATE TABLE scopes (
      scope TEXT PRIMARY KEY, epoch INTEGER NOT NULL, version INTEGER NOT NULL, seq INTEGER NOT NULL,
      digest TEXT NOT NULL, objects INTEGER NOT NULL
    );
    CREATE TABLE heads (
      scope TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL,
      PRIMARY KEY (scope, version)
    );
    CREATE TABLE quarantine (
      id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, scope TEXT NOT NULL, subject TEXT NOT NULL,
      seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, headers TEXT NOT NULL,
      body BLOB NOT NULL, UNIQUE (subject, seq, code)
    );
    CREATE TABLE answers (
      key TEXT NOT NULL, request TEXT NOT NULL, changeset TEXT NOT NULL, answer BLOB NOT NULL,
      at REAL NOT NULL, done INTEGER NOT NULL, PRIMARY KEY (key, changeset)
    );
    CREATE INDEX answers_by_changeset ON answers (changeset);
    CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
    """
    CREATE TABLE history (
      scope TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL,
      version INTEGER NOT NULL, changeset TEXT NOT NULL, at TEXT NOT NULL, actor TEXT NOT NULL,
      comment TEXT NOT NULL, deleted INTEGER NOT NULL, encoding TEXT NOT NULL, body BLOB NOT NULL,
      PRIMARY KEY (scope, kind, name, revision)
    );
    CREATE INDEX history_by_version ON history (version);
    CREATE INDEX history_by_changeset ON history (changeset);
    """,
    # What heartbeats count and plans list, without reading a body.
    """
    CREATE INDEX objects_counted ON objects (scope, kind, name)
      WHERE NOT deleted AND category <> 'control';
    """,
    # The cluster's own policy: never on the bus, and not in a scope, so that no purge takes it.
    """
    CREATE TABLE local_objects (
      kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL,
      changed_at TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (kind, name)
    );
    """,
    # Newer versions of objects that this build cannot read lie over what it could.
    """
    CREATE TABLE parked (
      scope TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL,
      epoch INTEGER NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL, seq INTEGER NOT NULL,
      digest TEXT NOT NULL, deleted INTEGER NOT NULL, changed_at TEXT NOT NULL, encoding TEXT NOT NULL,
      body BLOB NOT NULL, statement BLOB NOT NULL, signature TEXT NOT NULL,
      PRIMARY KEY (scope, kind, name)
    );
    CREATE VIEW held AS
      SELECT * FROM objects AS o WHERE NOT EXISTS (
        SELECT 1 FROM parked AS p WHERE p.scope=o.scope AND p.kind=o.kind AND p.name=o.name)
      UNION ALL SELECT * FROM parked;
    """,
    # From where a change was asked for: the events do not say it, every cluster reads them.
    "ALTER TABLE history ADD COLUMN origin TEXT NOT NULL DEFAULT '';",
    # What admission did here: no policy, so no purge takes it.
    """
    CREATE TABLE admission_counts (
      scope TEXT NOT NULL, rule INTEGER NOT NULL, result TEXT NOT NULL, count INTEGER NOT NULL,
      PRIMARY KEY (scope, rule, result)
    );
    CREATE TABLE admission_events (
      id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, last_at REAL NOT NULL, body BLOB NOT NULL
    );
    CREATE INDEX admission_events_by_key ON admission_events (key, last_at);
    CREATE INDEX admission_events_by_time ON admission_events (last_at);
    """,
    """
    CREATE TABLE registry_runs (registry TEXT PRIMARY KEY, body BLOB NOT NULL);
    """,
    # On a master: what runs in each member, as it said last.
    """
    CREATE TABLE inventories (
      cluster TEXT PRIMARY KEY, at REAL NOT NULL, digest TEXT NOT NULL, encoding TEXT NOT NULL,
      body BLOB NOT NULL
    );
    """,
)


SCANS = (
    # What look-ups read of scan results, beside the objects and in the same transaction with them.
    """
    CREATE TABLE reports (
      id INTEGER PRIMARY KEY,
      scope TEXT NOT NULL, registry TEXT NOT NULL, digest TEXT NOT NULL, image_id TEXT NOT NULL,
      host TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL,
      source TEXT NOT NULL, scanner TEXT NOT NULL, base_os TEXT NOT NULL, author TEXT NOT NULL,
      created_at REAL NOT NULL, size INTEGER NOT NULL,
      scanned_at REAL NOT NULL, cvedb_create_time TEXT NOT NULL, cvedb_version TEXT NOT NULL,
      critical INTEGER NOT NULL, high INTEGER NOT NULL, medium INTEGER NOT NULL, low INTEGER NOT NULL,
      bytes INTEGER NOT NULL, cves BLOB NOT NULL,
      UNIQUE (digest, registry, scope)
    );
    CREATE INDEX reports_by_registry ON reports (registry, scope);
    CREATE INDEX reports_by_image_id ON reports (image_id) WHERE image_id <> '';
    CREATE TABLE tags (
      repository TEXT NOT NULL, tag TEXT NOT NULL, registry TEXT NOT NULL, scope TEXT NOT NULL,
      digest TEXT NOT NULL, image_id TEXT NOT NULL,
      PRIMARY KEY (repository, tag, registry, scope)
    ) WITHOUT ROWID;
    CREATE INDEX tags_by_registry ON tags (registry, repository, tag);
    CREATE INDEX tags_by_digest ON tags (digest);
    CREATE TABLE postings (
      cve INTEGER NOT NULL, report INTEGER NOT NULL, PRIMARY KEY (cve, report)
    ) WITHOUT ROWID;
    CREATE INDEX large_reports ON objects (scope) WHERE encoding = 'large' AND NOT deleted;
    CREATE TABLE totals (scope TEXT PRIMARY KEY, reports INTEGER NOT NULL, bytes INTEGER NOT NULL);
    CREATE TABLE local_bodies (report INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE chunks (
      object TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL,
      PRIMARY KEY (object, number)
    );
    """,
)
"""The further tables of a store of scan results."""


def migrate(connection: sqlite3.Connection, where: str, further: Sequence[str] = ()) -> None:
    """Bring the file to this build's schema, in transactions; ConfigError if it is newer.

    `further` has the migrations of tables that this file alone has.
    """
    (have,) = connection.execute("PRAGMA user_version").fetchone()
    _check(where, have, len(MIGRATIONS))
    for number, script in enumerate(MIGRATIONS[have:], start=have + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
    (have,) = connection.execute("SELECT ifnull(max(value), 0) FROM meta WHERE key='further'").fetchone()
    _check(where, int(have), len(further))
    for number, script in enumerate(further[int(have) :], start=int(have) + 1):
        noted = f"INSERT OR REPLACE INTO meta VALUES ('further', '{number}');"  # noqa: S608 - a number
        connection.executescript(f"BEGIN; {script} {noted} COMMIT;")


def _check(where: str, have: int, known: int) -> None:
    if have > known:
        raise ConfigError(
            f"{where} was written by a newer fedbus (schema {have}, this build knows {known})",
            code="STORE_TOO_NEW",
            remedy="run the newer fedbus, or start with an empty data directory and let it be rebuilt",
        )
