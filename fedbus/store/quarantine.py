"""The quarantine within a transaction: the events that were refused, of which the newest are kept."""

import sqlite3

import msgspec

from fedbus.model import codec


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


class Quarantine:
    """The events that were refused."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, event: Quarantined, keep: int = 10_000) -> None:
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

    def newest(self, limit: int = 1000) -> list[Quarantined]:
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

    def count(self) -> int:
        """Return how many refused events are set aside."""
        return int(self._connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])
