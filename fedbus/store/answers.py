"""Answers to idempotency keys within a transaction, so that asking again does it once."""

import sqlite3

import msgspec

KEEP_SECONDS = 86_400.0
"""How long an answer is remembered."""


class Answer(msgspec.Struct, frozen=True):
    """The answer to an idempotency key; `done` once its changeset is in the store."""

    key: str
    request: str
    changeset: str
    answer: bytes
    at: float
    done: bool = False


class Answers:
    """What idempotency keys were answered."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, key: str) -> Answer | None:
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

    def remember(self, answer: Answer, keep_seconds: float = KEEP_SECONDS) -> None:
        """Remember the answer to an idempotency key, and forget those older than `keep_seconds`."""
        self._connection.execute(
            "INSERT OR REPLACE INTO answers (key, request, changeset, answer, at, done) VALUES (?,?,?,?,?,?)",
            msgspec.structs.astuple(answer),
        )
        self._connection.execute("DELETE FROM answers WHERE at < ?", (answer.at - keep_seconds,))

    def settle(self, changeset: str) -> None:
        """Note that a changeset was folded: an answer that waited for it holds."""
        self._connection.execute("UPDATE answers SET done=1 WHERE changeset=?", (changeset,))
