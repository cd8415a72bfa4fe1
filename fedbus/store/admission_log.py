"""The admission log within a transaction: counts by rule, and events, of which the newest are kept."""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from fedbus.model import codec
from fedbus.model.admission_events import AdmissionEvent

KEEP_EVENTS = 10_000
KEEP_RULES = 20_000
TOGETHER_SECONDS = 480.0
"""How long events of one kind about one workload are counted as one, as NeuVector does."""

Counted = tuple[str, int, str]
"""The scope and id of a rule and what it did; no scope and 0 for requests as such."""


class AdmissionLog:
    """The counts and events of this cluster's admission control."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def counts(self) -> dict[Counted, int]:
        """Return every count."""
        rows = self._connection.execute("SELECT scope, rule, result, count FROM admission_counts")
        return {(scope, rule, result): count for scope, rule, result, count in rows}

    def count(self, added: Mapping[Counted, int]) -> None:
        """Add to counts; with too many rules, those that counted first go."""
        self._connection.executemany(
            "INSERT INTO admission_counts (scope, rule, result, count) VALUES (?,?,?,?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(*key, number) for key, number in added.items()],
        )
        self._connection.execute(
            "DELETE FROM admission_counts WHERE scope <> '' AND rowid NOT IN"
            " (SELECT rowid FROM admission_counts WHERE scope <> '' ORDER BY rowid DESC LIMIT ?)",
            (KEEP_RULES,),
        )

    def add(self, events: Iterable[AdmissionEvent], keep: int = KEEP_EVENTS) -> None:
        """Add events; one that is like another of the last minutes is counted with that."""
        for event in events:
            row = self._connection.execute(
                "SELECT id, body FROM admission_events WHERE key=? AND last_at>=? ORDER BY id DESC LIMIT 1",
                (event.key, event.first_at - TOGETHER_SECONDS),
            ).fetchone()
            if row is None:
                self._connection.execute(
                    "INSERT INTO admission_events (key, last_at, body) VALUES (?,?,?)",
                    (event.key, event.last_at, codec.encode(event)),
                )
                continue
            held = codec.decode(row[1], AdmissionEvent)
            together = msgspec.structs.replace(event, first_at=held.first_at, count=held.count + event.count)
            self._connection.execute(
                "UPDATE admission_events SET last_at=?, body=? WHERE id=?",
                (together.last_at, codec.encode(together), row[0]),
            )
        self._connection.execute(
            "DELETE FROM admission_events WHERE id <= (SELECT max(id) FROM admission_events) - ?", (keep,)
        )

    def events(self, *, start: int = 0, limit: int = 1000) -> list[AdmissionEvent]:
        """Return events, those that happened last first."""
        rows = self._connection.execute(
            "SELECT id, body FROM admission_events ORDER BY last_at DESC, id DESC LIMIT ? OFFSET ?",
            (limit, start),
        )
        return [
            msgspec.structs.replace(codec.decode(body, AdmissionEvent), id=number) for number, body in rows
        ]
