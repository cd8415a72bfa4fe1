"""The newest run over each registry, so that one goes on after a restart, and what runs found."""

import sqlite3
from collections.abc import Collection, Iterable

from fedbus.model import codec
from fedbus.model.registry_run import Run
from fedbus.model.scan import Report, ScannedImage


class Runs:
    """The runs, within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, Run]:
        """Return the newest run of every registry that had one."""
        rows = self._connection.execute("SELECT registry, body FROM registry_runs")
        return {name: codec.decode(body, Run) for name, body in rows}

    def put(self, run: Run) -> None:
        """Keep where a run stands, instead of what was kept of its registry."""
        self._connection.execute(
            "INSERT OR REPLACE INTO registry_runs (registry, body) VALUES (?,?)",
            (run.registry, codec.encode(run)),
        )

    def drop(self, registry: str) -> None:
        """Forget the run of a registry."""
        self._connection.execute("DELETE FROM registry_runs WHERE registry=?", (registry,))

    def put_report(self, report: Report) -> None:
        """Keep a report, unless a newer scan of its digest is kept."""
        self._connection.execute(
            "INSERT INTO registry_reports VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
            " scanned_at=excluded.scanned_at, cvedb_version=excluded.cvedb_version,"
            " cvedb_create_time=excluded.cvedb_create_time, body=excluded.body"
            " WHERE (excluded.scanned_at, excluded.cvedb_create_time) >= (scanned_at, cvedb_create_time)",
            (
                report.registry,
                report.digest,
                report.scanned_at,
                report.cvedb_version,
                report.cvedb_create_time,
                codec.encode(report),
            ),
        )

    def put_images(self, images: Iterable[ScannedImage]) -> None:
        """Keep tags."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO registry_images VALUES (?,?,?,?)",
            [(one.registry, one.repository, one.tag, codec.encode(one)) for one in images],
        )

    def remove(self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]) -> None:
        """Drop reports and tags."""
        self._connection.executemany(
            "DELETE FROM registry_reports WHERE registry=? AND digest=?", [(registry, one) for one in digests]
        )
        self._connection.executemany(
            "DELETE FROM registry_images WHERE registry=? AND repository=? AND tag=?",
            [(registry, *one) for one in images],
        )

    def forget(self, registry: str) -> None:
        """Drop everything that was found in a registry."""
        for table in ("registry_reports", "registry_images"):
            self._connection.execute(f"DELETE FROM {table} WHERE registry=?", (registry,))  # noqa: S608

    def scanned(self, registry: str) -> list[tuple[str, float, str, str]]:
        """Return digest, time of the scan, and version and time of the database of every report."""
        return self._connection.execute(
            "SELECT digest, scanned_at, cvedb_version, cvedb_create_time FROM registry_reports"
            " WHERE registry=? ORDER BY digest",
            (registry,),
        ).fetchall()

    def report(self, registry: str, digest: str) -> Report | None:
        """Return the report of a digest."""
        row = self._connection.execute(
            "SELECT body FROM registry_reports WHERE registry=? AND digest=?", (registry, digest)
        ).fetchone()
        return None if row is None else codec.decode(row[0], Report)

    def images(self, registry: str) -> list[ScannedImage]:
        """Return the tags of a registry."""
        rows = self._connection.execute(
            "SELECT body FROM registry_images WHERE registry=? ORDER BY repository, tag", (registry,)
        )
        return [codec.decode(body, ScannedImage) for (body,) in rows]
